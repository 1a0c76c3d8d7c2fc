;; A stateful Pack actor in WebAssembly text.
;;
;; Every export takes (input, input length, slot for the output's address, slot for its length) and answers 0, or -1
;; with a message. The input is a CGRF tuple, the state first. An output is a template with its numbers filled in.
(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))

  ;; ok((state, value)): 93 bytes, the state at 24, the value at 40.
  (data (i32.const 1024)
    "CGRF\02\00\00\00\04\00\00\00\03\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0b\00\00\00\0c\00\00\00\02\00\00\00\00\00\00\00\01\00\00\00"
    "\14\00\00\00\11\00\00\00\0b\02\00\00\00\0f\0f\06\00\00\00\00\01\02\00\00\00")

  ;; ok((state,)): 72 bytes, the state at 24.
  (data (i32.const 1152)
    "CGRF\02\00\00\00\03\00\00\00\02\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0b\00\00\00\08\00\00\00\01\00\00\00\00\00\00\00"
    "\14\00\00\00\10\00\00\00\0b\01\00\00\00\0f\06\00\00\00\00\01\01\00\00\00")

  ;; err("overflow"): 61 bytes, and err("below zero"): 63 bytes. Both say that ok would be a tuple<u64, u64>.
  (data (i32.const 1280)
    "CGRF\02\00\00\00\02\00\00\00\01\00\00\00"
    "\06\00\00\00\0c\00\00\00\08\00\00\00overflow"
    "\14\00\00\00\11\00\00\00\0b\02\00\00\00\0f\0f\06\01\00\00\00\01\00\00\00\00")
  (data (i32.const 1408)
    "CGRF\02\00\00\00\02\00\00\00\01\00\00\00"
    "\06\00\00\00\0e\00\00\00\0a\00\00\00below zero"
    "\14\00\00\00\11\00\00\00\0b\02\00\00\00\0f\0f\06\01\00\00\00\01\00\00\00\00")

  (data (i32.const 1536) "decode error: a tuple of u64 is expected")

  ;; Memory comes off a stack: the host keeps one buffer per instance and gives it back before it asks for a larger one.
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (if (i32.le_s (local.get $size) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (call $rounded (local.get $size))))
    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))
          (then
            (global.set $top (local.get $at))
            (return (i32.const 0))))))
    (local.get $at))

  ;; Templates lie below the stack, so giving one back changes nothing.
  (func (export "__pack_free") (param $at i32) (param $size i32)
    (if (i32.eq (i32.add (local.get $at) (call $rounded (local.get $size))) (global.get $top))
      (then (global.set $top (local.get $at)))))

  (func $rounded (param $size i32) (result i32)
    (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8)))

  ;; The address of a node, by its index.
  (func $node (param $input i32) (param $index i32) (result i32) (local $at i32)
    (local.set $at (i32.add (local.get $input) (i32.const 16)))
    (loop $next
      (if (local.get $index)
        (then
          (local.set $at (i32.add (i32.add (local.get $at) (i32.const 8)) (i32.load offset=4 (local.get $at))))
          (local.set $index (i32.sub (local.get $index) (i32.const 1)))
          (br $next))))
    (local.get $at))

  ;; Whether the input is a tuple of at least `count` items of which the first `count` are u64.
  (func $valid (param $input i32) (param $count i32) (result i32) (local $root i32)
    (local.set $root (call $node (local.get $input) (i32.load offset=12 (local.get $input))))
    (if (i32.ne (i32.load8_u (local.get $root)) (i32.const 0x0b)) (then (return (i32.const 0))))
    (if (i32.lt_u (i32.load offset=8 (local.get $root)) (local.get $count)) (then (return (i32.const 0))))
    (loop $next
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (if (i32.ne (i32.load8_u (call $item (local.get $input) (local.get $count))) (i32.const 0x0f))
        (then (return (i32.const 0))))
      (br_if $next (local.get $count)))
    (i32.const 1))

  ;; The node of an item of the tuple that the input is.
  (func $item (param $input i32) (param $which i32) (result i32)
    (call $node
      (local.get $input)
      (i32.load offset=12
        (i32.add
          (call $node (local.get $input) (i32.load offset=12 (local.get $input)))
          (i32.shl (local.get $which) (i32.const 2))))))

  (func $u64 (param $input i32) (param $which i32) (result i64)
    (i64.load offset=8 (call $item (local.get $input) (local.get $which))))

  (func $answer (param $slots i32) (param $sizes i32) (param $at i32) (param $size i32) (result i32)
    (i32.store (local.get $slots) (local.get $at))
    (i32.store (local.get $sizes) (local.get $size))
    (i32.const 0))

  (func $answer_pair (param $state i64) (param $slots i32) (param $sizes i32) (result i32)
    (i64.store (i32.const 1048) (local.get $state))
    (i64.store (i32.const 1064) (local.get $state))
    (call $answer (local.get $slots) (local.get $sizes) (i32.const 1024) (i32.const 93)))

  (func $answer_state (param $state i64) (param $slots i32) (param $sizes i32) (result i32)
    (i64.store (i32.const 1176) (local.get $state))
    (call $answer (local.get $slots) (local.get $sizes) (i32.const 1152) (i32.const 72)))

  (func $refuse (param $slots i32) (param $sizes i32) (result i32)
    (drop (call $answer (local.get $slots) (local.get $sizes) (i32.const 1536) (i32.const 40)))
    (i32.const -1))

  (func (export "theater:simple/actor.init") (param $in i32) (param i32) (param $slots i32) (param $sizes i32)
    (result i32)
    (if (i32.eqz (call $valid (local.get $in) (i32.const 1)))
      (then (return (call $refuse (local.get $slots) (local.get $sizes)))))
    (call $answer_state (call $u64 (local.get $in) (i32.const 0)) (local.get $slots) (local.get $sizes)))

  (func (export "increment") (param $in i32) (param i32) (param $slots i32) (param $sizes i32) (result i32)
    (local $sum i64)
    (if (i32.eqz (call $valid (local.get $in) (i32.const 2)))
      (then (return (call $refuse (local.get $slots) (local.get $sizes)))))
    (local.set $sum (i64.add (call $u64 (local.get $in) (i32.const 0)) (call $u64 (local.get $in) (i32.const 1))))
    (if (i64.lt_u (local.get $sum) (call $u64 (local.get $in) (i32.const 0)))
      (then (return (call $answer (local.get $slots) (local.get $sizes) (i32.const 1280) (i32.const 61)))))
    (call $answer_pair (local.get $sum) (local.get $slots) (local.get $sizes)))

  (func (export "decrement") (param $in i32) (param i32) (param $slots i32) (param $sizes i32) (result i32)
    (local $state i64) (local $by i64)
    (if (i32.eqz (call $valid (local.get $in) (i32.const 2)))
      (then (return (call $refuse (local.get $slots) (local.get $sizes)))))
    (local.set $state (call $u64 (local.get $in) (i32.const 0)))
    (local.set $by (call $u64 (local.get $in) (i32.const 1)))
    (if (i64.gt_u (local.get $by) (local.get $state))
      (then (return (call $answer (local.get $slots) (local.get $sizes) (i32.const 1408) (i32.const 63)))))
    (call $answer_pair (i64.sub (local.get $state) (local.get $by)) (local.get $slots) (local.get $sizes)))

  (func (export "get") (param $in i32) (param i32) (param $slots i32) (param $sizes i32) (result i32)
    (if (i32.eqz (call $valid (local.get $in) (i32.const 1)))
      (then (return (call $refuse (local.get $slots) (local.get $sizes)))))
    (call $answer_pair (call $u64 (local.get $in) (i32.const 0)) (local.get $slots) (local.get $sizes)))

  (func (export "reset") (param $in i32) (param i32) (param $slots i32) (param $sizes i32) (result i32)
    (if (i32.eqz (call $valid (local.get $in) (i32.const 1)))
      (then (return (call $refuse (local.get $slots) (local.get $sizes)))))
    (call $answer_state (i64.const 0) (local.get $slots) (local.get $sizes))))
