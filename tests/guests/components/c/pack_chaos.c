// The chaos of ../chaos/chaos.pact, as a component. A component has no status beside its result, and its host reads a
// result by the declared type: `fail` and the kinds of `garbage` that only bytes can be just trap, and all that can be
// `wrong` is which side of the result it is.
#include "canonical.h"

enum { TRAP_UNREACHABLE, TRAP_DIVIDE, TRAP_OUTSIDE, TRAP_NULL_CALL, TRAP_WRONG_CALL, TRAP_RECURSION };
enum { ENDING_TRAP, ENDING_SPIN, ENDING_ERROR };
enum { GARBAGE_OVERFLOWING, GARBAGE_PAST_END, GARBAGE_HUGE, GARBAGE_NOISE = 5, GARBAGE_LOST_MESSAGE = 12,
       GARBAGE_BAD_MESSAGE };

typedef struct {
    u8 failed;
    union {
        struct { u64 state; union { u64 value; text bytes; }; } ok;
        text error;
    };
} answer;

IMPORT("theater:simple/runtime", "log") void host_log(const u8 *at, u32 size);

// Volatile, so that the compiler believes that it is needed.
static volatile u32 marks;
static volatile u32 zero;
static answer result;

static answer *keep(u64 state, u64 value) {
    result.failed = 0;
    result.ok.state = state;
    result.ok.value = value;
    return &result;
}

static answer *neither(u64 state) {
    keep(state, 1)->failed = 77;
    return &result;
}

static answer *refuse_with(text words) {
    result.failed = 1;
    result.error = words;
    return &result;
}

EXPORT("count") answer *count(u64 state) { return keep(state, state); }
EXPORT("touch") answer *touch(u64 state) { return keep(state + 1, state + 1); }
EXPORT("marks") answer *show_marks(u64 state) { return keep(state, marks); }

// ---- running wild ---------------------------------------------------------------------------------------------------

static __attribute__((noinline)) u32 recurse(u32 depth) {
    if (marks == zero) return depth; // never: the caller has set a mark
    u32 below = recurse(depth + 1);
    marks = below; // after the call, so that it cannot become a loop
    return below;
}

EXPORT("trap") answer *trap(u64 state, u32 kind) {
    marks++;
    switch (kind) {
    case TRAP_UNREACHABLE: __builtin_trap();
    case TRAP_DIVIDE: marks = marks / zero; break;
    case TRAP_OUTSIDE: marks = *(volatile u32 *)(0xfffffff0u + zero); break;
    case TRAP_NULL_CALL: ((void (*)(void))zero)(); break;
    case TRAP_WRONG_CALL: ((void (*)(void))(zero + (u32)&recurse))(); break;
    case TRAP_RECURSION: recurse(zero); break;
    }
    return keep(state + 1, 0);
}

static _Noreturn void spin_for_ever(void) {
    for (;;) marks++;
}

EXPORT("spin") answer *spin(u64 state) {
    (void)state;
    spin_for_ever();
}

EXPORT("work") answer *work(u64 state, u32 millions) {
    u64 number = 1;
    for (u64 left = millions * 1000000ull; left; left--) number = number * 6364136223846793005u + 1442695040888963407u;
    return keep(state + 1, number);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

EXPORT("allocate") answer *allocate(u64 state, u64 size) {
    u8 *memory = size <= 0x7fffffff ? take(8, (u32)size) : 0;
    if (!memory) return refuse_with(TEXT("out of memory"));
    for (u32 i = 0; i < size; i++) ((volatile u8 *)memory)[i] = 0;
    return keep(state + 1, (u64)__builtin_wasm_memory_size(0) * PAGE);
}

EXPORT("eat") answer *eat(u64 state, u32 then) {
    (void)state;
    marks++;
    for (;;) {
        u32 page = __builtin_wasm_memory_grow(0, 1);
        if (page == (u32)-1) break;
        *(volatile u32 *)(page * PAGE) = marks;
    }
    if (then == ENDING_TRAP) __builtin_trap();
    if (then == ENDING_SPIN) spin_for_ever();
    return refuse_with(TEXT("there is no more memory"));
}

// ---- answers --------------------------------------------------------------------------------------------------------

EXPORT("garbage") answer *garbage(u64 state, u32 kind) {
    static const u8 bad[] = "bad \xff\xfe message";
    u8 *end = (u8 *)(__builtin_wasm_memory_size(0) * PAGE);
    marks++;
    switch (kind) {
    case GARBAGE_OVERFLOWING: return (answer *)0xfffffff0u;
    case GARBAGE_PAST_END: return (answer *)(end - 8);
    case GARBAGE_HUGE: return refuse_with((text){(const u8 *)16, 0xffffffffu});
    case GARBAGE_NOISE: return neither(state);
    case GARBAGE_LOST_MESSAGE: return refuse_with((text){end, 64});
    case GARBAGE_BAD_MESSAGE: return refuse_with((text){bad, sizeof bad - 1});
    }
    __builtin_trap();
}

EXPORT("wrong") answer *wrong(u64 state, u32 kind) {
    (void)kind;
    return neither(state);
}

EXPORT("fail") answer *fail(u64 state, const u8 *at, u32 size) {
    (void)state, (void)at, (void)size;
    __builtin_trap();
}

EXPORT("refuse") answer *refuse(u64 state, const u8 *at, u32 size) {
    (void)state;
    return refuse_with((text){at, size});
}

EXPORT("big") answer *big(u64 state, u32 size) {
    u8 *at = take(1, size);
    if (!at) return refuse_with(TEXT("out of memory"));
    for (u32 i = 0; i < size; i++) at[i] = (u8)i;
    keep(state + 1, 0);
    result.ok.bytes = (text){at, size};
    return &result;
}

// ---- the host -------------------------------------------------------------------------------------------------------

// Logs the line's number, filled up with dots.
static void log_line(u32 number, u32 size) {
    u32 before = used;
    u8 *at = take(1, size);
    if (!at) __builtin_trap();
    for (u32 i = size; i > 0; i--) {
        at[i - 1] = number || i == size ? (u8)('0' + number % 10) : '.';
        number /= 10;
    }
    host_log(at, size);
    used = before;
}

EXPORT("log") answer *log_lines(u64 state, u32 lines, u32 size) {
    for (u32 i = 0; i < lines; i++) log_line(i, size);
    return keep(state + 1, 0);
}

EXPORT("flood") answer *flood(u64 state) {
    (void)state;
    for (u32 i = 0;; i++) log_line(i, 10);
}

POST("count", count)
POST("touch", touch)
POST("marks", marks)
POST("trap", trap)
POST("work", work)
POST("allocate", allocate)
POST("eat", eat)
POST("garbage", garbage)
POST("refuse", refuse)
POST("big", big)
POST("log", log)
