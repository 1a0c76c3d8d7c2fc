// The caller of ../caller/caller.pact, as a component.
#include "canonical.h"

typedef struct { text next; u64 calls; } link;
typedef struct { u8 failed; union { struct { link state; u64 value; } ok; text error; }; } answer;
typedef struct { u8 failed; union { u64 value; text refusal; }; } called;

#define STATE const u8 *next, u32 size, u64 calls
#define LINK ((link){{next, size}, calls})
#define PEER(name) IMPORT("test:peer/peer", name)

PEER("call") void peer_call(const u8 *actor, u32 size, const u8 *function, u32 length, u64 argument, called *answer);
PEER("wait") void peer_wait(u32 milliseconds);
PEER("add") u32 peer_add(u32 a, u32 b);

static answer result;

static answer *keep(link state, u64 value) {
    result.failed = 0;
    result.ok.state = state;
    result.ok.value = value;
    return &result;
}

static answer *ended_well(link state, u64 value) {
    state.calls++;
    return keep(state, value);
}

static answer *finish(link state, called asked, u64 more) {
    if (!asked.failed) return ended_well(state, asked.value + more);
    result.failed = 1;
    result.error = asked.refusal;
    return &result;
}

static called ask(text actor, text function, u64 argument) {
    called answer;
    peer_call(actor.at, actor.size, function.at, function.size, argument, &answer);
    return answer;
}

EXPORT("call") answer *call(STATE, const u8 *actor, u32 actor_size, const u8 *name, u32 name_size, u64 argument) {
    return finish(LINK, ask((text){actor, actor_size}, (text){name, name_size}, argument), 0);
}

EXPORT("call-twice")
answer *call_twice(STATE, const u8 *actor, u32 actor_size, const u8 *name, u32 name_size, u64 argument) {
    text peer = {actor, actor_size}, function = {name, name_size};
    called asked = ask(peer, function, argument);
    if (!asked.failed) asked = ask(peer, function, asked.value);
    return finish(LINK, asked, 0);
}

EXPORT("wait") answer *wait(STATE, u64 milliseconds) {
    peer_wait((u32)milliseconds);
    return ended_well(LINK, milliseconds);
}

EXPORT("add") answer *add(STATE, u32 a, u32 b) { return ended_well(LINK, peer_add(a, b)); }

EXPORT("wait-then-add") answer *wait_then_add(STATE, u32 milliseconds, u32 a, u32 b) {
    peer_wait(milliseconds);
    return ended_well(LINK, peer_add(a, b));
}

EXPORT("work-between") answer *work_between(STATE, u32 millions, u32 a, u32 b) {
    u64 number = 1;
    u32 sum = peer_add(a, b);
    for (u64 left = millions * 1000000ull; left; left--) number = number * 6364136223846793005u + 1442695040888963407u;
    __asm__ volatile("" : : "r"(number)); // so that the compiler does not leave the work out
    return ended_well(LINK, peer_add(sum, b));
}

EXPORT("ring") answer *ring(STATE, u64 hops) {
    return hops ? finish(LINK, ask(LINK.next, TEXT("ring"), hops - 1), 1) : keep(LINK, 0);
}

EXPORT("point-to") answer *point_to(STATE, const u8 *to, u32 to_size) {
    (void)next, (void)size;
    return keep((link){{to, to_size}, calls}, 0);
}

EXPORT("calls") answer *show_calls(STATE) { return keep(LINK, calls); }

POST("call", call)
POST("call-twice", call_twice)
POST("wait", wait)
POST("add", add)
POST("wait-then-add", wait_then_add)
POST("work-between", work_between)
POST("ring", ring)
POST("point-to", point_to)
POST("calls", calls)
