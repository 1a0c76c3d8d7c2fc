// What the capability `messages` of an actor is asked by that of other actors, and by clients on NATS.
interface messages {
    @package: string = "theater:bus"

    record channel-accept { accepted: bool, message: option<list<u8>> }

    exports {
        // For `handle-send`.
        send: func(msg: list<u8>)
        // For `handle-request`; answered when the actor answers.
        request: func(msg: list<u8>) -> list<u8>
        // For `handle-channel-open`. The one who opens chooses the id. A client says at which inbox it listens.
        open: func(channel: string, msg: list<u8>, inbox: option<string>) -> channel-accept
        // For `handle-channel-message`, from a participant.
        message: func(channel: string, msg: list<u8>)
        // For `handle-channel-close`, from a participant. A conversation that is not known is closed already.
        close: func(channel: string)
        // Those of the conversations that are not between this actor and the one who asks.
        unknown: func(channels: list<string>) -> list<string>
    }
}
