/* A guest that uses the whole of theater:simple/runtime. */
#include "pack.h"

PACK_IMPORT("theater:simple/runtime", "log", host_log);
PACK_IMPORT("theater:simple/runtime", "self", host_self);
PACK_IMPORT("theater:simple/runtime", "get-chain", host_get_chain);
PACK_IMPORT("theater:simple/runtime", "shutdown", host_shutdown);

static pack_node next_state(pack_reader *in, pack_writer *out) {
    return pack_u64(out, pack_get_u64(in, pack_arg(in, 0)) + 1);
}

/* Logs `prefix` and `text` as one line. */
static void log_line(const char *prefix, pack_text text) {
    pack_writer arguments = {0};
    pack_reader answer;
    uint32_t size = pack_length(prefix);
    uint8_t *at = pack_begin(&arguments, PACK_STRING, 4 + size + text.size);
    if (!at) __builtin_trap();
    pack_store(at, size + text.size);
    __builtin_memcpy(at + 4, prefix, size);
    if (text.size) __builtin_memcpy(at + 4 + size, text.bytes, text.size);
    pack_call(host_log, &arguments, pack_last(&arguments), &answer);
    pack_close(&answer);
}

static void ask_for(pack_import *function, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_call(function, &arguments, pack_tuple(&arguments, 0, NULL), answer);
}

static pack_node init(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    pack_node state = pack_u64(out, pack_get_u64(in, pack_arg(in, 0)));
    if (in->problem) return 0;
    ask_for(host_self, &answer);
    /* The id lies in the host's buffer, which the next host call overwrites; what it takes is read before that. */
    log_line("hello from ", pack_get_string(&answer, answer.root));
    pack_close(&answer);
    return pack_state(out, state);
}
PACK_EXPORT("theater:simple/actor.init", init)

static pack_node log_message(pack_reader *in, pack_writer *out) {
    pack_text message = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    log_line("", message);
    return pack_state(out, next_state(in, out));
}
PACK_EXPORT("log", log_message)

static pack_node who(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    pack_node state = next_state(in, out);
    if (in->problem) return 0;
    ask_for(host_self, &answer);
    pack_node id = pack_string(out, pack_get_string(&answer, answer.root));
    pack_close(&answer);
    return pack_reply(out, state, id);
}
PACK_EXPORT("who", who)

static pack_node chain(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    pack_node state = next_state(in, out);
    if (in->problem) return 0;
    ask_for(host_get_chain, &answer);
    pack_node events = pack_bytes(out, pack_get_bytes(&answer, answer.root));
    pack_close(&answer);
    return pack_reply(out, state, events);
}
PACK_EXPORT("chain", chain)

static pack_node stop(pack_reader *in, pack_writer *out) {
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node data = pack_arg(in, 1), state = next_state(in, out);
    bool present = pack_count(in, data) == 1;
    pack_text bytes = present ? pack_get_bytes(in, pack_child(in, data, 0)) : (pack_text){NULL, 0};
    if (in->problem) return 0;
    pack_node argument = present ? pack_some(&arguments, pack_bytes(&arguments, bytes)) : pack_none(&arguments);
    pack_call(host_shutdown, &arguments, argument, &answer);
    bool accepted = pack_is_ok(&answer, answer.root);
    pack_node root = accepted ? pack_state(out, state)
                              : pack_err_text(out, pack_get_string(&answer, pack_child(&answer, answer.root, 0)));
    pack_close(&answer);
    return root;
}
PACK_EXPORT("stop", stop)

static pack_node count(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    return pack_reply(out, pack_u64(out, state), pack_u64(out, state));
}
PACK_EXPORT("count", count)
