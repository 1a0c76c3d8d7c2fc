// The text analyser of ../text/text.pact, as a component. Its `text` is always a string.
#include "canonical.h"

typedef struct { const u8 *bytes; u32 size; } words_text;

// Cleared memory, which is all free again when the call is over.
static void *words_alloc(u32 size) {
    u8 *place = take(8, size);
    if (place) __builtin_memset(place, 0, size);
    return place;
}
static void words_free(void *memory) { (void)memory; }
#include "../../text/words.h"

typedef struct { text word; u32 count; } frequency;
typedef struct {
    u64 bytes, characters, lines, words, distinct;
    text longest;
    struct { frequency *at; u32 size; } top;
} report;
typedef struct {
    u8 failed;
    union {
        struct { totals state; union { u64 value; totals totals; report report; }; } ok;
        text error;
    };
} answer;

#define STATE u64 chunks, u64 bytes, u64 characters, u64 lines, u64 words, u64 longest, u64 open
#define TOTALS ((totals){chunks, bytes, characters, lines, words, longest, open})

static answer result;
static frequency frequencies[TOP];

static answer *keep(totals state) {
    result.failed = 0;
    result.ok.state = state;
    return &result;
}

static text lower_case(words_text word) {
    u8 *place = take(1, word.size);
    if (!place) __builtin_trap();
    for (u32 i = 0; i < word.size; i++) place[i] = lower(word.bytes[i]);
    return (text){place, word.size};
}

EXPORT("analyse") answer *analyse(STATE, const u8 *at, u32 size) {
    words_text whole = {at, size}, longest_word = {at, 0};
    vocabulary known = {0};
    totals sum = {0};
    count(&sum, whole);
    if (!learn_words(&known, whole, &longest_word)) {
        result.failed = 1;
        result.error = TEXT("out of memory");
        return &result;
    }
    const entry *top[TOP];
    u32 found = most_frequent(&known, top);
    for (u32 i = 0; i < found; i++) frequencies[i] = (frequency){lower_case(top[i]->word), top[i]->count};
    result.ok.report = (report){
        sum.bytes, sum.characters, sum.lines, sum.words, known.used, {longest_word.bytes, longest_word.size},
        {frequencies, found},
    };
    return keep(TOTALS);
}

EXPORT("add") answer *add(STATE, const u8 *at, u32 size) {
    totals state = TOTALS;
    count(&state, (words_text){at, size});
    result.ok.value = state.bytes;
    return keep(state);
}

EXPORT("totals") answer *show_totals(STATE) {
    result.ok.totals = TOTALS;
    return keep(TOTALS);
}

EXPORT("reset") answer *reset(STATE) {
    (void)TOTALS;
    return keep((totals){0});
}

POST("analyse", analyse)
POST("add", add)
POST("totals", totals)
POST("reset", reset)
