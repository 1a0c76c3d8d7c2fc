// The echo of ../echo/echo.pact, as a component. A `value` and a `tree` are JSON text here, and come back as they are.
#include "canonical.h"

typedef struct { int x, y; } point;
typedef struct { u8 given, value; } optional_u8;
typedef struct { u8 given; u32 value; } optional_u32;
typedef struct { u8 given; text value; } optional_text;
typedef struct { u8 given; optional_text value; } optional_optional_text;
typedef struct { text name; optional_u8 age; point at; text tags; } person;
typedef struct { u8 number; double first, second; } shape;
typedef struct { u8 first; text second; u8 third; } triple;
typedef struct { u8 failed; union { u32 value; text error; }; } result;

// What functions with state answer; a number is aligned to eight bytes, and with it the whole answer.
typedef struct {
    u8 failed;
    union {
        struct {
            text state;
            union { text bytes; person person; result result; struct { text first, second; } pair; };
        } ok;
        text error;
    };
} answer;
typedef struct { u8 failed; union { struct { text state; u64 value; } ok; text error; }; } numbered;

#define TEXT_OF(name) const u8 *name, u32 name##_size
#define AS_TEXT(name) ((text){name, name##_size})
#define PERSON TEXT_OF(name), u32 aged, u32 age, int x, int y, TEXT_OF(tags)
#define AS_PERSON ((person){AS_TEXT(name), {(u8)aged, (u8)age}, {x, y}, AS_TEXT(tags)})
#define RESULT u32 failed, u32 content, u32 size
#define AS_RESULT \
    (failed ? (result){1, {.error = {(const u8 *)content, size}}} : (result){0, {.value = content}})

#define PLAIN(name) EXPORT("test:echo/plain#" name)
#define ACTOR(name) EXPORT("test:echo/actor#" name)

// ---- without state: what is one number comes back as it came, the rest by its address in memory ---------------------

#define ECHO_NUMBER(name, id, type) PLAIN(name) type plain_##id(type value) { return value; }
#define ECHO_TEXT(name, id) \
    PLAIN(name) text *plain_##id(TEXT_OF(value)) { \
        static text echoed; \
        echoed = AS_TEXT(value); \
        return &echoed; \
    } \
    POST("test:echo/plain#" name, plain_##id)

ECHO_NUMBER("bool", bool, u32)
ECHO_NUMBER("u8", u8, u32)
ECHO_NUMBER("u16", u16, u32)
ECHO_NUMBER("u32", u32, u32)
ECHO_NUMBER("u64", u64, u64)
ECHO_NUMBER("s8", s8, int)
ECHO_NUMBER("s16", s16, int)
ECHO_NUMBER("s32", s32, int)
ECHO_NUMBER("s64", s64, u64)
ECHO_NUMBER("f32", f32, float)
ECHO_NUMBER("f64", f64, double)
ECHO_NUMBER("char", char, u32)
ECHO_NUMBER("flags", flags, u32)
ECHO_NUMBER("enum", enum, u32)
ECHO_NUMBER("tuple-one", tuple_one, u32)

ECHO_TEXT("string", string)
ECHO_TEXT("tree", tree)
ECHO_TEXT("bytes", bytes)
ECHO_TEXT("list-bool", list_bool)
ECHO_TEXT("list-s16", list_s16)
ECHO_TEXT("list-f32", list_f32)
ECHO_TEXT("list-f64", list_f64)
ECHO_TEXT("list-char", list_char)
ECHO_TEXT("list-string", list_string)
ECHO_TEXT("list-point", list_point)
ECHO_TEXT("list-list", list_list)
ECHO_TEXT("list-result", list_result)
ECHO_TEXT("list-value", list_value)
ECHO_TEXT("map", map)
ECHO_TEXT("set", set)

PLAIN("variant") shape *plain_variant(u32 number, double first, double second) {
    static shape echoed;
    echoed = (shape){(u8)number, first, second};
    return &echoed;
}

PLAIN("point") point *plain_point(int x, int y) {
    static point echoed;
    echoed = (point){x, y};
    return &echoed;
}

PLAIN("person") person *plain_person(PERSON) {
    static person echoed;
    echoed = AS_PERSON;
    return &echoed;
}

PLAIN("option") optional_u32 *plain_option(u32 given, u32 value) {
    static optional_u32 echoed;
    echoed = (optional_u32){(u8)given, value};
    return &echoed;
}

PLAIN("option-option") optional_optional_text *plain_option_option(u32 given, u32 within, TEXT_OF(value)) {
    static optional_optional_text echoed;
    echoed = (optional_optional_text){(u8)given, {(u8)within, AS_TEXT(value)}};
    return &echoed;
}

PLAIN("tuple") triple *plain_tuple(u32 first, TEXT_OF(second), u32 third) {
    static triple echoed;
    echoed = (triple){(u8)first, AS_TEXT(second), (u8)third};
    return &echoed;
}

PLAIN("nothing") void plain_nothing(void) {}

POST("test:echo/plain#variant", plain_variant)
POST("test:echo/plain#point", plain_point)
POST("test:echo/plain#person", plain_person)
POST("test:echo/plain#option", plain_option)
POST("test:echo/plain#option-option", plain_option_option)
POST("test:echo/plain#tuple", plain_tuple)

// ---- with a state ---------------------------------------------------------------------------------------------------

#define STATE TEXT_OF(state)

static answer answered;

static answer *keep(text state) {
    answered.failed = 0;
    answered.ok.state = state;
    return &answered;
}

static answer *reply(text state, text bytes) {
    answered.ok.bytes = bytes;
    return keep(state);
}

EXPORT("theater:simple/actor#init") answer *init(STATE) { return keep(AS_TEXT(state)); }
ACTOR("value") answer *actor_value(STATE, TEXT_OF(v)) { return reply(AS_TEXT(state), AS_TEXT(v)); }
ACTOR("string") answer *actor_string(STATE, TEXT_OF(v)) { return reply(AS_TEXT(state), AS_TEXT(v)); }
ACTOR("bytes") answer *actor_bytes(STATE, TEXT_OF(v)) { return reply(AS_TEXT(state), AS_TEXT(v)); }
ACTOR("become") answer *actor_become(STATE, TEXT_OF(next)) {
    (void)state, (void)state_size;
    return keep(AS_TEXT(next));
}
ACTOR("state") answer *actor_state(STATE) { return reply(AS_TEXT(state), AS_TEXT(state)); }

ACTOR("person") answer *actor_person(STATE, PERSON) {
    answered.ok.person = AS_PERSON;
    return keep(AS_TEXT(state));
}

ACTOR("result") answer *actor_result(STATE, RESULT) {
    answered.ok.result = AS_RESULT;
    return keep(AS_TEXT(state));
}

ACTOR("pair") answer *actor_pair(STATE, TEXT_OF(a), TEXT_OF(b)) {
    answered.ok.pair.first = AS_TEXT(a);
    answered.ok.pair.second = AS_TEXT(b);
    return keep(AS_TEXT(state));
}

ACTOR("u64") numbered *actor_u64(STATE, u64 v) {
    static numbered echoed;
    echoed = (numbered){0, {.ok = {AS_TEXT(state), v}}};
    return &echoed;
}

POST("theater:simple/actor#init", init)
POST("test:echo/actor#value", actor_value)
POST("test:echo/actor#string", actor_string)
POST("test:echo/actor#bytes", actor_bytes)
POST("test:echo/actor#become", actor_become)
POST("test:echo/actor#state", actor_state)
POST("test:echo/actor#person", actor_person)
POST("test:echo/actor#result", actor_result)
POST("test:echo/actor#pair", actor_pair)
POST("test:echo/actor#u64", actor_u64)
