;; A guest for the engine's tests: well-behaved functions, and every way to misbehave.
(module
  (import "test:host/api" "ask" (func $ask (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (global $count (mut i32) (i32.const 0))
  (table 4 funcref)
  (elem (i32.const 1) $nothing)
  (type $call (func (param i32 i32 i32 i32) (result i32)))
  (func $nothing)

  ;; A stack-like allocator: memory grows as needed, the last allocation can be freed.
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32) (local $short i32)
    (local.set $at (global.get $top))
    (local.set $short
      (i32.sub (i32.add (local.get $at) (local.get $size)) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))))
          (then (return (i32.const 0))))))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func (export "__pack_free") (param $at i32) (param $size i32)
    (if (i32.eq (i32.add (local.get $at) (local.get $size)) (global.get $top))
      (then (global.set $top (local.get $at)))))

  (func $answer (param $from i32) (param $size i32) (param $at_slot i32) (param $size_slot i32) (result i32)
    (local $at i32)
    (if (local.get $size)
      (then
        (local.set $at (call $alloc (local.get $size)))
        (if (i32.eqz (local.get $at)) (then unreachable))
        (memory.copy (local.get $at) (local.get $from) (local.get $size))))
    (i32.store (local.get $at_slot) (local.get $at))
    (i32.store (local.get $size_slot) (local.get $size))
    (i32.const 0))
  (func $answer_u32 (param $value i32) (param $at_slot i32) (param $size_slot i32) (result i32)
    (i32.store (i32.const 64) (local.get $value))
    (call $answer (i32.const 64) (i32.const 4) (local.get $at_slot) (local.get $size_slot)))

  (func (export "echo") (type $call)
    (call $answer (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  ;; Says the input back as an error message: status -1.
  (func (export "fail") (type $call)
    (drop (call $answer (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (i32.const -1))
  (func (export "count") (type $call)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $answer_u32 (global.get $count) (local.get 2) (local.get 3)))
  (func (export "count_then_trap") (type $call)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    unreachable)

  ;; Hands the input to the host and its answer back.
  (func (export "ask") (type $call)
    (drop (call $ask (local.get 0) (local.get 1) (i32.const 32) (i32.const 36)))
    (call $answer (i32.load (i32.const 32)) (i32.load (i32.const 36)) (local.get 2) (local.get 3)))
  ;; Calls the host as often as the input's u32 says; answers how many bytes came back in all.
  (func (export "flood") (type $call) (local $left i32) (local $sum i32)
    (local.set $left (i32.load (local.get 0)))
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get $left)))
        (drop (call $ask (local.get 0) (local.get 1) (i32.const 32) (i32.const 36)))
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 36))))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $again)))
    (call $answer_u32 (local.get $sum) (local.get 2) (local.get 3)))
  ;; Calls the host with the four numbers of the input.
  (func (export "ask_with") (type $call)
    (drop (call $ask (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))
      (i32.load offset=8 (local.get 0)) (i32.load offset=12 (local.get 0))))
    (call $answer_u32 (i32.const 1) (local.get 2) (local.get 3)))
  ;; Answers with the pointer, length and status of the input.
  (func (export "answer_with") (type $call)
    (i32.store (local.get 2) (i32.load (local.get 0)))
    (i32.store (local.get 3) (i32.load offset=4 (local.get 0)))
    (i32.load offset=8 (local.get 0)))
  ;; Leaves the result slots alone.
  (func (export "answer_nothing") (type $call) (i32.const 0))

  (func (export "spin") (type $call) (loop $forever (br $forever)) unreachable)
  (func $work (param $rounds i32) (loop $again
    (local.set 0 (i32.sub (local.get $rounds) (i32.const 1)))
    (br_if $again (local.get $rounds))))
  (func (export "work") (type $call)
    (call $work (i32.load (local.get 0)))
    (call $answer (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  ;; Works, asks the host, works again.
  (func (export "work_and_ask") (type $call)
    (call $work (i32.load (local.get 0)))
    (drop (call $ask (local.get 0) (local.get 1) (i32.const 32) (i32.const 36)))
    (call $work (i32.load (local.get 0)))
    (call $answer (i32.load (i32.const 32)) (i32.load (i32.const 36)) (local.get 2) (local.get 3)))

  (func (export "grow") (type $call)
    (call $answer_u32 (memory.grow (i32.load (local.get 0))) (local.get 2) (local.get 3)))
  (func (export "grow_then_spin") (type $call)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (loop $forever (br $forever)) unreachable)

  (func (export "unreachable") (type $call) unreachable)
  (func (export "out-of-bounds") (type $call) (i32.load (i32.const -8)))
  (func (export "table-out-of-bounds") (type $call) (call_indirect (i32.const 99)) (i32.const 0))
  (func (export "indirect-call-to-null") (type $call) (call_indirect (i32.const 0)) (i32.const 0))
  (func (export "indirect-call-type-mismatch") (type $call)
    (call_indirect (param i32) (i32.const 1) (i32.const 1)) (i32.const 0))
  (func (export "integer-divide-by-zero") (type $call) (i32.div_u (i32.const 1) (i32.const 0)))
  (func (export "integer-overflow") (type $call) (i32.div_s (i32.const 0x80000000) (i32.const -1)))
  (func (export "bad-conversion-to-integer") (type $call) (i32.trunc_f32_s (f32.const nan)))
  (func $deeper (param i32) (result i32) (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "stack-overflow") (type $call) (call $deeper (i32.const 0)))

  ;; The bits of 0/0 with a payload going in: canonical on every machine.
  (func (export "nan") (type $call)
    (call $answer_u32
      (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (i32.const 0x7fa12345)) (f32.const 1)))
      (local.get 2) (local.get 3))))
