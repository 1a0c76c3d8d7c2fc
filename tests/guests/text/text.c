/* A text analyser. A word is a run of letters, digits, apostrophes and bytes outside of ASCII; case does not count. */
#include "pack.h"

enum { TOP = 10, FIELDS = 7 };

typedef struct {
    uint64_t chunks, bytes, characters, lines, words, longest, open;
} totals;

static const char *const total_names[FIELDS] = {"chunks", "bytes", "characters", "lines", "words", "longest", "open"};

static totals read_totals(pack_reader *in, pack_node node) {
    uint64_t values[FIELDS];
    for (uint32_t i = 0; i < FIELDS; i++) values[i] = pack_get_u64(in, pack_field(in, node, total_names[i]));
    return (totals){values[0], values[1], values[2], values[3], values[4], values[5], values[6]};
}

static pack_node write_totals(pack_writer *out, const totals *from) {
    const uint64_t values[FIELDS] = {
        from->chunks, from->bytes, from->characters, from->lines, from->words, from->longest, from->open,
    };
    pack_node nodes[FIELDS];
    for (uint32_t i = 0; i < FIELDS; i++) nodes[i] = pack_u64(out, values[i]);
    return pack_record(out, "totals", FIELDS, total_names, nodes);
}

static bool in_word(uint8_t byte) {
    uint8_t letter = byte | 0x20;
    return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '\'' || byte >= 0x80;
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

static void count(totals *sum, pack_text text) {
    uint64_t characters = 0, lines = 0, words = 0, longest = sum->longest, open = sum->open;
    for (uint32_t i = 0; i < text.size; i++) {
        uint8_t byte = text.bytes[i];
        characters += (byte & 0xc0) != 0x80;
        lines += byte == '\n';
        if (in_word(byte)) {
            words += !open++;
            if (open > longest) longest = open;
        } else {
            open = 0;
        }
    }
    *sum = (totals){
        sum->chunks + 1,   sum->bytes + text.size, sum->characters + characters, sum->lines + lines,
        sum->words + words, longest,                open,
    };
}

/* ---- the words of a text, each once ---------------------------------------------------------------------------------
 * A hash table with open addressing, at most half full, whose words stay where they are in the text.
 */

typedef struct {
    pack_text word; /* no bytes: a free place */
    uint32_t hash, count;
} entry;

typedef struct {
    entry *entries;
    uint32_t places, used;
} vocabulary;

static bool same_word(pack_text a, pack_text b) {
    if (a.size != b.size) return false;
    for (uint32_t i = 0; i < a.size; i++)
        if (lower(a.bytes[i]) != lower(b.bytes[i])) return false;
    return true;
}

static entry *place_of(vocabulary *known, pack_text word, uint32_t hash) {
    uint32_t at = hash & (known->places - 1);
    for (;; at = (at + 1) & (known->places - 1)) {
        entry *found = known->entries + at;
        if (!found->word.bytes || (found->hash == hash && same_word(found->word, word))) return found;
    }
}

static bool grow(vocabulary *known) {
    vocabulary larger = {.places = known->places ? known->places * 2 : 1024, .used = known->used};
    larger.entries = pack_alloc((int32_t)(larger.places * sizeof(entry)));
    if (!larger.entries) return false;
    for (uint32_t i = 0; i < known->places; i++) {
        entry *old = known->entries + i;
        if (old->word.bytes) *place_of(&larger, old->word, old->hash) = *old;
    }
    pack_free(known->entries, 1);
    *known = larger;
    return true;
}

static bool learn(vocabulary *known, pack_text word, uint32_t hash) {
    if (known->used * 2 >= known->places && !grow(known)) return false;
    entry *found = place_of(known, word, hash);
    if (!found->word.bytes) {
        *found = (entry){word, hash, 0};
        known->used++;
    }
    found->count++;
    return true;
}

/* FNV-1a over the word in lower case. */
static bool learn_words(vocabulary *known, pack_text text, pack_text *longest) {
    uint32_t begin = 0, hash = 2166136261u;
    for (uint32_t i = 0; i <= text.size; i++) {
        if (i < text.size && in_word(text.bytes[i])) {
            hash = (hash ^ lower(text.bytes[i])) * 16777619u;
            continue;
        }
        pack_text word = {text.bytes + begin, i - begin};
        if (word.size && !learn(known, word, hash)) return false;
        if (word.size > longest->size) *longest = word;
        begin = i + 1;
        hash = 2166136261u;
    }
    return true;
}

/* More frequent first; the same number of times, by its lower-case bytes. */
static bool before(const entry *a, const entry *b) {
    if (a->count != b->count) return a->count > b->count;
    uint32_t least = a->word.size < b->word.size ? a->word.size : b->word.size;
    for (uint32_t i = 0; i < least; i++) {
        uint8_t x = lower(a->word.bytes[i]), y = lower(b->word.bytes[i]);
        if (x != y) return x < y;
    }
    return a->word.size < b->word.size;
}

static uint32_t most_frequent(const vocabulary *known, const entry *top[TOP]) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < known->places; i++) {
        const entry *one = known->entries + i;
        if (!one->word.bytes || (found == TOP && !before(one, top[TOP - 1]))) continue;
        uint32_t at = found < TOP ? found++ : TOP - 1;
        for (; at && before(one, top[at - 1]); at--) top[at] = top[at - 1];
        top[at] = one;
    }
    return found;
}

static pack_node write_lower(pack_writer *out, pack_text word) {
    uint8_t *at = pack_begin(out, PACK_STRING, 4 + word.size);
    if (at) {
        pack_store(at, word.size);
        for (uint32_t i = 0; i < word.size; i++) at[4 + i] = lower(word.bytes[i]);
    }
    return pack_last(out);
}

static pack_node write_top(pack_writer *out, const vocabulary *known) {
    const entry *top[TOP];
    pack_node pairs[TOP];
    uint32_t found = most_frequent(known, top);
    for (uint32_t i = 0; i < found; i++)
        pairs[i] = PACK_TUPLE_OF(out, write_lower(out, top[i]->word), pack_u32(out, top[i]->count));
    return pack_list(out, PACK_TAG("\x0b\x02\0\0\0\x06\x0e"), found, pairs);
}

static pack_node write_report(pack_writer *out, pack_text text) {
    static const char *const names[] = {"bytes", "characters", "lines", "words", "distinct", "longest-word", "top"};
    vocabulary known = {0};
    pack_text longest = {text.bytes, 0};
    totals sum = {0};
    count(&sum, text);
    if (!learn_words(&known, text, &longest)) out->problem = "out of memory";
    pack_node report = pack_record(
        out, "report", FIELDS, names,
        (pack_node[]){
            pack_u64(out, sum.bytes), pack_u64(out, sum.characters), pack_u64(out, sum.lines), pack_u64(out, sum.words),
            pack_u64(out, known.used), pack_string(out, longest), write_top(out, &known),
        }
    );
    pack_free(known.entries, 1);
    return report;
}

/* ---- exports ------------------------------------------------------------------------------------------------------*/

static pack_node analyse(pack_reader *in, pack_writer *out) {
    totals state = read_totals(in, pack_arg(in, 0));
    pack_node text = pack_arg(in, 1);
    bool is_string = pack_kind_of(in, text) == PACK_STRING;
    if (!in->problem && !is_string && pack_kind_of(in, text) != PACK_ARRAY)
        return pack_err(out, "a string or a list<u8> is needed");
    pack_text found = is_string ? pack_get_string(in, text) : pack_get_bytes(in, text);
    return pack_reply(out, write_totals(out, &state), write_report(out, found));
}
PACK_EXPORT("analyse", analyse)

static pack_node add(pack_reader *in, pack_writer *out) {
    totals state = read_totals(in, pack_arg(in, 0));
    count(&state, pack_get_bytes(in, pack_arg(in, 1)));
    return pack_reply(out, write_totals(out, &state), pack_u64(out, state.bytes));
}
PACK_EXPORT("add", add)

static pack_node show_totals(pack_reader *in, pack_writer *out) {
    totals state = read_totals(in, pack_arg(in, 0));
    return pack_reply(out, write_totals(out, &state), write_totals(out, &state));
}
PACK_EXPORT("totals", show_totals)

static pack_node reset(pack_reader *in, pack_writer *out) {
    read_totals(in, pack_arg(in, 0));
    return pack_state(out, write_totals(out, &(totals){0}));
}
PACK_EXPORT("reset", reset)
