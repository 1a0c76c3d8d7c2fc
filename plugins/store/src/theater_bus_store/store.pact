// Content by its SHA-256, in stores that belong to actors. A content-ref is 64 lower-case hex digits; a label is text in
// parts between slashes and refers to one content.
interface store {
    @package: string = "theater:simple"
    @external: list<string> = [
        "new", "store", "label", "remove-label", "store-at-label", "replace-content-at-label", "replace-at-label",
        "collect-garbage", "remove-store"
    ]

    exports {
        // Make a store and answer with its id; where the manifest names one (`store_id`), answer with that.
        new: func() -> result<string, string>
        // Keep content. Answers with its reference.
        store: func(store-id: string, content: list<u8>) -> result<string, string>
        // The content of a reference, verified.
        get: func(store-id: string, content-ref: string) -> result<list<u8>, string>
        // Whether there is content of this reference.
        exists: func(store-id: string, content-ref: string) -> result<bool, string>
        // Let a label refer to content that is there, whatever it referred to before.
        label: func(store-id: string, label: string, content-ref: string) -> result<_, string>
        // What a label refers to.
        get-by-label: func(store-id: string, label: string) -> result<option<string>, string>
        // Forget a label; the content stays. One that is not there is forgotten already.
        remove-label: func(store-id: string, label: string) -> result<_, string>
        // Keep content and let a label refer to it. Answers with the reference.
        store-at-label: func(store-id: string, label: string, content: list<u8>) -> result<string, string>
        // The same as `store-at-label`.
        replace-content-at-label: func(store-id: string, label: string, content: list<u8>) -> result<string, string>
        // The same as `label`.
        replace-at-label: func(store-id: string, label: string, content-ref: string) -> result<_, string>
        // The references of all content, sorted.
        list-all-content: func(store-id: string) -> result<list<string>, string>
        // The bytes of all content together.
        calculate-total-size: func(store-id: string) -> result<u64, string>
        // All labels, sorted.
        list-labels: func(store-id: string) -> result<list<string>, string>

        theater:bus/store {
            // The ids of the stores that belong to the actor, sorted.
            list-stores: func() -> result<list<string>, string>
            // Remove content that no label refers to and that was stored or labelled last so many milliseconds ago.
            // Answers with how many contents, and their bytes.
            collect-garbage: func(store-id: string, older-than-ms: u64) -> result<tuple<u64, u64>, string>
            // Remove a store of one's own with all that is in it.
            remove-store: func(store-id: string) -> result<_, string>
        }
    }
}
