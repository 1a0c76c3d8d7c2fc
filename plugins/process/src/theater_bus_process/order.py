"""From what a guest asks for to what is started, or a refusal that names the grant.

Invariants: what is executed is a file that the grant `programs` names, resolved when the actor started; a folder is
checked by what was opened, not by its name; nothing of the host's environment is passed on but what `inherit` names,
and never the host's own settings. All of it touches the disk: call it off the loop.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from theater_bus.capability import NUMBER, PATHS, STRINGS, CapabilityError
from theater_bus.capability import Settings as BaseSettings
from theater_bus_process.child import Order
from theater_bus_process.output import Mode

__all__ = ["ProcessSettings", "Request", "make_order", "read_request", "resolve"]

MIB: Final = 1024 * 1024
ARGUMENTS_BYTES: Final = 128 * 1024
PART_BYTES: Final = 65_536
MOST_PART_BYTES: Final = MIB
RESERVED: Final = "THEATER_BUS_"


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path or os.path.normpath(path) != path:
        raise ValueError("is no whole path. Fix: write it from `/` on, without `..`, `.` and double slashes")
    return path


Name = Annotated[str, Field(strict=True, min_length=1, max_length=256, pattern=r"^[^=\x00]+$")]
WholePath = Annotated[str, Field(strict=True), AfterValidator(_absolute)]


class ProcessSettings(BaseSettings):
    """`[capabilities.process]`; without `programs` nothing can be started."""

    programs: Annotated[tuple[WholePath, ...], STRINGS] = ()
    folders: Annotated[tuple[WholePath, ...], PATHS] = ()
    env: Annotated[tuple[Name, ...], STRINGS] = ()
    inherit: Annotated[tuple[Name, ...], STRINGS] = ()
    processes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=256)] = 4
    time_ms: Annotated[int, NUMBER, Field(strict=True, ge=1, le=86_400_000)] = 60_000
    cpu_ms: Annotated[int, NUMBER, Field(strict=True, ge=1, le=86_400_000)] = 30_000
    memory_bytes: Annotated[int, NUMBER, Field(strict=True, ge=MIB, le=1 << 50)] = 256 * MIB
    output_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1 << 50)] = MIB
    file_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1 << 50)] = 16 * MIB
    open_files: Annotated[int, NUMBER, Field(strict=True, ge=3, le=65_536)] = 256


@dataclass(frozen=True, slots=True)
class Request:
    """A `process-config` that was found to be one. `time_ms` is None where the guest states no limit."""

    program: str
    args: tuple[str, ...]
    folder: str | None
    env: tuple[tuple[str, str], ...]
    stdout: Mode
    stderr: Mode
    part_bytes: int
    chunk_bytes: int
    time_ms: int | None


def read_request(config: Mapping[str, Any]) -> Request:
    """The request that a `process-config` is. Raises `CapabilityError` for what no system call would take."""
    args, env = tuple(config["args"]), tuple((name, value) for name, value in config["env"])
    texts = [config["program"], *args, *(text for pair in env for text in pair)]
    if any("\0" in text for text in (*texts, config["cwd"] or "")):
        raise CapabilityError("a program, argument, folder or variable holds a NUL, which ends a text for the system")
    size = sum(len(text.encode()) + 1 for text in texts)
    if size > ARGUMENTS_BYTES:
        raise CapabilityError(f"arguments and variables have {size} bytes, more than {ARGUMENTS_BYTES}")
    part = config["buffer-size"] or PART_BYTES
    chunk = part if config["chunk-size"] is None else config["chunk-size"]
    for name, found in (("buffer-size", part), ("chunk-size", chunk)):
        if not 0 < found <= MOST_PART_BYTES:
            raise CapabilityError(f"{name} is {found}. Fix: 1 to {MOST_PART_BYTES} bytes")
    time_s = config["execution-timeout"]
    if time_s == 0:
        raise CapabilityError("execution-timeout is 0, no time for anything. Fix: 1 second or more, or none")
    return Request(
        config["program"],
        args,
        config["cwd"],
        env,
        config["stdout-mode"],
        config["stderr-mode"],
        part,
        chunk,
        None if time_s is None else time_s * 1000,
    )


def resolve(programs: Iterable[str]) -> dict[str, str]:
    """Where each granted program really lies."""
    return {program: os.path.realpath(program) for program in programs}


def make_order(request: Request, settings: ProcessSettings, programs: Mapping[str, str]) -> Order:
    """What to start, with its folder open, which the caller closes. Raises `CapabilityError`.

    `programs` is what `resolve` gave when the actor started.
    """
    program = _program(request.program, programs)
    env = _environment(request.env, settings)
    limits = {
        "RLIMIT_AS": settings.memory_bytes,
        "RLIMIT_CPU": -(-settings.cpu_ms // 1000),
        "RLIMIT_FSIZE": settings.file_bytes,
        "RLIMIT_NOFILE": settings.open_files,
        "RLIMIT_CORE": 0,
    }
    folder = _folder(request.folder, settings)
    return Order(programs[program], (program, *request.args), env, limits, folder, request.part_bytes)


def _program(asked: str, programs: Mapping[str, str]) -> str:
    """The granted program that is meant: a whole path, or the name of exactly one."""
    found = [path for path in programs if asked in (path, os.path.basename(path))]
    if len(found) != 1:
        why = "is the name of several programs" if found else "is not"
        raise CapabilityError(
            f'{asked!r:.200} {why} in the grant process.programs. Fix: write `programs = ["/path/of/it"]` under '
            "[capabilities.process], and that path here; parent and host must allow it"
        )
    [path] = found
    now = os.path.realpath(path)
    if now != programs[path]:
        raise CapabilityError(
            f"{path!r} led to {programs[path]!r} when the actor started, and leads to {now!r} now. Fix: if that "
            "is meant, start the actor again"
        )
    return path


def _environment(given: Iterable[tuple[str, str]], settings: ProcessSettings) -> dict[str, str]:
    inherited = {
        name: os.environ[name] for name in settings.inherit if name in os.environ and not name.startswith(RESERVED)
    }
    for name, value in given:
        if name not in settings.env:
            raise CapabilityError(
                f"the variable {name!r:.200} is not in the grant process.env. Fix: write `env = [{name!r:.200}]` under "
                "[capabilities.process]; parent and host must allow it"
            )
        inherited[name] = value
    return inherited


def _folder(asked: str | None, settings: ProcessSettings) -> int:
    """The open folder to start in: `/`, where none is asked for."""
    try:
        descriptor = os.open(asked or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if asked is None or not PATHS.read(list(settings.folders)).allows(asked):
            raise _outside(asked) from error
        raise CapabilityError(f"cwd {asked!r:.200}: {error.strerror}") from error
    if asked is None:
        return descriptor
    if not PATHS.read(list(settings.folders)).allows(os.readlink(f"/proc/self/fd/{descriptor}")):
        os.close(descriptor)
        raise _outside(asked)
    return descriptor


def _outside(asked: str | None) -> CapabilityError:
    return CapabilityError(
        f"cwd {asked!r:.200} is outside the grant process.folders. Fix: write `folders = [{asked!r:.200}]` under "
        "[capabilities.process]; parent and host must allow it"
    )
