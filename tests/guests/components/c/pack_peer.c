// The peer of tests/integration/host/guests/peer, as a component.
#include "canonical.h"

typedef struct { u8 failed; union { struct { u64 state, value; } ok; text error; }; } answer;

IMPORT("test:peer/peer", "call")
void peer_call(const u8 *actor, u32 size, const u8 *function, u32 length, const u8 *params, u32 bytes, text *result);
IMPORT("test:peer/peer", "hold") void peer_hold(const u8 *name, u32 size, text *result);

enum { INIT_REFUSES = 901, INIT_TRAPS, INIT_SPINS, INIT_IS_HELD };

static answer result;
static text said;

static answer *keep(u64 state) {
    result.failed = 0;
    result.ok.state = result.ok.value = state;
    return &result;
}

static answer *overflow(void) {
    result.failed = 1;
    result.error = TEXT("overflow");
    return &result;
}

static text *hold(text name) {
    peer_hold(name.at, name.size, &said);
    return &said;
}

static _Noreturn void spin_for_ever(void) {
    for (volatile u32 turns = 0;; turns++) continue;
}

EXPORT("theater:simple/actor#init") answer *init(u64 state) {
    switch (state) {
    case INIT_REFUSES: return overflow();
    case INIT_TRAPS: __builtin_trap();
    case INIT_SPINS: spin_for_ever();
    case INIT_IS_HELD: hold(TEXT("held"));
    }
    return keep(state);
}

EXPORT("test:peer/peer-client#poke") answer *poke(u64 state) { return keep(state + 100); }

EXPORT("add") answer *add(u64 state, u64 by) { return keep(state + by); }
EXPORT("add-held") answer *add_held(u64 state, u64 by) {
    hold(TEXT("held"));
    return keep(state + by);
}
EXPORT("refuse") answer *refuse(u64 state) {
    (void)state;
    return overflow();
}

#define CALL const u8 *actor, u32 size, const u8 *function, u32 length, const u8 *params, u32 bytes

EXPORT("relay") text *relay(CALL) {
    peer_call(actor, size, function, length, params, bytes, &said);
    return &said;
}

EXPORT("relay-twice") text *relay_twice(CALL) {
    relay(actor, size, function, length, params, bytes);
    for (volatile u32 left = 30000000; left; left--) continue;
    return relay(actor, size, function, length, params, bytes);
}

EXPORT("wait") text *wait(const u8 *name, u32 size) { return hold((text){name, size}); }
EXPORT("wait-then-trap") text *wait_then_trap(const u8 *name, u32 size) {
    hold((text){name, size});
    __builtin_trap();
}
EXPORT("spin") text *spin(void) { spin_for_ever(); }
EXPORT("trap") text *trap(void) { __builtin_trap(); }

POST("theater:simple/actor#init", init)
POST("test:peer/peer-client#poke", poke)
POST("add", add)
POST("add-held", add_held)
POST("refuse", refuse)
POST("relay", relay)
POST("relay-twice", relay_twice)
POST("wait", wait)
