// The counter of ../counter/counter.pact, as a component.
#include "canonical.h"

typedef struct { u8 failed; union { struct { u64 state, value; } ok; text error; }; } answer;

static answer result;

static answer *keep(u64 state) {
    result.failed = 0;
    result.ok.state = result.ok.value = state;
    return &result;
}

static answer *refuse(text words) {
    result.failed = 1;
    result.error = words;
    return &result;
}

EXPORT("theater:simple/actor#init") answer *init(u64 state) { return keep(state); }
EXPORT("increment") answer *increment(u64 state, u64 by) {
    return state + by < state ? refuse(TEXT("overflow")) : keep(state + by);
}
EXPORT("decrement") answer *decrement(u64 state, u64 by) {
    return by > state ? refuse(TEXT("below zero")) : keep(state - by);
}
EXPORT("get") answer *get(u64 state) { return keep(state); }
EXPORT("reset") answer *reset(u64 state) {
    (void)state;
    return keep(0);
}

POST("theater:simple/actor#init", init)
POST("increment", increment)
POST("decrement", decrement)
POST("get", get)
POST("reset", reset)
