// Actors below this one: they get no more than it has, end before it, and are its own. The union of the interface at
// head and of what 0.3.12 had beside it: a guest imports a subset, and the subset's hash is what is compared.
//
// The actor's exports in `theater:simple/supervisor-handlers` hear of its children; each is optional, and only this
// capability can call it.
@calls: list<string> = ["theater:simple/supervisor-handlers"]
@external: list<string> = ["spawn", "spawn-and-wait", "resume", "restart-child", "stop-child"]

interface supervisor {
    @package: string = "theater:simple"

    exports {
        // Start a child: a manifest as text, `sha256:…` or `scheme://…`; its initial state (none: the manifest's); its
        // module (none: what the manifest names). Answers with its id, when `init` is over.
        spawn: func(manifest: string, init-state: option<value>, wasm-bytes: option<list<u8>>) -> result<string, string>
        // Start a child, wait for its end, and answer with its result.
        spawn-and-wait: func(manifest: string, init-state: option<value>, wasm-bytes: option<list<u8>>, timeout-ms: option<u64>) -> result<option<list<u8>>, string>
        // Start a child from a state that `get-child-state` gave, or from the last one of its chain, without `init`.
        resume: func(manifest: string, state-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>) -> result<string, string>
        // The children that live, in the order of their birth.
        list-children: func() -> result<list<string>, string>
        // Stop a child and start it again as it was started first, under its id.
        restart-child: func(child-id: string) -> result<_, string>
        // Stop a child; comes back when it has stopped.
        stop-child: func(child-id: string) -> result<_, string>
        // The last acknowledged state of a child, as CGRF; it does not wait for what the child does.
        get-child-state: func(child-id: string) -> result<option<list<u8>>, string>
        // The last events of a child's chain, oldest first, each the bytes that were hashed.
        get-child-events: func(child-id: string) -> result<list<list<u8>>, string>
        // Hear of every event of a child through `handle-child-event`.
        subscribe-to-child: func(child-id: string) -> result<_, string>
        // Hear of them no more.
        unsubscribe-from-child: func(child-id: string) -> result<_, string>
    }
}
