"""What holds for all tests: which are measured for coverage, that code of ours never blocks the event loop, and that
tests of guests see both kinds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from theater_bus.testing import Guest
    from theater_bus.testing.running import Relay

# Examples that are made slowly say something about the machine, not about the code.
settings.register_profile("theater_bus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("theater_bus")
UNIT = Path(__file__).parent / "unit"
COMPONENT_GUESTS = Path(__file__).parent / "guests" / "components" / "build.py"
WATCHED = ("integration/host", "integration/client", "integration/plugins", "tests/faults")
# What may block: it runs before anything is served, or it is for development and tests only.
_MAY_BLOCK = {
    "theater_bus/bus/server.py": {
        "_folder",
        "_spawn",
        "_write_config",
        "_ports",
        "log_text",
        "start",
        "store_dir",
        "stop",
        "_last_words",
    },
    "theater_bus/host/host.py": {"start", "__init__", "_begin"},
    "theater_bus/testing/guests.py": {"guest", "guest_names", "guests_folder", "build_guest", "build_wat"},
    "theater_bus/testing/broken.py": {"broken"},
    "theater_bus/testing/components.py": {"build_component"},
    "theater_bus/telemetry/telemetry.py": {"__init__"},
    "<frozen importlib._bootstrap>": {"_find_and_load"},
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Only tests of `tests/unit` count as coverage of the core.

    The others run hosts under load and with deadlines, and tracing makes the core several times slower. Their marker
    `no_cover` would not do: in a worker of pytest-xdist pytest-cov has a second collector, which goes on.
    """
    if item.path.is_relative_to(UNIT) or not item.config.pluginmanager.has_plugin("_cov"):
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        threading.settrace(in_threads)  # type: ignore[arg-type]
        sys.settrace(here)


@pytest.fixture(scope="session")
def twin() -> Callable[[str], bytes]:
    """`twin("counter")`: the component with the exports of that Pack guest, built once per checkout."""
    build = run_path(str(COMPONENT_GUESTS))["component"]
    return cache(lambda name: bytes(build(f"twin-{name}").read_bytes()))


@pytest.fixture(params=["module", "component"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of guest in turn, for tests whose subject is a guest."""
    return str(request.param)


@pytest.fixture
def guest_of(kind: str, twin: Callable[[str], bytes]) -> Callable[[str], Guest]:
    """`guest_of("counter")`: that guest, as each kind in turn."""
    # Not before coverage has begun.
    from theater_bus.testing import guest

    return lambda name: guest(name) if kind == "module" else replace(guest(name), wasm=twin(name))


@pytest.fixture
def wasm_of(guest_of: Callable[[str], Guest]) -> Callable[[str], bytes]:
    """`wasm_of("counter")`: its bytes alone."""
    return lambda name: guest_of(name).wasm


@pytest.fixture
def relay(kind: str) -> Relay:
    """What makes the guests that stand before capabilities, as each kind in turn."""
    from theater_bus.testing import relay_component, relay_guest

    return relay_guest if kind == "module" else relay_component


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A blocking call (file, socket, sleep) made by theater_bus on a running event loop raises `BlockingError`.

    Only calls with theater_bus on the stack count, so that tests may read files and wait for processes as they like.
    Locks do not count: the ones that the loop takes (an executor's queue, the span buffer's) are held for microseconds.
    """
    if not any(part in request.path.as_posix() for part in WATCHED):
        yield
        return
    detector = BlockBuster(scanned_modules=["theater_bus"])
    for name in [name for name in detector.functions if "ock.acquire" in name]:
        del detector.functions[name]
    for function in detector.functions.values():
        for file, functions in _MAY_BLOCK.items():
            function.can_block_in(file, functions)
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()
