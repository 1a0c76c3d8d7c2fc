// Counts the iterations of its loop. What an iteration does is the first byte of its value; the second one counts.
imports {
    theater:simple/loop {
        start-loop: func(initial-state: list<u8>) -> result<_, string>
        stop-loop: func() -> result<_, string>
    }
}

exports {
    begin: func(state: u64, value: list<u8>) -> result<tuple<u64>, string>
    halt: func(state: u64) -> result<tuple<u64>, string>
    // Starts a loop, and then fails.
    begin-and-fail: func(state: u64, value: list<u8>) -> result<tuple<u64>, string>
    // Stops the loop, and then traps.
    halt-and-trap: func(state: u64) -> result<tuple<u64>, string>
    count: func(state: u64) -> result<tuple<u64, u64>, string>
    // At a count of 3: `s` stops the loop, `f` stops it and fails, `e` fails, `t` traps; any other byte goes on.
    theater:simple/loop-client.loop: func(state: u64, value: list<u8>) -> result<tuple<u64, list<u8>>, string>
}
