// What a component in C needs of the canonical ABI: no library, no generated code.
//
// A function gets its parameters flat (a record is its fields) and answers with the address of its result in memory. What
// the host puts into memory is allocated by `cabi_realloc`; once it has read a result, it calls `cabi_post_…`, and all
// memory of the call is free again.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

typedef struct { const u8 *at; u32 size; } text;

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(interface, name) __attribute__((import_module(interface), import_name(name)))
#define POST(name, id) EXPORT("cabi_post_" name) void post_##id(void *read) { (void)read; used = 0; }
#define TEXT(words) ((text){(const u8 *)words, sizeof words - 1})
#define PAGE 65536u

extern u8 __heap_base;
static u32 used;

// Memory that is not cleared, or 0 where there is no more.
static u8 *take(u32 align, u32 size) {
    u32 start = ((u32)&__heap_base + used + align - 1) & ~(align - 1);
    u32 end = start + size, memory = __builtin_wasm_memory_size(0) * PAGE;
    if (end < start) return 0;
    if (end > memory && __builtin_wasm_memory_grow(0, (end - memory + PAGE - 1) / PAGE) == (u32)-1) return 0;
    used = end - (u32)&__heap_base;
    return (u8 *)start;
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
    u8 *place = take(align, size);
    if (!place) __builtin_trap();
    for (u32 i = 0; i < old_size; i++) place[i] = ((u8 *)old)[i];
    return place;
}
