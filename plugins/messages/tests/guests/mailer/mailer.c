/* A guest that sends, asks, answers and holds conversations as it is told, and writes down what it was told. */
#include "pack.h"

#define HOST "theater:simple/message-server-host"
#define CLIENT "theater:simple/message-server-client"

PACK_IMPORT(HOST, "register", host_register);
PACK_IMPORT(HOST, "send", host_send);
PACK_IMPORT(HOST, "request", host_request);
PACK_IMPORT(HOST, "list-outstanding-requests", host_list);
PACK_IMPORT(HOST, "respond-to-request", host_respond);
PACK_IMPORT(HOST, "cancel-request", host_cancel);
PACK_IMPORT(HOST, "open-channel", host_open);
PACK_IMPORT(HOST, "send-on-channel", host_say);
PACK_IMPORT(HOST, "close-channel", host_close);

/* ---- texts --------------------------------------------------------------------------------------------------------*/

static pack_text joined(pack_text a, const char *between, pack_text b, const char *end) {
    pack_text parts[] = {a, pack_text_of(between), b, pack_text_of(end)};
    uint32_t size = 0, at = 0;
    for (uint32_t i = 0; i < 4; i++) size += parts[i].size;
    uint8_t *bytes = pack_alloc((int32_t)size);
    if (size && !bytes) __builtin_trap();
    for (uint32_t i = 0; i < 4; i++) {
        if (parts[i].size) __builtin_memcpy(bytes + at, parts[i].bytes, parts[i].size);
        at += parts[i].size;
    }
    return (pack_text){bytes, size};
}

/* What stands before the next space; `rest` is what follows it. */
static pack_text word(pack_text *rest) {
    uint32_t size = 0;
    while (size < rest->size && rest->bytes[size] != ' ') size++;
    pack_text first = {rest->bytes, size};
    uint32_t skip = size < rest->size ? size + 1 : size;
    *rest = (pack_text){rest->bytes + skip, rest->size - skip};
    return first;
}

static bool is(pack_text text, const char *other) { return pack_same(text, pack_text_of(other)); }

static pack_text noted(pack_text log, const char *what, pack_text text) {
    return joined(log, what, text, "\n");
}

/* ---- the host -----------------------------------------------------------------------------------------------------*/

/* What the host answered, as a text; `refused` says that it was an err. */
typedef struct {
    pack_text text;
    bool refused;
} answer;

static answer taken(pack_reader *in) {
    answer found = {{NULL, 0}, false};
    pack_node root = in->root;
    if (pack_kind_of(in, root) == PACK_RESULT) {
        found.refused = !pack_is_ok(in, root);
        root = pack_child(in, root, 0);
    }
    uint8_t kind = pack_kind_of(in, root);
    if (kind == PACK_STRING) found.text = joined(pack_get_string(in, root), "", found.text, "");
    if (kind == PACK_ARRAY) found.text = joined(pack_get_bytes(in, root), "", found.text, "");
    if (kind == PACK_LIST)
        for (uint32_t i = 0; i < pack_count(in, root); i++)
            found.text = joined(found.text, i ? " " : "", pack_get_string(in, pack_child(in, root, i)), "");
    if (in->problem) __builtin_trap();
    pack_close(in);
    return found;
}

static answer call_none(pack_import *function) {
    pack_writer arguments = {0};
    pack_reader in;
    pack_call(function, &arguments, pack_tuple(&arguments, 0, NULL), &in);
    return taken(&in);
}

static answer call_one(pack_import *function, pack_text text) {
    pack_writer arguments = {0};
    pack_reader in;
    pack_call(function, &arguments, pack_string(&arguments, text), &in);
    return taken(&in);
}

static answer call_two(pack_import *function, pack_text text, pack_text bytes) {
    pack_writer arguments = {0};
    pack_reader in;
    pack_node root = PACK_TUPLE_OF(&arguments, pack_string(&arguments, text), pack_bytes(&arguments, bytes));
    pack_call(function, &arguments, root, &in);
    return taken(&in);
}

static answer run(pack_text command) {
    pack_text verb = word(&command);
    if (is(verb, "register")) return call_none(host_register);
    if (is(verb, "list")) return call_none(host_list);
    if (is(verb, "cancel")) return call_one(host_cancel, command);
    if (is(verb, "close")) return call_one(host_close, command);
    pack_text to = word(&command);
    if (is(verb, "send")) return call_two(host_send, to, command);
    if (is(verb, "request")) return call_two(host_request, to, command);
    if (is(verb, "respond")) return call_two(host_respond, to, command);
    if (is(verb, "open")) return call_two(host_open, to, command);
    if (is(verb, "say")) return call_two(host_say, to, command);
    return (answer){pack_text_of("no such command"), true};
}

/* ---- what callers ask ---------------------------------------------------------------------------------------------*/

static pack_node init(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0));
    if (in->problem) return 0;
    if (!is(log, "!")) {
        answer found = call_none(host_register);
        if (found.refused) return pack_err_text(out, found.text);
    }
    return pack_state(out, pack_string(out, log));
}
PACK_EXPORT("theater:simple/actor.init", init)

static pack_node run_for(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), command = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    answer found = run(command);
    if (found.refused) return pack_err_text(out, found.text);
    return pack_reply(out, pack_string(out, log), pack_string(out, found.text));
}
PACK_EXPORT("do", run_for)

static pack_node run_and_fail(pack_reader *in, pack_writer *out) {
    run_for(in, out);
    return pack_err(out, "as I was told");
}
PACK_EXPORT("do-and-fail", run_and_fail)

static pack_node run_and_trap(pack_reader *in, pack_writer *out) {
    run_for(in, out);
    __builtin_trap();
}
PACK_EXPORT("do-and-trap", run_and_trap)

static pack_node read_log(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0));
    return pack_reply(out, pack_string(out, log), pack_string(out, log));
}
PACK_EXPORT("log", read_log)

/* ---- messages -----------------------------------------------------------------------------------------------------*/

/* Does what a message says. Its answer is that of the command, or the message itself behind `got:`. */
static answer obey(pack_text message) {
    if (is(message, "trap")) __builtin_trap();
    if (is(message, "fail")) return (answer){pack_text_of("I fail"), true};
    if (message.size && message.bytes[0] == '!') return run((pack_text){message.bytes + 1, message.size - 1});
    return (answer){joined(pack_text_of("got:"), "", message, ""), false};
}

static pack_node handle_send(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), message = pack_get_bytes(in, pack_arg(in, 1));
    if (in->problem) return 0;
    answer found = obey(message);
    if (found.refused) return pack_err_text(out, found.text);
    return pack_state(out, pack_string(out, noted(log, "send ", message)));
}
PACK_EXPORT(CLIENT ".handle-send", handle_send)

static pack_node handle_request(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), id = pack_get_string(in, pack_arg(in, 1));
    pack_text message = pack_get_bytes(in, pack_arg(in, 2));
    if (in->problem) return 0;
    (void)id;
    bool later = is(message, "later");
    answer found = later ? (answer){{NULL, 0}, false} : obey(message);
    if (found.refused) return pack_err_text(out, found.text);
    pack_node state = pack_string(out, noted(log, "request ", message));
    pack_node response = later ? pack_none(out) : pack_some(out, pack_bytes(out, found.text));
    return pack_reply(out, state, PACK_TUPLE_OF(out, response));
}
PACK_EXPORT(CLIENT ".handle-request", handle_request)

static pack_node handle_open(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), channel = pack_get_string(in, pack_arg(in, 1));
    pack_text message = pack_get_bytes(in, pack_arg(in, 2));
    if (in->problem) return 0;
    (void)channel;
    answer found = obey(message);
    if (found.refused) return pack_err_text(out, found.text);
    static const char *const names[] = {"accepted", "message"};
    pack_node state = pack_string(out, noted(log, "open ", message));
    pack_node accepted = pack_bool(out, !is(message, "no"));
    pack_node first = is(message, "hush") ? pack_none(out) : pack_some(out, pack_bytes(out, found.text));
    pack_node accept = pack_record(out, "channel-accept", 2, names, (pack_node[]){accepted, first});
    return pack_reply(out, state, PACK_TUPLE_OF(out, accept));
}
PACK_EXPORT(CLIENT ".handle-channel-open", handle_open)

static pack_node handle_message(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), message = pack_get_bytes(in, pack_arg(in, 2));
    if (in->problem) return 0;
    answer found = obey(message);
    if (found.refused) return pack_err_text(out, found.text);
    return pack_state(out, pack_string(out, noted(log, "message ", message)));
}
PACK_EXPORT(CLIENT ".handle-channel-message", handle_message)

static pack_node handle_close(pack_reader *in, pack_writer *out) {
    pack_text log = pack_get_string(in, pack_arg(in, 0)), channel = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    return pack_state(out, pack_string(out, noted(log, "close ", channel)));
}
PACK_EXPORT(CLIENT ".handle-channel-close", handle_close)
