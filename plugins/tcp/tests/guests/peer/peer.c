/* A guest that does with connections what it is told, and what its plan says when something happens on them. */
#include "pack.h"

PACK_IMPORT("theater:simple/tcp", "connect", tcp_connect);
PACK_IMPORT("theater:simple/tcp", "listen", tcp_listen);
PACK_IMPORT("theater:simple/tcp", "accept", tcp_accept);
PACK_IMPORT("theater:simple/tcp", "activate", tcp_activate);
PACK_IMPORT("theater:simple/tcp", "set-active", tcp_set_active);
PACK_IMPORT("theater:simple/tcp", "transfer", tcp_transfer);
PACK_IMPORT("theater:simple/tcp", "transfer-async", tcp_transfer_async);
PACK_IMPORT("theater:simple/tcp", "peer-address", tcp_peer_address);
PACK_IMPORT("theater:simple/tcp", "send", tcp_send);
PACK_IMPORT("theater:simple/tcp", "receive", tcp_receive);
PACK_IMPORT("theater:simple/tcp", "close", tcp_close);
PACK_IMPORT("theater:simple/tcp", "close-listener", tcp_close_listener);
PACK_IMPORT("theater:simple/tcp", "upgrade-to-tls-server", tcp_upgrade_to_tls_server);
PACK_IMPORT("theater:simple/tcp", "upgrade-to-tls-client", tcp_upgrade_to_tls_client);
PACK_IMPORT("theater:bus/tcp", "local-address", tcp_local_address);

typedef struct {
    pack_text plan, target, log;
} peer;

static peer read_state(pack_reader *in) {
    pack_node state = pack_arg(in, 0);
    return (peer){
        pack_get_string(in, pack_field(in, state, "plan")),
        pack_get_string(in, pack_field(in, state, "target")),
        pack_get_string(in, pack_field(in, state, "log")),
    };
}

static pack_node write_state(pack_writer *out, peer state) {
    static const char *const names[] = {"plan", "target", "log"};
    return pack_record(
        out,
        "peer",
        3,
        names,
        (pack_node[]){pack_string(out, state.plan), pack_string(out, state.target), pack_string(out, state.log)}
    );
}

/* The second argument of a host function: none, a text, bytes, or a number. */
enum { NONE, TEXT, BYTES, NUMBER };

typedef struct {
    int kind;
    pack_text text;
    uint32_t number;
} argument;

/* Calls a host function with an id and perhaps one more argument; true where it answered ok. */
static bool call(pack_import *function, pack_text id, argument more, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_node root = pack_string(&arguments, id), second = 0;
    if (more.kind == TEXT) second = pack_string(&arguments, more.text);
    if (more.kind == BYTES) second = pack_bytes(&arguments, more.text);
    if (more.kind == NUMBER) second = pack_u32(&arguments, more.number);
    if (more.kind != NONE) root = PACK_TUPLE_OF(&arguments, root, second);
    pack_call(function, &arguments, root, answer);
    return pack_is_ok(answer, answer->root);
}

static pack_node refusal(pack_reader *answer, pack_writer *out) {
    return pack_err_text(out, pack_get_string(answer, pack_child(answer, answer->root, 0)));
}

/* What an export answers with beside the state: nothing, a text, bytes, or a number. */
static pack_node told(pack_import *function, pack_reader *in, pack_writer *out, int takes, int gives) {
    peer state = read_state(in);
    pack_text id = pack_get_string(in, pack_arg(in, 1));
    argument more = {takes, {0}, 0};
    if (takes == TEXT) more.text = pack_get_string(in, pack_arg(in, 2));
    if (takes == BYTES) more.text = pack_get_bytes(in, pack_arg(in, 2));
    if (takes == NUMBER) more.number = pack_get_u32(in, pack_arg(in, 2));
    if (in->problem) return 0;
    pack_reader answer;
    pack_node reply;
    if (!call(function, id, more, &answer)) {
        reply = refusal(&answer, out);
    } else {
        pack_node value = pack_child(&answer, answer.root, 0), kept = write_state(out, state);
        if (gives == NONE) reply = pack_state(out, kept);
        else if (gives == TEXT) reply = pack_reply(out, kept, pack_string(out, pack_get_string(&answer, value)));
        else if (gives == BYTES) reply = pack_reply(out, kept, pack_bytes(out, pack_get_bytes(&answer, value)));
        else reply = pack_reply(out, kept, pack_u64(out, pack_get_u64(&answer, value)));
    }
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return reply;
}

#define TOLD(export, function, takes, gives) \
    static pack_node do_##function(pack_reader *in, pack_writer *out) { \
        return told(tcp_##function, in, out, takes, gives); \
    } \
    PACK_EXPORT(export, do_##function)

TOLD("connect", connect, NONE, TEXT)
TOLD("listen", listen, NONE, TEXT)
TOLD("accept", accept, NONE, TEXT)
TOLD("activate", activate, NONE, NONE)
TOLD("set-active", set_active, TEXT, NONE)
TOLD("transfer", transfer, TEXT, NONE)
TOLD("transfer-async", transfer_async, TEXT, NONE)
TOLD("peer-address", peer_address, NONE, TEXT)
TOLD("local-address", local_address, NONE, TEXT)
TOLD("send", send, BYTES, NUMBER)
TOLD("receive", receive, NUMBER, BYTES)
TOLD("close", close, NONE, NONE)
TOLD("close-listener", close_listener, NONE, NONE)
TOLD("upgrade-to-tls-server", upgrade_to_tls_server, NONE, NONE)
TOLD("upgrade-to-tls-client", upgrade_to_tls_client, TEXT, NONE)

static pack_node connect_and_fail(pack_reader *in, pack_writer *out) {
    do_connect(in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("connect-and-fail", connect_and_fail)

static pack_node listen_and_fail(pack_reader *in, pack_writer *out) {
    do_listen(in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("listen-and-fail", listen_and_fail)

static pack_node plan(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    state.plan = pack_get_string(in, pack_arg(in, 1));
    state.target = pack_get_string(in, pack_arg(in, 2));
    return pack_state(out, write_state(out, state));
}
PACK_EXPORT("plan", plan)

static pack_node read_log(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    return pack_reply(out, write_state(out, state), pack_string(out, state.log));
}
PACK_EXPORT("log", read_log)

/* ---- what happens on connections ----------------------------------------------------------------------------------*/

static uint8_t lines[65536];

static pack_text append(uint32_t *size, pack_text more) {
    for (uint32_t i = 0; i < more.size && *size < sizeof lines; i++) lines[(*size)++] = more.bytes[i];
    return (pack_text){lines, *size};
}

/* The log with one more line. */
static pack_text noted(pack_text log, const char *what, pack_text id, pack_text more) {
    uint32_t size = 0;
    append(&size, log);
    append(&size, pack_text_of(what));
    append(&size, pack_text_of(" "));
    append(&size, id);
    append(&size, pack_text_of(" "));
    append(&size, more);
    return append(&size, pack_text_of("\n"));
}

static bool is_plan(peer state, const char *name) { return pack_same(state.plan, pack_text_of(name)); }

static pack_node event(pack_reader *in, pack_writer *out, const char *what, peer state, pack_text id, pack_text more) {
    if (in->problem) return 0;
    if (is_plan(state, "trap")) __builtin_trap();
    if (is_plan(state, "fail")) return pack_err(out, "this event fails");
    if (!is_plan(state, "quiet")) state.log = noted(state.log, what, id, more);
    return pack_state(out, write_state(out, state));
}

/* Does one thing with a connection; what it was refused becomes a line of the log. */
static void act(peer *state, pack_import *function, pack_text id, argument more) {
    pack_reader answer;
    if (!call(function, id, more, &answer)) {
        pack_text why = pack_get_string(&answer, pack_child(&answer, answer.root, 0));
        state->log = noted(state->log, "refused", id, why);
    }
    pack_close(&answer);
}

static void welcome(peer *state, pack_text id) {
    if (is_plan(*state, "forward")) act(state, tcp_transfer_async, id, (argument){TEXT, state->target, 0});
    if (is_plan(*state, "hold") || is_plan(*state, "forward")) return;
    if (is_plan(*state, "fail") || is_plan(*state, "trap")) return;
    act(state, tcp_activate, id, (argument){NONE, {0}, 0});
    act(state, tcp_set_active, id, (argument){TEXT, pack_text_of(is_plan(*state, "once") ? "once" : "active"), 0});
}

static pack_node handle_connection(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    pack_text id = pack_get_string(in, pack_arg(in, 1));
    if (!in->problem) welcome(&state, id);
    return event(in, out, "connection", state, id, pack_text_of(""));
}
PACK_EXPORT("theater:simple/tcp-client.handle-connection", handle_connection)

static pack_node handle_connection_transfer(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    pack_text id = pack_get_string(in, pack_arg(in, 1));
    if (!in->problem) welcome(&state, id);
    return event(in, out, "transfer", state, id, pack_text_of(""));
}
PACK_EXPORT("theater:simple/tcp-client.handle-connection-transfer", handle_connection_transfer)

static pack_node on_data(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    pack_text id = pack_get_string(in, pack_arg(in, 1)), data = pack_get_bytes(in, pack_arg(in, 2));
    if (in->problem) return 0;
    if (is_plan(state, "fail-data")) return pack_err(out, "this data fails");
    if (is_plan(state, "echo") || is_plan(state, "quiet") || is_plan(state, "once")) act(&state, tcp_send, id, (argument){BYTES, data, 0});
    if (is_plan(state, "once")) act(&state, tcp_set_active, id, (argument){TEXT, pack_text_of("once"), 0});
    if (data.size > 32) data.size = 32;
    return event(in, out, "data", state, id, data);
}
PACK_EXPORT("theater:simple/tcp-client.on-data", on_data)

static pack_node on_close(pack_reader *in, pack_writer *out) {
    peer state = read_state(in);
    pack_text id = pack_get_string(in, pack_arg(in, 1)), reason = pack_get_string(in, pack_arg(in, 2));
    return event(in, out, "close", state, id, reason);
}
PACK_EXPORT("theater:simple/tcp-client.on-close", on_close)
