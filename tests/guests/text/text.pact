// Looks at text: what is in one, and what came in piece by piece.
record report {
    bytes: u64,
    characters: u64,
    lines: u64,
    words: u64,
    distinct: u64,
    longest-word: string,
    // The most frequent words in lower case, at most ten, the most frequent first.
    top: list<tuple<string, u32>>,
}

record totals {
    chunks: u64,
    bytes: u64,
    characters: u64,
    lines: u64,
    words: u64,
    // Bytes of the longest word, and of the word that the last chunk ended with.
    longest: u64,
    open: u64,
}

exports {
    // `text` is a string, or a list<u8> that holds one.
    analyse: func(state: totals, text: value) -> result<tuple<totals, report>, string>
    // Counts a piece of a longer text. A word may begin in one piece and end in the next.
    add: func(state: totals, chunk: list<u8>) -> result<tuple<totals, u64>, string>
    totals: func(state: totals) -> result<tuple<totals, totals>, string>
    reset: func(state: totals) -> result<tuple<totals>, string>
}
