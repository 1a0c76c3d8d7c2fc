// Reads every kind of value with pack.h and writes it again.
record scalars {
    bool: bool, u8: u8, u16: u16, u32: u32, u64: u64, s8: s8, s16: s16, s32: s32, s64: s64,
    f32: f32, f64: f64, char: char, flags: access, string: string, bytes: list<u8>,
}
flags access { read, write, execute }
variant shape { circle(f64), rectangle(tuple<f64, f64>), nothing }

exports {
    scalars: func(v: scalars) -> scalars
    shape: func(v: shape) -> shape
    option: func(v: option<string>) -> option<string>
    results: func(v: list<result<u32, string>>) -> list<result<u32, string>>
    pairs: func(v: list<tuple<string, u32>>) -> list<tuple<string, u32>>
    // How many nodes are below a value, and how deep it is.
    measure: func(v: tuple<value>) -> tuple<u32, u32>
}
