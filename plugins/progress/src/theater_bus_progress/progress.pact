// What the caller of the running operation hears before its answer, if it accepts several messages.
@package: string = "theater:bus"

interface progress {
    exports {
        // Send a part to the caller, ahead of the answer. Says whether the caller takes parts.
        emit: func(part: value) -> result<bool, string>
    }
}
