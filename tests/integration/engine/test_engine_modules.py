"""From bytes to a module: what is refused and why, one compilation for all, the cache on disk, metadata."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from theater_bus.engine import Budget, Engine, EngineSettings, Generation, HostImport, Limits, inspect, wat2wasm
from theater_bus.errors import ConfigurationError, IllegalTransition, SpawnRefused

ALLOCATOR = """
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32)
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (i32.sub (global.get $top) (local.get $size)))
  (func (export "__pack_free") (param i32 i32))
"""
ECHO = """
  (func (export "echo") (param i32 i32 i32 i32) (result i32)
    (i32.store (local.get 2) (local.get 0)) (i32.store (local.get 3) (local.get 1)) (i32.const 0))
"""
TYPES = """
  (data (i32.const 512) "metadata blob")
  (func (export "__pack_types") (param i32 i32) (result i32)
    (i32.store (local.get 0) (i32.const 512)) (i32.store (local.get 1) (i32.const 13)) (i32.const 0))
"""


class Recorder:
    """An instrumentation that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.events: list[tuple[str, dict[str, object]]] = []

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        self.counts[name, tuple(attributes.values())] += amount

    def record(self, name: str, value: float, **attributes: str) -> None:
        raise AssertionError(name)

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def loaded(self) -> dict[str, int]:
        return {values[0]: count for (name, values), count in self.counts.items() if name == "theater.modules.loaded"}


def module(*fields: str) -> bytes:
    return wat2wasm(f"(module {' '.join(fields)})")


async def test_a_module_tells_what_it_is(engine: Engine) -> None:
    wasm = module(ALLOCATOR, ECHO, TYPES)
    loaded = await engine.load(wasm)
    assert loaded.sha256 == inspect(wasm).sha256
    assert loaded.size_bytes == len(wasm)
    assert loaded.metadata == b"metadata blob"
    assert loaded.generation is Generation.SELF_CONTAINED
    assert loaded.exports == ("memory", "__pack_alloc", "__pack_free", "echo", "__pack_types")
    assert (loaded.callables, loaded.imports) == (("echo",), ())


async def test_a_module_without_metadata_has_none(engine: Engine) -> None:
    assert (await engine.load(module(ALLOCATOR, ECHO))).metadata is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("unreachable", "unreachable"),
        ("(loop $forever (br $forever)) unreachable", "CPU time"),
        ("(i32.const 7)", "status 7"),
        ("(i32.store (local.get 0) (i32.const 512)) (i32.store (local.get 1) (i32.const -1)) (i32.const 0)", "result"),
        ("(call $ask (i32.const 0) (i32.const 0) (local.get 0) (local.get 1))", "not available"),
    ],
)
async def test_metadata_that_cannot_be_read_refuses_the_module(engine: Engine, body: str, why: str) -> None:
    ask = '(import "test:host/api" "ask" (func $ask (param i32 i32 i32 i32) (result i32)))'
    types = f'(func (export "__pack_types") (param i32 i32) (result i32) {body})'
    with pytest.raises(SpawnRefused, match=f"metadata.*{why}"):
        await engine.load(module(ask, ALLOCATOR, ECHO, types))
    assert engine.instances == 0


REFUSED = {
    "component": (b"\0asm\x0d\0\x01\0", "exports no function"),
    "nothing": (b"", "not WebAssembly"),
    "text": (b"(module)", "not WebAssembly"),
    "truncated": (module(ALLOCATOR, ECHO)[:-5], "not a WebAssembly module"),
    "fixed base": (module('(import "env" "memory" (memory 1))'), "rebuild it with packr 0.11"),
    "allocator": (module('(import "pack:alloc/v1" "alloc" (func (param i32 i32) (result i32)))'), "self-contained"),
    "position independent": (module('(import "env" "__memory_base" (global i32))'), "position-independent"),
    "no exports": (module(ECHO.replace('(export "echo")', ""), "(memory 1)"), "does not export memory, __pack_alloc"),
    "nothing to call": (module(ALLOCATOR), "exports no function that can be called"),
    "odd allocator": (
        module(ALLOCATOR.replace("(param i32 i32))", "(param i32))"), ECHO),
        "'__pack_free' does not take 2 and return 0",
    ),
    "memory by name only": (
        module(
            ALLOCATOR.replace('(memory (export "memory") 1)', '(memory 1) (global (export "memory") i32 i32.const 0)')
        ),
        "not a memory",
    ),
    "odd import": (
        module('(import "host" "log" (func (param i32 i32)))', ALLOCATOR, ECHO),
        "host.log does not follow the calling convention",
    ),
    "table import": (module('(import "host" "table" (table 1 funcref))', ALLOCATOR, ECHO), "host.table"),
    "reserved name": (module(ALLOCATOR, ECHO.replace('"echo"', '"theater_bus/room"')), "the host's own"),
    "threads": (
        module(ALLOCATOR.replace('(memory (export "memory") 1)', '(memory (export "memory") 1 2 shared)'), ECHO),
        "does not compile",
    ),
    "relaxed simd": (
        module(
            ALLOCATOR,
            ECHO,
            "(func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
        ),
        "does not compile",
    ),
    "invalid code": (module(ALLOCATOR, ECHO, "(func (result i32))"), "does not compile"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_a_guest_is_refused_with_the_reason(engine: Engine, name: str) -> None:
    wasm, why = REFUSED[name]
    with pytest.raises(SpawnRefused, match=why):
        await engine.load(wasm)
    assert inspect(wasm).problem or "does not compile" in why


async def test_a_module_over_the_size_limit_names_the_setting(make_engine: Any) -> None:
    with pytest.raises(SpawnRefused, match="max_module_bytes"):
        await make_engine(max_module_bytes=100).load(module(ALLOCATOR, ECHO))


async def test_every_prefix_and_every_flipped_byte_of_a_module_is_refused_or_loads(make_engine: Any) -> None:
    engine = make_engine(compile_threads=1)
    wasm = module(ALLOCATOR, ECHO)
    broken = [wasm[:size] for size in range(0, len(wasm), 7)]
    broken += [wasm[:at] + bytes([wasm[at] ^ 0xFF]) + wasm[at + 1 :] for at in range(0, len(wasm), 5)]
    for candidate in broken:
        try:
            await engine.load(candidate)
        except SpawnRefused:
            continue


async def test_start_functions_and_constructors_run_in_the_first_call_not_at_instantiation(
    engine: Engine, pack: Any
) -> None:
    wasm = module(
        '(import "test:host/api" "ask" (func $ask (param i32 i32 i32 i32) (result i32)))',
        ALLOCATOR,
        "(func $start (drop (call $ask (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 12))))",
        "(start $start)",
        '(func (export "__wasm_call_ctors")',
        "(drop (call $ask (i32.const 0) (i32.const 2) (i32.const 8) (i32.const 12))))",
        ECHO,
    )
    asked: list[int] = []

    async def ask(data: bytes) -> bytes:
        await asyncio.sleep(0)
        asked.append(len(data))
        return b""

    loaded = await engine.load(wasm)
    instance = engine.instantiate_now(loaded, [HostImport("test:host/api", "ask", ask)], Limits())
    assert asked == []
    assert (await pack.run(instance, "echo", b"1")).output == b"1"
    assert (await pack.run(instance, "echo", bytes(3000))).output == bytes(3000)
    assert asked == [1, 2]


async def test_data_that_does_not_fit_the_memory_refuses_the_instance(engine: Engine) -> None:
    loaded = await engine.load(module(ALLOCATOR, ECHO, '(data (i32.const 70000) "x")'))
    with pytest.raises(SpawnRefused, match="cannot be instantiated"):
        await engine.instantiate(loaded, [], Limits())
    assert engine.instances == 0


async def test_a_guest_of_several_memories_shares_its_limit_among_them(engine: Engine, pack: Any) -> None:
    loaded = await engine.load(module(ALLOCATOR, ECHO, "(memory 1)"))
    assert loaded.generation is Generation.COMPOSITE
    instance = await engine.instantiate(loaded, [], Limits(memory_bytes=2 * 65536))
    assert (await pack.run(instance, "echo", b"x")).output == b"x"
    with pytest.raises(SpawnRefused, match="memory_bytes"):
        await engine.instantiate(loaded, [], Limits(memory_bytes=65536))


async def test_a_hundred_loads_at_once_compile_once(make_engine: Any) -> None:
    recorder = Recorder()
    engine = make_engine(instrumentation=recorder)
    wasm = module(ALLOCATOR, ECHO)
    modules = await asyncio.gather(*(engine.load(wasm) for _ in range(100)))
    assert len(set(map(id, modules))) == 1
    assert recorder.loaded() == {"compiled": 1}
    assert await engine.load(wasm) is modules[0]
    assert recorder.loaded() == {"compiled": 1, "memory": 1}


async def test_a_load_that_is_cancelled_does_not_disturb_the_others(engine: Engine) -> None:
    wasm = module(ALLOCATOR, ECHO)
    first, second = asyncio.create_task(engine.load(wasm)), asyncio.create_task(engine.load(wasm))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).callables == ("echo",)


async def test_the_loop_turns_while_a_module_compiles(engine: Engine) -> None:
    work = "".join(f"(local.set 4 (i32.mul (local.get 4) (i32.const {number})))" for number in range(20_000))
    fat = ECHO.replace("(result i32)", f"(result i32) (local i32) {work}")
    loading = asyncio.create_task(engine.load(module(ALLOCATOR, fat)))
    turns = 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    await loading


async def test_modules_beyond_the_bound_leave_memory_but_their_instances_live_on(make_engine: Any, pack: Any) -> None:
    engine = make_engine(cached_modules=2)
    first = await engine.load(module(ALLOCATOR, ECHO))
    instance = await engine.instantiate(first, [], Limits())
    del first
    for number in range(5):
        await engine.load(module(ALLOCATOR, ECHO, f'(data (i32.const {number}) "x")'))
    assert engine.modules == 2
    assert (await pack.run(instance, "echo", b"alive")).output == b"alive"


# -- on disk ----------------------------------------------------------------------------------------------------------


async def load_with(make_engine: Any, cache: Path, wasm: bytes, **settings: Any) -> Recorder:
    recorder = Recorder()
    engine = make_engine(instrumentation=recorder, cache_dir=cache, **settings)
    loaded = await engine.load(wasm)
    instance = await engine.instantiate(loaded, [], Limits())
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    result = instance.call("echo", b"works", Budget(), ended.set_result) or await ended
    assert result.output == b"works"
    return recorder


async def test_another_process_finds_the_compiled_module_on_disk(make_engine: Any, tmp_path: Path) -> None:
    wasm, cache = module(ALLOCATOR, ECHO, TYPES), tmp_path / "cache"
    assert (await load_with(make_engine, cache, wasm)).loaded() == {"compiled": 1}
    assert (await load_with(make_engine, cache, wasm)).loaded() == {"disk": 1}
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in cache.iterdir()] == [0o600]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "writable", "symlink", "fifo"])
async def test_a_damaged_artifact_is_reported_removed_and_compiled_again(
    make_engine: Any, tmp_path: Path, damage: str
) -> None:
    wasm, cache = module(ALLOCATOR, ECHO), tmp_path / "cache"
    await load_with(make_engine, cache, wasm)
    (file,) = cache.iterdir()
    artifact = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(artifact[:500] + bytes([artifact[500] ^ 1]) + artifact[501:])
    elif damage == "truncated":
        file.write_bytes(artifact[:500])
    elif damage == "emptied":
        file.write_bytes(b"")
    elif damage == "writable":
        file.chmod(0o666)
    else:
        file.unlink()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(artifact)
        if damage == "symlink":
            file.symlink_to(elsewhere)
        else:
            os.mkfifo(file)
    recorder = await load_with(make_engine, cache, wasm)
    assert recorder.loaded() == {"compiled": 1}
    assert [name for name, _ in recorder.events] == ["module_cache.corrupt"]
    assert (await load_with(make_engine, cache, wasm)).loaded() == {"disk": 1}


async def test_an_artifact_that_verifies_but_is_not_wasmtimes_is_compiled_again(
    make_engine: Any, tmp_path: Path
) -> None:
    wasm, cache = module(ALLOCATOR, ECHO), tmp_path / "cache"
    await load_with(make_engine, cache, wasm)
    (file,) = cache.iterdir()
    file.unlink()
    forged = b"not an artifact"
    name = file.name.rsplit("-", 1)[0] + f"-{hashlib.sha256(forged).hexdigest()}.cwasm"
    (cache / name).write_bytes(forged)
    recorder = await load_with(make_engine, cache, wasm)
    assert recorder.loaded() == {"compiled": 1}
    ((event, fields),) = recorder.events
    assert (event, fields["package"]) == ("module_cache.corrupt", hashlib.sha256(wasm).hexdigest())


async def test_the_cache_keeps_to_its_size(make_engine: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for number in range(4):
        await load_with(
            make_engine, cache, module(ALLOCATOR, ECHO, f'(data (i32.const {number}) "x")'), cache_max_bytes=1
        )
    assert len(list(cache.iterdir())) == 1


async def test_a_cache_that_cannot_be_written_only_costs_time(make_engine: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    engine = make_engine(cache_dir=cache)
    cache.rmdir()
    assert (await engine.load(module(ALLOCATOR, ECHO))).callables == ("echo",)


async def test_a_cache_directory_that_others_can_read_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for directory in (shared, tmp_path / "link", tmp_path / "file"):
        with pytest.raises(ConfigurationError, match="cache_dir"):
            Engine(EngineSettings(cache_dir=directory))


# -- looking, settings, life -------------------------------------------------------------------------------------------


async def test_inspecting_describes_a_module_without_running_it() -> None:
    info = inspect(module('(import "a:b/c" "d" (func (param i32 i32 i32 i32) (result i32)))', ALLOCATOR, ECHO))
    assert info.imports == (("a:b/c", "d"),)
    assert ("echo", "function") in info.exports
    assert ("memory", "memory") in info.exports
    assert [name for name, _ in info.sections][:3] == ["type", "import", "function"]
    assert (info.memories, info.metadata, info.problem) == (1, None, "")
    assert info.generation is Generation.SELF_CONTAINED


async def test_text_that_is_not_webassembly_is_refused_with_the_place() -> None:
    with pytest.raises(SpawnRefused, match="nonsense"):
        wat2wasm("(module (nonsense))")


@pytest.mark.parametrize(
    "settings",
    [{"slice_ms": 0}, {"slice_ms": 0.1}, {"promoted_threads": 0}, {"max_instances": 0}, {"turn_ms": -1}],
)
def test_settings_that_cannot_be_used_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        EngineSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [{"memory_bytes": 0}, {"table_elements": -1}, {"result_bytes": 1 << 40}])
def test_limits_out_of_range_are_refused_by_name(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        Limits(**limits)


async def test_a_closed_engine_does_nothing_more(make_engine: Any) -> None:
    engine = make_engine()
    loaded = await engine.load(module(ALLOCATOR, ECHO))
    await engine.close()
    await engine.close()
    with pytest.raises(IllegalTransition):
        engine.instantiate_now(loaded, [], Limits())
    with pytest.raises(IllegalTransition):
        await engine.load(module(ALLOCATOR, ECHO))


async def test_closing_an_engine_while_it_loads_ends_the_load(make_engine: Any) -> None:
    engine = make_engine()
    loading = asyncio.create_task(engine.load(module(ALLOCATOR, ECHO)))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(asyncio.CancelledError):
        await loading
