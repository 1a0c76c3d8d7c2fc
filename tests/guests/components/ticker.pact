// Counts the ticks of a timer, whose interface it imports and exports.
record ticks { count: u64, last: string }

imports {
    theater:simple/timer { set-interval: func(name: string, interval-ms: u64) -> result<string, string> }
}

exports {
    start: func(state: ticks, name: string, interval-ms: u64) -> result<tuple<ticks, string>, string>
    count: func(state: ticks) -> result<tuple<ticks, u64>, string>
    theater:simple/timer.handle-tick: func(state: ticks, name: string) -> result<tuple<ticks>, string>
}
