"""TLS with certificates made for the run: both sides, from the start and in the middle, and what must fail closed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import ConfigurationError
from theater_bus_tcp import Tcp

from .conftest import echo, received

REACH = {"connect": ["127.0.0.1:*", "localhost:*"], "listen": ["127.0.0.1:*"], "certificates": ["web"]}


@pytest.fixture
async def tcp(start_harness: Any, authority: Any) -> Any:
    harness = await start_harness(Tcp, REACH, config=authority.config)
    harness.context.exports = {"theater:simple/tcp-client.on-data", "theater:simple/tcp-client.on-close"}
    return harness


async def accepted(tcp: Any, listener: str) -> str:
    id = await tcp.call("accept", listener)
    await tcp.call("activate", id)
    return str(id)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_client_verifies_the_server_by_the_name_that_it_asked_for(
    tcp: Any, serve: Any, authority: Any, host: str
) -> None:
    address = await serve(echo, ssl=authority.server)
    id = await tcp.call("connect", f"tls://{host}:{address.rpartition(':')[2]}")
    await tcp.call("send", id, bytes(200_000))
    assert await received(tcp, id, 200_000) == bytes(200_000)
    await tcp.call("close", id)


async def test_a_setting_makes_every_connection_an_encrypted_one(
    start_harness: Any, serve: Any, authority: Any, dial: Any
) -> None:
    settings = {**REACH, "client_tls": True, "server_tls": True}
    tcp = await start_harness(Tcp, settings, config=authority.config)
    tcp.context.exports = set()
    id = await tcp.call("connect", await serve(echo, ssl=authority.server))
    await tcp.call("send", id, b"x")
    assert await received(tcp, id, 1) == b"x"
    listener = await tcp.call("listen", "127.0.0.1:0")
    reader, _ = await dial(await tcp.call("local-address", listener), ssl=authority.client)
    id = await accepted(tcp, listener)
    await tcp.call("send", id, b"y")
    assert await reader.readexactly(1) == b"y"
    plain = await serve(echo)
    with pytest.raises(CapabilityError, match=r"TLS with 127\.0\.0\.1:\d+ failed"):
        await tcp.call("connect", plain)


async def test_a_server_presents_its_certificate_and_the_end_is_told_orderly(
    tcp: Any, dial: Any, authority: Any
) -> None:
    listener = await tcp.call("listen", "tls://127.0.0.1:0")
    reader, writer = await dial(
        await tcp.call("local-address", listener), ssl=authority.client, server_hostname="localhost"
    )
    id = await accepted(tcp, listener)
    writer.write(bytes(100_000))
    assert await received(tcp, id, 100_000) == bytes(100_000)
    await tcp.call("send", id, b"bye")
    await tcp.call("close", id)
    assert await reader.read() == b"bye"


async def test_active_data_arrives_through_tls_too(tcp: Any, dial: Any, authority: Any, eventually: Any) -> None:
    listener = await tcp.call("listen", "tls://127.0.0.1:0")
    _, writer = await dial(await tcp.call("local-address", listener), ssl=authority.client)
    id = await accepted(tcp, listener)
    await tcp.call("set-active", id, "active")
    writer.write(b"abc")
    await eventually(lambda: [params for _, params in tcp.context.enqueued] == [[id, b"abc"]])
    await tcp.call("set-active", id, "passive")
    assert await received(tcp, id, 3) == b"abc"
    await tcp.call("set-active", id, "active")
    writer.close()
    await eventually(lambda: [params for _, params in tcp.context.enqueued] == [[id, "eof"]])


@pytest.mark.parametrize("kind", ["stranger", "other-name", "not-tls", "closes"])
async def test_a_server_that_cannot_prove_itself_gets_nothing(
    tcp: Any, serve: Any, authority: Any, kind: str, eventually: Any
) -> None:
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if kind == "not-tls":
            writer.write(b"220 hello\r\n")
        if kind != "closes":
            seen.append(await reader.read(1 << 16))

    options = {"stranger": {"ssl": authority.stranger}, "other-name": {"ssl": authority.server}}.get(kind, {})
    address = await serve(listen, **options)
    if kind == "other-name":
        id = await tcp.call("connect", address)
        with pytest.raises(CapabilityError, match="the certificate was refused: Hostname mismatch"):
            await tcp.call("upgrade-to-tls-client", id, "example.com")
    else:
        with pytest.raises(CapabilityError, match=r"TLS with 127\.0\.0\.1:\d+ failed: "):
            await tcp.call("connect", f"tls://{address}")
    await eventually(lambda: tcp.instance._holding.used == 0)
    assert await tcp.call("list-connections") == []
    assert not any(b"secret" in one for one in seen)


async def test_starttls_in_both_roles_keeps_the_connection(tcp: Any, dial: Any, serve: Any, authority: Any) -> None:
    """One plain dialogue, then TLS on the same connection: as a server, and as a client."""
    listener = await tcp.call("listen", "127.0.0.1:0")
    reader, writer = await dial(await tcp.call("local-address", listener))
    id = await accepted(tcp, listener)
    writer.write(b"STARTTLS\r\n")
    assert await received(tcp, id, 10) == b"STARTTLS\r\n"
    await tcp.call("send", id, b"220 go\r\n")
    assert await reader.readline() == b"220 go\r\n"
    upgrade = asyncio.create_task(tcp.call("upgrade-to-tls-server", id))
    await writer.start_tls(authority.client, server_hostname="localhost")
    await upgrade
    writer.write(b"now secret")
    assert await received(tcp, id, 10) == b"now secret"
    await tcp.call("send", id, b"indeed")
    assert await reader.readexactly(6) == b"indeed"

    async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n")
        await writer.drain()
        await writer.start_tls(authority.server)
        await echo(reader, writer)

    id = await tcp.call("connect", await serve(smtp))
    await tcp.call("send", id, b"STARTTLS\r\n")
    assert await received(tcp, id, 8) == b"220 go\r\n"
    await tcp.call("upgrade-to-tls-client", id, "localhost")
    await tcp.call("send", id, b"now secret")
    assert await received(tcp, id, 10) == b"now secret"
    with pytest.raises(CapabilityError, match="is encrypted already"):
        await tcp.call("upgrade-to-tls-client", id, "localhost")


async def test_a_handshake_that_was_sent_early_is_not_lost(tcp: Any, dial: Any, authority: Any) -> None:
    """The client's first message of the handshake may arrive before the actor asks for the upgrade."""
    listener = await tcp.call("listen", "127.0.0.1:0")
    _, writer = await dial(await tcp.call("local-address", listener))
    id = await accepted(tcp, listener)
    writer.write(b"STARTTLS\r\n")
    upgrade = asyncio.create_task(writer.start_tls(authority.client, server_hostname="localhost"))
    assert await received(tcp, id, 10) == b"STARTTLS\r\n"
    wire = tcp.instance._holding.connections[id].wire
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(upgrade)
    assert wire.held == 0
    await tcp.call("upgrade-to-tls-server", id)
    await upgrade
    writer.write(b"x")
    assert await received(tcp, id, 1) == b"x"


async def test_what_was_slipped_in_before_the_handshake_is_no_part_of_it(tcp: Any, dial: Any, eventually: Any) -> None:
    """Commands behind STARTTLS in the clear (CVE-2011-0411): TLS takes them for a handshake, fails, and ends it all."""
    listener = await tcp.call("listen", "127.0.0.1:0")
    reader, writer = await dial(await tcp.call("local-address", listener))
    id = await accepted(tcp, listener)
    writer.write(b"STARTTLS\r\nMAIL FROM:<mallory>\r\n")
    assert await received(tcp, id, 10) == b"STARTTLS\r\n"
    with pytest.raises(CapabilityError, match="TLS failed, and the connection is closed"):
        await tcp.call("upgrade-to-tls-server", id)
    await reader.read()
    assert await tcp.call("list-connections") == []
    await eventually(lambda: tcp.instance._holding.used == 0)


async def test_bytes_that_were_read_already_forbid_the_handshake(tcp: Any, dial: Any, eventually: Any) -> None:
    listener = await tcp.call("listen", "127.0.0.1:0")
    _, writer = await dial(await tcp.call("local-address", listener))
    id = await accepted(tcp, listener)
    await tcp.call("set-active", id, "once")
    with pytest.raises(CapabilityError, match=r"is once and holds 0 bytes.*Fix: set-active to passive"):
        await tcp.call("upgrade-to-tls-server", id)
    writer.write(b"plain")
    await eventually(lambda: tcp.context.enqueued)
    await tcp.call("set-active", id, "passive")
    with pytest.raises(CapabilityError, match="is passive and holds 5 bytes"):
        await tcp.call("upgrade-to-tls-server", id)
    assert await received(tcp, id, 5) == b"plain"


async def test_a_handshake_has_its_time_and_holds_up_no_other_one(
    start_harness: Any, dial: Any, authority: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**REACH, "handshake_ms": 100, "backlog": 3}, config=authority.config)
    tcp.context.exports = set()
    listener = await tcp.call("listen", "tls://127.0.0.1:0")
    address = await tcp.call("local-address", listener)
    silent = [await dial(address) for _ in range(3)]
    await dial(address, ssl=authority.client)
    await accepted(tcp, listener)
    for reader, _ in silent:
        assert await reader.read() == b""
    await eventually(lambda: tcp.instance._holding.used == 1)
    plain = await tcp.call("listen", "127.0.0.1:0")
    await dial(await tcp.call("local-address", plain))
    id = await accepted(tcp, plain)
    with pytest.raises(CapabilityError, match="TLS failed, and the connection is closed"):
        await tcp.call("upgrade-to-tls-server", id)
    await eventually(lambda: tcp.instance._holding.used == 1)


async def test_an_upgrade_that_is_cancelled_ends_the_connection(tcp: Any, dial: Any, eventually: Any) -> None:
    listener = await tcp.call("listen", "127.0.0.1:0")
    reader, _ = await dial(await tcp.call("local-address", listener))
    id = await accepted(tcp, listener)
    with pytest.raises(TimeoutError):
        await tcp.call("upgrade-to-tls-server", id, timeout_s=0.05)
    assert await reader.read() == b""
    await eventually(lambda: tcp.instance._holding.used == 0)


async def test_old_protocols_are_refused(tcp: Any, dial: Any, authority: Any) -> None:
    listener = await tcp.call("listen", "tls://127.0.0.1:0")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await dial(await tcp.call("local-address", listener), ssl=old)


async def test_what_is_not_configured_or_granted_is_named(start_harness: Any, authority: Any, tmp_path: Path) -> None:
    none = await start_harness(Tcp, {**REACH, "certificates": []}, config=authority.config)
    with pytest.raises(CapabilityError, match=r'names 0 certificates.*Fix: `certificates = \["NAME"\]`'):
        await none.call("listen", "tls://127.0.0.1:0")
    several = await start_harness(Tcp, {**REACH, "certificates": ["web", "mail"]}, config=authority.config)
    with pytest.raises(CapabilityError, match="names 2 certificates"):
        await several.call("listen", "tls://127.0.0.1:0")
    with pytest.raises(ConfigurationError, match="certificate"):
        await start_harness(Tcp, REACH, config={"capabilities": {"tcp": {"certificate": 1}}})


@pytest.mark.parametrize("config", ["missing", "unknown", "garbage"])
async def test_a_certificate_that_cannot_be_read_leaves_no_plain_connection(
    start_harness: Any, dial: Any, tmp_path: Path, config: str, eventually: Any, authority: Any
) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("this is no certificate")
    path = str(garbage if config == "garbage" else tmp_path / "nothing.pem")
    table = {} if config == "unknown" else {"certificates": {"web": {"chain": path, "key": path}}}
    tcp = await start_harness(Tcp, REACH, config={"capabilities": {"tcp": {**table, "ca_file": path}}})
    tcp.context.exports = set()
    listener = await tcp.call("listen", "tls://127.0.0.1:0")
    reader, writer = await dial(await tcp.call("local-address", listener))
    writer.write(b"hello")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    await eventually(lambda: tcp.instance._holding.used == 0)
    plain = await tcp.call("listen", "127.0.0.1:0")
    await dial(await tcp.call("local-address", plain))
    id = await accepted(tcp, plain)
    with pytest.raises(CapabilityError, match=r"this host (cannot read its|has no) certificate 'web'") as caught:
        await tcp.call("upgrade-to-tls-server", id)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(CapabilityError, match="cannot read its authorities"):
        await tcp.call("connect", "tls://127.0.0.1:1")


async def test_a_renewed_certificate_is_used(
    tcp: Any, dial: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_tcp.certificate.RENEW_S", 0.0)
    contexts = tcp.instance._holding.switchboard.contexts
    first = await contexts.server("web")
    assert await contexts.server("web") is first
    authority.chain.touch()
    assert await contexts.server("web") is not first
    assert await contexts.client() is await contexts.client()


async def test_a_secret_leaves_for_its_host_and_does_not_come_back(
    start_harness: Any, serve: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "grüße-4711")
    config = {
        **authority.config,
        "secrets": {"key": {"env": "PLANTED", "hosts": ["localhost"]}, "other": {"env": "PLANTED", "hosts": ["a.com"]}},
    }
    allowed = {"secrets": ["key@localhost", "other@localhost"]}
    tcp = await start_harness(Tcp, REACH, config=config, allowed=allowed)
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            seen.append(data)
            writer.write(b"you said " + data)
            await writer.drain()

    port = (await serve(listen, ssl=authority.server)).rpartition(":")[2]
    id = await tcp.call("connect", f"tls://localhost:{port}")
    assert await tcp.call("send", id, b"AUTH secret:key \xff\n") == 18
    assert await received(tcp, id, 27) == b"you said AUTH secret:key \xff\n"
    assert seen == [b"AUTH " + "grüße-4711".encode() + b" \xff\n"]
    assert await tcp.call("send", id, b"secret:key") == 10
    pieces = [await tcp.call("receive", id, 1) for _ in range(19)]
    assert b"".join(pieces) == b"you said secret:key"
    with pytest.raises(CapabilityError, match="does not let secret 'other' go to 'localhost'"):
        await tcp.call("send", id, b"secret:other")
    public = tcp.instance._holding.connections[id]
    public.wire.is_verified, public.peer = False, "93.184.216.34:80"
    for is_tls in (False, True):  # TLS as the server says nothing of who is at the other end
        public.wire.is_tls = is_tls
        with pytest.raises(CapabilityError, match="with TLS only, as the client of a server that has proved its name"):
            await tcp.call("send", id, b"secret:key")


async def test_the_server_s_name_is_a_name(tcp: Any, serve: Any) -> None:
    for name in ("", "a b", "a\0b", "x" * 100_000, "*.example.com", "../../etc/passwd"):
        id = await tcp.call("connect", await serve(echo))
        with pytest.raises(CapabilityError, match="is no address"):
            await tcp.call("upgrade-to-tls-client", id, name)
        await tcp.call("close", id)
