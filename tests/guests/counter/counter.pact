// A number that goes up and down and says so when it cannot.
exports {
    theater:simple/actor.init: func(state: u64) -> result<tuple<u64>, string>
    // Adds, and answers with the sum. `overflow` beyond 64 bits.
    increment: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>
    // Subtracts, and answers with the difference. `below zero` where there is none.
    decrement: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>
    get: func(state: u64) -> result<tuple<u64, u64>, string>
    reset: func(state: u64) -> result<tuple<u64>, string>
}
