/* An agent with one tool: it asks a model, does what the model wants done, and asks again, until the model answers. */
#include "pack.h"

PACK_IMPORT("theater:bus/llm", "chat", chat);

enum { MESSAGES = 16, KEPT = 1 << 18 };

/* One turn. `call_id` has bytes in an assistant's turn that calls the tool, and in the tool's answer. */
typedef struct {
    const char *role;
    pack_text content, call_id, arguments;
} turn;

static turn turns[MESSAGES];
static uint32_t turn_count;
static uint8_t kept[KEPT];
static uint32_t kept_size;

/* A copy that outlives the answer it comes from. */
static pack_text keep(pack_text text) {
    if (text.size > KEPT - kept_size) __builtin_trap();
    uint8_t *at = kept + kept_size;
    __builtin_memcpy(at, text.bytes, text.size);
    kept_size += text.size;
    return (pack_text){at, text.size};
}

static void add(turn next) {
    if (turn_count == MESSAGES) __builtin_trap();
    turns[turn_count++] = next;
}

static pack_node text(pack_writer *out, const char *literal) { return pack_string(out, pack_text_of(literal)); }

static pack_node write_call(pack_writer *out, turn one) {
    static const char *const names[] = {"id", "name", "arguments"};
    pack_node values[] = {pack_string(out, one.call_id), text(out, "length"), pack_string(out, one.arguments)};
    return pack_record(out, "tool-call", 3, names, values);
}

static pack_node write_turn(pack_writer *out, turn one) {
    static const char *const names[] = {"role", "content", "tool-calls", "tool-call-id"};
    bool is_call = one.call_id.bytes && one.arguments.bytes, is_answer = one.call_id.bytes && !is_call;
    pack_node call = is_call ? write_call(out, one) : 0;
    pack_node values[] = {
        text(out, one.role),
        pack_string(out, one.content),
        pack_list(out, PACK_TAG("\x09\x09\0\0\0tool-call"), is_call, &call),
        is_answer ? pack_some(out, pack_string(out, one.call_id)) : pack_none(out),
    };
    return pack_record(out, "message", 4, names, values);
}

static pack_node write_tool(pack_writer *out) {
    static const char *const names[] = {"name", "description", "parameters"};
    pack_node values[] = {
        text(out, "length"),
        text(out, "How many characters the arguments have"),
        text(out, "{\"type\": \"object\", \"properties\": {\"of\": {\"type\": \"string\"}}}"),
    };
    return pack_record(out, "tool", 3, names, values);
}

static void ask_model(pack_text model, pack_reader *answer) {
    static const char *const names[] = {
        "model", "messages", "tools", "max-tokens", "temperature", "conversation", "progress",
    };
    pack_writer out = {0};
    pack_node messages[MESSAGES];
    for (uint32_t i = 0; i < turn_count; i++) messages[i] = write_turn(&out, turns[i]);
    pack_node tool = write_tool(&out);
    pack_node values[] = {
        pack_string(&out, model),
        pack_list(&out, PACK_TAG("\x09\x07\0\0\0message"), turn_count, messages),
        pack_list(&out, PACK_TAG("\x09\x04\0\0\0tool"), 1, &tool),
        pack_none(&out),
        pack_none(&out),
        text(&out, "main"),
        pack_bool(&out, 1),
    };
    pack_call(chat, &out, pack_record(&out, "chat-request", 7, names, values), answer);
}

static pack_text number(uint32_t value) {
    uint8_t digits[10];
    uint32_t at = sizeof digits;
    do digits[--at] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    return keep((pack_text){digits + at, (uint32_t)sizeof digits - at});
}

/* Keeps the model's turn and the tool's answers to it; false when the model wants nothing done. */
static bool follow(pack_reader *answer, pack_text *said) {
    pack_node message = pack_field(answer, pack_child(answer, answer->root, 0), "message");
    pack_node calls = pack_field(answer, message, "tool-calls");
    uint32_t count = pack_count(answer, calls);
    *said = keep(pack_get_string(answer, pack_field(answer, message, "content")));
    for (uint32_t i = 0; i < count; i++) {
        pack_node call = pack_child(answer, calls, i);
        pack_text id = keep(pack_get_string(answer, pack_field(answer, call, "id")));
        pack_text arguments = keep(pack_get_string(answer, pack_field(answer, call, "arguments")));
        add((turn){"assistant", *said, id, arguments});
        add((turn){"tool", number(arguments.size), id, {0}});
    }
    return count > 0;
}

static pack_node write_state(pack_writer *out, pack_text model, uint64_t count, pack_text said) {
    static const char *const names[] = {"model", "turns", "answer"};
    pack_node values[] = {pack_string(out, model), pack_u64(out, count), pack_string(out, said)};
    return pack_record(out, "agent", 3, names, values);
}

static pack_node ask(pack_reader *in, pack_writer *out) {
    pack_node state = pack_arg(in, 0);
    pack_text model = pack_get_string(in, pack_field(in, state, "model"));
    uint64_t count = pack_get_u64(in, pack_field(in, state, "turns"));
    pack_text question = pack_get_string(in, pack_arg(in, 1));
    if (in->problem) return 0;
    turn_count = kept_size = 0;
    add((turn){"user", question, {0}, {0}});
    pack_text said;
    bool more = true;
    while (more) {
        pack_reader answer;
        ask_model(model, &answer);
        count++;
        if (!pack_is_ok(&answer, answer.root)) {
            pack_text refusal = keep(pack_get_string(&answer, pack_child(&answer, answer.root, 0)));
            pack_close(&answer);
            return pack_err_text(out, refusal);
        }
        more = follow(&answer, &said);
        if (answer.problem) out->problem = answer.problem;
        pack_close(&answer);
        if (out->problem) return 0;
    }
    return pack_reply(out, write_state(out, model, count, said), pack_string(out, said));
}
PACK_EXPORT("ask", ask)
