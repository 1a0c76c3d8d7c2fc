// Programs of the host. What they write and how they end reaches the actor through its exports
// `theater:simple/process-handlers.handle-stdout` and `handle-stderr: func(state: S, pid: u64, data: list<u8>) ->
// result<tuple<S>, string>`, and `handle-exit: func(state: S, pid: u64, code: s32) -> result<tuple<S>, string>`.
@calls: list<string> = ["theater:simple/process-handlers"]

interface process {
    @package: string = "theater:simple"
    @external: list<string> = ["os-spawn", "os-write-stdin", "os-signal", "os-kill", "close-stdin"]

    // How output is cut: as it comes; by lines, without their breaks; by lines that are JSON; in parts of one size.
    variant output-mode {
        raw,
        line-by-line,
        json,
        chunked,
    }

    record process-config {
        program: string,
        args: list<string>,
        cwd: option<string>,
        env: list<tuple<string, string>>,
        // The most bytes of one part of the output; 0 stands for 65,536.
        buffer-size: u32,
        stdout-mode: output-mode,
        stderr-mode: output-mode,
        // The bytes of a part of `chunked` output; none stands for buffer-size.
        chunk-size: option<u32>,
        // In seconds.
        execution-timeout: option<u64>,
    }

    record process-status {
        pid: u64,
        running: bool,
        // Below 0 for a signal.
        exit-code: option<s32>,
        // Milliseconds since 1970.
        start-time: u64,
    }

    exports {
        // Start a program. Answers with its number, from 1, which is the actor's own and not the system's.
        os-spawn: func(config: process-config) -> result<u64, string>
        // Write to the standard input; returns when the program's pipe has taken it. Answers with the number of bytes.
        os-write-stdin: func(pid: u64, data: list<u8>) -> result<u32, string>
        // Whether a program runs, or how it ended.
        os-status: func(pid: u64) -> result<process-status, string>
        // Send a signal to a program.
        os-signal: func(pid: u64, signal: u32) -> result<_, string>
        // End a program and all that it has started, at once.
        os-kill: func(pid: u64) -> result<_, string>

        theater:bus/process {
            // End the standard input: the program reads its end.
            close-stdin: func(pid: u64) -> result<_, string>
            // The numbers of the programs that run, sorted.
            list-processes: func() -> list<u64>
        }
    }
}
