;; Answers `ok((state + 1, data))` with two copies and no decoding: what a well made guest costs at the least.
;; Input: header 16 | u64 node 16 | array node 8 + n | tuple node 20. Output: the first three, and a result node.
(module
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 8192))
  (data $header (i32.const 1024) "CGRF\02\00\00\00\04\00\00\00\03\00\00\00")
  (data $tuple (i32.const 1040) "\0b\00\00\00\0c\00\00\00\02\00\00\00\00\00\00\00\01\00\00\00")
  (data $result (i32.const 1060) "\14\00\00\00\12\00\00\00\0b\02\00\00\00\0f\07\0c\06\00\00\00\00\01\02\00\00\00")
  ;; @pack_types
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32)
    (local $at i32)
    (if (i32.le_s (local.get $size) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))) (i32.const -1))
        (then (global.set $heap (local.get $at)) (return (i32.const 0)))))
    (local.get $at))
  (func (export "__pack_free") (param $at i32) (param $size i32)
    ;; The last one allocated is given back; here that is every one.
    (if (i32.eq (i32.add (local.get $at) (local.get $size)) (global.get $heap))
      (then (global.set $heap (local.get $at)))))
  (func (export "echo") (param $in i32) (param $length i32) (param $at i32) (param $size i32) (result i32)
    (local $node i32) (local $out i32) (local $end i32)
    (local.set $node (i32.add (i32.const 8) (i32.load offset=36 (local.get $in))))
    (local.set $out (call $alloc (i32.add (local.get $node) (i32.const 78))))
    (memory.copy (local.get $out) (i32.const 1024) (i32.const 16))
    (memory.copy
      (i32.add (local.get $out) (i32.const 16))
      (i32.add (local.get $in) (i32.const 16))
      (i32.add (local.get $node) (i32.const 16)))
    (i64.store offset=24 (local.get $out) (i64.add (i64.load offset=24 (local.get $in)) (i64.const 1)))
    (local.set $end (i32.add (local.get $out) (i32.add (local.get $node) (i32.const 32))))
    (memory.copy (local.get $end) (i32.const 1040) (i32.const 46))
    (i32.store (local.get $at) (local.get $out))
    (i32.store (local.get $size) (i32.add (local.get $node) (i32.const 78)))
    (i32.const 0)))
