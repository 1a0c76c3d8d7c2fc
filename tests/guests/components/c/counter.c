// The actor of counter.pact in C, against the canonical ABI: no library, no generated code.
//
// A function gets its parameters flat (a record is its fields, an option a flag and its content) and answers with the
// address of its result in memory. What the host puts into memory is allocated by `cabi_realloc`; once it has read a
// result, it calls `cabi_post_…`, and all memory of the call is free again.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

typedef struct { const u8 *at; u32 size; } text;
typedef struct { u8 given; text value; } optional_text;
typedef struct { u64 count; optional_text last; } tally;
typedef struct { u8 failed; union { struct { tally state; u64 value; } ok; text error; }; } answer;

#define IMPORT(name) __attribute__((import_module("theater:simple/runtime"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define STATE u64 count, u32 last_given, const u8 *last, u32 last_size

IMPORT("log") void host_log(const char *at, u32 size);
IMPORT("self") void host_self(text *result);

extern u8 __heap_base;
static u32 used;
static answer result;
static text echoed;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
    u32 start = ((u32)&__heap_base + used + align - 1) & ~(align - 1);
    u32 end = start + size;
    if (end < start) __builtin_trap();
    u32 pages = __builtin_wasm_memory_size(0);
    if (end > pages * 65536 && __builtin_wasm_memory_grow(0, (end - pages * 65536 + 65535) / 65536) == (u32)-1)
        __builtin_trap();
    used = end - (u32)&__heap_base;
    u8 *place = (u8 *)start;
    for (u32 i = 0; i < old_size; i++) place[i] = ((u8 *)old)[i];
    return place;
}

#define LOG(words) host_log(words, sizeof words - 1)

static answer *keep(u64 count, u32 last_given, const u8 *last, u32 last_size) {
    result.failed = 0;
    result.ok.state = (tally){count, {last_given, {last, last_size}}};
    result.ok.value = count;
    return &result;
}

static answer *refuse(const char *words, u32 size) {
    result.failed = 1;
    result.error = (text){(const u8 *)words, size};
    return &result;
}

EXPORT("theater:simple/actor#init") answer *init(STATE) {
    text self;
    host_self(&self);
    return keep(count, 1, self.at, self.size);
}

EXPORT("increment") answer *increment(STATE, u64 by) {
    static const char nothing[] = "nothing to add";
    LOG("adding");
    if (by == 0) return refuse(nothing, sizeof nothing - 1);
    text self;
    host_self(&self);
    return keep(count + by, 1, self.at, self.size);
}

EXPORT("get") answer *get(STATE) { return keep(count, last_given, last, last_size); }

EXPORT("trap") answer *trap(STATE) {
    LOG("trapping");
    __builtin_trap();
}

EXPORT("spin") answer *spin(STATE) {
    for (volatile u32 forever = 1; forever;) {}
    return &result;
}

EXPORT("echo") text *echo(const u8 *at, u32 size) {
    echoed = (text){at, size};
    return &echoed;
}

EXPORT("echo-bytes") text *echo_bytes(const u8 *at, u32 size) { return echo(at, size); }

#define POST(name, id) EXPORT("cabi_post_" name) void post_##id(void *read) { used = 0; }
POST("theater:simple/actor#init", init)
POST("increment", increment)
POST("get", get)
POST("trap", trap)
POST("spin", spin)
POST("echo", echo)
POST("echo-bytes", echo_bytes)
