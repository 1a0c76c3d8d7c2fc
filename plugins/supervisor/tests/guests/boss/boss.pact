// Has children, does to them what it is told, and writes down what it hears of them, a line each.
record boss { heard: string, plan: string }

enum error-kind {
    operation-timeout, channel-closed, shutting-down, function-not-found, type-mismatch, internal, serialization-error,
    update-component-error, paused,
}
record child-error { error-type: error-kind, data: option<list<u8>> }

imports {
    theater:simple/supervisor {
        spawn: func(manifest: string, init-state: option<value>, wasm-bytes: option<list<u8>>) -> result<string, string>
        spawn-and-wait: func(manifest: string, init-state: option<value>, wasm-bytes: option<list<u8>>, timeout-ms: option<u64>) -> result<option<list<u8>>, string>
        resume: func(manifest: string, state-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>) -> result<string, string>
        list-children: func() -> result<list<string>, string>
        restart-child: func(child-id: string) -> result<_, string>
        stop-child: func(child-id: string) -> result<_, string>
        get-child-state: func(child-id: string) -> result<option<list<u8>>, string>
        get-child-events: func(child-id: string) -> result<list<list<u8>>, string>
        subscribe-to-child: func(child-id: string) -> result<_, string>
        unsubscribe-from-child: func(child-id: string) -> result<_, string>
    }
}

exports {
    // Spawns what the plan in the state says, if it says something; fails after that where it begins with `!`.
    theater:simple/actor.init: func(state: boss) -> result<tuple<boss>, string>
    spawn: func(state: boss, manifest: string, number: option<u64>, wasm: option<list<u8>>) -> result<tuple<boss, string>, string>
    // Spawns, and then fails.
    spawn-and-fail: func(state: boss, manifest: string, number: option<u64>, wasm: option<list<u8>>) -> result<tuple<boss>, string>
    spawn-and-wait: func(state: boss, manifest: string, number: option<u64>, timeout-ms: option<u64>) -> result<tuple<boss, option<list<u8>>>, string>
    resume: func(state: boss, manifest: string, cgrf: option<list<u8>>) -> result<tuple<boss, string>, string>
    list: func(state: boss) -> result<tuple<boss, list<string>>, string>
    restart: func(state: boss, child: string) -> result<tuple<boss>, string>
    stop: func(state: boss, child: string) -> result<tuple<boss>, string>
    child-state: func(state: boss, child: string) -> result<tuple<boss, option<list<u8>>>, string>
    child-events: func(state: boss, child: string) -> result<tuple<boss, u64>, string>
    subscribe: func(state: boss, child: string) -> result<tuple<boss>, string>
    unsubscribe: func(state: boss, child: string) -> result<tuple<boss>, string>
    heard: func(state: boss) -> result<tuple<boss, string>, string>
    trap: func(state: boss) -> result<tuple<boss>, string>
    theater:simple/supervisor-handlers.handle-child-error: func(state: boss, child: string, error: child-error) -> result<tuple<boss>, string>
    theater:simple/supervisor-handlers.handle-child-exit: func(state: boss, child: string, data: option<list<u8>>) -> result<tuple<boss>, string>
    theater:simple/supervisor-handlers.handle-child-external-stop: func(state: boss, child: string) -> result<tuple<boss>, string>
    theater:simple/supervisor-handlers.handle-child-event: func(state: boss, child: string, type: string, data: list<u8>) -> result<tuple<boss>, string>
}
