// HTTP requests to granted hosts. A header's value may hold handles of secrets (`secret:NAME`).
record http-request {
    method: string,
    uri: string,
    headers: list<tuple<string, string>>,
    body: option<list<u8>>,
}
record http-response {
    status: u16,
    headers: list<tuple<string, string>>,
    body: option<list<u8>>,
}
// The beginning of an answer whose body is read piece by piece.
record http-stream {
    stream: u64,
    status: u16,
    headers: list<tuple<string, string>>,
}

interface http-client {
    @package: string = "theater:simple"
    @external: list<string> = ["send-http", "open"]

    exports {
        // Send a request and wait for the whole answer, or say why there is none.
        send-http: func(req: http-request) -> result<http-response, string>

        theater:bus/http-client {
            // Send a request and wait for the beginning of the answer. The stream ends with the operation at the latest.
            open: func(request: http-request) -> result<http-stream, string>
            // The next bytes of the body as they come, at most so many; none at its end.
            read: func(stream: u64, max-bytes: u32) -> result<option<list<u8>>, string>
            // End a stream early.
            close: func(stream: u64) -> result<_, string>
        }
    }
}
