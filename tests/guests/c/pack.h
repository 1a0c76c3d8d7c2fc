/* pack.h: guests for theater_bus and Theater in C, without a C library.
 *
 *     #include "pack.h"
 *
 *     static pack_node increment(pack_reader *in, pack_writer *out) {
 *         uint64_t state = pack_get_u64(in, pack_arg(in, 0)), by = pack_get_u64(in, pack_arg(in, 1));
 *         if (state + by < state) return pack_err(out, "overflow");
 *         return pack_reply(out, pack_u64(out, state + by), pack_u64(out, state + by));
 *     }
 *     PACK_EXPORT("increment", increment)
 *
 * and in the pact file beside it: exports { increment: func(state: u64, by: u64) -> result<tuple<u64, u64>, string> }
 *
 * Reading and writing never fail at once: the first problem is kept in the reader or writer, what follows reads as zero
 * and writes nothing, and the call ends with status -1 and the problem as its message. A function that acts on the
 * outside (a host call) asks `in->problem` first.
 *
 * A value is written children first; every `pack_*` that writes gives the node that later ones name as their child.
 * Type tags are advisory in CGRF: what is written here says `bool` where C does not know better. Names of records and
 * cases are those of the pact file. wasm32 only; compile with -mbulk-memory.
 */
#ifndef PACK_H
#define PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pack_kind {
    PACK_BOOL = 0x01,
    PACK_S32 = 0x02,
    PACK_S64 = 0x03,
    PACK_F32 = 0x04,
    PACK_F64 = 0x05,
    PACK_STRING = 0x06,
    PACK_LIST = 0x07,
    PACK_VARIANT = 0x08,
    PACK_RECORD = 0x09,
    PACK_OPTION = 0x0a,
    PACK_TUPLE = 0x0b,
    PACK_U8 = 0x0c,
    PACK_U16 = 0x0d,
    PACK_U32 = 0x0e,
    PACK_U64 = 0x0f,
    PACK_S8 = 0x10,
    PACK_S16 = 0x11,
    PACK_CHAR = 0x12,
    PACK_FLAGS = 0x13,
    PACK_RESULT = 0x14,
    PACK_ARRAY = 0x15,
};

/* Not `inline`: the compiler takes that for a wish, and guests are to be small. */
#define PACK_PRIVATE static __attribute__((unused))

/* The scalars with their C types; there is a function to read and one to write each. A char is its code point. */
#define PACK_SCALARS(X) \
    X(bool, uint8_t, PACK_BOOL) \
    X(u8, uint8_t, PACK_U8) \
    X(u16, uint16_t, PACK_U16) \
    X(u32, uint32_t, PACK_U32) \
    X(u64, uint64_t, PACK_U64) \
    X(s8, int8_t, PACK_S8) \
    X(s16, int16_t, PACK_S16) \
    X(s32, int32_t, PACK_S32) \
    X(s64, int64_t, PACK_S64) \
    X(f32, float, PACK_F32) \
    X(f64, double, PACK_F64) \
    X(char, uint32_t, PACK_CHAR) \
    X(flags, uint64_t, PACK_FLAGS)

enum { PACK_HEADER = 16, PACK_NODE = 8, PACK_PAGE = 65536 };

/* Bytes that lie somewhere else: of a string, or of a list<u8>. Not terminated. */
typedef struct {
    const uint8_t *bytes;
    uint32_t size;
} pack_text;

/* The index of a node, in the reader or writer that it belongs to. */
typedef uint32_t pack_node;

PACK_PRIVATE uint32_t pack_length(const char *text) {
    uint32_t size = 0;
    while (text[size]) size++;
    return size;
}

PACK_PRIVATE pack_text pack_text_of(const char *text) {
    return (pack_text){(const uint8_t *)text, pack_length(text)};
}

PACK_PRIVATE bool pack_same(pack_text a, pack_text b) {
    if (a.size != b.size) return false;
    for (uint32_t i = 0; i < a.size; i++)
        if (a.bytes[i] != b.bytes[i]) return false;
    return true;
}

PACK_PRIVATE uint32_t pack_load(const uint8_t *at) {
    uint32_t word;
    __builtin_memcpy(&word, at, sizeof word);
    return word;
}

PACK_PRIVATE void pack_store(uint8_t *at, uint32_t word) { __builtin_memcpy(at, &word, sizeof word); }

/* ---- memory ---------------------------------------------------------------------------------------------------------
 * Free blocks are kept in a list by address and join their neighbours; those at the end go back to the untouched rest.
 */

typedef struct pack_block {
    uint32_t size; /* with these 8 bytes in front */
    struct pack_block *next;
} pack_block;

extern uint8_t __heap_base;
static pack_block *pack_free_blocks;
static uintptr_t pack_heap_end;

PACK_PRIVATE uint8_t *pack_cleared(pack_block *block) {
    uint8_t *bytes = (uint8_t *)(block + 1);
    __builtin_memset(bytes, 0, block->size - sizeof *block);
    return bytes;
}

/* Takes `whole` bytes from the end of the heap, growing the memory where that is needed; NULL where it cannot grow. */
PACK_PRIVATE pack_block *pack_extend(uint32_t whole) {
    if (!pack_heap_end) pack_heap_end = ((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7;
    uint64_t end = (uint64_t)pack_heap_end + whole, have = (uint64_t)__builtin_wasm_memory_size(0) * PACK_PAGE;
    if (end > have) {
        size_t pages = (size_t)((end - have + PACK_PAGE - 1) / PACK_PAGE);
        if (end > UINT32_MAX || __builtin_wasm_memory_grow(0, pages) == (size_t)-1) return NULL;
    }
    pack_block *block = (pack_block *)pack_heap_end;
    pack_heap_end = (uintptr_t)end;
    block->size = whole;
    return block;
}

/* Zeroed memory, 8-aligned; NULL for no bytes and where there is no room. */
__attribute__((export_name("__pack_alloc"))) void *pack_alloc(int32_t size) {
    if (size <= 0) return NULL;
    uint32_t whole = (((uint32_t)size + 7) & ~7u) + sizeof(pack_block);
    for (pack_block **link = &pack_free_blocks; *link; link = &(*link)->next) {
        pack_block *block = *link;
        if (block->size < whole) continue;
        if (block->size - whole > sizeof(pack_block)) {
            pack_block *rest = (pack_block *)((uint8_t *)block + whole);
            rest->size = block->size - whole;
            rest->next = block->next;
            block->size = whole;
            *link = rest;
        } else {
            *link = block->next;
        }
        return pack_cleared(block);
    }
    pack_block *block = pack_extend(whole);
    return block ? pack_cleared(block) : NULL;
}

PACK_PRIVATE void pack_join(pack_block *block) {
    pack_block *next = block->next;
    if (next && (uint8_t *)block + block->size == (uint8_t *)next) {
        block->size += next->size;
        block->next = next->next;
    }
}

/* Gives memory back. Nothing happens for what `pack_alloc` cannot have given, such as the text of a message. */
__attribute__((export_name("__pack_free"))) void pack_free(void *memory, int32_t size) {
    if (size <= 0 || (uintptr_t)memory < (uintptr_t)&__heap_base) return;
    pack_block *block = (pack_block *)memory - 1, *before = NULL;
    pack_block **link = &pack_free_blocks;
    while (*link && *link < block) {
        before = *link;
        link = &before->next;
    }
    block->next = *link;
    *link = block;
    pack_join(block);
    if (before) pack_join(before);
    for (link = &pack_free_blocks; *link && (*link)->next; link = &(*link)->next) continue;
    if ((uintptr_t)*link + (*link)->size == pack_heap_end) {
        pack_heap_end = (uintptr_t)*link;
        *link = NULL;
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------------*/

/* An encoded value. `problem` says why reading failed, NULL as long as it did not. */
typedef struct {
    const uint8_t *bytes;
    uint32_t size, nodes;
    pack_node root;
    uint32_t *offsets;
    const char *problem;
    bool owned;
} pack_reader;

PACK_PRIVATE void pack_refuse(pack_reader *in, const char *problem) {
    if (!in->problem) in->problem = problem;
}

/* Finds the nodes of an encoded value. `pack_close` gives back what this takes. */
PACK_PRIVATE void pack_open(pack_reader *in, const uint8_t *bytes, uint32_t size) {
    *in = (pack_reader){.bytes = bytes, .size = size};
    if (size < PACK_HEADER || pack_load(bytes) != 0x46524743 || bytes[4] != 2 || bytes[5] != 0) {
        pack_refuse(in, "decode error: not CGRF version 2");
        return;
    }
    uint32_t nodes = pack_load(bytes + 8), at = PACK_HEADER;
    in->root = pack_load(bytes + 12);
    if (nodes > (size - PACK_HEADER) / PACK_NODE || in->root >= nodes) {
        pack_refuse(in, "decode error: wrong number of nodes");
        return;
    }
    in->offsets = pack_alloc((int32_t)(nodes * sizeof *in->offsets));
    if (!in->offsets) {
        pack_refuse(in, "out of memory");
        return;
    }
    for (in->nodes = 0; in->nodes < nodes; in->nodes++) {
        if (size - at < PACK_NODE || size - at - PACK_NODE < pack_load(bytes + at + 4)) {
            pack_refuse(in, "decode error: cut short");
            return;
        }
        in->offsets[in->nodes] = at;
        at += PACK_NODE + pack_load(bytes + at + 4);
    }
}

PACK_PRIVATE void pack_close(pack_reader *in) {
    pack_free(in->offsets, 1);
    if (in->owned) pack_free((void *)in->bytes, (int32_t)in->size);
    in->offsets = NULL;
    in->owned = false;
}

/* The kind of a node, 0 for one that is not there. */
PACK_PRIVATE uint8_t pack_kind_of(const pack_reader *in, pack_node node) {
    return node < in->nodes ? in->bytes[in->offsets[node]] : 0;
}

/* The content of a node that is of this kind and of at least this size, else an empty text. */
PACK_PRIVATE pack_text pack_content(pack_reader *in, pack_node node, uint8_t kind, uint32_t least) {
    if (!in->problem && node < in->nodes && pack_kind_of(in, node) == kind) {
        const uint8_t *at = in->bytes + in->offsets[node];
        if (pack_load(at + 4) >= least) return (pack_text){at + PACK_NODE, pack_load(at + 4)};
    }
    pack_refuse(in, "failed to convert parameter");
    return (pack_text){NULL, 0};
}

PACK_PRIVATE uint64_t pack_bits(pack_reader *in, pack_node node, uint8_t kind, uint32_t width) {
    uint64_t bits = 0;
    pack_text content = pack_content(in, node, kind, width);
    if (content.bytes) __builtin_memcpy(&bits, content.bytes, width);
    return bits;
}

/* pack_get_bool(in, node) and so on. */
#define PACK_GETTER(name, type, kind) \
    PACK_PRIVATE type pack_get_##name(pack_reader *in, pack_node node) { \
        uint64_t bits = pack_bits(in, node, kind, sizeof(type)); \
        type value; \
        __builtin_memcpy(&value, &bits, sizeof value); \
        return value; \
    }
PACK_SCALARS(PACK_GETTER)

PACK_PRIVATE pack_text pack_get_string(pack_reader *in, pack_node node) {
    pack_text content = pack_content(in, node, PACK_STRING, 4);
    if (!content.bytes) return content;
    return (pack_text){content.bytes + 4, content.size - 4};
}

/* The bytes of a list<u8>. */
PACK_PRIVATE pack_text pack_get_bytes(pack_reader *in, pack_node node) {
    pack_text content = pack_content(in, node, PACK_ARRAY, 5);
    if (!content.bytes) return content;
    if (content.bytes[0] != PACK_U8) pack_refuse(in, "failed to convert parameter");
    return (pack_text){content.bytes + 5, content.size - 5};
}

/* How many bytes a type tag takes, 0 for one that does not end. */
PACK_PRIVATE uint32_t pack_tag_size(pack_text from) {
    uint32_t at = 0;
    for (uint32_t open = 1; open; open--) {
        if (at >= from.size) return 0;
        uint8_t kind = from.bytes[at++];
        if (kind == PACK_LIST || kind == PACK_OPTION) open += 1;
        if (kind == PACK_RESULT) open += 2;
        if (kind != PACK_RECORD && kind != PACK_VARIANT && kind != PACK_TUPLE) continue;
        if (from.size - at < 4) return 0;
        uint32_t count = pack_load(from.bytes + at), rest = from.size - at - 4;
        if (count > rest) return 0;
        at += kind == PACK_TUPLE ? 4 : 4 + count;
        open += kind == PACK_TUPLE ? count : 0;
    }
    return at;
}

/* Each steps over what is at the front; false where it does not end. */
PACK_PRIVATE bool pack_skip_bytes(pack_text *from, uint32_t size) {
    if (!size || from->size < size) return false;
    *from = (pack_text){from->bytes + size, from->size - size};
    return true;
}
PACK_PRIVATE bool pack_skip_tag(pack_text *from) { return pack_skip_bytes(from, pack_tag_size(*from)); }
PACK_PRIVATE bool pack_skip_strings(pack_text *from, uint32_t count) {
    for (; count; count--) {
        if (from->size < 4 || from->size - 4 < pack_load(from->bytes)) return false;
        pack_skip_bytes(from, 4 + pack_load(from->bytes));
    }
    return true;
}

/* Steps over what stands in front of a node's child indices and gives their number; `fits` turns false where that is
 * cut short. `names` gets where a record's field names begin.
 */
PACK_PRIVATE uint32_t pack_skip_front(uint8_t kind, pack_text *rest, pack_text *names, bool *fits) {
    uint32_t count = 1;
    if (kind == PACK_LIST || kind == PACK_OPTION || kind == PACK_RESULT) *fits = pack_skip_tag(rest);
    if (kind == PACK_RESULT) {
        *fits = *fits && pack_skip_tag(rest) && pack_skip_bytes(rest, 5);
        return count;
    }
    if (kind == PACK_OPTION) {
        count = *fits && rest->size && rest->bytes[0] == 1;
        *fits = *fits && pack_skip_bytes(rest, 1);
        return count;
    }
    if (kind == PACK_RECORD) *fits = pack_skip_strings(rest, 1);
    if (kind == PACK_VARIANT) *fits = pack_skip_strings(rest, 2) && pack_skip_bytes(rest, 4);
    *fits = *fits && rest->size >= 4;
    count = *fits ? pack_load(rest->bytes) : 0;
    *fits = *fits && pack_skip_bytes(rest, 4);
    *names = *rest;
    if (kind == PACK_RECORD) *fits = *fits && pack_skip_strings(rest, count);
    return count;
}

/* The child indices of a node, four bytes each, and where the field names of a record begin. */
PACK_PRIVATE pack_text pack_children_of(pack_reader *in, pack_node node, pack_text *names) {
    uint8_t kind = pack_kind_of(in, node);
    pack_text rest = pack_content(in, node, kind, 2);
    bool parent = kind == PACK_LIST || kind == PACK_RESULT || (kind >= PACK_VARIANT && kind <= PACK_TUPLE);
    bool fits = parent && rest.bytes;
    uint32_t count = fits ? pack_skip_front(kind, &rest, names, &fits) : 0;
    if (fits && count <= rest.size / 4) return (pack_text){rest.bytes, count * 4};
    pack_refuse(in, "failed to convert parameter");
    return (pack_text){NULL, 0};
}

PACK_PRIVATE pack_text pack_children(pack_reader *in, pack_node node) {
    pack_text names = {NULL, 0};
    return pack_children_of(in, node, &names);
}

/* How many items, fields or payload values a node has; of an option, whether it holds something. */
PACK_PRIVATE uint32_t pack_count(pack_reader *in, pack_node node) { return pack_children(in, node).size / 4; }

/* A child of a list, tuple, record, variant, option or result. */
PACK_PRIVATE pack_node pack_child(pack_reader *in, pack_node node, uint32_t which) {
    pack_text children = pack_children(in, node);
    if (which < children.size / 4) return pack_load(children.bytes + which * 4);
    pack_refuse(in, "missing parameter in tuple");
    return UINT32_MAX;
}

/* A field of a record, by its name. */
PACK_PRIVATE pack_node pack_field(pack_reader *in, pack_node node, const char *name) {
    pack_text names = {NULL, 0}, wanted = pack_text_of(name);
    pack_text children = pack_children_of(in, node, &names);
    for (uint32_t which = 0; which < children.size / 4; which++) {
        uint32_t size = pack_load(names.bytes);
        if (pack_same((pack_text){names.bytes + 4, size}, wanted)) return pack_load(children.bytes + which * 4);
        names.bytes += 4 + size;
    }
    pack_refuse(in, "failed to convert parameter");
    return UINT32_MAX;
}

/* The number of the case that a variant or enum holds. */
PACK_PRIVATE uint32_t pack_case(pack_reader *in, pack_node node) {
    pack_text rest = pack_content(in, node, PACK_VARIANT, 16);
    if (rest.bytes && pack_skip_strings(&rest, 2) && rest.size >= 4) return pack_load(rest.bytes);
    pack_refuse(in, "failed to convert parameter");
    return 0;
}

/* Whether a result is ok; `pack_child(in, node, 0)` is what it holds. */
PACK_PRIVATE bool pack_is_ok(pack_reader *in, pack_node node) {
    pack_text children = pack_children(in, node);
    return children.bytes && pack_kind_of(in, node) == PACK_RESULT && pack_load(children.bytes - 5) == 0;
}

/* A parameter. Of a function with state, 0 is the state. */
PACK_PRIVATE pack_node pack_arg(pack_reader *in, uint32_t which) { return pack_child(in, in->root, which); }

/* The parameter of a function without state that has only one: it comes bare, or in a tuple of one. */
PACK_PRIVATE pack_node pack_only(pack_reader *in) {
    bool wrapped = pack_kind_of(in, in->root) == PACK_TUPLE && pack_count(in, in->root) == 1;
    return wrapped ? pack_arg(in, 0) : in->root;
}

/* ---- writing ------------------------------------------------------------------------------------------------------*/

/* A value in the making. Start with `pack_writer out = {0}`. */
typedef struct {
    uint8_t *bytes;
    uint32_t size, room, nodes;
    const char *problem;
} pack_writer;

/* A type tag, written down as bytes: PACK_TAG("\x06") is `string`. */
typedef struct {
    const char *bytes;
    uint32_t size;
} pack_tag;

#define PACK_TAG(literal) ((pack_tag){literal, sizeof literal - 1})

PACK_PRIVATE void pack_discard(pack_writer *out) {
    pack_free(out->bytes, (int32_t)out->room);
    *out = (pack_writer){.problem = out->problem};
}

/* Sees to it that `more` bytes fit; false, and a problem, where there is no room. */
PACK_PRIVATE bool pack_reserve(pack_writer *out, uint32_t more) {
    if (out->problem) return false;
    uint64_t need = (uint64_t)out->size + more + (out->bytes ? 0 : PACK_HEADER);
    if (need <= out->room) return true;
    uint64_t room = out->room ? out->room * (uint64_t)2 : 256;
    if (room < need) room = need;
    uint8_t *bytes = room <= INT32_MAX ? pack_alloc((int32_t)room) : NULL;
    if (!bytes) {
        out->problem = "out of memory";
        return false;
    }
    if (out->bytes) __builtin_memcpy(bytes, out->bytes, out->size);
    pack_free(out->bytes, (int32_t)out->room);
    if (!out->bytes) out->size = PACK_HEADER;
    out->bytes = bytes;
    out->room = (uint32_t)room;
    return true;
}

/* The place for the content of a new node, NULL after a problem. The node's index is `out->nodes - 1` from now on. */
PACK_PRIVATE uint8_t *pack_begin(pack_writer *out, uint8_t kind, uint32_t size) {
    if (size > INT32_MAX - PACK_NODE || !pack_reserve(out, PACK_NODE + size)) return NULL;
    uint8_t *at = out->bytes + out->size;
    pack_store(at, kind);
    pack_store(at + 4, size);
    out->size += PACK_NODE + size;
    out->nodes++;
    return at + PACK_NODE;
}

PACK_PRIVATE pack_node pack_last(const pack_writer *out) { return out->nodes ? out->nodes - 1 : 0; }

PACK_PRIVATE pack_node pack_scalar(pack_writer *out, uint8_t kind, const void *bits, uint32_t width) {
    uint8_t *at = pack_begin(out, kind, width);
    if (at) __builtin_memcpy(at, bits, width);
    return pack_last(out);
}

/* pack_bool(out, value) and so on. */
#define PACK_PUTTER(name, type, kind) \
    PACK_PRIVATE pack_node pack_##name(pack_writer *out, type value) { \
        return pack_scalar(out, kind, &value, sizeof value); \
    }
PACK_SCALARS(PACK_PUTTER)

PACK_PRIVATE uint8_t *pack_write(uint8_t *at, pack_text text) {
    pack_store(at, text.size);
    if (text.size) __builtin_memcpy(at + 4, text.bytes, text.size);
    return at + 4 + text.size;
}

PACK_PRIVATE pack_node pack_string(pack_writer *out, pack_text text) {
    uint8_t *at = pack_begin(out, PACK_STRING, 4 + text.size);
    if (at) pack_write(at, text);
    return pack_last(out);
}

/* A list<u8>. */
PACK_PRIVATE pack_node pack_bytes(pack_writer *out, pack_text bytes) {
    uint8_t *at = pack_begin(out, PACK_ARRAY, 5 + bytes.size);
    if (at) {
        at[0] = PACK_U8;
        pack_write(at + 1, bytes);
    }
    return pack_last(out);
}

PACK_PRIVATE void pack_link(uint8_t *at, uint32_t count, const pack_node *children) {
    for (uint32_t i = 0; i < count; i++) pack_store(at + i * 4, children[i]);
}

PACK_PRIVATE pack_node pack_tuple(pack_writer *out, uint32_t count, const pack_node *items) {
    uint8_t *at = pack_begin(out, PACK_TUPLE, 4 + count * 4);
    if (at) {
        pack_store(at, count);
        pack_link(at + 4, count, items);
    }
    return pack_last(out);
}

/* PACK_TUPLE_OF(out, a, b): a tuple of the nodes a and b. */
#define PACK_TUPLE_OF(out, ...) \
    pack_tuple(out, sizeof((pack_node[]){__VA_ARGS__}) / sizeof(pack_node), (pack_node[]){__VA_ARGS__})

/* A list whose items are no numbers, chars, bools or flags. */
PACK_PRIVATE pack_node pack_list(pack_writer *out, pack_tag item, uint32_t count, const pack_node *items) {
    uint8_t *at = pack_begin(out, PACK_LIST, item.size + 4 + count * 4);
    if (at) {
        __builtin_memcpy(at, item.bytes, item.size);
        pack_store(at + item.size, count);
        pack_link(at + item.size + 4, count, items);
    }
    return pack_last(out);
}

PACK_PRIVATE pack_node pack_record(
    pack_writer *out, const char *name, uint32_t count, const char *const *fields, const pack_node *values
) {
    uint32_t size = 4 + pack_length(name) + 4;
    for (uint32_t i = 0; i < count; i++) size += 4 + pack_length(fields[i]) + 4;
    uint8_t *at = pack_begin(out, PACK_RECORD, size);
    if (at) {
        at = pack_write(at, pack_text_of(name));
        pack_store(at, count);
        at += 4;
        for (uint32_t i = 0; i < count; i++) at = pack_write(at, pack_text_of(fields[i]));
        pack_link(at, count, values);
    }
    return pack_last(out);
}

/* A case of a variant or enum: by its number, with its payload if it has one. A tuple as payload is written as several
 * values, without the tuple.
 */
PACK_PRIVATE pack_node pack_variant(
    pack_writer *out, const char *name, const char *case_name, uint32_t number, uint32_t count, const pack_node *payload
) {
    uint8_t *at = pack_begin(out, PACK_VARIANT, 4 + pack_length(name) + 4 + pack_length(case_name) + 8 + count * 4);
    if (at) {
        at = pack_write(pack_write(at, pack_text_of(name)), pack_text_of(case_name));
        pack_store(at, number);
        pack_store(at + 4, count);
        pack_link(at + 8, count, payload);
    }
    return pack_last(out);
}

PACK_PRIVATE pack_node pack_some(pack_writer *out, pack_node value) {
    uint8_t *at = pack_begin(out, PACK_OPTION, 6);
    if (at) {
        at[0] = PACK_BOOL;
        at[1] = 1;
        pack_store(at + 2, value);
    }
    return pack_last(out);
}

PACK_PRIVATE pack_node pack_none(pack_writer *out) {
    uint8_t *at = pack_begin(out, PACK_OPTION, 2);
    if (at) {
        at[0] = PACK_BOOL;
        at[1] = 0;
    }
    return pack_last(out);
}

PACK_PRIVATE pack_node pack_result(pack_writer *out, bool is_ok, pack_node value) {
    uint8_t *at = pack_begin(out, PACK_RESULT, 11);
    if (at) {
        at[0] = PACK_BOOL;
        at[1] = PACK_STRING;
        pack_store(at + 2, !is_ok);
        at[6] = 1;
        pack_store(at + 7, value);
    }
    return pack_last(out);
}

/* What a function with state answers: ok((state, value)), ok((state)), or err(text), which leaves the state alone. */
PACK_PRIVATE pack_node pack_reply(pack_writer *out, pack_node state, pack_node value) {
    return pack_result(out, true, PACK_TUPLE_OF(out, state, value));
}
PACK_PRIVATE pack_node pack_state(pack_writer *out, pack_node state) {
    return pack_result(out, true, PACK_TUPLE_OF(out, state));
}
PACK_PRIVATE pack_node pack_err_text(pack_writer *out, pack_text text) {
    return pack_result(out, false, pack_string(out, text));
}
PACK_PRIVATE pack_node pack_err(pack_writer *out, const char *text) {
    return pack_err_text(out, pack_text_of(text));
}

/* Writes the header: from now on `out->bytes`, `out->size` are an encoded value. */
PACK_PRIVATE void pack_finish(pack_writer *out, pack_node root) {
    if (!pack_reserve(out, 0)) return;
    pack_store(out->bytes, 0x46524743);
    pack_store(out->bytes + 4, 2);
    pack_store(out->bytes + 8, out->nodes);
    pack_store(out->bytes + 12, root);
}

/* ---- exports and imports ------------------------------------------------------------------------------------------*/

/* Reads the input, writes the output, gives the root of what it wrote. */
typedef pack_node (*pack_function)(pack_reader *in, pack_writer *out);

static int32_t pack_serve(pack_function run, const uint8_t *bytes, uint32_t size, uint32_t *at, uint32_t *length) {
    pack_reader in;
    pack_writer out = {0};
    pack_open(&in, bytes, size);
    pack_finish(&out, in.problem ? 0 : run(&in, &out));
    pack_close(&in);
    const char *problem = in.problem ? in.problem : out.problem;
    if (problem) pack_discard(&out);
    *at = problem ? (uint32_t)(uintptr_t)problem : (uint32_t)(uintptr_t)out.bytes;
    *length = problem ? pack_length(problem) : out.size;
    return problem ? -1 : 0;
}

/* PACK_EXPORT("my:app/counter.get", get): the function under its name in the pact file. */
#define PACK_EXPORT(name, run) \
    __attribute__((export_name(name))) int32_t run##_export( \
        const uint8_t *bytes, uint32_t size, uint32_t *at, uint32_t *length \
    ) { \
        return pack_serve(run, bytes, size, at, length); \
    }

typedef int32_t pack_import(const uint8_t *bytes, uint32_t size, uint32_t *at, uint32_t *length);

/* PACK_IMPORT("theater:simple/runtime", "log", runtime_log): a host function, to be called with `pack_call`. */
#define PACK_IMPORT(interface, function, name) \
    __attribute__((import_module(interface), import_name(function))) extern pack_import name

/* Calls a host function with the value whose root is given: one parameter bare, none or several as a tuple. Takes the
 * writer's memory. The answer lies in the host's buffer until the next host call; close it with `pack_close`.
 */
static inline __attribute__((always_inline)) void pack_call(
    pack_import *function, pack_writer *arguments, pack_node root, pack_reader *answer
) {
    uint32_t at = 0, length = 0;
    pack_finish(arguments, root);
    if (arguments->problem) __builtin_trap();
    int32_t status = function(arguments->bytes, arguments->size, &at, &length);
    pack_discard(arguments);
    if (status < 0) __builtin_trap();
    pack_open(answer, (const uint8_t *)(uintptr_t)at, length);
    answer->owned = status == 1;
}

#endif
