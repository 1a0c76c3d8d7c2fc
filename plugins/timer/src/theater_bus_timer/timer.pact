// Calls the actor back through its export `theater:simple/timer.handle-tick`, which only this capability can call:
// `handle-tick: func(state: S, name: string) -> result<tuple<S>, string>`.
@calls: list<string> = ["theater:simple/timer"]

interface timer {
    @package: string = "theater:simple"

    exports {
        // Tick at once and then every so many milliseconds. Answers with the name.
        set-interval: func(name: string, interval-ms: u64) -> result<string, string>
        // End an interval; a tick of it that waits is taken back.
        clear-interval: func(name: string) -> result<_, string>
        // Milliseconds since 1970 (Unix time).
        now: func() -> u64

        theater:bus/timer {
            // Tick once, in so many milliseconds. Answers with the name.
            set-timeout: func(name: string, delay-ms: u64) -> result<string, string>
            // Take a one-shot back.
            clear-timeout: func(name: string) -> result<_, string>
            // What is set, in the order of names: the name, and the interval in milliseconds (none: a one-shot).
            list-timers: func() -> list<tuple<string, option<u64>>>
        }
    }
}
