// Connections and listeners. What happens on them reaches the actor through exports that only this capability can call:
// `handle-connection`, `handle-connection-transfer`, `on-data` and `on-close` of `theater:simple/tcp-client`.
@calls: list<string> = ["theater:simple/tcp-client"]
@external: list<string> = [
    "connect", "listen", "transfer", "transfer-async", "send", "close", "upgrade-to-tls-server", "upgrade-to-tls-client",
]

interface tcp {
    @package: string = "theater:simple"

    exports {
        // Connect to HOST:PORT, or with TLS to tls://HOST:PORT. Answers with the connection, open and passive.
        connect: func(address: string) -> result<string, string>
        // Listen on ADDRESS:PORT, or with TLS on tls://ADDRESS:PORT; port 0 is a free one. Answers with the listener.
        listen: func(address: string) -> result<string, string>
        // Wait for a connection of a listener. It is pending: activate or transfer it.
        accept: func(listener-id: string) -> result<string, string>
        // Open a pending connection, passive.
        activate: func(connection-id: string) -> result<_, string>
        // `passive`: data is received; `active`: data arrives at on-data; `once`: so does one chunk, then passive again.
        set-active: func(connection-id: string, mode: string) -> result<_, string>
        // Hand a connection over to an actor of this host, and wait until that has dealt with it.
        transfer: func(connection-id: string, target-actor: string) -> result<_, string>
        // Hand a connection over and go on.
        transfer-async: func(connection-id: string, target-actor: string) -> result<_, string>
        // The other side's ADDRESS:PORT.
        peer-address: func(connection-id: string) -> result<string, string>
        // Send all of the data. Answers with its number of bytes.
        send: func(connection-id: string, data: list<u8>) -> result<u64, string>
        // Wait for data, up to so many bytes; none is the end of what the other side sends.
        receive: func(connection-id: string, max-bytes: u32) -> result<list<u8>, string>
        // End a connection, behind what was sent.
        close: func(connection-id: string) -> result<_, string>
        // End a listener, and the connections of it that nobody has taken.
        close-listener: func(listener-id: string) -> result<_, string>
        // Go on with TLS as the server.
        upgrade-to-tls-server: func(connection-id: string) -> result<_, string>
        // Go on with TLS as the client of a server of this name.
        upgrade-to-tls-client: func(connection-id: string, server-name: string) -> result<_, string>

        theater:bus/tcp {
            // This side's ADDRESS:PORT, of a connection or a listener.
            local-address: func(id: string) -> result<string, string>
            // The connections that the actor has, in the order in which it got them.
            list-connections: func() -> list<string>
        }
    }
}
