// The counter of counter.pact, and an echo over every kind of value that components know.
record tally { count: u64, last: option<string> }
record point { x: s32, y: s32 }
record person { name: string, age: option<u8>, at: point, tags: list<string> }
variant shape { circle(f64), rectangle(tuple<f64, f64>), nothing }
enum level { debug, info, warn }
flags access { read, write, execute }

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

    test:component/values {
        echo-bool: func(v: bool) -> bool
        echo-u8: func(v: u8) -> u8
        echo-u16: func(v: u16) -> u16
        echo-u32: func(v: u32) -> u32
        echo-u64: func(v: u64) -> u64
        echo-s8: func(v: s8) -> s8
        echo-s16: func(v: s16) -> s16
        echo-s32: func(v: s32) -> s32
        echo-s64: func(v: s64) -> s64
        echo-f32: func(v: f32) -> f32
        echo-f64: func(v: f64) -> f64
        echo-char: func(v: char) -> char
        echo-level: func(v: level) -> level
        echo-access: func(v: access) -> access
        echo-shape: func(v: shape) -> shape
        echo-person: func(v: person) -> person
        echo-numbers: func(v: list<s16>) -> list<s16>
        echo-strings: func(v: list<string>) -> list<string>
        echo-points: func(v: list<point>) -> list<point>
        echo-lists: func(v: list<list<u32>>) -> list<list<u32>>
        echo-option: func(v: option<u32>) -> option<u32>
        echo-options: func(v: option<option<string>>) -> option<option<string>>
        echo-tuple: func(v: tuple<u8, string, bool>) -> tuple<u8, string, bool>
        echo-results: func(v: list<result<u32, string>>) -> list<result<u32, string>>
        echo-map: func(v: map<string, u32>) -> map<string, u32>
    }
}
