// What the operator of the host has set for this actor. A secret is a handle, `secret:NAME`: capabilities that talk to
// the outside put its value in, for the destinations that are granted, after the call was recorded.
@package: string = "theater:bus"

interface config {
    exports {
        // The value of that name, or why there is none.
        get: func(name: string) -> result<string, string>
        // The names that `get` answers, sorted.
        names: func() -> list<string>
        // The handle of a secret, `secret:NAME`.
        secret: func(name: string) -> result<string, string>
        // The names of the secrets that this actor may hold, sorted.
        secrets: func() -> list<string>
        // The value of a secret. Needs `reveal`; it is recorded in the chain.
        reveal: func(name: string) -> result<string, string>
    }
}
