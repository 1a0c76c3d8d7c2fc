/* A guest that makes as many host calls, requests and sends as it is told. */
#include "pack.h"

PACK_IMPORT("test:bench/bench", "plain", bench_plain);
PACK_IMPORT("test:bench/bench", "waiting", bench_waiting);
PACK_IMPORT("test:bench/bench", "turn", bench_turn);
PACK_IMPORT("theater:simple/message-server-host", "register", host_register);
PACK_IMPORT("theater:simple/message-server-host", "send", host_send);
PACK_IMPORT("theater:simple/message-server-host", "request", host_request);

static void call_none(pack_import *function) {
    pack_writer arguments = {0};
    pack_reader answer;
    pack_call(function, &arguments, pack_tuple(&arguments, 0, NULL), &answer);
    pack_close(&answer);
}

static pack_node repeat(pack_import *function, pack_reader *in, pack_writer *out) {
    uint64_t count = pack_get_u64(in, pack_only(in));
    if (in->problem) return 0;
    for (uint64_t i = 0; i < count; i++) call_none(function);
    return pack_u64(out, count);
}

static pack_node plain(pack_reader *in, pack_writer *out) { return repeat(bench_plain, in, out); }
PACK_EXPORT("plain", plain)

static pack_node waiting(pack_reader *in, pack_writer *out) { return repeat(bench_waiting, in, out); }
PACK_EXPORT("waiting", waiting)

static pack_node turn(pack_reader *in, pack_writer *out) { return repeat(bench_turn, in, out); }
PACK_EXPORT("turn", turn)

static pack_node write_to(pack_import *function, pack_reader *in, pack_writer *out) {
    uint64_t count = pack_get_u64(in, pack_arg(in, 0)), size = pack_get_u64(in, pack_arg(in, 2)), good = 0;
    pack_text to = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_text message = {pack_alloc((int32_t)size), (uint32_t)size};
    for (uint64_t i = 0; i < count; i++) {
        pack_writer arguments = {0};
        pack_reader answer;
        pack_node root = PACK_TUPLE_OF(&arguments, pack_string(&arguments, to), pack_bytes(&arguments, message));
        pack_call(function, &arguments, root, &answer);
        good += pack_is_ok(&answer, answer.root);
        pack_close(&answer);
    }
    return pack_u64(out, good);
}

static pack_node send(pack_reader *in, pack_writer *out) { return write_to(host_send, in, out); }
PACK_EXPORT("send", send)

static pack_node request(pack_reader *in, pack_writer *out) { return write_to(host_request, in, out); }
PACK_EXPORT("request", request)

static pack_node init(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    call_none(host_register);
    return pack_state(out, pack_u64(out, state));
}
PACK_EXPORT("theater:simple/actor.init", init)

static pack_node handle_send(pack_reader *in, pack_writer *out) {
    return pack_state(out, pack_u64(out, pack_get_u64(in, pack_arg(in, 0)) + 1));
}
PACK_EXPORT("theater:simple/message-server-client.handle-send", handle_send)

static pack_node handle_request(pack_reader *in, pack_writer *out) {
    uint64_t state = pack_get_u64(in, pack_arg(in, 0));
    pack_text message = pack_get_bytes(in, pack_arg(in, 2));
    return pack_reply(out, pack_u64(out, state), pack_some(out, pack_bytes(out, message)));
}
PACK_EXPORT("theater:simple/message-server-client.handle-request", handle_request)
