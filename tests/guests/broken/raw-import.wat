;; Imports a host function of another calling convention.
(module
  (import "host" "log" (func (param i32 i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "__pack_alloc") (param i32) (result i32)
    (global.set $top (i32.add (global.get $top) (local.get 0)))
    (i32.sub (global.get $top) (local.get 0)))
  (func (export "__pack_free") (param i32 i32))
  (func (export "get") (param i32 i32 i32 i32) (result i32) (unreachable)))
