"""What is asked of every capability, of `process`."""

from __future__ import annotations

from typing import Any

from theater_bus.capability import Capability
from theater_bus.testing import Example, conformance
from theater_bus_process import Process


class Handlers(Capability):
    """An actor that hears of its programs."""

    name = "handlers"
    pact = """
interface process-handlers {
    @package: string = "theater:simple"
    exports {
        handle-stdout: func(state: u64, pid: u64, data: list<u8>) -> result<tuple<u64>, string>
        handle-stderr: func(state: u64, pid: u64, data: list<u8>) -> result<tuple<u64>, string>
        handle-exit: func(state: u64, pid: u64, code: s32) -> result<tuple<u64>, string>
    }
}
"""

    def handle_stdout(self, state: int, pid: int, data: bytes) -> tuple[int]:
        return (state + len(data),)

    def handle_stderr(self, state: int, pid: int, data: bytes) -> tuple[int]:
        return (state + len(data),)

    def handle_exit(self, state: int, pid: int, code: int) -> tuple[int]:
        return (state + 1,)


def config(program: str, *args: str, **fields: Any) -> dict[str, Any]:
    raw = {"stdout-mode": "raw", "stderr-mode": "raw", "chunk-size": None, "execution-timeout": None}
    return {"program": program, "args": list(args), "cwd": None, "env": [], "buffer-size": 0} | raw | fields


test_conformance = conformance(
    Process,
    settings={"programs": ["/bin/sh"], "folders": ["/"], "env": ["NAME"], "inherit": ["LANG"]},
    examples=[
        Example("os-spawn", config("/bin/sh", "-c", "read line; echo $line", cwd="/", env=[["NAME", "value"]])),
        Example("os-status", 1),
        Example("list-processes"),
        Example("os-write-stdin", 1, b"a line"),
        Example("os-signal", 1, 19),
        Example("os-kill", 1),
    ],
    refused=[
        Example("os-spawn", config("/bin/sh")),
        Example("os-spawn", config("/bin/sh"), settings={"programs": ["/bin/sh"], "processes": 0}),
        Example("os-spawn", config("/bin/sh", cwd="/"), settings={"programs": ["/bin/sh"]}),
        Example("os-spawn", config("/bin/sh", env=[["NAME", "value"]]), settings={"programs": ["/bin/sh"]}),
    ],
    read_elsewhere=["output_bytes"],
    handlers=Handlers,
    spawn={"state": 0},
)
