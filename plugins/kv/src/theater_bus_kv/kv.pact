// Changes of what is watched arrive at the actor's export `theater:bus/kv-client.handle-entry`, which only this capability
// can call: `handle-entry: func(state: S, watch: string, entry: entry) -> result<tuple<S>, string>`.
@calls: list<string> = ["theater:bus/kv-client"]
@external: list<string> = ["put", "create", "update", "delete"]

// One revision of a key; without a value where the key was deleted.
record entry {
    bucket: string,
    key: string,
    value: option<list<u8>>,
    revision: u64,
}

interface kv {
    @package: string = "theater:bus"

    exports {
        // The newest revision of a key; nothing where there is none.
        get: func(bucket: string, key: string) -> result<option<entry>, string>
        // Store a value, whatever was there. Answers with the revision.
        put: func(bucket: string, key: string, value: list<u8>) -> result<u64, string>
        // Store a value where there is none. Answers with the revision, nothing where there is one.
        create: func(bucket: string, key: string, value: list<u8>) -> result<option<u64>, string>
        // Store a value over this revision. Answers with the new one, nothing where it is not the newest.
        update: func(bucket: string, key: string, value: list<u8>, revision: u64) -> result<option<u64>, string>
        // Delete a key, if need be only this revision of it. Whether that was so.
        delete: func(bucket: string, key: string, revision: option<u64>) -> result<bool, string>
        // The keys that begin with this prefix, in order.
        keys: func(bucket: string, prefix: string) -> result<list<string>, string>
        // Have what is there now delivered, and every change from then on.
        watch: func(name: string, bucket: string, pattern: string) -> result<_, string>
        // End a watch.
        unwatch: func(name: string) -> result<_, string>
        // The names of what is watched, with `BUCKET/PATTERN`, in the order of names.
        list-watches: func() -> list<tuple<string, string>>
    }
}
