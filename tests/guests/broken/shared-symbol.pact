exports {
    test:broken/one.get: func(state: u64) -> result<tuple<u64, u64>, string>
    test:broken/two.get: func(state: u64) -> result<tuple<u64, u64>, string>
}
