/* A guest that calls other actors, and waits. It takes a few kilobytes: thousands of it wait at once in tests. */
#include "pack.h"

PACK_IMPORT("test:peer/peer", "call", peer_call);
PACK_IMPORT("test:peer/peer", "wait", peer_wait);
PACK_IMPORT("test:peer/peer", "add", peer_add);

typedef struct {
    pack_text next;
    uint64_t calls;
} link;

static link read_link(pack_reader *in) {
    pack_node state = pack_arg(in, 0);
    return (link){
        pack_get_string(in, pack_field(in, state, "next")),
        pack_get_u64(in, pack_field(in, state, "calls")),
    };
}

static pack_node write_link(pack_writer *out, link state) {
    static const char *const names[] = {"next", "calls"};
    return pack_record(
        out, "link", 2, names, (pack_node[]){pack_string(out, state.next), pack_u64(out, state.calls)}
    );
}

/* ---- the interface ------------------------------------------------------------------------------------------------*/

/* What a call of another actor gave. `refusal` has bytes where it failed: the text lies in `answer`. */
typedef struct {
    uint64_t value;
    pack_text refusal;
    pack_reader answer;
} called;

static called call_peer(pack_text actor, pack_text function, uint64_t argument) {
    called result = {0};
    pack_writer arguments = {0};
    pack_node root = PACK_TUPLE_OF(
        &arguments, pack_string(&arguments, actor), pack_string(&arguments, function), pack_u64(&arguments, argument)
    );
    pack_call(peer_call, &arguments, root, &result.answer);
    pack_node payload = pack_child(&result.answer, result.answer.root, 0);
    if (pack_is_ok(&result.answer, result.answer.root))
        result.value = pack_get_u64(&result.answer, payload);
    else
        result.refusal = pack_get_string(&result.answer, payload);
    return result;
}

static void wait_for(uint32_t milliseconds) {
    pack_writer arguments = {0};
    pack_reader answer;
    pack_call(peer_wait, &arguments, pack_u32(&arguments, milliseconds), &answer);
    pack_close(&answer);
}

static uint32_t add_numbers(uint32_t a, uint32_t b) {
    pack_writer arguments = {0};
    pack_reader answer;
    pack_node root = PACK_TUPLE_OF(&arguments, pack_u32(&arguments, a), pack_u32(&arguments, b));
    pack_call(peer_add, &arguments, root, &answer);
    uint32_t sum = pack_get_u32(&answer, answer.root);
    pack_close(&answer);
    return sum;
}

/* ---- exports ------------------------------------------------------------------------------------------------------*/

/* Answers with what the calls gave plus `more`, or passes the refusal on. */
static pack_node finish(pack_writer *out, link state, called *result, uint64_t more) {
    pack_node root;
    if (result->refusal.bytes) {
        root = pack_err_text(out, result->refusal);
    } else {
        state.calls++;
        root = pack_reply(out, write_link(out, state), pack_u64(out, result->value + more));
    }
    if (result->answer.problem) out->problem = result->answer.problem;
    pack_close(&result->answer);
    return root;
}

static pack_node call(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    pack_text actor = pack_get_string(in, pack_arg(in, 1)), function = pack_get_string(in, pack_arg(in, 2));
    uint64_t argument = pack_get_u64(in, pack_arg(in, 3));
    if (in->problem) return 0;
    called result = call_peer(actor, function, argument);
    return finish(out, state, &result, 0);
}
PACK_EXPORT("call", call)

static pack_node call_twice(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    pack_text actor = pack_get_string(in, pack_arg(in, 1)), function = pack_get_string(in, pack_arg(in, 2));
    uint64_t argument = pack_get_u64(in, pack_arg(in, 3));
    if (in->problem) return 0;
    called result = call_peer(actor, function, argument);
    if (!result.refusal.bytes && !result.answer.problem) {
        argument = result.value;
        pack_close(&result.answer);
        result = call_peer(actor, function, argument);
    }
    return finish(out, state, &result, 0);
}
PACK_EXPORT("call-twice", call_twice)

static pack_node wait(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    uint64_t milliseconds = pack_get_u64(in, pack_arg(in, 1));
    if (in->problem) return 0;
    wait_for((uint32_t)milliseconds);
    state.calls++;
    return pack_reply(out, write_link(out, state), pack_u64(out, milliseconds));
}
PACK_EXPORT("wait", wait)

static pack_node add(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    uint32_t a = pack_get_u32(in, pack_arg(in, 1)), b = pack_get_u32(in, pack_arg(in, 2));
    if (in->problem) return 0;
    uint32_t sum = add_numbers(a, b);
    state.calls++;
    return pack_reply(out, write_link(out, state), pack_u32(out, sum));
}
PACK_EXPORT("add", add)

static pack_node wait_then_add(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    uint32_t milliseconds = pack_get_u32(in, pack_arg(in, 1));
    uint32_t a = pack_get_u32(in, pack_arg(in, 2)), b = pack_get_u32(in, pack_arg(in, 3));
    if (in->problem) return 0;
    wait_for(milliseconds);
    uint32_t sum = add_numbers(a, b);
    state.calls++;
    return pack_reply(out, write_link(out, state), pack_u32(out, sum));
}
PACK_EXPORT("wait-then-add", wait_then_add)

static pack_node work_between(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    uint64_t left = pack_get_u32(in, pack_arg(in, 1)) * UINT64_C(1000000), number = 1;
    uint32_t a = pack_get_u32(in, pack_arg(in, 2)), b = pack_get_u32(in, pack_arg(in, 3));
    if (in->problem) return 0;
    uint32_t sum = add_numbers(a, b);
    for (; left; left--) number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    __asm__ volatile("" : : "r"(number)); /* so that the compiler does not leave the work out */
    sum = add_numbers(sum, b);
    state.calls++;
    return pack_reply(out, write_link(out, state), pack_u32(out, sum));
}
PACK_EXPORT("work-between", work_between)

static pack_node ring(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    uint64_t hops = pack_get_u64(in, pack_arg(in, 1));
    if (in->problem) return 0;
    if (!hops) return pack_reply(out, write_link(out, state), pack_u64(out, 0));
    called result = call_peer(state.next, pack_text_of("ring"), hops - 1);
    return finish(out, state, &result, 1);
}
PACK_EXPORT("ring", ring)

static pack_node point_to(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    state.next = pack_get_string(in, pack_arg(in, 1));
    return pack_state(out, write_link(out, state));
}
PACK_EXPORT("point-to", point_to)

static pack_node calls(pack_reader *in, pack_writer *out) {
    link state = read_link(in);
    return pack_reply(out, write_link(out, state), pack_u64(out, state.calls));
}
PACK_EXPORT("calls", calls)
