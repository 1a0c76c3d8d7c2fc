;; A web server that breaks the rules of resources, by the letter that the path begins with:
;;   /l leaks a thousand headers · /d drops a resource twice · /f uses a number that is no resource
;;   /w takes headers for a response · /o answers twice · /u opens the body and reads nothing
;;   /p drops a body while its stream lives · anything else answers 204
;; Memory: 0 what functions write their results to, 1024 on is allocated, and never freed.
(module
  (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.12" "[resource-drop]fields" (func $drop-fields (param i32)))
  (import "wasi:http/types@0.2.12" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.12" "[method]outgoing-response.set-status-code" (func $status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.12" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.12" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.12" "[resource-drop]outgoing-body" (func $drop-body (param i32)))
  (import "wasi:http/types@0.2.12" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.12" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.12" "[method]incoming-body.stream" (func $stream (param i32 i32)))
  (import "wasi:http/types@0.2.12" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))

  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $start) (local.get $size)))
    (local.get $start))

  (func $answer (param $out i32) (param $status i32) (result i32)
    (local $made i32)
    (local.set $made (call $response (call $fields)))
    (drop (call $status (local.get $made) (local.get $status)))
    (call $send (local.get $out) (local.get $made))
    (local.get $made))

  (func $send (param $out i32) (param $made i32)
    (call $set (local.get $out) (i32.const 0) (local.get $made)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param $out i32)
    (local $letter i32) (local $count i32) (local $made i32)
    (call $path (local.get $request) (i32.const 0))
    (if (i32.gt_u (i32.load (i32.const 8)) (i32.const 1)) (then
      (local.set $letter (i32.load8_u (i32.add (i32.load (i32.const 4)) (i32.const 1))))))

    (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then
      (local.set $count (i32.const 1000))
      (loop $more
        (drop (call $fields))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $more (local.get $count)))))

    (if (i32.eq (local.get $letter) (i32.const 0x64)) (then
      (local.set $made (call $fields))
      (call $drop-fields (local.get $made))
      (call $drop-fields (local.get $made))))

    (if (i32.eq (local.get $letter) (i32.const 0x66)) (then
      (drop (call $status (i32.const 4711) (i32.const 200)))))

    (if (i32.eq (local.get $letter) (i32.const 0x77)) (then
      (drop (call $status (call $fields) (i32.const 200)))))

    (if (i32.eq (local.get $letter) (i32.const 0x6f)) (then
      (drop (call $answer (local.get $out) (i32.const 200)))))

    (if (i32.eq (local.get $letter) (i32.const 0x75)) (then
      (call $consume (local.get $request) (i32.const 0))
      (call $stream (i32.load (i32.const 4)) (i32.const 0))))

    (if (i32.eq (local.get $letter) (i32.const 0x70)) (then
      (local.set $made (call $response (call $fields)))
      (call $body (local.get $made) (i32.const 0))
      (local.set $count (i32.load (i32.const 4)))
      (call $write (local.get $count) (i32.const 0))
      (call $drop-body (local.get $count))
      (call $send (local.get $out) (local.get $made))
      return))

    (drop (call $answer (local.get $out) (i32.const 204)))))
