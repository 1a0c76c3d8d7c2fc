/* A guest with children: it does to them what it is told, and writes down what it hears of them. */
#include "pack.h"

PACK_IMPORT("theater:simple/supervisor", "spawn", host_spawn);
PACK_IMPORT("theater:simple/supervisor", "spawn-and-wait", host_spawn_and_wait);
PACK_IMPORT("theater:simple/supervisor", "resume", host_resume);
PACK_IMPORT("theater:simple/supervisor", "list-children", host_list_children);
PACK_IMPORT("theater:simple/supervisor", "restart-child", host_restart_child);
PACK_IMPORT("theater:simple/supervisor", "stop-child", host_stop_child);
PACK_IMPORT("theater:simple/supervisor", "get-child-state", host_get_child_state);
PACK_IMPORT("theater:simple/supervisor", "get-child-events", host_get_child_events);
PACK_IMPORT("theater:simple/supervisor", "subscribe-to-child", host_subscribe);
PACK_IMPORT("theater:simple/supervisor", "unsubscribe-from-child", host_unsubscribe);

/* `heard` has a line for each call of a handler; `plan` is the manifest of what `init` spawns, empty for nothing. With a
 * `!` before it, `init` fails after that.
 */
typedef struct {
    pack_text heard, plan;
} boss;

static boss read_state(pack_reader *in) {
    pack_node state = pack_arg(in, 0);
    return (boss){
        pack_get_string(in, pack_field(in, state, "heard")),
        pack_get_string(in, pack_field(in, state, "plan")),
    };
}

/* The state, with `count` more words and the end of a line in `heard`. */
static pack_node write_state(pack_writer *out, boss state, uint32_t count, const pack_text *words) {
    static const char *const names[] = {"heard", "plan"};
    uint32_t size = state.heard.size + count;
    for (uint32_t i = 0; i < count; i++) size += words[i].size;
    uint8_t *at = pack_begin(out, PACK_STRING, 4 + size);
    if (!at) return 0;
    pack_store(at, size);
    at += 4;
    if (state.heard.size) __builtin_memcpy(at, state.heard.bytes, state.heard.size);
    at += state.heard.size;
    for (uint32_t i = 0; i < count; i++) {
        if (words[i].size) __builtin_memcpy(at, words[i].bytes, words[i].size);
        at += words[i].size;
        *at++ = i + 1 == count ? '\n' : ' ';
    }
    pack_node heard = pack_last(out);
    return pack_record(out, "boss", 2, names, (pack_node[]){heard, pack_string(out, state.plan)});
}

static pack_node unchanged(pack_writer *out, boss state) { return write_state(out, state, 0, NULL); }

/* ---- what the host answers ----------------------------------------------------------------------------------------*/

/* Whether the host said `ok`; `payload` is what it said. */
static bool accepted(pack_reader *answer, pack_node *payload) {
    *payload = pack_child(answer, answer->root, 0);
    return pack_is_ok(answer, answer->root);
}

static pack_node refusal(pack_writer *out, pack_reader *answer, pack_node payload) {
    return pack_err_text(out, pack_get_string(answer, payload));
}

/* Ends a function whose host function answered with a text (`spawn`), or with nothing. */
static pack_node finish(pack_writer *out, boss state, pack_reader *answer, bool has_text) {
    pack_node payload, root;
    if (!accepted(answer, &payload))
        root = refusal(out, answer, payload);
    else if (has_text)
        root = pack_reply(out, unchanged(out, state), pack_string(out, pack_get_string(answer, payload)));
    else
        root = pack_state(out, unchanged(out, state));
    if (answer->problem) out->problem = answer->problem;
    pack_close(answer);
    return root;
}

/* Ends a function whose host function answered with an option of bytes. */
static pack_node finish_bytes(pack_writer *out, boss state, pack_reader *answer) {
    pack_node payload, root;
    if (!accepted(answer, &payload)) {
        root = refusal(out, answer, payload);
    } else {
        bool present = pack_count(answer, payload) == 1;
        pack_node value = present ? pack_some(out, pack_bytes(out, pack_get_bytes(answer, pack_child(answer, payload, 0))))
                                  : pack_none(out);
        root = pack_reply(out, unchanged(out, state), value);
    }
    if (answer->problem) out->problem = answer->problem;
    pack_close(answer);
    return root;
}

/* ---- what it asks -------------------------------------------------------------------------------------------------*/

/* An option of a number or of bytes that was passed in, as an argument for the host. */
static pack_node number_option(pack_reader *in, pack_node node, pack_writer *arguments) {
    if (pack_count(in, node) != 1) return pack_none(arguments);
    return pack_some(arguments, pack_u64(arguments, pack_get_u64(in, pack_child(in, node, 0))));
}

static pack_node bytes_option(pack_reader *in, pack_node node, pack_writer *arguments) {
    if (pack_count(in, node) != 1) return pack_none(arguments);
    return pack_some(arguments, pack_bytes(arguments, pack_get_bytes(in, pack_child(in, node, 0))));
}

static void call_spawn(pack_reader *in, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_node manifest = pack_string(&arguments, pack_get_string(in, pack_arg(in, 1)));
    pack_node state = number_option(in, pack_arg(in, 2), &arguments);
    pack_node wasm = bytes_option(in, pack_arg(in, 3), &arguments);
    pack_call(host_spawn, &arguments, PACK_TUPLE_OF(&arguments, manifest, state, wasm), answer);
}

/* Calls a host function about a child, whose id is the second parameter. */
static void call_about_child(pack_import *function, pack_reader *in, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_call(function, &arguments, pack_string(&arguments, pack_get_string(in, pack_arg(in, 1))), answer);
}

static pack_node about_child(pack_import *function, pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_reader answer;
    call_about_child(function, in, &answer);
    return finish(out, state, &answer, false);
}

/* ---- exports ------------------------------------------------------------------------------------------------------*/

static pack_node init(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    if (in->problem) return 0;
    if (!state.plan.size) return pack_state(out, unchanged(out, state));
    bool fails = state.plan.bytes[0] == '!';
    pack_text plan = {state.plan.bytes + fails, state.plan.size - fails};
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node manifest = pack_string(&arguments, plan);
    pack_node none = pack_none(&arguments), nothing = pack_none(&arguments);
    pack_call(host_spawn, &arguments, PACK_TUPLE_OF(&arguments, manifest, none, nothing), &answer);
    if (fails && pack_is_ok(&answer, answer.root)) {
        pack_close(&answer);
        return pack_err(out, "as I was told");
    }
    return finish(out, state, &answer, false);
}
PACK_EXPORT("theater:simple/actor.init", init)

static pack_node spawn(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_reader answer;
    call_spawn(in, &answer);
    return finish(out, state, &answer, true);
}
PACK_EXPORT("spawn", spawn)

static pack_node spawn_and_fail(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    call_spawn(in, &answer);
    pack_close(&answer);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("spawn-and-fail", spawn_and_fail)

static pack_node spawn_and_wait(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node manifest = pack_string(&arguments, pack_get_string(in, pack_arg(in, 1)));
    pack_node number = number_option(in, pack_arg(in, 2), &arguments), none = pack_none(&arguments);
    pack_node timeout = number_option(in, pack_arg(in, 3), &arguments);
    pack_call(host_spawn_and_wait, &arguments, PACK_TUPLE_OF(&arguments, manifest, number, none, timeout), &answer);
    return finish_bytes(out, state, &answer);
}
PACK_EXPORT("spawn-and-wait", spawn_and_wait)

static pack_node resume(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node manifest = pack_string(&arguments, pack_get_string(in, pack_arg(in, 1)));
    pack_node bytes = bytes_option(in, pack_arg(in, 2), &arguments), none = pack_none(&arguments);
    pack_call(host_resume, &arguments, PACK_TUPLE_OF(&arguments, manifest, bytes, none), &answer);
    return finish(out, state, &answer, true);
}
PACK_EXPORT("resume", resume)

static pack_node list(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node payload;
    pack_call(host_list_children, &arguments, pack_tuple(&arguments, 0, NULL), &answer);
    if (!accepted(&answer, &payload)) __builtin_trap();
    uint32_t count = pack_count(&answer, payload);
    pack_node items[64];
    if (count > 64) __builtin_trap();
    for (uint32_t i = 0; i < count; i++)
        items[i] = pack_string(out, pack_get_string(&answer, pack_child(&answer, payload, i)));
    pack_node root = pack_reply(out, unchanged(out, state), pack_list(out, PACK_TAG("\x06"), count, items));
    pack_close(&answer);
    return root;
}
PACK_EXPORT("list", list)

static pack_node restart(pack_reader *in, pack_writer *out) { return about_child(host_restart_child, in, out); }
PACK_EXPORT("restart", restart)

static pack_node stop(pack_reader *in, pack_writer *out) { return about_child(host_stop_child, in, out); }
PACK_EXPORT("stop", stop)

static pack_node subscribe(pack_reader *in, pack_writer *out) { return about_child(host_subscribe, in, out); }
PACK_EXPORT("subscribe", subscribe)

static pack_node unsubscribe(pack_reader *in, pack_writer *out) { return about_child(host_unsubscribe, in, out); }
PACK_EXPORT("unsubscribe", unsubscribe)

static pack_node child_state(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_reader answer;
    call_about_child(host_get_child_state, in, &answer);
    return finish_bytes(out, state, &answer);
}
PACK_EXPORT("child-state", child_state)

/* How many events the host gives of a child. */
static pack_node child_events(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_reader answer;
    pack_node payload, root;
    call_about_child(host_get_child_events, in, &answer);
    if (!accepted(&answer, &payload))
        root = refusal(out, &answer, payload);
    else
        root = pack_reply(out, unchanged(out, state), pack_u64(out, pack_count(&answer, payload)));
    pack_close(&answer);
    return root;
}
PACK_EXPORT("child-events", child_events)

static pack_node heard(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    return pack_reply(out, unchanged(out, state), pack_string(out, state.heard));
}
PACK_EXPORT("heard", heard)

static pack_node trap(pack_reader *in, pack_writer *out) {
    (void)in, (void)out;
    __builtin_trap();
}
PACK_EXPORT("trap", trap)

/* ---- handlers -----------------------------------------------------------------------------------------------------*/

static pack_node handle_error(pack_reader *in, pack_writer *out) {
    static const char *const kinds[] = {
        "operation-timeout", "channel-closed", "shutting-down", "function-not-found", "type-mismatch", "internal",
        "serialization-error", "update-component-error", "paused",
    };
    boss state = read_state(in);
    pack_node error = pack_arg(in, 2), data = pack_field(in, error, "data");
    uint32_t kind = pack_case(in, pack_field(in, error, "error-type"));
    pack_text text = pack_count(in, data) == 1 ? pack_get_bytes(in, pack_child(in, data, 0)) : (pack_text){NULL, 0};
    pack_text words[] = {
        pack_text_of("error"), pack_get_string(in, pack_arg(in, 1)), pack_text_of(kind < 9 ? kinds[kind] : "?"), text,
    };
    if (in->problem) return 0;
    return pack_state(out, write_state(out, state, 4, words));
}
PACK_EXPORT("theater:simple/supervisor-handlers.handle-child-error", handle_error)

static pack_node handle_exit(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_node data = pack_arg(in, 2);
    pack_text bytes = pack_count(in, data) == 1 ? pack_get_bytes(in, pack_child(in, data, 0)) : pack_text_of("-");
    pack_text words[] = {pack_text_of("exit"), pack_get_string(in, pack_arg(in, 1)), bytes};
    if (in->problem) return 0;
    return pack_state(out, write_state(out, state, 3, words));
}
PACK_EXPORT("theater:simple/supervisor-handlers.handle-child-exit", handle_exit)

static pack_node handle_external_stop(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_text words[] = {pack_text_of("stopped"), pack_get_string(in, pack_arg(in, 1))};
    if (in->problem) return 0;
    return pack_state(out, write_state(out, state, 2, words));
}
PACK_EXPORT("theater:simple/supervisor-handlers.handle-child-external-stop", handle_external_stop)

static pack_node handle_event(pack_reader *in, pack_writer *out) {
    boss state = read_state(in);
    pack_text words[] = {
        pack_text_of("event"), pack_get_string(in, pack_arg(in, 1)), pack_get_string(in, pack_arg(in, 2)),
        pack_get_bytes(in, pack_arg(in, 3)),
    };
    if (in->problem) return 0;
    return pack_state(out, write_state(out, state, 4, words));
}
PACK_EXPORT("theater:simple/supervisor-handlers.handle-child-event", handle_event)
