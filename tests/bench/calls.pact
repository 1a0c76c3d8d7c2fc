// Makes as many host calls, requests and sends as it is told, within one operation.
imports {
    test:bench/bench {
        plain: func() -> u64
        waiting: func() -> u64
        turn: func() -> u64
    }
    theater:simple/message-server-host {
        register: func() -> result<_, string>
        send: func(actor-id: string, msg: list<u8>) -> result<_, string>
        request: func(actor-id: string, msg: list<u8>) -> result<list<u8>, string>
    }
}

exports {
    theater:simple/actor.init: func(state: u64) -> result<tuple<u64>, string>
    plain: func(count: u64) -> u64
    waiting: func(count: u64) -> u64
    turn: func(count: u64) -> u64
    // How many of the host calls answered ok.
    send: func(count: u64, to: string, size: u64) -> u64
    request: func(count: u64, to: string, size: u64) -> u64
    theater:simple/message-server-client {
        // Counts.
        handle-send: func(state: u64, msg: list<u8>) -> result<tuple<u64>, string>
        // Answers with what it got.
        handle-request: func(state: u64, request-id: string, msg: list<u8>)
            -> result<tuple<u64, option<list<u8>>>, string>
    }
}
