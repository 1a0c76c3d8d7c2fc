// Does what it is told, by a caller or by the messages that it gets, and writes down what it was told.
record channel-accept { accepted: bool, message: option<list<u8>> }

imports {
    theater:simple/message-server-host {
        register: func() -> result<_, string>
        send: func(actor-id: string, msg: list<u8>) -> result<_, string>
        request: func(actor-id: string, msg: list<u8>) -> result<list<u8>, string>
        list-outstanding-requests: func() -> list<string>
        respond-to-request: func(request-id: string, response: list<u8>) -> result<_, string>
        cancel-request: func(request-id: string) -> result<_, string>
        open-channel: func(actor-id: string, initial-msg: list<u8>) -> result<string, string>
        send-on-channel: func(channel-id: string, msg: list<u8>) -> result<_, string>
        close-channel: func(channel-id: string) -> result<_, string>
    }
}

exports {
    // Registers, unless the state says `!`.
    theater:simple/actor.init: func(state: string) -> result<tuple<string>, string>
    // `send TO TEXT`, `request TO TEXT`, `list`, `respond ID TEXT`, `cancel ID`, `open TO TEXT`, `say CHANNEL TEXT`,
    // `close CHANNEL`, `register`. Answers with what the host answered.
    do: func(state: string, command: string) -> result<tuple<string, string>, string>
    do-and-fail: func(state: string, command: string) -> result<tuple<string, string>, string>
    do-and-trap: func(state: string, command: string) -> result<tuple<string, string>, string>
    // What it was told so far, a line each.
    log: func(state: string) -> result<tuple<string, string>, string>

    // A message that begins with `!` is a command. `fail` and `trap` do so, `later` defers the answer, `no` refuses.
    theater:simple/message-server-client {
        handle-send: func(state: string, msg: list<u8>) -> result<tuple<string>, string>
        handle-request: func(state: string, request-id: string, msg: list<u8>)
            -> result<tuple<string, tuple<option<list<u8>>>>, string>
        handle-channel-open: func(state: string, channel-id: string, initial: list<u8>)
            -> result<tuple<string, tuple<channel-accept>>, string>
        handle-channel-message: func(state: string, channel-id: string, msg: list<u8>) -> result<tuple<string>, string>
        handle-channel-close: func(state: string, channel-id: string) -> result<tuple<string>, string>
    }
}
