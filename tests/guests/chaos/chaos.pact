// Does on request what an actor must not do. The state counts the operations that ended well.
enum trap { unreachable, divide, outside, null-call, wrong-call, recursion }
enum garbage {
    // Addresses: over the end of 32 bits, over the end of memory, four gigabytes, none, those of the input.
    overflowing, past-end, huge, untouched, input,
    // Bytes: no CGRF, too short, a tuple that holds itself, a list that claims 4 billion items, 2 to the power of 30
    // values out of 30 nodes, 100,000 tuples in one another, a string that is not UTF-8.
    noise, cut-short, cycle, bomb, expansion, deep, bad-text,
    // A failure whose message is outside of memory, or not UTF-8, and one with an unusual status.
    lost-message, bad-message, odd-status,
}
enum wrong { state, value, no-state, no-result }
enum ending { trap, spin, error }

imports {
    theater:simple/runtime { log: func(msg: string) }
}

exports {
    count: func(state: u64) -> result<tuple<u64, u64>, string>
    touch: func(state: u64) -> result<tuple<u64, u64>, string>
    // How many times this instance was about to misbehave: what is in its memory is not part of the state.
    marks: func(state: u64) -> result<tuple<u64, u32>, string>
    trap: func(state: u64, kind: trap) -> result<tuple<u64>, string>
    spin: func(state: u64) -> result<tuple<u64>, string>
    // Computes for a while; answers with the last of that many million numbers.
    work: func(state: u64, millions: u32) -> result<tuple<u64, u64>, string>
    // Takes that much memory, writes to all of it and gives it back; answers with the memory's size in bytes.
    allocate: func(state: u64, bytes: u64) -> result<tuple<u64, u64>, string>
    // Takes memory until there is none.
    eat: func(state: u64, then: ending) -> result<tuple<u64>, string>
    garbage: func(state: u64, kind: garbage) -> result<tuple<u64, u64>, string>
    wrong: func(state: u64, kind: wrong) -> result<tuple<u64, u64>, string>
    // Ends with status -1 and this message.
    fail: func(state: u64, message: string) -> result<tuple<u64>, string>
    // Answers with an error on purpose.
    refuse: func(state: u64, message: string) -> result<tuple<u64>, string>
    // Answers with that many bytes: 0, 1, 2 and so on.
    big: func(state: u64, bytes: u32) -> result<tuple<u64, list<u8>>, string>
    // Logs that many lines of that many bytes.
    log: func(state: u64, lines: u32, bytes: u32) -> result<tuple<u64>, string>
    // Logs without end.
    flood: func(state: u64) -> result<tuple<u64>, string>
}
