// Waits, calls other actors and misbehaves, all through its host, so that a test decides when and how.
imports {
    test:peer/peer {
        call: func(actor: string, function: string, params: string) -> string
        hold: func(name: string) -> string
    }
}

exports {
    theater:simple/actor.init: func(state: u64) -> result<tuple<u64>, string>
    // Reached through the mailbox by the capability alone.
    test:peer/peer-client.poke: func(state: u64) -> result<tuple<u64>, string>
    add: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>
    // Waits in the host as `held`, then adds.
    add-held: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>
    refuse: func(state: u64) -> result<tuple<u64>, string>
    // Without state: what is passed goes to the host as it is, what the host answers comes back.
    relay: func(actor: string, function: string, params: string) -> string
    // The same twice, with so much work in between that the guest is promoted.
    relay-twice: func(actor: string, function: string, params: string) -> string
    wait: func(name: string) -> string
    wait-then-trap: func(name: string) -> string
    spin: func() -> string
    trap: func() -> string
}
