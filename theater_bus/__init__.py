"""WebAssembly actors on NATS."""
