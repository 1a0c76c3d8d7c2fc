// Calls the actor back through its exports of `theater:simple/message-server-client`, which only this capability can
// call: handle-send, handle-request, handle-channel-open, handle-channel-message, handle-channel-close.
@calls: list<string> = ["theater:simple/message-server-client"]

interface message-server-host {
    @package: string = "theater:simple"
    @queued: list<string> = ["send", "send-on-channel", "close-channel"]
    @external: list<string> = ["request", "open-channel"]

    exports {
        // Take messages from now on.
        register: func() -> result<_, string>
        // Send one way: `handle-send` of the other actor gets it once the running operation is kept.
        send: func(actor-id: string, msg: list<u8>) -> result<_, string>
        // Ask, and wait for what `handle-request` of the other actor answers, now or later.
        request: func(actor-id: string, msg: list<u8>) -> result<list<u8>, string>
        // Requests that this actor has not answered yet.
        list-outstanding-requests: func() -> list<string>
        // Answer one of them.
        respond-to-request: func(request-id: string, response: list<u8>) -> result<_, string>
        // Answer one of them with an error.
        cancel-request: func(request-id: string) -> result<_, string>
        // Begin a conversation. Answers with its id when the other actor accepts.
        open-channel: func(actor-id: string, initial-msg: list<u8>) -> result<string, string>
        // Say something in a conversation, once the running operation is kept.
        send-on-channel: func(channel-id: string, msg: list<u8>) -> result<_, string>
        // End a conversation, once the running operation is kept.
        close-channel: func(channel-id: string) -> result<_, string>
    }
}
