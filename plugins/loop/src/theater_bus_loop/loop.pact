// Calls the actor again and again through its export `theater:simple/loop-client.loop`, which only this capability can
// call: `loop: func(state: S, value: list<u8>) -> result<tuple<S, list<u8>>, string>`.
@calls: list<string> = ["theater:simple/loop-client"]

interface loop {
    @package: string = "theater:simple"

    exports {
        // Begin with this value; each iteration gets what the one before answered.
        start-loop: func(initial-state: list<u8>) -> result<_, string>
        // End the loop. No iteration follows.
        stop-loop: func() -> result<_, string>
    }
}
