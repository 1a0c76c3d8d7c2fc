#include "pack.h"

enum { MOST = 64, FIELDS = 15 };

static pack_node scalars(pack_reader *in, pack_writer *out) {
    static const char *const names[FIELDS] = {
        "bool", "u8",  "u16", "u32",  "u64",   "s8",     "s16",   "s32",
        "s64",  "f32", "f64", "char", "flags", "string", "bytes",
    };
    pack_node from = pack_only(in), nodes[FIELDS];
    uint32_t at = 0;
#define COPY(name, type, kind) nodes[at++] = pack_##name(out, pack_get_##name(in, pack_field(in, from, #name)));
    PACK_SCALARS(COPY)
    nodes[at++] = pack_string(out, pack_get_string(in, pack_field(in, from, "string")));
    nodes[at++] = pack_bytes(out, pack_get_bytes(in, pack_field(in, from, "bytes")));
    return pack_record(out, "scalars", FIELDS, names, nodes);
}
PACK_EXPORT("scalars", scalars)

/* A payload that is a tuple travels as several payload values. */
static pack_node shape(pack_reader *in, pack_writer *out) {
    static const char *const cases[] = {"circle", "rectangle", "nothing"};
    pack_node from = pack_only(in), payload[2];
    uint32_t number = pack_case(in, from), count = pack_count(in, from);
    if (in->problem || number > 2 || count > 2) return 0;
    for (uint32_t i = 0; i < count; i++) payload[i] = pack_f64(out, pack_get_f64(in, pack_child(in, from, i)));
    return pack_variant(out, "shape", cases[number], number, count, payload);
}
PACK_EXPORT("shape", shape)

static pack_node option(pack_reader *in, pack_writer *out) {
    pack_node from = pack_only(in);
    if (!pack_count(in, from)) return pack_none(out);
    return pack_some(out, pack_string(out, pack_get_string(in, pack_child(in, from, 0))));
}
PACK_EXPORT("option", option)

static pack_node results(pack_reader *in, pack_writer *out) {
    pack_node from = pack_only(in), nodes[MOST];
    uint32_t count = pack_count(in, from);
    for (uint32_t i = 0; i < count && i < MOST; i++) {
        pack_node one = pack_child(in, from, i), payload = pack_child(in, one, 0);
        nodes[i] = pack_is_ok(in, one) ? pack_result(out, true, pack_u32(out, pack_get_u32(in, payload)))
                                       : pack_err_text(out, pack_get_string(in, payload));
    }
    return pack_list(out, PACK_TAG("\x14\x0e\x06"), count, nodes);
}
PACK_EXPORT("results", results)

static pack_node pairs(pack_reader *in, pack_writer *out) {
    pack_node from = pack_only(in), nodes[MOST];
    uint32_t count = pack_count(in, from);
    for (uint32_t i = 0; i < count && i < MOST; i++) {
        pack_node one = pack_child(in, from, i);
        pack_text word = pack_get_string(in, pack_child(in, one, 0));
        uint32_t number = pack_get_u32(in, pack_child(in, one, 1));
        nodes[i] = PACK_TUPLE_OF(out, pack_string(out, word), pack_u32(out, number));
    }
    return pack_list(out, PACK_TAG("\x0b\x02\0\0\0\x06\x0e"), count, nodes);
}
PACK_EXPORT("pairs", pairs)

static uint32_t below(pack_reader *in, pack_node node, uint32_t depth, uint32_t *deepest) {
    uint8_t kind = pack_kind_of(in, node);
    uint32_t found = 0;
    if (depth > *deepest) *deepest = depth;
    bool parent = kind == PACK_LIST || kind == PACK_RESULT || (kind >= PACK_VARIANT && kind <= PACK_TUPLE);
    for (uint32_t i = 0; parent && !in->problem && i < pack_count(in, node); i++)
        found += 1 + below(in, pack_child(in, node, i), depth + 1, deepest);
    return found;
}

static pack_node measure(pack_reader *in, pack_writer *out) {
    uint32_t deepest = 0;
    /* The parameter is a tuple of one, so it comes in another one. */
    uint32_t nodes = below(in, pack_child(in, pack_only(in), 0), 0, &deepest);
    return PACK_TUPLE_OF(out, pack_u32(out, nodes), pack_u32(out, deepest));
}
PACK_EXPORT("measure", measure)
