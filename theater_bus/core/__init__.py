"""The rules of the system: no I/O, no clock, no randomness; bytes and events in, values and decisions out."""
