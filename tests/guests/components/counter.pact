// A counter that knows who added last, in every language that components are written in here.
record tally { count: u64, last: option<string> }

imports {
    theater:simple/runtime { log: func(msg: string), self: func() -> string }
}

exports {
    // Whoever it is has added what is there at the beginning.
    theater:simple/actor.init: func(state: tally) -> result<tuple<tally>, string>
    // Says so in the log, adds, and answers with the sum. `nothing to add` for 0.
    increment: func(state: tally, by: u64) -> result<tuple<tally, u64>, string>
    get: func(state: tally) -> result<tuple<tally, u64>, string>
    // Ends in a trap, after a word in the log.
    trap: func(state: tally) -> result<tuple<tally>, string>
    // Never ends.
    spin: func(state: tally) -> result<tuple<tally>, string>
    // These know no state: they give back what they get.
    echo: func(text: string) -> string
    echo-bytes: func(data: list<u8>) -> list<u8>
}
