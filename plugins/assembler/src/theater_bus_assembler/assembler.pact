// WebAssembly text to modules.
interface runtime {
    @package: string = "wisp:assembler"

    exports {
        // The binary form of a module in text form, or what is wrong with the text and where.
        wat-to-wasm: func(wat: string) -> result<list<u8>, string>
    }
}
