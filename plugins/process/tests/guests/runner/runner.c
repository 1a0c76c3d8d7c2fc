/* A guest that runs scripts in a shell, and notes what its programs write and how they end. */
#include "pack.h"

PACK_IMPORT("theater:simple/process", "os-spawn", os_spawn);
PACK_IMPORT("theater:simple/process", "os-write-stdin", os_write_stdin);
PACK_IMPORT("theater:simple/process", "os-kill", os_kill);
PACK_IMPORT("theater:bus/process", "close-stdin", close_stdin);

/* Writes what a host function refused; false where it did not. */
static bool refused(pack_writer *out, pack_reader *answer, pack_node *root) {
    if (answer->problem) out->problem = answer->problem;
    if (pack_is_ok(answer, answer->root)) return false;
    *root = pack_err_text(out, pack_get_string(answer, pack_child(answer, answer->root, 0)));
    return true;
}

static pack_node write_config(pack_writer *out, pack_text script) {
    static const char *const names[] = {
        "program",     "args",        "cwd",        "env",              "buffer-size",
        "stdout-mode", "stderr-mode", "chunk-size", "execution-timeout"
    };
    pack_node args[] = {pack_string(out, pack_text_of("-c")), pack_string(out, script)};
    return pack_record(
        out, "process-config", 9, names,
        (pack_node[]){
            pack_string(out, pack_text_of("/bin/sh")),
            pack_list(out, PACK_TAG("\x06"), 2, args),
            pack_none(out),
            pack_list(out, PACK_TAG("\x06"), 0, NULL),
            pack_u32(out, 0),
            pack_variant(out, "output-mode", "line-by-line", 1, 0, NULL),
            pack_variant(out, "output-mode", "line-by-line", 1, 0, NULL),
            pack_none(out),
            pack_none(out),
        }
    );
}

static pack_node run(pack_reader *in, pack_writer *out) {
    pack_text notes = pack_get_bytes(in, pack_arg(in, 0)), script = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node root;
    pack_call(os_spawn, &arguments, write_config(&arguments, script), &answer);
    if (!refused(out, &answer, &root)) {
        uint64_t pid = pack_get_u64(&answer, pack_child(&answer, answer.root, 0));
        root = pack_reply(out, pack_bytes(out, notes), pack_u64(out, pid));
    }
    pack_close(&answer);
    return root;
}
PACK_EXPORT("run", run)

static pack_node run_and_fail(pack_reader *in, pack_writer *out) {
    run(in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("run-and-fail", run_and_fail)

static pack_node done(pack_reader *in, pack_writer *out, pack_import *function, pack_writer *arguments, pack_node root) {
    pack_reader answer;
    pack_call(function, arguments, root, &answer);
    if (!refused(out, &answer, &root)) root = pack_state(out, pack_bytes(out, pack_get_bytes(in, pack_arg(in, 0))));
    pack_close(&answer);
    return root;
}

static pack_node write(pack_reader *in, pack_writer *out) {
    pack_writer arguments = {0};
    pack_node pid = pack_u64(&arguments, pack_get_u64(in, pack_arg(in, 1)));
    pack_node data = pack_bytes(&arguments, pack_get_bytes(in, pack_arg(in, 2)));
    return done(in, out, os_write_stdin, &arguments, PACK_TUPLE_OF(&arguments, pid, data));
}
PACK_EXPORT("write", write)

static pack_node end(pack_reader *in, pack_writer *out, pack_import *function) {
    pack_writer arguments = {0};
    return done(in, out, function, &arguments, pack_u64(&arguments, pack_get_u64(in, pack_arg(in, 1))));
}

static pack_node close(pack_reader *in, pack_writer *out) { return end(in, out, close_stdin); }
PACK_EXPORT("close", close)

static pack_node kill(pack_reader *in, pack_writer *out) { return end(in, out, os_kill); }
PACK_EXPORT("kill", kill)

static pack_node notes(pack_reader *in, pack_writer *out) {
    pack_text kept = pack_get_bytes(in, pack_arg(in, 0));
    return pack_reply(out, pack_bytes(out, kept), pack_bytes(out, kept));
}
PACK_EXPORT("notes", notes)

enum { ROOM = 65536 };

/* Adds a line: what it is, the program, the text. */
static pack_node note(pack_reader *in, pack_writer *out, char what, pack_text text) {
    static uint8_t kept[ROOM];
    pack_text before = pack_get_bytes(in, pack_arg(in, 0));
    uint64_t pid = pack_get_u64(in, pack_arg(in, 1));
    if (in->problem) return 0;
    if ((uint64_t)before.size + text.size + 32 > ROOM) return pack_err(out, "no room for a note");
    __builtin_memcpy(kept, before.bytes, before.size);
    uint32_t size = before.size;
    kept[size++] = (uint8_t)what;
    kept[size++] = (uint8_t)('0' + pid % 10);
    kept[size++] = ' ';
    __builtin_memcpy(kept + size, text.bytes, text.size);
    size += text.size;
    kept[size++] = '\n';
    return pack_state(out, pack_bytes(out, (pack_text){kept, size}));
}

static pack_node handle_stdout(pack_reader *in, pack_writer *out) {
    return note(in, out, 'o', pack_get_bytes(in, pack_arg(in, 2)));
}
PACK_EXPORT("theater:simple/process-handlers.handle-stdout", handle_stdout)

static pack_node handle_stderr(pack_reader *in, pack_writer *out) {
    pack_text data = pack_get_bytes(in, pack_arg(in, 2));
    if (data.size >= 4 && pack_same((pack_text){data.bytes, 4}, pack_text_of("fail")))
        return pack_err(out, "this part fails");
    return note(in, out, 'e', data);
}
PACK_EXPORT("theater:simple/process-handlers.handle-stderr", handle_stderr)

static pack_node handle_exit(pack_reader *in, pack_writer *out) {
    int32_t code = pack_get_s32(in, pack_arg(in, 2));
    uint8_t text[12];
    uint32_t at = sizeof text;
    uint32_t rest = code < 0 ? 0 - (uint32_t)code : (uint32_t)code;
    do text[--at] = (uint8_t)('0' + rest % 10);
    while (rest /= 10);
    if (code < 0) text[--at] = '-';
    return note(in, out, 'x', (pack_text){text + at, sizeof text - at});
}
PACK_EXPORT("theater:simple/process-handlers.handle-exit", handle_exit)
