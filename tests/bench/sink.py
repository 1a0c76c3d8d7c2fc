"""A collector that throws everything away, in a process of its own: `python -m tests.bench.sink`.

Prints `READY` and the URL for spans.
"""

from __future__ import annotations

import asyncio


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Run until killed."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(f"READY http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
