// Fetches what it is told, with a header Authorization, and keeps the body of the last answer.
record http-request {
    method: string,
    uri: string,
    headers: list<tuple<string, string>>,
    body: option<list<u8>>,
}
record http-response { status: u16, headers: list<tuple<string, string>>, body: option<list<u8>> }
record http-stream { stream: u64, status: u16, headers: list<tuple<string, string>> }
record fetcher { body: list<u8> }

imports {
    theater:simple/http-client {
        send-http: func(req: http-request) -> result<http-response, string>
    }
    theater:bus/http-client {
        open: func(request: http-request) -> result<http-stream, string>
        read: func(stream: u64, max-bytes: u32) -> result<option<list<u8>>, string>
    }
}

exports {
    // Answers with the status.
    fetch: func(state: fetcher, uri: string, authorization: string) -> result<tuple<fetcher, u16>, string>
    // The same piece by piece; answers with the number of pieces.
    drain: func(state: fetcher, uri: string, authorization: string) -> result<tuple<fetcher, u64>, string>
}
