exports {
    get: func(state: u64) -> result<tuple<u64, u64>, string>
}
