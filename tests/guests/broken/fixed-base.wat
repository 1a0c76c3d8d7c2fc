;; A module of packr 0.8 to 0.10, which expects its host to give it memory and an allocator.
(module
  (import "env" "memory" (memory 1))
  (import "pack:alloc" "alloc" (func (param i32 i32) (result i32)))
  (import "pack:alloc" "dealloc" (func (param i32 i32 i32)))
  (func (export "get") (param i32 i32 i32 i32) (result i32) (unreachable)))
