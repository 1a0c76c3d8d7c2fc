/* A text analyser; what it counts is in words.h. */
#include "pack.h"

typedef pack_text words_text;
#define words_alloc(size) pack_alloc((int32_t)(size))
#define words_free(memory) pack_free(memory, 1)
#include "words.h"

enum { FIELDS = 7 };

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
    words_free(known.entries);
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
