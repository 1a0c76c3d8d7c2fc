;; A guest whose waiting and calling is decided by the test's own capability `peer`.
(module
  (type $import (func (param i32 i32 i32 i32) (result i32)))
  (import "test:peer/peer" "call" (func $call (type $import)))
  (import "test:peer/peer" "hold" (func $hold (type $import)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 8192))

  ;; ok((state, value)): 93 bytes, the state at 24, the value at 40. ok((state,)): 72 bytes, the state at 24.
  (data (i32.const 1024)
    "CGRF\02\00\00\00\04\00\00\00\03\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0b\00\00\00\0c\00\00\00\02\00\00\00\00\00\00\00\01\00\00\00"
    "\14\00\00\00\11\00\00\00\0b\02\00\00\00\0f\0f\06\00\00\00\00\01\02\00\00\00")
  (data (i32.const 1152)
    "CGRF\02\00\00\00\03\00\00\00\02\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0b\00\00\00\08\00\00\00\01\00\00\00\00\00\00\00"
    "\14\00\00\00\10\00\00\00\0b\01\00\00\00\0f\06\00\00\00\00\01\01\00\00\00")
  ;; err("overflow") of a result<tuple<u64, u64>, string>: 61 bytes. The string "held": 32 bytes.
  (data (i32.const 1280)
    "CGRF\02\00\00\00\02\00\00\00\01\00\00\00"
    "\06\00\00\00\0c\00\00\00\08\00\00\00overflow"
    "\14\00\00\00\11\00\00\00\0b\02\00\00\00\0f\0f\06\01\00\00\00\01\00\00\00\00")
  (data (i32.const 1408) "CGRF\02\00\00\00\01\00\00\00\00\00\00\00\06\00\00\00\08\00\00\00\04\00\00\00held")

  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))
          (then (return (i32.const 0))))))
    (local.get $at))
  (func (export "__pack_free") (param i32 i32))

  ;; The number in the item of the tuple that the input is; its children are u64 nodes of 16 bytes each.
  (func $number (param $in i32) (param $which i32) (result i64)
    (i64.load offset=24 (i32.add (local.get $in) (i32.shl (local.get $which) (i32.const 4)))))
  (func $answer (param $slots i32) (param $sizes i32) (param $at i32) (param $size i32) (result i32)
    (i32.store (local.get $slots) (local.get $at))
    (i32.store (local.get $sizes) (local.get $size))
    (i32.const 0))
  (func $answer_state (param $state i64) (param $slots i32) (param $sizes i32) (result i32)
    (i64.store (i32.const 1176) (local.get $state))
    (call $answer (local.get $slots) (local.get $sizes) (i32.const 1152) (i32.const 72)))
  (func $overflow (param $slots i32) (param $sizes i32) (result i32)
    (call $answer (local.get $slots) (local.get $sizes) (i32.const 1280) (i32.const 61)))
  (func $held
    (if (call $hold (i32.const 1408) (i32.const 32) (i32.const 1500) (i32.const 1504)) (then unreachable)))

  ;; States from 901 on say how init ends: with an error, a trap, never, or after the host has let it go on.
  (func (export "theater:simple/actor.init") (type $import)
    (local $state i64)
    (local.set $state (call $number (local.get 0) (i32.const 0)))
    (if (i64.eq (local.get $state) (i64.const 901)) (then (return (call $overflow (local.get 2) (local.get 3)))))
    (if (i64.eq (local.get $state) (i64.const 902)) (then unreachable))
    (if (i64.eq (local.get $state) (i64.const 903)) (then (loop $ever (br $ever))))
    (if (i64.eq (local.get $state) (i64.const 904)) (then (call $held)))
    (call $answer_state (local.get $state) (local.get 2) (local.get 3)))
  (func (export "test:peer/peer-client.poke") (type $import)
    (call $answer_state
      (i64.add (i64.const 100) (call $number (local.get 0) (i32.const 0))) (local.get 2) (local.get 3)))

  (func $add (export "add") (type $import)
    (local $sum i64)
    (local.set $sum
      (i64.add (call $number (local.get 0) (i32.const 0)) (call $number (local.get 0) (i32.const 1))))
    (i64.store (i32.const 1048) (local.get $sum))
    (i64.store (i32.const 1064) (local.get $sum))
    (call $answer (local.get 2) (local.get 3) (i32.const 1024) (i32.const 93)))
  (func (export "add-held") (type $import)
    (call $held)
    (call $add (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "refuse") (type $import)
    (call $overflow (local.get 2) (local.get 3)))

  (func $relay (export "relay") (type $import)
    (call $call (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "relay-twice") (type $import)
    (local $left i64)
    (drop (call $relay (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (local.set $left (i64.const 30000000))
    (loop $again
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br_if $again (i64.ne (local.get $left) (i64.const 0))))
    (call $relay (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $wait (export "wait") (type $import)
    (call $hold (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "wait-then-trap") (type $import)
    (drop (call $wait (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    unreachable)
  (func (export "spin") (type $import)
    (loop $ever (br $ever))
    (i32.const 0))
  (func (export "trap") (type $import)
    unreachable))
