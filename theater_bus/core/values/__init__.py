"""Values: declared types, their CGRF bytes and plain forms, pact, metadata, structural hashes and contract checks.

Import from the modules of this package. `codec` is what the host and plugins convert with, compiled once per type;
`types` holds the declared types and `pact` reads them from text; `metadata` and `hashing` are what a package says of
itself; `contract` holds imports against what is offered; `text` is the literal form. `cgrf` with `model` builds values
node by node: for tools, never on the path of a message.
"""
