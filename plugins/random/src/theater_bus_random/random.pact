// Random bytes and numbers. Every answer is recorded: a replay sees those of the record, and so does who reads it.
@package: string = "theater:bus"

interface random {
    exports {
        // That many bytes that nobody can foretell, or why not so many.
        get-bytes: func(count: u32) -> result<list<u8>, string>
        // A number that nobody can foretell.
        get-u64: func() -> u64
        // That many bytes, always the same ones where the manifest names a seed.
        insecure-bytes: func(count: u32) -> result<list<u8>, string>
        // A number, always the same one where the manifest names a seed.
        insecure-u64: func() -> u64
        // Two numbers to start a generator or a hash table of the guest's own with.
        insecure-seed: func() -> tuple<u64, u64>
    }
}
