/* A guest that counts the iterations of its loop, and ends it in every way there is. */
#include "pack.h"

PACK_IMPORT("theater:simple/loop", "start-loop", start_loop);
PACK_IMPORT("theater:simple/loop", "stop-loop", stop_loop);

/* The state as it was, or what the host function refused. */
static pack_node told(pack_import *function, pack_writer *arguments, pack_node root, uint64_t state, pack_writer *out) {
    pack_reader answer;
    pack_call(function, arguments, root, &answer);
    bool is_ok = pack_is_ok(&answer, answer.root);
    pack_node reply = is_ok ? pack_state(out, pack_u64(out, state))
                            : pack_err_text(out, pack_get_string(&answer, pack_child(&answer, answer.root, 0)));
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return reply;
}

static pack_node begin(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    pack_text value = pack_get_bytes(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_writer arguments = {0};
    return told(start_loop, &arguments, pack_bytes(&arguments, value), state, out);
}
PACK_EXPORT("begin", begin)

static pack_node halt(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    if (in->problem) return 0;
    pack_writer arguments = {0};
    return told(stop_loop, &arguments, pack_tuple(&arguments, 0, NULL), state, out);
}
PACK_EXPORT("halt", halt)

static pack_node begin_and_fail(pack_reader *in, pack_writer *out) {
    begin(in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("begin-and-fail", begin_and_fail)

static pack_node halt_and_trap(pack_reader *in, pack_writer *out) {
    halt(in, out);
    __builtin_trap();
}
PACK_EXPORT("halt-and-trap", halt_and_trap)

static pack_node count(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    return pack_reply(out, pack_u64(out, state), pack_u64(out, state));
}
PACK_EXPORT("count", count)

static pack_node loop(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    pack_text value = pack_get_bytes(in, pack_arg(in, 1));
    if (in->problem) return 0;
    if (value.size < 2) return pack_err(out, "the value has no count");
    uint8_t what = value.bytes[0], next[2] = {what, (uint8_t)(value.bytes[1] + 1)};
    if (next[1] == 3) {
        if (what == 's' || what == 'f') halt(in, out);
        if (what == 'e' || what == 'f') return pack_err(out, "enough");
        if (what == 't') __builtin_trap();
    }
    return pack_reply(out, pack_u64(out, state + 1), pack_bytes(out, (pack_text){next, 2}));
}
PACK_EXPORT("theater:simple/loop-client.loop", loop)
