// The terminal that the host runs in. What happens on it reaches the actor through exports that only this capability can
// call: `handle-input: func(state: S, data: list<u8>) -> result<tuple<S>, string>`,
// `handle-signal: func(state: S, name: string) -> …` and `handle-resize: func(state: S, columns: u16, rows: u16) -> …`.
@calls: list<string> = ["theater:simple/terminal"]
@external: list<string> = ["write-stdout", "write-stderr"]

interface terminal {
    @package: string = "theater:simple"

    exports {
        // Write bytes. Answers with their number.
        write-stdout: func(data: list<u8>) -> result<u64, string>
        write-stderr: func(data: list<u8>) -> result<u64, string>
        // Input key by key, without echo, and output as it is; or lines, as before.
        set-raw-mode: func(enabled: bool) -> result<_, string>
        // Columns and rows.
        get-size: func() -> result<tuple<u16, u16>, string>
        // Have what is typed told to handle-input.
        enable-input: func() -> result<_, string>
    }
}
