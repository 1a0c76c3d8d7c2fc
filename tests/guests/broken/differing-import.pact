imports {
    theater:simple/runtime { log: func(msg: u32) }
}
exports {
    get: func(state: u64) -> result<tuple<u64, u64>, string>
}
