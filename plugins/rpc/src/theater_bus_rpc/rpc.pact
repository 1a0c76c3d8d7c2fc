// Interfaces that the package imports, that no capability provides and that the setting `imports` names, are calls of
// the actor that they are bound to.
interface rpc {
    @package: string = "theater:simple"
    @external: list<string> = ["call"]

    exports {
        // Call a function of another actor. `params` is the tuple of its parameters, or the only one; `options` is
        // nothing or a record with `timeout-ms`. Answers with a result: what the function answered, or why not.
        call: func(actor-id: string, function: string, params: value, options: value) -> value
        // Whether another actor has an interface for its callers: a result with a bool.
        implements: func(actor-id: string, interface: string) -> value
        // The interfaces (and bare functions) that another actor has for its callers: a result with a list of texts.
        exports: func(actor-id: string) -> value

        theater:bus/rpc {
            // Have the calls of an imported interface go to an actor that exports it with the same signatures.
            bind: func(interface: string, actor-id: string) -> result<_, string>
            // End that.
            unbind: func(interface: string) -> result<_, string>
            is-bound: func(interface: string) -> bool
            bound-to: func(interface: string) -> option<string>
        }
    }
}
