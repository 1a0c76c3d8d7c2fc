// Messages arrive at the actor's export `theater:bus/nats-client.handle-message`, which only this capability can call:
// `handle-message: func(state: S, message: message) -> result<tuple<S>, string>`.
@calls: list<string> = ["theater:bus/nats-client"]
@queued: list<string> = ["publish", "respond"]
@external: list<string> = ["request", "publish-to-stream"]

// A header has a name and a value.
type headers = list<tuple<string, string>>

// What arrives. `id` names it for `respond`, `nak` and the like; `subscription` is the name that the actor gave it.
record message {
    id: string,
    subscription: string,
    subject: string,
    headers: headers,
    data: list<u8>,
    wants-reply: bool,
}

interface nats {
    @package: string = "theater:bus"

    exports {
        // Send a message once the operation is kept. Answers go to `reply`, where it is given.
        publish: func(subject: string, reply: option<string>, headers: headers, data: list<u8>) -> result<_, string>
        // Ask, and wait for one answer.
        request: func(subject: string, headers: headers, data: list<u8>, timeout-ms: u64) -> result<tuple<headers, list<u8>>, string>
        // Have messages to a subject delivered; with a queue group each goes to one of its members.
        subscribe: func(name: string, subject: string, queue: option<string>) -> result<_, string>
        // Have the messages of a stream delivered by a durable consumer, which is made if it does not exist.
        consume: func(name: string, stream: string, durable: string, filter: option<string>) -> result<_, string>
        // End a subscription, or leave a consumer.
        unsubscribe: func(name: string) -> result<_, string>
        // The names of what is subscribed and consumed, with the subject or `STREAM/DURABLE`, in the order of names.
        list-subscriptions: func() -> list<tuple<string, string>>
        // Answer a message that wants a reply, once the operation is kept.
        respond: func(id: string, headers: headers, data: list<u8>) -> result<_, string>
        // Publish to a stream, and wait until it has the message: its stream and sequence, and whether it is a repeat.
        publish-to-stream: func(subject: string, headers: headers, data: list<u8>) -> result<tuple<string, u64, bool>, string>
        // Say in how many milliseconds a message of a stream comes again when its operation fails.
        nak: func(id: string, delay-ms: u64) -> result<_, string>
        // Have a message of a stream terminated instead of acknowledged, when its operation takes effect.
        term: func(id: string) -> result<_, string>
        // How often a message of a stream was delivered, this time included.
        deliveries: func(id: string) -> result<u64, string>
    }
}
