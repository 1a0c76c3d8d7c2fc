"""Secrets in what is sent: values go in as late as they can, and only to whom the other side has proved to be.

Invariant: a value leaves only with TLS to a server whose name was verified, or to an address that is not public and was
therefore granted itself; on top of that the actor's grants and the operator name the host.
"""

from __future__ import annotations

import re

from theater_bus.capability import CapabilityError, Context, Secret, is_public, plain_address
from theater_bus_tcp.connection import Connection

__all__ = ["with_secrets"]

_HANDLE = re.compile(rb"(?<![A-Za-z0-9_-])secret:[A-Za-z0-9_-]{1,64}(?![A-Za-z0-9_-])")


async def with_secrets(context: Context, connection: Connection, data: bytes) -> bytes:
    """The data with the value in the place of each handle. Raises `CapabilityError` where one may not go there."""
    handles = set(_HANDLE.findall(data))
    if not handles:
        return data
    host = plain_address(connection.host.strip("[]")) or connection.host
    address = plain_address(connection.peer.rpartition(":")[0].strip("[]"))
    if not connection.wire.is_verified and (address is None or is_public(address)):
        raise CapabilityError(
            f"a secret goes to {connection.host} with TLS only, as the client of a server that has proved its name. "
            "Fix: connect to tls://HOST:PORT, or upgrade-to-tls-client first"
        )
    found: dict[bytes, Secret] = {one: await context.secret(one.decode(), host) for one in handles}
    connection.wire.hide(found.values())
    return _HANDLE.sub(lambda match: found[match[0]].reveal().encode(), data)
