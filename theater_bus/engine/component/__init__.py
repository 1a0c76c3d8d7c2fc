"""Component guests (WIT) behind the interface that Pack modules have: CGRF in, CGRF out.

A component's own types take the place of embedded metadata; values cross as `wasmtime_component_val_t` trees.
"""
