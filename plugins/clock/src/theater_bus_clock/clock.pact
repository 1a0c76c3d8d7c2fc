// Time, as the host of the actor knows it. Every answer is recorded: a replay sees the time of the record.
@package: string = "theater:bus"

interface clock {
    // The smallest steps of the two clocks, in nanoseconds.
    record steps {
        now: u64,
        monotonic: u64,
    }

    exports {
        // Nanoseconds since 1970-01-01 UTC. Goes back when somebody sets the host's clock.
        now: func() -> u64
        // Nanoseconds since some moment. Never goes back while the actor stays on its host.
        monotonic: func() -> u64
        // The smallest steps that the two clocks make.
        resolution: func() -> steps
        // Waits at least that many nanoseconds, or says why it may not.
        sleep: func(duration-ns: u64) -> result<_, string>
    }
}
