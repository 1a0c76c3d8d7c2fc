// Files and folders below the paths that the manifest names. Paths are absolute, or relative to a folder of the actor's
// own; symbolic links are not followed.
interface filesystem {
    @package: string = "theater:simple"
    @external: list<string> = ["write-file", "write-bytes", "delete-file", "create-dir", "delete-dir"]

    record command-success {
        stdout: string,
        stderr: string,
        exit-code: s32,
    }

    record command-error {
        message: string,
    }

    variant command-result {
        success(command-success),
        error(command-error),
    }

    exports {
        // The content of a file.
        read-file: func(path: string) -> result<list<u8>, string>
        // Make a file, or replace its content; nobody ever sees half of it.
        write-file: func(path: string, content: string) -> result<_, string>
        // The names in a folder, sorted.
        list-files: func(path: string) -> result<list<string>, string>
        // Remove a file, or a symbolic link.
        delete-file: func(path: string) -> result<_, string>
        // Make a folder; the one above it must be there.
        create-dir: func(path: string) -> result<_, string>
        // Remove a folder with all that is in it.
        delete-dir: func(path: string) -> result<_, string>
        // Whether there is anything at a path.
        path-exists: func(path: string) -> result<bool, string>
        // Refused: the capability `process` runs programs.
        execute-command: func(dir: string, command: string, args: list<string>) -> result<command-result, string>
        // Refused, as `execute-command`.
        execute-nix-command: func(dir: string, command: string) -> result<command-result, string>

        theater:bus/filesystem {
            // `write-file` for content that is no text.
            write-bytes: func(path: string, content: list<u8>) -> result<_, string>
        }
    }
}
