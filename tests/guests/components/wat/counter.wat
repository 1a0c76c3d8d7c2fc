;; The actor of counter.pact as text, against the canonical ABI (see c/counter.c for what the numbers mean).
;; Memory: 0 the result of functions with state, 48 that of an echo, 56 that of `self`, 64 words, 1024 on is allocated.
(module
  (import "theater:simple/runtime" "log" (func $log (param i32 i32)))
  (import "theater:simple/runtime" "self" (func $self (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "adding" "trapping" "nothing to add")
  (global $free (mut i32) (i32.const 1024))

  (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32) (local $end i32) (local $missing i32)
    (local.set $start (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $start) (local.get $size)))
    (if (i32.lt_u (local.get $end) (local.get $start)) (then unreachable))
    (local.set $missing (i32.sub
      (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0)) (then
      (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then unreachable))))
    (global.set $free (local.get $end))
    (memory.copy (local.get $start) (local.get $old) (local.get $old-size))
    (local.get $start))

  ;; ok((tally, count)): flag at 0, count at 8, the option at 16, its text at 20 and 24, the answer at 32.
  (func $keep (param $count i64) (param $given i32) (param $last i32) (param $size i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i64.store (i32.const 8) (local.get $count))
    (i32.store8 (i32.const 16) (local.get $given))
    (i32.store (i32.const 20) (local.get $last))
    (i32.store (i32.const 24) (local.get $size))
    (i64.store (i32.const 32) (local.get $count))
    (i32.const 0))

  (func $keep-self (param $count i64) (result i32)
    (call $self (i32.const 56))
    (call $keep (local.get $count) (i32.const 1) (i32.load (i32.const 56)) (i32.load (i32.const 60))))

  (func (export "theater:simple/actor#init")
    (param $count i64) (param $given i32) (param $last i32) (param $size i32) (result i32)
    (call $keep-self (local.get $count)))

  (func (export "increment")
    (param $count i64) (param $given i32) (param $last i32) (param $size i32) (param $by i64) (result i32)
    (call $log (i32.const 64) (i32.const 6))
    (if (i64.eqz (local.get $by)) (then
      (i32.store8 (i32.const 0) (i32.const 1))
      (i32.store (i32.const 8) (i32.const 78))
      (i32.store (i32.const 12) (i32.const 14))
      (return (i32.const 0))))
    (call $keep-self (i64.add (local.get $count) (local.get $by))))

  (func (export "get") (param $count i64) (param $given i32) (param $last i32) (param $size i32) (result i32)
    (call $keep (local.get $count) (local.get $given) (local.get $last) (local.get $size)))

  (func (export "trap") (param i64 i32 i32 i32) (result i32)
    (call $log (i32.const 70) (i32.const 8))
    unreachable)

  (func (export "spin") (param i64 i32 i32 i32) (result i32)
    (loop $forever (br $forever))
    unreachable)

  (func $echo (export "echo") (export "echo-bytes") (param $at i32) (param $size i32) (result i32)
    (i32.store (i32.const 48) (local.get $at))
    (i32.store (i32.const 52) (local.get $size))
    (i32.const 48))

  (func $post (param i32) (global.set $free (i32.const 1024)))
  (export "cabi_post_theater:simple/actor#init" (func $post))
  (export "cabi_post_increment" (func $post))
  (export "cabi_post_get" (func $post))
  (export "cabi_post_trap" (func $post))
  (export "cabi_post_spin" (func $post))
  (export "cabi_post_echo" (func $post))
  (export "cabi_post_echo-bytes" (func $post)))
