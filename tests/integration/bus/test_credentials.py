"""Every kind of credentials, against a server that asks for it; and what is said when the server says no."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from hashlib import sha512
from pathlib import Path
from typing import Any

import nkeys
import pytest

from theater_bus.bus import BusSettings, Connection, EmbeddedServer, TlsSettings
from theater_bus.errors import ConfigurationError, ConnectionLost

StartServer = Callable[..., Awaitable[EmbeddedServer]]


def new_key(prefix: int) -> nkeys.KeyPair:
    """A fresh key pair; the prefix byte says what it is for (NATS nkeys)."""
    import secrets

    return nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), prefix))


def signed(claims: dict[str, Any], signer: nkeys.KeyPair) -> str:
    """A NATS JWT (version 2, ed25519), signed by an operator or account key."""

    def part(value: object) -> str:
        text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    claims = {**claims, "iat": int(time.time()), "iss": signer.public_key.decode()}
    claims["jti"] = sha512(json.dumps(claims).encode()).hexdigest()[:52].upper()
    body = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(claims)}"
    return f"{body}.{part(signer.sign(body.encode()))}"


async def check(server: EmbeddedServer, **options: Any) -> None:
    """Prove that a connection with these settings carries a request."""
    async with await Connection.open(BusSettings(servers=(server.url,), **options)) as connection:
        connection.subscribe("check", lambda message: connection.publish(message.reply, b"fine"))
        assert (await connection.request_one("check", b"", timeout_s=5)).data == b"fine"


async def refused(server: EmbeddedServer, **options: Any) -> str:
    """The message of the refusal, which must come fast."""
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionLost) as caught:
            await Connection.open(BusSettings(servers=(server.url,), **options))
    assert "Fix:" in str(caught.value)
    return str(caught.value)


async def test_user_and_password(start_server: StartServer) -> None:
    server = await start_server(config="authorization { user: alice, password: wonder }", jetstream=False)
    await check(server, user="alice", password="wonder")
    text = await refused(server, user="alice", password="blunder")
    assert "user 'alice'" in text
    assert "blunder" not in text
    assert "a connection without credentials" in await refused(server)


async def test_user_and_password_in_the_address_never_show_in_messages(start_server: StartServer) -> None:
    server = await start_server(config="authorization { user: alice, password: wonder }", jetstream=False)
    address = server.url.replace("nats://", "nats://alice:wonder@")
    async with await Connection.open(BusSettings(servers=(address,))) as connection:
        await connection.ready()
        assert connection.server.url == server.url
    wrong = BusSettings(servers=(address.replace("wonder", "blunder"),))
    with pytest.raises(ConnectionLost) as caught:
        await Connection.open(wrong)
    assert "blunder" not in str(caught.value) + repr(wrong)


async def test_token(start_server: StartServer) -> None:
    server = await start_server(config="authorization { token: sesame }", jetstream=False)
    await check(server, token="sesame")
    assert "the token" in await refused(server, token="barley")


async def test_nkey_seed_and_seed_file(start_server: StartServer, tmp_path: Path) -> None:
    pair, stranger = new_key(nkeys.PREFIX_BYTE_USER), new_key(nkeys.PREFIX_BYTE_USER)
    config = f"authorization {{ users = [ {{ nkey: {pair.public_key.decode()} }} ] }}"
    server = await start_server(config=config, jetstream=False)
    await check(server, nkey_seed=pair.seed.decode())
    (tmp_path / "user.nk").write_bytes(bytes(pair.seed) + b"\n")
    await check(server, nkey_seed_file=tmp_path / "user.nk")
    assert "the nkey_seed" in await refused(server, nkey_seed=stranger.seed.decode())
    assert "cannot be read" in await refused(server, nkey_seed_file=tmp_path / "missing.nk")
    assert "the nkey_seed" in await refused(server, nkey_seed="SUNOSEED")


async def test_creds_file_with_operator_account_and_user_jwt(start_server: StartServer, tmp_path: Path) -> None:
    operator, account = new_key(nkeys.PREFIX_BYTE_OPERATOR), new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    user, stranger = new_key(nkeys.PREFIX_BYTE_USER), new_key(nkeys.PREFIX_BYTE_USER)
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    account_limits = {**unlimited, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    operator_jwt = signed(
        {"name": "op", "sub": operator.public_key.decode(), "nats": {"type": "operator", "version": 2}}, operator
    )
    account_jwt = signed(
        {
            "name": "acc",
            "sub": account.public_key.decode(),
            "nats": {"type": "account", "version": 2, "limits": account_limits},
        },
        operator,
    )

    def creds(name: str, pair: nkeys.KeyPair, signer: nkeys.KeyPair, **claims: Any) -> Path:
        nats = {"type": "user", "version": 2, **unlimited, "pub": {}, "sub": {}}
        token = signed({"name": name, "sub": pair.public_key.decode(), "nats": nats, **claims}, signer)
        file = tmp_path / f"{name}.creds"
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{pair.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        return file

    preload = f"resolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}"
    server = await start_server(config=f"operator: {operator_jwt}\nresolver: MEMORY\n{preload}", jetstream=False)
    await check(server, creds_file=creds("user", user, account))
    assert "the creds_file" in await refused(server, creds_file=creds("forged", stranger, stranger))
    expired = creds("expired", user, account, exp=int(time.time()) - 60)
    assert "the creds_file" in await refused(server, creds_file=expired)
    open_to_all = await start_server(jetstream=False)
    for asked in (server, open_to_all):
        assert "cannot be read" in await refused(asked, creds_file=tmp_path / "missing.creds")
    (tmp_path / "empty.creds").write_text("nothing here\n")
    assert "cannot be used" in await refused(server, creds_file=tmp_path / "empty.creds")
    broken = creds("broken", user, account)
    broken.write_text(broken.read_text().replace(user.seed.decode(), "SUNOSEED"))
    assert "cannot be used" in await refused(server, creds_file=broken)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates for the server (127.0.0.1 and bus.test) and a client, made with openssl."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        subject = ("-subj", f"/CN={authority}")
        files = ("-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        openssl("req", "-x509", *new, "-days", "2", *files, *subject, *extensions)
    for name, alternative in (("server", "IP:127.0.0.1,DNS:bus.test"), ("client", "DNS:client.test")):
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return folder


def tls_config(folder: Path, extra: str = "") -> str:
    files = f'cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/ca.pem"'
    return f"tls {{ {files}, timeout: 5, {extra} }}"


async def test_tls_with_an_authority_and_a_name_of_ones_own(start_server: StartServer, certificates: Path) -> None:
    server = await start_server(config=tls_config(certificates), jetstream=False)
    await check(server, tls=TlsSettings(ca=certificates / "ca.pem"))
    await check(server, tls=TlsSettings(ca=certificates / "ca.pem", hostname="bus.test"))
    for tls in (None, TlsSettings(), TlsSettings(ca=certificates / "other.pem")):
        assert "not trusted" in await refused(server, tls=tls)
    assert "not trusted" in await refused(server, tls=TlsSettings(ca=certificates / "ca.pem", hostname="else.test"))


async def test_tls_is_spoken_where_it_is_offered_and_not_demanded(
    start_server: StartServer, certificates: Path
) -> None:
    config = tls_config(certificates) + "\nallow_non_tls: true"
    server = await start_server(config=config, jetstream=False)
    await check(server)
    await check(server, tls=TlsSettings(ca=certificates / "ca.pem"))
    assert "not trusted" in await refused(server, tls=TlsSettings(ca=certificates / "other.pem"))


class Eavesdropper:
    """Answers like a server without TLS, and keeps what it is told. `met` is set when so many have come and gone."""

    def __init__(self, visitors: int) -> None:
        self.heard = b""
        self.met = asyncio.Event()
        self._left = visitors

    async def listen(self, port: int = 0) -> asyncio.Server:
        return await asyncio.start_server(self._greet, "127.0.0.1", port)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"E","version":"2.11.0","auth_required":true,"max_payload":1048576}\r\n')
        self.heard += await reader.read()
        writer.close()
        self._left -= 1
        if self._left <= 0:
            self.met.set()


@pytest.mark.parametrize("light", [True, False], ids=["light", "public"])
@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_nobody_signs_in_without_the_tls_that_was_asked_for(scheme: str, light: bool) -> None:
    eavesdropper = Eavesdropper(1)
    async with await eavesdropper.listen() as listening:
        port = listening.sockets[0].getsockname()[1]
        settings = BusSettings(
            servers=(f"{scheme}://127.0.0.1:{port}",),
            tls=None if scheme == "tls" else TlsSettings(),
            user="alice",
            password="wonder",
            light_subscriptions=light,
        )
        with pytest.raises(ConnectionLost) as caught:
            await Connection.open(settings)
        await eavesdropper.met.wait()
    assert "offers no TLS" in str(caught.value)
    assert b"CONNECT" not in eavesdropper.heard
    assert b"wonder" not in eavesdropper.heard


async def test_nobody_signs_in_again_without_tls_after_the_server_was_lost(
    start_server: StartServer, certificates: Path
) -> None:
    server = await start_server(config=tls_config(certificates), jetstream=False)
    port = int(server.url.rpartition(":")[2])
    own = TlsSettings(ca=certificates / "ca.pem")
    async with await Connection.open(BusSettings(servers=(server.url,), tls=own, reconnect_wait_s=0.01)) as connection:
        await connection.ready()
        server.kill()
        eavesdropper = Eavesdropper(2)
        async with await eavesdropper.listen(port):
            await eavesdropper.met.wait()
    assert eavesdropper.heard == b""


async def test_tls_before_the_first_word(start_server: StartServer, certificates: Path) -> None:
    server = await start_server(config=tls_config(certificates, "handshake_first: true"), jetstream=False)
    await check(server, tls=TlsSettings(ca=certificates / "ca.pem", handshake_first=True))
    text = await refused(server, tls=TlsSettings(ca=certificates / "ca.pem"), connect_timeout_s=0.3)
    assert "handshake_first" in text


async def test_tls_with_a_client_certificate(start_server: StartServer, certificates: Path) -> None:
    server = await start_server(config=tls_config(certificates, "verify: true"), jetstream=False)
    own = TlsSettings(ca=certificates / "ca.pem", cert=certificates / "client.pem", key=certificates / "client.key")
    await check(server, tls=own)
    assert "no connection to NATS" in await refused(server, tls=TlsSettings(ca=certificates / "ca.pem"))


async def test_nobody_who_listens_is_told_at_once(start_server: StartServer) -> None:
    server = await start_server(jetstream=False)
    server.kill()
    started = time.perf_counter()
    text = await refused(server)
    assert "nobody listens there" in text
    assert time.perf_counter() - started < 1


async def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(ConnectionLost, match="cannot be resolved"):
        await Connection.open(BusSettings(servers=("nats://no-such-name.invalid:4222",)))


async def test_something_that_is_not_nats_is_told() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    stranger = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    async with stranger:
        with pytest.raises(ConnectionLost, match="does not speak NATS"):
            await Connection.open(BusSettings(servers=(f"nats://127.0.0.1:{port}",)))


async def test_a_silent_server_is_told_after_the_connect_timeout() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.2 s"):
            await Connection.open(BusSettings(servers=(f"nats://127.0.0.1:{port}",), connect_timeout_s=0.2))


async def test_one_server_of_several_is_enough(start_server: StartServer) -> None:
    alive, dead = await start_server(jetstream=False), await start_server(jetstream=False)
    dead.kill()
    for servers in ((dead.url, alive.url), (alive.url, dead.url)):
        async with await Connection.open(BusSettings(servers=servers)) as connection:
            await connection.ready()


async def test_giving_up_while_connecting_leaves_no_task_behind() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Connection.open(BusSettings(servers=(f"nats://127.0.0.1:{port}",), connect_timeout_s=20))
    left = [task for task in asyncio.all_tasks() if "Client" in repr(task.get_coro())]
    assert left == []


NO_ADDRESSES = ("", ":", "nats://", "http://h:4222", "NATS://h", "nats://h:x", "nats://h:70000", "nats://[::1")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"servers": ()}, "no address"),
        *(({"servers": ("nats://h:1", address)}, "is no address of NATS") for address in NO_ADDRESSES),
        ({"servers": ("ws://h:1",), "tls": TlsSettings()}, "never encrypted"),
        ({"token": "a", "user": "b", "password": "c"}, "only one kind"),
        ({"user": "alone"}, "belong together"),
        ({"inbox_prefix": "_INBOX.>"}, "not a subject"),
        ({"ping_interval_s": 0}, "not above zero"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_when_they_are_made(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        BusSettings(**options)


def test_settings_never_show_their_secrets() -> None:
    shown = repr(BusSettings(servers=("nats://u:hidden@h:1", "x:hidden@h:2"), token="hidden"))
    assert "hidden" not in shown
    assert "h:1" in shown
    for secret in ({"user": "u", "password": "hidden"}, {"nkey_seed": "hidden"}):
        assert "hidden" not in repr(BusSettings(**secret))


def test_tls_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pair"):
        TlsSettings(cert=tmp_path / "a.pem")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        TlsSettings(ca=tmp_path / "missing.pem").context()
