// Uses everything that the host's `runtime` capability offers. The state counts the calls.
imports {
    theater:simple/runtime {
        log: func(msg: string)
        self: func() -> string
        get-chain: func() -> list<u8>
        shutdown: func(data: option<list<u8>>) -> result<_, string>
    }
}

exports {
    // Logs `hello from ` and its own id.
    theater:simple/actor.init: func(state: u64) -> result<tuple<u64>, string>
    log: func(state: u64, message: string) -> result<tuple<u64>, string>
    // Its own id.
    who: func(state: u64) -> result<tuple<u64, string>, string>
    // What the host gives as the chain.
    chain: func(state: u64) -> result<tuple<u64, list<u8>>, string>
    // Asks the host to end the actor, with a result or without one.
    stop: func(state: u64, data: option<list<u8>>) -> result<tuple<u64>, string>
    count: func(state: u64) -> result<tuple<u64, u64>, string>
}
