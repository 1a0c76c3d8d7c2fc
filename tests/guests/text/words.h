/* A text analyser in C, for guests of both kinds. A word is a run of letters, digits, apostrophes and bytes outside of
 * ASCII; case does not count.
 *
 * Include it after `words_text` (a struct of `bytes` and `size`), `words_alloc(size)` (zeroed memory, or NULL) and
 * `words_free(memory)`.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOP = 10 };

typedef struct {
    uint64_t chunks, bytes, characters, lines, words, longest, open;
} totals;

static bool in_word(uint8_t byte) {
    uint8_t letter = byte | 0x20;
    return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '\'' || byte >= 0x80;
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

static void count(totals *sum, words_text text) {
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
    words_text word; /* no bytes: a free place */
    uint32_t hash, count;
} entry;

typedef struct {
    entry *entries;
    uint32_t places, used;
} vocabulary;

static bool same_word(words_text a, words_text b) {
    if (a.size != b.size) return false;
    for (uint32_t i = 0; i < a.size; i++)
        if (lower(a.bytes[i]) != lower(b.bytes[i])) return false;
    return true;
}

static entry *place_of(vocabulary *known, words_text word, uint32_t hash) {
    uint32_t at = hash & (known->places - 1);
    for (;; at = (at + 1) & (known->places - 1)) {
        entry *found = known->entries + at;
        if (!found->word.bytes || (found->hash == hash && same_word(found->word, word))) return found;
    }
}

static bool grow(vocabulary *known) {
    vocabulary larger = {.places = known->places ? known->places * 2 : 1024, .used = known->used};
    larger.entries = words_alloc(larger.places * sizeof(entry));
    if (!larger.entries) return false;
    for (uint32_t i = 0; i < known->places; i++) {
        entry *old = known->entries + i;
        if (old->word.bytes) *place_of(&larger, old->word, old->hash) = *old;
    }
    words_free(known->entries);
    *known = larger;
    return true;
}

static bool learn(vocabulary *known, words_text word, uint32_t hash) {
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
static bool learn_words(vocabulary *known, words_text text, words_text *longest) {
    uint32_t begin = 0, hash = 2166136261u;
    for (uint32_t i = 0; i <= text.size; i++) {
        if (i < text.size && in_word(text.bytes[i])) {
            hash = (hash ^ lower(text.bytes[i])) * 16777619u;
            continue;
        }
        words_text word = {text.bytes + begin, i - begin};
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

#endif
