"""What the engine relies on in one version of wasmtime: an upgrade that changes it fails here first."""

from __future__ import annotations

import ctypes
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from wasmtime import _bindings as bindings

from theater_bus.engine import capacity, ffi
from theater_bus.engine.configuration import FLAGS, cache_key
from theater_bus.errors import ConfigurationError


def test_the_installed_wasmtime_is_the_one_that_is_required() -> None:
    ffi.check_runtime()
    assert version("wasmtime") == ffi.REQUIRED_WASMTIME


def test_another_version_another_struct_size_and_a_missing_symbol_are_told_clearly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ffi, "version", lambda name: "51.0.0")
        with pytest.raises(ConfigurationError, match=r"version 51\.0\.0 is installed, 50\.0\.1 is required"):
            ffi.check_runtime()
    with monkeypatch.context() as patch:
        patch.setitem(ffi._SIZES, "wasmtime_val_t", 24)
        with pytest.raises(ConfigurationError, match="wasmtime_val_t has 32 bytes, 24 are expected"):
            ffi.check_runtime()
    with monkeypatch.context() as patch:
        patch.setattr(ffi, "_SYMBOLS", ("wasmtime_no_such_thing",))
        with pytest.raises(ConfigurationError, match="lacks wasmtime_no_such_thing"):
            ffi.check_runtime()


@pytest.mark.parametrize(
    ("struct", "field", "offset"),
    [
        ("wasmtime_val_t", "kind", 0),
        ("wasmtime_val_t", "of", 8),
        ("wasmtime_extern_t", "kind", 0),
        ("wasmtime_extern_t", "of", 8),
        ("wasmtime_async_continuation_t", "callback", 0),
        ("wasmtime_async_continuation_t", "env", 8),
        ("wasmtime_async_continuation_t", "finalizer", 16),
    ],
)
def test_struct_fields_lie_where_frames_and_callbacks_expect_them(struct: str, field: str, offset: int) -> None:
    assert getattr(getattr(bindings, struct), field).offset == offset


def test_a_frame_lays_out_arguments_as_the_bindings_do() -> None:
    frame = ffi.Frame()
    ffi.Frame.FILL(frame.buffer, 0, 1, 0xFFFFFFFF, 3, 4, b"0123456789abcdef")
    values = (bindings.wasmtime_val_t * 5).from_buffer(frame.buffer)
    assert [(int(value.kind), value.of.i32) for value in values] == [(0, 1), (0, -1), (0, 3), (0, 4), (0, 0)]
    assert frame.buffer.raw[176:192] == b"0123456789abcdef"
    values[4].of.i64 = 0x0000000200000001
    assert ffi.Frame.OUTCOME(frame.buffer, 128) == (1, 2, 0, 0)


def prototype(symbol: str) -> list[Any]:
    return list(bindings.__dict__[f"_{symbol}"].argtypes)


@pytest.mark.parametrize(
    ("symbol", "count"),
    [
        ("wasmtime_func_call_async", 8),
        ("wasmtime_call_future_poll", 1),
        ("wasmtime_call_future_delete", 1),
        ("wasmtime_instance_pre_instantiate_async", 5),
        ("wasmtime_linker_define_async_func", 9),
        ("wasmtime_store_limiter", 6),
        ("wasmtime_instance_export_get", 5),
        ("wasmtime_module_deserialize_file", 3),
        ("wasmtime_trap_new", 2),
    ],
)
def test_functions_take_as_many_arguments_as_the_bindings_say(symbol: str, count: int) -> None:
    assert len(prototype(symbol)) == count


def test_every_configuration_flag_exists_and_takes_a_number() -> None:
    for name, _ in FLAGS:
        kind = prototype(f"wasmtime_config_{name}_set")[1]
        assert issubclass(kind, ctypes._SimpleCData)


def test_the_cache_key_depends_on_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_key()
    monkeypatch.setattr("theater_bus.engine.configuration.FLAGS", (*FLAGS, ("wasm_simd", 0)))
    assert cache_key() != before


def test_the_maps_of_instances_leave_a_fifth_of_the_kernels_limit_free(tmp_path: Path) -> None:
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "sys/vm/max_map_count").write_text("65530\n")
    (tmp_path / "self/maps").write_text("map\n" * 424)
    assert capacity.map_budget(tmp_path) == 52_000
    assert capacity.map_budget(tmp_path / "elsewhere") == 40_000
