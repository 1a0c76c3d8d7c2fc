// What the counter's code does not do: it counts with u64, and answers with two of them.
exports {
    get: func(state: u64) -> result<tuple<u64, string>, string>
    increment: func(state: string, by: string) -> result<tuple<string, string>, string>
}
