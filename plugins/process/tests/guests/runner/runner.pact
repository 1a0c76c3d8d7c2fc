// Runs scripts in a shell, and keeps what its programs write and how they end: a line of text for each part.
imports {
    theater:simple/process
    theater:bus/process.close-stdin
}

exports {
    run: func(state: list<u8>, script: string) -> result<tuple<list<u8>, u64>, string>
    // Runs it, and then fails.
    run-and-fail: func(state: list<u8>, script: string) -> result<tuple<list<u8>, u64>, string>
    write: func(state: list<u8>, pid: u64, data: list<u8>) -> result<tuple<list<u8>>, string>
    close: func(state: list<u8>, pid: u64) -> result<tuple<list<u8>>, string>
    kill: func(state: list<u8>, pid: u64) -> result<tuple<list<u8>>, string>
    notes: func(state: list<u8>) -> result<tuple<list<u8>, list<u8>>, string>
    theater:simple/process-handlers {
        handle-stdout: func(state: list<u8>, pid: u64, data: list<u8>) -> result<tuple<list<u8>>, string>
        // Fails for data that begins with "fail".
        handle-stderr: func(state: list<u8>, pid: u64, data: list<u8>) -> result<tuple<list<u8>>, string>
        handle-exit: func(state: list<u8>, pid: u64, code: s32) -> result<tuple<list<u8>>, string>
    }
}
