// The guest of the benchmarks: counts its calls in the state and gives back what it got.
exports {
    echo: func(state: u64, data: list<u8>) -> result<tuple<u64, list<u8>>, string>
}
