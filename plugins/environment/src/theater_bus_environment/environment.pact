// Variables of the host's process. One that is not granted is as if it did not exist.
interface environment {
    @package: string = "theater:simple"

    exports {
        // The value of a variable; none where it does not exist, or is not granted.
        get-var: func(name: string) -> option<string>
        // The granted variables that exist, in the order of names; none at all without the grant to list.
        list-vars: func() -> list<tuple<string, string>>
        // Whether a variable exists and is granted.
        exists: func(name: string) -> bool
    }
}
