// Gives what its types do not have: as its result, or to its host.
enum level { low, high }

imports {
    test:ear/ear { hear: func(words: list<string>) }
}

exports {
    count: func(state: u64) -> result<tuple<u64, u64>, string>
    // A case that there is not, text that is not UTF-8, text that is cut short, half of a character.
    case: func(state: u64) -> result<tuple<u64, level>, string>
    text: func(state: u64) -> result<tuple<u64, string>, string>
    cut: func(state: u64) -> result<tuple<u64, string>, string>
    letter: func(state: u64) -> result<tuple<u64, char>, string>
    // Lists of that many empty strings.
    many: func(state: u64, words: u32) -> result<tuple<u64, list<string>>, string>
    say-many: func(state: u64, words: u32) -> result<tuple<u64, u64>, string>
    say-text: func(state: u64) -> result<tuple<u64, u64>, string>
    // At an odd address.
    askew: func(state: u64) -> result<tuple<u64, list<string>>, string>
}
