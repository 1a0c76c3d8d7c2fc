/* A guest that fetches what it is told, and keeps the body of the last answer. */
#include "pack.h"

PACK_IMPORT("theater:simple/http-client", "send-http", send_http);
PACK_IMPORT("theater:bus/http-client", "open", open_stream);
PACK_IMPORT("theater:bus/http-client", "read", read_stream);

enum { PIECE = 65536, MOST = 1 << 20 };

static pack_node write_state(pack_writer *out, pack_text body) {
    static const char *const names[] = {"body"};
    return pack_record(out, "fetcher", 1, names, (pack_node[]){pack_bytes(out, body)});
}

/* Sends a GET for the arguments of an export: the address, and the header Authorization. */
static void ask(pack_import *function, pack_reader *in, pack_reader *answer) {
    static const char *const names[] = {"method", "uri", "headers", "body"};
    pack_writer out = {0};
    pack_node header = PACK_TUPLE_OF(
        &out, pack_string(&out, pack_text_of("Authorization")), pack_string(&out, pack_get_string(in, pack_arg(in, 2)))
    );
    pack_node headers = pack_list(&out, PACK_TAG("\x0b\x02\0\0\0\x06\x06"), 1, &header);
    pack_node values[] = {
        pack_string(&out, pack_text_of("GET")),
        pack_string(&out, pack_get_string(in, pack_arg(in, 1))),
        headers,
        pack_none(&out),
    };
    pack_call(function, &out, pack_record(&out, "http-request", 4, names, values), answer);
}

static pack_node refusal(pack_writer *out, pack_reader *answer) {
    return pack_err_text(out, pack_get_string(answer, pack_child(answer, answer->root, 0)));
}

static pack_node fetch(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    pack_node root;
    ask(send_http, in, &answer);
    if (pack_is_ok(&answer, answer.root)) {
        pack_node response = pack_child(&answer, answer.root, 0);
        pack_text body = pack_get_bytes(&answer, pack_child(&answer, pack_field(&answer, response, "body"), 0));
        uint16_t status = pack_get_u16(&answer, pack_field(&answer, response, "status"));
        root = pack_reply(out, write_state(out, body), pack_u16(out, status));
    } else {
        root = refusal(out, &answer);
    }
    if (answer.problem) out->problem = answer.problem;
    pack_close(&answer);
    return root;
}
PACK_EXPORT("fetch", fetch)

static uint8_t body[MOST];

/* Adds the next piece to `body`: 1 for a piece, 0 at the end, -1 where it is refused; then the answer stays open. */
static int add_piece(uint64_t stream, uint32_t *size, pack_reader *answer) {
    pack_writer out = {0};
    pack_node root = PACK_TUPLE_OF(&out, pack_u64(&out, stream), pack_u32(&out, PIECE));
    pack_call(read_stream, &out, root, answer);
    if (!pack_is_ok(answer, answer->root)) return -1;
    pack_node piece = pack_child(answer, answer->root, 0);
    int more = pack_count(answer, piece) > 0;
    if (more) {
        pack_text bytes = pack_get_bytes(answer, pack_child(answer, piece, 0));
        if (bytes.size > MOST - *size) __builtin_trap();
        __builtin_memcpy(body + *size, bytes.bytes, bytes.size);
        *size += bytes.size;
    }
    pack_close(answer);
    return more;
}

static pack_node drain(pack_reader *in, pack_writer *out) {
    pack_reader answer;
    ask(open_stream, in, &answer);
    if (!pack_is_ok(&answer, answer.root)) return refusal(out, &answer);
    uint64_t stream = pack_get_u64(&answer, pack_field(&answer, pack_child(&answer, answer.root, 0), "stream"));
    pack_close(&answer);
    uint32_t size = 0;
    uint64_t pieces = 0;
    int more;
    while ((more = add_piece(stream, &size, &answer)) > 0) pieces++;
    if (more < 0) return refusal(out, &answer);
    return pack_reply(out, write_state(out, (pack_text){body, size}), pack_u64(out, pieces));
}
PACK_EXPORT("drain", drain)
