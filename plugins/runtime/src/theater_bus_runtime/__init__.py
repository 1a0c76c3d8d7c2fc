"""The `theater:simple/runtime` capability."""
