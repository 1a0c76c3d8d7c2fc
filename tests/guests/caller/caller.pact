// Calls other actors through a test interface: nested calls, cycles, two host calls in one operation, waiting.
record link { next: string, calls: u64 }

imports {
    test:peer/peer {
        // Calls a function of another actor that takes a u64 and answers with one.
        call: func(actor: string, function: string, arg: u64) -> result<u64, string>
        // Comes back after that many milliseconds.
        wait: func(ms: u32)
        add: func(a: u32, b: u32) -> u32
    }
}

exports {
    call: func(state: link, actor: string, function: string, arg: u64) -> result<tuple<link, u64>, string>
    // Calls twice, the second time with the first answer.
    call-twice: func(state: link, actor: string, function: string, arg: u64) -> result<tuple<link, u64>, string>
    wait: func(state: link, ms: u64) -> result<tuple<link, u64>, string>
    add: func(state: link, a: u32, b: u32) -> result<tuple<link, u32>, string>
    // Waits, then adds: two host calls, of which the first suspends.
    wait-then-add: func(state: link, ms: u32, a: u32, b: u32) -> result<tuple<link, u32>, string>
    // Computes between two host calls, for that many million steps.
    work-between: func(state: link, millions: u32, a: u32, b: u32) -> result<tuple<link, u32>, string>
    // Calls `ring` of the next actor with one hop less, until none is left; answers with the hops made.
    ring: func(state: link, hops: u64) -> result<tuple<link, u64>, string>
    // Who `ring` calls.
    point-to: func(state: link, next: string) -> result<tuple<link>, string>
    // How many calls ended well.
    calls: func(state: link) -> result<tuple<link, u64>, string>
}
