/* A guest that uses the terminal as it is told, and notes what happens on it. */
#include "pack.h"

PACK_IMPORT("theater:simple/terminal", "write-stdout", write_stdout);
PACK_IMPORT("theater:simple/terminal", "set-raw-mode", set_raw_mode);
PACK_IMPORT("theater:simple/terminal", "enable-input", enable_input);

typedef struct {
    pack_text plan, log;
} screen;

static screen read_state(pack_reader *in) {
    pack_node state = pack_arg(in, 0);
    return (screen){pack_get_string(in, pack_field(in, state, "plan")), pack_get_string(in, pack_field(in, state, "log"))};
}

static pack_node write_state(pack_writer *out, screen state) {
    static const char *const names[] = {"plan", "log"};
    return pack_record(
        out, "screen", 2, names, (pack_node[]){pack_string(out, state.plan), pack_string(out, state.log)}
    );
}

static bool is_plan(screen state, const char *name) { return pack_same(state.plan, pack_text_of(name)); }

/* The state as it was, or what the host function refused. */
static pack_node told(pack_import *function, pack_writer *arguments, pack_node root, screen state, pack_writer *out) {
    pack_reader answer;
    pack_call(function, arguments, root, &answer);
    pack_node reply = pack_is_ok(&answer, answer.root)
        ? pack_state(out, write_state(out, state))
        : pack_err_text(out, pack_get_string(&answer, pack_child(&answer, answer.root, 0)));
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return reply;
}

static pack_node plan(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    state.plan = pack_get_string(in, pack_arg(in, 1));
    return pack_state(out, write_state(out, state));
}
PACK_EXPORT("plan", plan)

static pack_node read_log(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    return pack_reply(out, write_state(out, state), pack_string(out, state.log));
}
PACK_EXPORT("log", read_log)

static pack_node say(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    pack_text data = pack_get_bytes(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_writer arguments = {0};
    return told(write_stdout, &arguments, pack_bytes(&arguments, data), state, out);
}
PACK_EXPORT("out", say)

static pack_node raw(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    bool enabled = pack_get_bool(in, pack_arg(in, 1));
    if (in->problem) return 0;
    pack_writer arguments = {0};
    return told(set_raw_mode, &arguments, pack_bool(&arguments, enabled), state, out);
}
PACK_EXPORT("raw", raw)

static pack_node raw_and_fail(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    raw(in, out);
    if (is_plan(state, "trap")) __builtin_trap();
    return pack_err(out, "as I was told");
}
PACK_EXPORT("raw-and-fail", raw_and_fail)

static pack_node hear(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    if (in->problem) return 0;
    pack_writer arguments = {0};
    return told(enable_input, &arguments, pack_tuple(&arguments, 0, NULL), state, out);
}
PACK_EXPORT("listen", hear)

/* ---- what happens on the terminal ---------------------------------------------------------------------------------*/

static uint8_t lines[65536];

static pack_text append(uint32_t *size, pack_text more) {
    for (uint32_t i = 0; i < more.size && *size < sizeof lines; i++) lines[(*size)++] = more.bytes[i];
    return (pack_text){lines, *size};
}

static pack_node event(pack_reader *in, pack_writer *out, const char *what, screen state, pack_text more) {
    if (in->problem) return 0;
    if (is_plan(state, "trap")) __builtin_trap();
    if (is_plan(state, "fail")) return pack_err(out, "this event fails");
    uint32_t size = 0;
    append(&size, state.log);
    append(&size, pack_text_of(what));
    append(&size, pack_text_of(" "));
    append(&size, more);
    state.log = append(&size, pack_text_of("\n"));
    return pack_state(out, write_state(out, state));
}

static pack_node handle_input(pack_reader *in, pack_writer *out) {
    screen state = read_state(in);
    pack_text data = pack_get_bytes(in, pack_arg(in, 1));
    if (in->problem) return 0;
    if (is_plan(state, "echo") && data.size) {
        pack_writer arguments = {0};
        pack_reader answer;
        pack_call(write_stdout, &arguments, pack_bytes(&arguments, data), &answer);
        pack_close(&answer);
    }
    return event(in, out, "input", state, data);
}
PACK_EXPORT("theater:simple/terminal.handle-input", handle_input)

static pack_node handle_signal(pack_reader *in, pack_writer *out) {
    return event(in, out, "signal", read_state(in), pack_get_string(in, pack_arg(in, 1)));
}
PACK_EXPORT("theater:simple/terminal.handle-signal", handle_signal)

static pack_text decimal(uint8_t *end, uint32_t number) {
    uint8_t *at = end;
    do *--at = (uint8_t)('0' + number % 10);
    while (number /= 10);
    return (pack_text){at, (uint32_t)(end - at)};
}

static pack_node handle_resize(pack_reader *in, pack_writer *out) {
    uint8_t digits[32];
    pack_text columns = decimal(digits + 16, pack_get_u16(in, pack_arg(in, 1)));
    pack_text rows = decimal(digits + 32, pack_get_u16(in, pack_arg(in, 2)));
    uint8_t both[32];
    uint32_t size = 0;
    for (uint32_t i = 0; i < columns.size; i++) both[size++] = columns.bytes[i];
    both[size++] = 'x';
    for (uint32_t i = 0; i < rows.size; i++) both[size++] = rows.bytes[i];
    return event(in, out, "resize", read_state(in), (pack_text){both, size});
}
PACK_EXPORT("theater:simple/terminal.handle-resize", handle_resize)
