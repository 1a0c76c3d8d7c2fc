// Does with connections what it is told, and what its plan says when something happens on them. Its log has one line for
// each event: what, which connection, and the data or the reason.
record peer { plan: string, target: string, log: string }

imports {
    theater:simple/tcp
    theater:bus/tcp
}

exports {
    // `echo` sends back what arrives, `quiet` too but keeps no log; `once` asks for one chunk at a time; `forward` hands
    // new connections to the target; `hold` does nothing; `fail`, `trap` do so at each event, `fail-data` at data only.
    plan: func(state: peer, plan: string, target: string) -> result<tuple<peer>, string>
    log: func(state: peer) -> result<tuple<peer, string>, string>

    connect: func(state: peer, address: string) -> result<tuple<peer, string>, string>
    listen: func(state: peer, address: string) -> result<tuple<peer, string>, string>
    accept: func(state: peer, id: string) -> result<tuple<peer, string>, string>
    activate: func(state: peer, id: string) -> result<tuple<peer>, string>
    set-active: func(state: peer, id: string, mode: string) -> result<tuple<peer>, string>
    transfer: func(state: peer, id: string, target: string) -> result<tuple<peer>, string>
    transfer-async: func(state: peer, id: string, target: string) -> result<tuple<peer>, string>
    peer-address: func(state: peer, id: string) -> result<tuple<peer, string>, string>
    local-address: func(state: peer, id: string) -> result<tuple<peer, string>, string>
    send: func(state: peer, id: string, data: list<u8>) -> result<tuple<peer, u64>, string>
    receive: func(state: peer, id: string, most: u32) -> result<tuple<peer, list<u8>>, string>
    close: func(state: peer, id: string) -> result<tuple<peer>, string>
    close-listener: func(state: peer, id: string) -> result<tuple<peer>, string>
    upgrade-to-tls-server: func(state: peer, id: string) -> result<tuple<peer>, string>
    upgrade-to-tls-client: func(state: peer, id: string, name: string) -> result<tuple<peer>, string>
    // Connect or listen, and then fail.
    connect-and-fail: func(state: peer, address: string) -> result<tuple<peer>, string>
    listen-and-fail: func(state: peer, address: string) -> result<tuple<peer>, string>

    theater:simple/tcp-client {
        handle-connection: func(state: peer, id: string) -> result<tuple<peer>, string>
        handle-connection-transfer: func(state: peer, id: string) -> result<tuple<peer>, string>
        on-data: func(state: peer, id: string, data: list<u8>) -> result<tuple<peer>, string>
        on-close: func(state: peer, id: string, reason: string) -> result<tuple<peer>, string>
    }
}
