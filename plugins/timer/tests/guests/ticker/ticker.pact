// Sets timers as it is told, and counts its ticks. What a tick does is the name of its timer.
record ticker { ticks: u64, last: string }

imports {
    theater:simple/timer {
        set-interval: func(name: string, interval-ms: u64) -> result<string, string>
        clear-interval: func(name: string) -> result<_, string>
        now: func() -> u64
    }
    theater:bus/timer {
        set-timeout: func(name: string, delay-ms: u64) -> result<string, string>
        clear-timeout: func(name: string) -> result<_, string>
    }
}

exports {
    every: func(state: ticker, name: string, ms: u64) -> result<tuple<ticker, string>, string>
    once: func(state: ticker, name: string, ms: u64) -> result<tuple<ticker, string>, string>
    // Ends an interval.
    stop: func(state: ticker, name: string) -> result<tuple<ticker>, string>
    // Ends a one-shot.
    drop: func(state: ticker, name: string) -> result<tuple<ticker>, string>
    // Sets an interval, and then fails.
    every-and-fail: func(state: ticker, name: string, ms: u64) -> result<tuple<ticker, string>, string>
    // Ends an interval, and then traps.
    stop-and-trap: func(state: ticker, name: string) -> result<tuple<ticker>, string>
    ticks: func(state: ticker) -> result<tuple<ticker, u64>, string>
    last: func(state: ticker) -> result<tuple<ticker, string>, string>
    time: func(state: ticker) -> result<tuple<ticker, u64>, string>
    // `fail` and `trap` do so, `stop` ends itself, `again` sets itself again; any other name is counted and no more.
    theater:simple/timer.handle-tick: func(state: ticker, name: string) -> result<tuple<ticker>, string>
}
