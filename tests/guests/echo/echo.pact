// Gives back what it is given, for every type there is: `plain` without state, `actor` with any state.
record point { x: s32, y: s32 }
record person { name: string, age: option<u8>, at: point, tags: list<string> }
variant shape { circle(f64), rectangle(tuple<f64, f64>), nothing }
variant tree { leaf(string), node(list<self>) }
enum level { debug, info, warn }
flags access { read, write, execute }

exports {
    theater:simple/actor.init: func(state: value) -> result<tuple<value>, string>

    test:echo/plain {
        bool: func(v: bool) -> bool
        u8: func(v: u8) -> u8
        u16: func(v: u16) -> u16
        u32: func(v: u32) -> u32
        u64: func(v: u64) -> u64
        s8: func(v: s8) -> s8
        s16: func(v: s16) -> s16
        s32: func(v: s32) -> s32
        s64: func(v: s64) -> s64
        f32: func(v: f32) -> f32
        f64: func(v: f64) -> f64
        char: func(v: char) -> char
        string: func(v: string) -> string
        flags: func(v: access) -> access
        enum: func(v: level) -> level
        variant: func(v: shape) -> shape
        tree: func(v: tree) -> tree
        point: func(v: point) -> point
        person: func(v: person) -> person
        bytes: func(v: list<u8>) -> list<u8>
        list-bool: func(v: list<bool>) -> list<bool>
        list-s16: func(v: list<s16>) -> list<s16>
        list-f32: func(v: list<f32>) -> list<f32>
        list-f64: func(v: list<f64>) -> list<f64>
        list-char: func(v: list<char>) -> list<char>
        list-string: func(v: list<string>) -> list<string>
        list-point: func(v: list<point>) -> list<point>
        list-list: func(v: list<list<u32>>) -> list<list<u32>>
        list-result: func(v: list<result<u32, string>>) -> list<result<u32, string>>
        list-value: func(v: list<value>) -> list<value>
        option: func(v: option<u32>) -> option<u32>
        option-option: func(v: option<option<string>>) -> option<option<string>>
        tuple: func(v: tuple<u8, string, bool>) -> tuple<u8, string, bool>
        tuple-one: func(v: tuple<u8>) -> tuple<u8>
        tuple-none: func(v: tuple<>) -> tuple<>
        map: func(v: map<string, u32>) -> map<string, u32>
        set: func(v: set<u32>) -> set<u32>
        nothing: func() -> _
    }

    test:echo/actor {
        value: func(state: value, v: value) -> result<tuple<value, value>, string>
        u64: func(state: value, v: u64) -> result<tuple<value, u64>, string>
        string: func(state: value, v: string) -> result<tuple<value, string>, string>
        bytes: func(state: value, v: list<u8>) -> result<tuple<value, list<u8>>, string>
        person: func(state: value, v: person) -> result<tuple<value, person>, string>
        result: func(state: value, v: result<u32, string>) -> result<tuple<value, result<u32, string>>, string>
        pair: func(state: value, a: value, b: string) -> result<tuple<value, value, string>, string>
        // The state is `next` from now on; the answer is nothing.
        become: func(state: value, next: value) -> result<tuple<value>, string>
        // The answer is the state.
        state: func(state: value) -> result<tuple<value, value>, string>
    }
}
