// The guest of ../runtime/runtime.pact, as a component.
#include "canonical.h"

typedef struct { u8 failed; text refusal; } accepted;
typedef struct { u8 failed; union { struct { u64 state; union { u64 value; text bytes; }; } ok; text error; }; } answer;

#define RUNTIME(name) IMPORT("theater:simple/runtime", name)

RUNTIME("log") void host_log(const u8 *at, u32 size);
RUNTIME("self") void host_self(text *id);
RUNTIME("get-chain") void host_get_chain(text *events);
RUNTIME("shutdown") void host_shutdown(u32 given, const u8 *at, u32 size, accepted *answer);

static answer result;

static answer *keep(u64 state) {
    result.failed = 0;
    result.ok.state = state;
    return &result;
}

static answer *reply(u64 state, text bytes) {
    result.ok.bytes = bytes;
    return keep(state);
}

EXPORT("theater:simple/actor#init") answer *init(u64 state) {
    static const text greeting = {(const u8 *)"hello from ", sizeof "hello from " - 1};
    text id;
    host_self(&id);
    u8 *line = take(1, greeting.size + id.size);
    if (!line) __builtin_trap();
    for (u32 i = 0; i < greeting.size; i++) line[i] = greeting.at[i];
    for (u32 i = 0; i < id.size; i++) line[greeting.size + i] = id.at[i];
    host_log(line, greeting.size + id.size);
    return keep(state);
}

EXPORT("log") answer *log_message(u64 state, const u8 *at, u32 size) {
    host_log(at, size);
    return keep(state + 1);
}

EXPORT("who") answer *who(u64 state) {
    text id;
    host_self(&id);
    return reply(state + 1, id);
}

EXPORT("chain") answer *chain(u64 state) {
    text events;
    host_get_chain(&events);
    return reply(state + 1, events);
}

EXPORT("stop") answer *stop(u64 state, u32 given, const u8 *at, u32 size) {
    accepted asked;
    host_shutdown(given, at, size, &asked);
    if (!asked.failed) return keep(state + 1);
    result.failed = 1;
    result.error = asked.refusal;
    return &result;
}

EXPORT("count") answer *count(u64 state) {
    result.ok.value = state;
    return keep(state);
}

POST("theater:simple/actor#init", init)
POST("log", log)
POST("who", who)
POST("chain", chain)
POST("stop", stop)
POST("count", count)
