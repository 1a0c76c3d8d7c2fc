// The actor of liar.pact.
#include "canonical.h"

typedef struct {
    u8 failed;
    union {
        struct { u64 state; union { u64 value; u8 level; u32 letter; text text; }; } ok;
        text error;
    };
} answer;

IMPORT("test:ear/ear", "hear") void hear(const text *words, u32 count);

static answer result;

static answer *keep(u64 state, u64 value) {
    result.failed = 0;
    result.ok.state = state;
    result.ok.value = value;
    return &result;
}

static answer *say(u64 state, text words) {
    result.ok.text = words;
    result.failed = 0;
    result.ok.state = state;
    return &result;
}

static text many_words(u32 count) {
    text *words = (text *)take(4, count * sizeof(text));
    if (!words) __builtin_trap();
    for (u32 i = 0; i < count; i++) words[i] = TEXT("");
    return (text){(const u8 *)words, count};
}

EXPORT("count") answer *count(u64 state) { return keep(state + 1, state + 1); }
EXPORT("case") answer *bad_case(u64 state) { return keep(state + 1, 7); }
EXPORT("text") answer *bad_text(u64 state) { return say(state + 1, TEXT("bad \xff\xfe text")); }
EXPORT("cut") answer *cut_text(u64 state) { return say(state + 1, TEXT("cut \xe6")); }
EXPORT("letter") answer *bad_letter(u64 state) { return keep(state + 1, 0xd800); }
EXPORT("many") answer *many(u64 state, u32 words) { return say(state + 1, many_words(words)); }
EXPORT("askew") answer *askew(u64 state) { return say(state + 1, (text){(const u8 *)1025, 1}); }

EXPORT("say-many") answer *say_many(u64 state, u32 count) {
    text words = many_words(count);
    hear((const text *)words.at, words.size);
    return keep(state + 1, count);
}

EXPORT("say-text") answer *say_text(u64 state) {
    text word = TEXT("bad \xff\xfe text");
    hear(&word, 1);
    return keep(state + 1, 1);
}

POST("count", count)
POST("case", bad_case)
POST("text", bad_text)
POST("cut", cut_text)
POST("letter", bad_letter)
POST("many", many)
POST("askew", askew)
POST("say-many", say_many)
POST("say-text", say_text)
