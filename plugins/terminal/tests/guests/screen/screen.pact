// Uses the terminal as it is told. Its log has one line for each event: what, and the data, the name or the size.
record screen { plan: string, log: string }

imports { theater:simple/terminal }

exports {
    // `fail` and `trap` do so at each event, `echo` writes back what is typed.
    plan: func(state: screen, plan: string) -> result<tuple<screen>, string>
    log: func(state: screen) -> result<tuple<screen, string>, string>
    out: func(state: screen, data: list<u8>) -> result<tuple<screen>, string>
    raw: func(state: screen, enabled: bool) -> result<tuple<screen>, string>
    listen: func(state: screen) -> result<tuple<screen>, string>
    // Turns raw mode on, and then fails or traps, as the plan says.
    raw-and-fail: func(state: screen, enabled: bool) -> result<tuple<screen>, string>

    theater:simple/terminal {
        handle-input: func(state: screen, data: list<u8>) -> result<tuple<screen>, string>
        handle-signal: func(state: screen, name: string) -> result<tuple<screen>, string>
        handle-resize: func(state: screen, columns: u16, rows: u16) -> result<tuple<screen>, string>
    }
}
