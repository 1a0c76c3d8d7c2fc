/* A guest that misbehaves on request. What it is about to do is marked in its memory first, so that a test can see
 * whether a later call runs in the same instance.
 */
#include "pack.h"

PACK_IMPORT("theater:simple/runtime", "log", runtime_log);

enum { TRAP_UNREACHABLE, TRAP_DIVIDE, TRAP_OUTSIDE, TRAP_NULL_CALL, TRAP_WRONG_CALL, TRAP_RECURSION };
enum { ENDING_TRAP, ENDING_SPIN, ENDING_ERROR };
enum { WRONG_STATE, WRONG_VALUE, WRONG_NO_STATE, WRONG_NO_RESULT };
enum {
    GARBAGE_OVERFLOWING,
    GARBAGE_PAST_END,
    GARBAGE_HUGE,
    GARBAGE_UNTOUCHED,
    GARBAGE_INPUT,
    GARBAGE_NOISE,
    GARBAGE_CUT_SHORT,
    GARBAGE_CYCLE,
    GARBAGE_BOMB,
    GARBAGE_EXPANSION,
    GARBAGE_DEEP,
    GARBAGE_BAD_TEXT,
    GARBAGE_LOST_MESSAGE,
    GARBAGE_BAD_MESSAGE,
    GARBAGE_ODD_STATUS,
};

/* Volatile, so that the compiler believes that it is needed. */
static volatile uint32_t marks;
static volatile uint32_t zero;

static uint64_t state_of(pack_reader *in) { return pack_get_u64(in, pack_arg(in, 0)); }

static pack_node next_state(pack_reader *in, pack_writer *out) { return pack_u64(out, state_of(in) + 1); }

static pack_node done(pack_reader *in, pack_writer *out) { return pack_state(out, next_state(in, out)); }

static pack_node count(pack_reader *in, pack_writer *out) {
    return pack_reply(out, pack_u64(out, state_of(in)), pack_u64(out, state_of(in)));
}
PACK_EXPORT("count", count)

static pack_node touch(pack_reader *in, pack_writer *out) {
    return pack_reply(out, next_state(in, out), pack_u64(out, state_of(in) + 1));
}
PACK_EXPORT("touch", touch)

static pack_node show_marks(pack_reader *in, pack_writer *out) {
    return pack_reply(out, pack_u64(out, state_of(in)), pack_u32(out, marks));
}
PACK_EXPORT("marks", show_marks)

/* ---- running wild -------------------------------------------------------------------------------------------------*/

static __attribute__((noinline)) uint32_t recurse(uint32_t depth) {
    if (marks == zero) return depth; /* never: the caller has set a mark */
    uint32_t below = recurse(depth + 1);
    marks = below; /* after the call, so that it cannot become a loop */
    return below;
}

static pack_node trap(pack_reader *in, pack_writer *out) {
    uint32_t kind = pack_case(in, pack_arg(in, 1));
    if (in->problem) return 0;
    marks++;
    switch (kind) {
    case TRAP_UNREACHABLE: __builtin_trap();
    case TRAP_DIVIDE: marks = marks / zero; break;
    case TRAP_OUTSIDE: marks = *(volatile uint32_t *)(uintptr_t)(0xfffffff0u + zero); break;
    case TRAP_NULL_CALL: ((void (*)(void))(uintptr_t)zero)(); break;
    case TRAP_WRONG_CALL: ((void (*)(void))(uintptr_t)(zero + (uintptr_t)&recurse))(); break;
    case TRAP_RECURSION: recurse(zero); break;
    }
    return done(in, out);
}
PACK_EXPORT("trap", trap)

static _Noreturn void spin_for_ever(void) {
    for (;;) marks++;
}

static pack_node spin(pack_reader *in, pack_writer *out) {
    (void)in;
    (void)out;
    spin_for_ever();
}
PACK_EXPORT("spin", spin)

static pack_node work(pack_reader *in, pack_writer *out) {
    uint64_t left = pack_get_u32(in, pack_arg(in, 1)) * UINT64_C(1000000), number = 1;
    for (; left; left--) number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return pack_reply(out, next_state(in, out), pack_u64(out, number));
}
PACK_EXPORT("work", work)

/* ---- memory -------------------------------------------------------------------------------------------------------*/

static pack_node allocate(pack_reader *in, pack_writer *out) {
    uint64_t size = pack_get_u64(in, pack_arg(in, 1));
    uint8_t *memory = size <= INT32_MAX ? pack_alloc((int32_t)size) : NULL; /* cleared, so all of it is written to */
    if (size && !memory) return pack_err(out, "out of memory");
    pack_free(memory, (int32_t)size);
    uint64_t total = (uint64_t)__builtin_wasm_memory_size(0) * PACK_PAGE;
    return pack_reply(out, next_state(in, out), pack_u64(out, total));
}
PACK_EXPORT("allocate", allocate)

static pack_node eat(pack_reader *in, pack_writer *out) {
    uint32_t then = pack_case(in, pack_arg(in, 1));
    if (in->problem) return 0;
    marks++;
    for (;;) {
        size_t page = __builtin_wasm_memory_grow(0, 1);
        if (page == (size_t)-1) break;
        *(volatile uint32_t *)(page * PACK_PAGE) = marks;
    }
    if (then == ENDING_TRAP) __builtin_trap();
    if (then == ENDING_SPIN) spin_for_ever();
    return pack_err(out, "there is no more memory");
}
PACK_EXPORT("eat", eat)

/* ---- wrong answers ------------------------------------------------------------------------------------------------*/

static pack_node write_garbage(pack_writer *out, uint32_t kind) {
    static const uint8_t bad_text[] = {'b', 'a', 'd', 0xff, 0xfe};
    pack_node last = pack_u64(out, 1);
    switch (kind) {
    case GARBAGE_CYCLE: last = PACK_TUPLE_OF(out, last, out->nodes); break;
    case GARBAGE_BOMB: {
        uint8_t *at = pack_begin(out, PACK_LIST, 5);
        if (at) {
            at[0] = PACK_STRING;
            pack_store(at + 1, UINT32_MAX);
        }
        last = pack_last(out);
        break;
    }
    case GARBAGE_EXPANSION:
        for (uint32_t i = 0; i < 30; i++) last = PACK_TUPLE_OF(out, last, last);
        break;
    case GARBAGE_DEEP:
        for (uint32_t i = 0; i < 100000; i++) last = PACK_TUPLE_OF(out, last);
        break;
    case GARBAGE_BAD_TEXT: last = pack_string(out, (pack_text){bad_text, sizeof bad_text}); break;
    }
    return pack_result(out, true, PACK_TUPLE_OF(out, pack_u64(out, 1), last));
}

static int32_t give(uint32_t *at, uint32_t *length, const void *bytes, uint32_t size, int32_t status) {
    *at = (uint32_t)(uintptr_t)bytes;
    *length = size;
    return status;
}

static int32_t give_written(uint32_t kind, uint32_t *at, uint32_t *length) {
    pack_writer out = {0};
    pack_finish(&out, write_garbage(&out, kind));
    uint32_t size = kind == GARBAGE_CUT_SHORT ? out.size - 3 : out.size;
    return give(at, length, out.bytes, size, 0);
}

__attribute__((export_name("garbage"))) int32_t garbage(
    const uint8_t *bytes, uint32_t size, uint32_t *at, uint32_t *length
) {
    static const char noise[] = "what is here was never a value", bad_message[] = "bad \xff\xfe message";
    uint8_t *end = (uint8_t *)(uintptr_t)(__builtin_wasm_memory_size(0) * PACK_PAGE);
    pack_reader in;
    pack_open(&in, bytes, size);
    uint32_t kind = pack_case(&in, pack_arg(&in, 1));
    pack_close(&in);
    marks++;
    switch (kind) {
    case GARBAGE_OVERFLOWING: return give(at, length, (void *)0xfffffff0, 0x20, 0);
    case GARBAGE_PAST_END: return give(at, length, end - 4, 64, 0);
    case GARBAGE_HUGE: return give(at, length, (void *)16, UINT32_MAX, 0);
    case GARBAGE_UNTOUCHED: return 0;
    case GARBAGE_INPUT: return give(at, length, bytes, size, 0);
    case GARBAGE_NOISE: return give(at, length, noise, sizeof noise - 1, 0);
    case GARBAGE_LOST_MESSAGE: return give(at, length, end, 64, -1);
    case GARBAGE_BAD_MESSAGE: return give(at, length, bad_message, sizeof bad_message - 1, -1);
    case GARBAGE_ODD_STATUS: return give(at, length, noise, sizeof noise - 1, 77);
    default: return give_written(kind, at, length);
    }
}

static pack_node wrong(pack_reader *in, pack_writer *out) {
    static const char text[] = "not a number";
    uint32_t kind = pack_case(in, pack_arg(in, 1));
    if (in->problem) return 0;
    switch (kind) {
    case WRONG_STATE: return pack_reply(out, pack_string(out, pack_text_of(text)), pack_u64(out, 1));
    case WRONG_VALUE: return pack_reply(out, next_state(in, out), pack_string(out, pack_text_of(text)));
    case WRONG_NO_STATE: return pack_result(out, true, pack_bool(out, true));
    default: return pack_string(out, pack_text_of(text));
    }
}
PACK_EXPORT("wrong", wrong)

__attribute__((export_name("fail"))) int32_t fail(
    const uint8_t *bytes, uint32_t size, uint32_t *at, uint32_t *length
) {
    pack_reader in;
    pack_open(&in, bytes, size);
    pack_text text = pack_get_string(&in, pack_arg(&in, 1));
    uint8_t *message = pack_alloc((int32_t)text.size);
    if (message) __builtin_memcpy(message, text.bytes, text.size);
    pack_close(&in);
    return give(at, length, message, message ? text.size : 0, -1);
}

static pack_node refuse(pack_reader *in, pack_writer *out) {
    return pack_err_text(out, pack_get_string(in, pack_arg(in, 1)));
}
PACK_EXPORT("refuse", refuse)

static pack_node big(pack_reader *in, pack_writer *out) {
    uint32_t size = pack_get_u32(in, pack_arg(in, 1));
    uint8_t *at = size < INT32_MAX / 2 ? pack_begin(out, PACK_ARRAY, 5 + size) : NULL;
    if (!at) return pack_err(out, "out of memory");
    at[0] = PACK_U8;
    pack_store(at + 1, size);
    for (uint32_t i = 0; i < size; i++) at[5 + i] = (uint8_t)i;
    pack_node bytes = pack_last(out);
    return pack_reply(out, next_state(in, out), bytes);
}
PACK_EXPORT("big", big)

/* ---- the host -----------------------------------------------------------------------------------------------------*/

/* Logs the line's number, filled up with dots. */
static void log_line(uint32_t number, uint32_t size) {
    pack_writer arguments = {0};
    pack_reader answer;
    uint8_t *at = pack_begin(&arguments, PACK_STRING, 4 + size);
    if (!at) __builtin_trap();
    pack_store(at, size);
    for (uint32_t i = size; i > 0; i--) {
        at[3 + i] = number || i == size ? (uint8_t)('0' + number % 10) : '.';
        number /= 10;
    }
    pack_call(runtime_log, &arguments, pack_last(&arguments), &answer);
    pack_close(&answer);
}

static pack_node log_lines(pack_reader *in, pack_writer *out) {
    uint32_t lines = pack_get_u32(in, pack_arg(in, 1)), size = pack_get_u32(in, pack_arg(in, 2));
    if (in->problem) return 0;
    for (uint32_t i = 0; i < lines; i++) log_line(i, size);
    return done(in, out);
}
PACK_EXPORT("log", log_lines)

static pack_node flood(pack_reader *in, pack_writer *out) {
    (void)in;
    (void)out;
    for (uint32_t i = 0;; i++) log_line(i, 10);
}
PACK_EXPORT("flood", flood)
