"""What holds for all tests: which are measured for coverage, and that code of ours never blocks the event loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

# Examples that are made slowly say something about the machine, not about the code.
settings.register_profile("theater_bus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("theater_bus")
UNIT = Path(__file__).parent / "unit"
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
