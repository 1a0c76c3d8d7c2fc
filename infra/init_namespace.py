"""Makes what hosts of a namespace use and may not create: the object store for packages. Running it again is fine.

    THEATER_BUS_SERVERS=nats://127.0.0.1:4222 THEATER_BUS_USER=init THEATER_BUS_PASSWORD=… \
    THEATER_BUS_INBOX_PREFIX=_INBOX.init python infra/init_namespace.py

Takes the settings of a host (`THEATER_BUS_*`), `THEATER_BUS_NAMESPACE` among them; connects as the user of
`nats/init.conf`.
"""

from __future__ import annotations

import asyncio
import sys

import nats
from nats.js.api import ObjectStoreConfig
from nats.js.errors import NotFoundError

from theater_bus import HostSettings
from theater_bus.core.wire.subjects import Subjects


async def main() -> None:
    """Connect, look, create what is missing, say so."""
    settings = HostSettings()
    bucket = Subjects(settings.namespace).objects_bucket
    client = await nats.connect(
        list(settings.servers),
        name="theater-bus init",
        user=settings.user,
        password=settings.password.get_secret_value() if settings.password else None,
        inbox_prefix=settings.inbox_prefix,
    )
    try:
        jetstream = client.jetstream()
        try:
            await jetstream.object_store(bucket)
            sys.stdout.write(f"{bucket} is there\n")
        except NotFoundError:
            await jetstream.create_object_store(
                bucket, ObjectStoreConfig(description="theater_bus: packages and large payloads")
            )
            sys.stdout.write(f"{bucket} made\n")
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
