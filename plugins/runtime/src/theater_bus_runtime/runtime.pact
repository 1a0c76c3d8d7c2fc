// What every actor of Theater may ask of its host. The union of the interface at 0.3.12 and at head:
// a guest imports a subset, and the subset's hash is what is compared.
@package: string = "theater:simple"

interface runtime {
    exports {
        log: func(msg: string)
        self: func() -> string
        get-chain: func() -> list<u8>
        shutdown: func(data: option<list<u8>>) -> result<_, string>
    }
}
