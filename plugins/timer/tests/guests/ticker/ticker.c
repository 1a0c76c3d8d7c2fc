/* A guest that sets timers as it is told, and counts its ticks. */
#include "pack.h"

PACK_IMPORT("theater:simple/timer", "set-interval", set_interval);
PACK_IMPORT("theater:simple/timer", "clear-interval", clear_interval);
PACK_IMPORT("theater:simple/timer", "now", now);
PACK_IMPORT("theater:bus/timer", "set-timeout", set_timeout);
PACK_IMPORT("theater:bus/timer", "clear-timeout", clear_timeout);

typedef struct {
    uint64_t ticks;
    pack_text last;
} ticker;

static ticker read_state(pack_reader *in) {
    pack_node state = pack_arg(in, 0);
    return (ticker){
        pack_get_u64(in, pack_field(in, state, "ticks")),
        pack_get_string(in, pack_field(in, state, "last")),
    };
}

static pack_node write_state(pack_writer *out, ticker state) {
    static const char *const names[] = {"ticks", "last"};
    return pack_record(
        out, "ticker", 2, names, (pack_node[]){pack_u64(out, state.ticks), pack_string(out, state.last)}
    );
}

/* Writes what a host function that answers `result<…, string>` refused; false where it did not. */
static bool refused(pack_writer *out, pack_reader *answer, pack_node *root) {
    if (pack_is_ok(answer, answer->root)) return false;
    *root = pack_err_text(out, pack_get_string(answer, pack_child(answer, answer->root, 0)));
    return true;
}

static void call_set(pack_import *function, pack_text name, uint64_t ms, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_node root = PACK_TUPLE_OF(&arguments, pack_string(&arguments, name), pack_u64(&arguments, ms));
    pack_call(function, &arguments, root, answer);
}

static void call_clear(pack_import *function, pack_text name, pack_reader *answer) {
    pack_writer arguments = {0};
    pack_call(function, &arguments, pack_string(&arguments, name), answer);
}

static pack_node set(pack_import *function, pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    pack_text name = pack_get_string(in, pack_arg(in, 1));
    uint64_t ms = pack_get_u64(in, pack_arg(in, 2));
    if (in->problem) return 0;
    pack_reader answer;
    pack_node root;
    call_set(function, name, ms, &answer);
    if (!refused(out, &answer, &root)) {
        pack_text given = pack_get_string(&answer, pack_child(&answer, answer.root, 0));
        root = pack_reply(out, write_state(out, state), pack_string(out, given));
    }
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return root;
}

static pack_node clear(pack_import *function, pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    pack_text name = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_reader answer;
    pack_node root;
    call_clear(function, name, &answer);
    if (!refused(out, &answer, &root)) root = pack_state(out, write_state(out, state));
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return root;
}

/* ---- exports ------------------------------------------------------------------------------------------------------*/

static pack_node every(pack_reader *in, pack_writer *out) { return set(set_interval, in, out); }
PACK_EXPORT("every", every)

static pack_node once(pack_reader *in, pack_writer *out) { return set(set_timeout, in, out); }
PACK_EXPORT("once", once)

static pack_node stop(pack_reader *in, pack_writer *out) { return clear(clear_interval, in, out); }
PACK_EXPORT("stop", stop)

static pack_node drop(pack_reader *in, pack_writer *out) { return clear(clear_timeout, in, out); }
PACK_EXPORT("drop", drop)

static pack_node every_and_fail(pack_reader *in, pack_writer *out) {
    set(set_interval, in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("every-and-fail", every_and_fail)

static pack_node stop_and_trap(pack_reader *in, pack_writer *out) {
    clear(clear_interval, in, out);
    __builtin_trap();
}
PACK_EXPORT("stop-and-trap", stop_and_trap)

static pack_node ticks(pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    return pack_reply(out, write_state(out, state), pack_u64(out, state.ticks));
}
PACK_EXPORT("ticks", ticks)

static pack_node last(pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    return pack_reply(out, write_state(out, state), pack_string(out, state.last));
}
PACK_EXPORT("last", last)

static pack_node time(pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    pack_writer arguments = {0};
    pack_reader answer;
    pack_call(now, &arguments, pack_tuple(&arguments, 0, NULL), &answer);
    uint64_t milliseconds = pack_get_u64(&answer, answer.root);
    pack_close(&answer);
    return pack_reply(out, write_state(out, state), pack_u64(out, milliseconds));
}
PACK_EXPORT("time", time)

static pack_node handle_tick(pack_reader *in, pack_writer *out) {
    ticker state = read_state(in);
    pack_text name = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_reader answer;
    pack_node root;
    bool failed = false;
    if (pack_same(name, pack_text_of("fail"))) return pack_err(out, "this tick fails");
    if (pack_same(name, pack_text_of("trap"))) __builtin_trap();
    if (pack_same(name, pack_text_of("stop"))) {
        call_clear(clear_interval, name, &answer);
        failed = refused(out, &answer, &root);
        pack_close(&answer);
    }
    if (pack_same(name, pack_text_of("again"))) {
        call_set(set_timeout, name, 1, &answer);
        failed = refused(out, &answer, &root);
        pack_close(&answer);
    }
    if (failed) return root;
    state.ticks++;
    state.last = name;
    return pack_state(out, write_state(out, state));
}
PACK_EXPORT("theater:simple/timer.handle-tick", handle_tick)
