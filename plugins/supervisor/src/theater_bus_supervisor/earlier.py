"""`theater:simple/supervisor` as guests of 0.3.12 import it: an initial state is bytes."""

from __future__ import annotations

from typing import Any, Final

from theater_bus_supervisor.supervisor import Supervisor

__all__ = ["Supervisor0312"]

CGRF: Final = b"CGRF"
PACT: Final = """
@calls: list<string> = ["theater:simple/supervisor-handlers"]
@external: list<string> = ["spawn", "spawn-and-wait", "resume", "restart-child", "stop-child"]

interface supervisor {
    @package: string = "theater:simple"

    exports {
        spawn: func(manifest: string, init-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>) -> result<string, string>
        spawn-and-wait: func(manifest: string, init-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>, timeout-ms: option<u64>) -> result<option<list<u8>>, string>
        resume: func(manifest: string, state-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>) -> result<string, string>
        list-children: func() -> result<list<string>, string>
        restart-child: func(child-id: string) -> result<_, string>
        stop-child: func(child-id: string) -> result<_, string>
        get-child-state: func(child-id: string) -> result<option<list<u8>>, string>
        get-child-events: func(child-id: string) -> result<list<list<u8>>, string>
    }
}
"""  # noqa: E501  as its own file spelled it


class Supervisor0312(Supervisor):
    """For guests built against 0.3.12, where an initial state is bytes."""

    pact = PACT

    async def spawn(self, manifest: str, init_bytes: bytes | None, wasm_bytes: bytes | None) -> str:
        """Start a child; the state is CGRF, or bytes where that is the child's state."""
        return (await self._keeper.spawn(manifest, wasm_bytes, **_bytes_given(init_bytes))).id

    async def spawn_and_wait(
        self, manifest: str, init_bytes: bytes | None, wasm_bytes: bytes | None, timeout_ms: int | None
    ) -> bytes | None:
        """Start a child and wait for its end."""
        return await self._wait_for(
            await self._keeper.spawn(manifest, wasm_bytes, **_bytes_given(init_bytes)), timeout_ms
        )


Supervisor.earlier = (Supervisor0312,)


def _bytes_given(init_bytes: bytes | None) -> dict[str, Any]:
    if init_bytes is None:
        return {}
    return {"cgrf": init_bytes} if init_bytes.startswith(CGRF) else {"state": init_bytes}
