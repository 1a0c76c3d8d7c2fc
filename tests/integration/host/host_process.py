"""A host in a process of its own, to be killed: `python host_process.py URL NAMESPACE HOST_ID DATA PACKAGES`.

Says `ready` when it serves. SIGUSR1 makes its disk full (no file may grow), SIGUSR2 makes room again.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from pathlib import Path

from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings


def allow_file_bytes(count: int) -> None:
    """How long files may become."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))


async def main(url: str, namespace: str, host_id: str, data: str, packages: str) -> None:
    """Serve until the end."""
    settings = HostSettings(
        servers=(url,),
        namespace=namespace,
        host_id=host_id,
        data_dir=Path(data),
        packages_dir=Path(packages),
        grace_ms=2_000,
    )
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, allow_file_bytes, 1)
    loop.add_signal_handler(signal.SIGUSR2, allow_file_bytes, resource.RLIM_INFINITY)
    async with await Host.start(settings):
        print("ready", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
