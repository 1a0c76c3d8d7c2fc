;; Has no way to be given an input.
(module
  (memory (export "memory") 1)
  (func (export "get") (param i32 i32 i32 i32) (result i32) (unreachable)))
