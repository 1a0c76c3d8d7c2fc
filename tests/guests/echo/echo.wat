;; Gives back what it is given. A CGRF value may name any of its nodes as its root, so nothing has to be understood but
;; the header and the tuple that holds the parameters: the output is a copy of the input with another root, and for
;; functions with state one node more.
(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))

  ;; A node ok(child): 25 bytes, the child's index in the last four. Its type tag says tuple<bool, bool>, which nobody
  ;; has to believe.
  (data (i32.const 16) "\14\00\00\00\11\00\00\00\0b\02\00\00\00\01\01\06\00\00\00\00\01\00\00\00\00")

  ;; Memory comes off a stack: the host keeps one buffer per instance and gives the last output back before each call.
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32) (local $missing i32)
    (if (i32.le_s (local.get $size) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (call $rounded (local.get $size))))
    (local.set $missing (i32.sub (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq
              (i32.const -1)
              (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $missing) (i32.const 16)))))
          (then
            (global.set $top (local.get $at))
            (return (i32.const 0))))))
    (local.get $at))

  (func (export "__pack_free") (param $at i32) (param $size i32)
    (if (i32.eq (i32.add (local.get $at) (call $rounded (local.get $size))) (global.get $top))
      (then (global.set $top (local.get $at)))))

  (func $rounded (param $size i32) (result i32)
    (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8)))

  ;; The address of a node, by its index.
  (func $node (param $value i32) (param $index i32) (result i32) (local $at i32)
    (local.set $at (i32.add (local.get $value) (i32.const 16)))
    (loop $next
      (if (local.get $index)
        (then
          (local.set $at (i32.add (i32.add (local.get $at) (i32.const 8)) (i32.load offset=4 (local.get $at))))
          (local.set $index (i32.sub (local.get $index) (i32.const 1)))
          (br $next))))
    (local.get $at))

  ;; A copy of the input with room for `more` bytes behind it.
  (func $copy (param $in i32) (param $size i32) (param $more i32) (result i32) (local $out i32)
    (local.set $out (call $alloc (i32.add (local.get $size) (local.get $more))))
    (if (i32.eqz (local.get $out)) (then (unreachable)))
    (memory.copy (local.get $out) (local.get $in) (local.get $size))
    (local.get $out))

  (func $answer (param $slots i32) (param $sizes i32) (param $at i32) (param $size i32) (result i32)
    (i32.store (local.get $slots) (local.get $at))
    (i32.store (local.get $sizes) (local.get $size))
    (i32.const 0))

  ;; Makes the next node, at the address `to`, ok(child), and the root.
  (func $root_ok (param $out i32) (param $to i32) (param $child i32)
    (memory.copy (local.get $to) (i32.const 16) (i32.const 25))
    (i32.store offset=21 (local.get $to) (local.get $child))
    (i32.store offset=12 (local.get $out) (i32.load offset=8 (local.get $out)))
    (i32.store offset=8 (local.get $out) (i32.add (i32.load offset=8 (local.get $out)) (i32.const 1))))

  ;; Makes the next node, at the address `to`, a tuple of two nodes, or of the first alone. 8 + 4 + 4 * count bytes.
  (func $tuple (param $out i32) (param $to i32) (param $count i32) (param $first i32) (param $second i32)
    (i32.store (local.get $to) (i32.const 0x0b))
    (i32.store offset=4 (local.get $to) (i32.add (i32.const 4) (i32.shl (local.get $count) (i32.const 2))))
    (i32.store offset=8 (local.get $to) (local.get $count))
    (i32.store offset=12 (local.get $to) (local.get $first))
    (if (i32.eq (local.get $count) (i32.const 2))
      (then (i32.store offset=16 (local.get $to) (local.get $second))))
    (i32.store offset=8 (local.get $out) (i32.add (i32.load offset=8 (local.get $out)) (i32.const 1))))

  ;; The index of a parameter.
  (func $param (param $in i32) (param $which i32) (result i32)
    (i32.load offset=12
      (i32.add
        (call $node (local.get $in) (i32.load offset=12 (local.get $in)))
        (i32.shl (local.get $which) (i32.const 2)))))

  ;; The only parameter comes bare, or in a tuple of one where it is such a tuple itself.
  (func
    (export "test:echo/plain.bool") (export "test:echo/plain.u8") (export "test:echo/plain.u16")
    (export "test:echo/plain.u32") (export "test:echo/plain.u64") (export "test:echo/plain.s8")
    (export "test:echo/plain.s16") (export "test:echo/plain.s32") (export "test:echo/plain.s64")
    (export "test:echo/plain.f32") (export "test:echo/plain.f64") (export "test:echo/plain.char")
    (export "test:echo/plain.string") (export "test:echo/plain.flags") (export "test:echo/plain.enum")
    (export "test:echo/plain.variant") (export "test:echo/plain.tree") (export "test:echo/plain.point")
    (export "test:echo/plain.person") (export "test:echo/plain.bytes") (export "test:echo/plain.list-bool")
    (export "test:echo/plain.list-s16") (export "test:echo/plain.list-f32") (export "test:echo/plain.list-f64")
    (export "test:echo/plain.list-char") (export "test:echo/plain.list-string") (export "test:echo/plain.list-point")
    (export "test:echo/plain.list-list") (export "test:echo/plain.list-result") (export "test:echo/plain.list-value")
    (export "test:echo/plain.option") (export "test:echo/plain.option-option") (export "test:echo/plain.tuple")
    (export "test:echo/plain.tuple-one") (export "test:echo/plain.tuple-none") (export "test:echo/plain.map")
    (export "test:echo/plain.set") (export "test:echo/plain.nothing")
    (param $in i32) (param $size i32) (param $slots i32) (param $sizes i32) (result i32)
    (local $out i32) (local $root i32)
    (local.set $out (call $copy (local.get $in) (local.get $size) (i32.const 0)))
    (local.set $root (call $node (local.get $in) (i32.load offset=12 (local.get $in))))
    (if (i32.and
          (i32.eq (i32.load8_u (local.get $root)) (i32.const 0x0b))
          (i32.eq (i32.load offset=8 (local.get $root)) (i32.const 1)))
      (then (i32.store offset=12 (local.get $out) (call $param (local.get $in) (i32.const 0)))))
    (call $answer (local.get $slots) (local.get $sizes) (local.get $out) (local.get $size)))

  ;; ok(input): the tuple of state and parameters is also that of state and answers.
  (func (export "theater:simple/actor.init")
    (export "test:echo/actor.value") (export "test:echo/actor.u64") (export "test:echo/actor.string")
    (export "test:echo/actor.bytes") (export "test:echo/actor.person") (export "test:echo/actor.result")
    (export "test:echo/actor.pair")
    (param $in i32) (param $size i32) (param $slots i32) (param $sizes i32) (result i32) (local $out i32)
    (local.set $out (call $copy (local.get $in) (local.get $size) (i32.const 25)))
    (call $root_ok (local.get $out) (i32.add (local.get $out) (local.get $size)) (i32.load offset=12 (local.get $in)))
    (call $answer (local.get $slots) (local.get $sizes) (local.get $out) (i32.add (local.get $size) (i32.const 25))))

  ;; ok((next,))
  (func (export "test:echo/actor.become")
    (param $in i32) (param $size i32) (param $slots i32) (param $sizes i32) (result i32)
    (local $out i32) (local $to i32)
    (local.set $out (call $copy (local.get $in) (local.get $size) (i32.const 41)))
    (local.set $to (i32.add (local.get $out) (local.get $size)))
    (call $tuple
      (local.get $out) (local.get $to) (i32.const 1) (call $param (local.get $in) (i32.const 1)) (i32.const 0))
    (call $root_ok (local.get $out) (i32.add (local.get $to) (i32.const 16)) (i32.load offset=8 (local.get $in)))
    (call $answer (local.get $slots) (local.get $sizes) (local.get $out) (i32.add (local.get $size) (i32.const 41))))

  ;; ok((state, state)): a node may be named twice.
  (func (export "test:echo/actor.state")
    (param $in i32) (param $size i32) (param $slots i32) (param $sizes i32) (result i32)
    (local $out i32) (local $to i32) (local $state i32)
    (local.set $out (call $copy (local.get $in) (local.get $size) (i32.const 45)))
    (local.set $to (i32.add (local.get $out) (local.get $size)))
    (local.set $state (call $param (local.get $in) (i32.const 0)))
    (call $tuple (local.get $out) (local.get $to) (i32.const 2) (local.get $state) (local.get $state))
    (call $root_ok (local.get $out) (i32.add (local.get $to) (i32.const 20)) (i32.load offset=8 (local.get $in)))
    (call $answer (local.get $slots) (local.get $sizes) (local.get $out) (i32.add (local.get $size) (i32.const 45)))))
