"""The memory of a bridge, as text: a core module that hands out space and turns bytes into digits and back.

`realloc` gives the newest piece back in place, which is how wasmtime shortens what it wrote. `digits` writes the first
bytes of the arena as hexadecimal digits behind it, a multiple of 16 bytes; `undigit` reads digits, a multiple of 32 of
them, and leaves the bytes where the digits were. Both take 16 bytes at a time, and may touch as many behind the end.
"""

from __future__ import annotations

from typing import Final

from theater_bus.engine.component.bridge import ARENA, MEMORY_LIMIT

__all__ = ["MEMORY_MODULE"]

MEMORY_MODULE: Final = f"""(core module $memory
  (memory (export "memory") 0)
  (global $top (mut i32) (i32.const {ARENA}))
  (global $newest (mut i32) (i32.const 0))
  (func ${MEMORY_LIMIT} unreachable)
  (func (export "reset") (global.set $top (i32.const {ARENA})) (global.set $newest (i32.const 0)))
  (func $next (export "next") (result i32) (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (func (export "used") (result i32)
    (i32.and (i32.sub (i32.add (global.get $top) (i32.const 15)) (i32.const {ARENA})) (i32.const -16)))
  (func $claim (param $at i32) (param $size i32) (result i32) (local $end i64) (local $pages i32)
    (local.set $end (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $size))))
    (local.set $pages (i32.sub
      (i32.wrap_i64 (i64.shr_u (i64.add (local.get $end) (i64.const {65535 + 64})) (i64.const 16)))
      (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (call ${MEMORY_LIMIT})))))
    (global.set $top (i32.wrap_i64 (local.get $end)))
    (global.set $newest (local.get $at))
    (local.get $at))
  (func $new (export "new") (param $size i32) (result i32) (call $claim (call $next) (local.get $size)))
  (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (if (i32.eqz (local.get $had)) (then (return (call $new (local.get $size)))))
    (if (i32.eq (local.get $old) (global.get $newest))
      (then (return (call $claim (local.get $old) (local.get $size)))))
    (local.set $at (call $new (local.get $size)))
    (memory.copy (local.get $at) (local.get $old)
      (select (local.get $had) (local.get $size) (i32.lt_u (local.get $had) (local.get $size))))
    (local.get $at))
  (func (export "digits") (param $size i32) (result i32)
    (local $out i32) (local $at i32) (local $to i32) (local $high v128) (local $low v128)
    (if (i32.lt_s (local.get $size) (i32.const 0)) (then (call ${MEMORY_LIMIT})))
    (global.set $top (i32.add (i32.const {ARENA}) (local.get $size)))
    (local.set $out (call $new (i32.shl (local.get $size) (i32.const 1))))
    (local.set $to (local.get $out))
    (local.set $at (i32.const {ARENA}))
    (local.set $size (i32.add (local.get $size) (local.get $at)))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $at) (local.get $size)))
      (local.set $high (i8x16.shr_u (v128.load (local.get $at)) (i32.const 4)))
      (local.set $low (v128.and (v128.load (local.get $at)) (i8x16.splat (i32.const 15))))
      (v128.store (local.get $to) (i8x16.swizzle
        (v128.const i8x16 48 49 50 51 52 53 54 55 56 57 97 98 99 100 101 102)
        (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $high) (local.get $low))))
      (v128.store offset=16 (local.get $to) (i8x16.swizzle
        (v128.const i8x16 48 49 50 51 52 53 54 55 56 57 97 98 99 100 101 102)
        (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $high) (local.get $low))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $to (i32.add (local.get $to) (i32.const 32)))
      (br $more)))
    (local.get $out))
  (func $value (param $digits v128) (result v128)
    (i8x16.add
      (v128.and (local.get $digits) (i8x16.splat (i32.const 15)))
      (v128.and (i8x16.neg (i8x16.shr_u (local.get $digits) (i32.const 6))) (i8x16.splat (i32.const 9)))))
  (func (export "undigit") (param $from i32) (param $size i32)
    (local $to i32) (local $end i32) (local $a v128) (local $b v128)
    (local.set $to (local.get $from))
    (local.set $end (i32.add (local.get $from) (local.get $size)))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
      (local.set $a (call $value (v128.load (local.get $from))))
      (local.set $b (call $value (v128.load offset=16 (local.get $from))))
      (v128.store (local.get $to) (v128.or
        (i8x16.shl
          (i8x16.shuffle 0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 (local.get $a) (local.get $b))
          (i32.const 4))
        (i8x16.shuffle 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31 (local.get $a) (local.get $b))))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br $more)))))"""
