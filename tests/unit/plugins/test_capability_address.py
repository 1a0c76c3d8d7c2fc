"""Addresses: which are public whatever their form, and that a name is resolved without costing the loop anything."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from theater_bus.capability import is_public, plain_address, resolve


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_these_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"],
        *["224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"],
        *["::1", "::", "fe80::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1"],
        *["::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1"],
        "2001:0:7f00:1::",
    ],
)
def test_these_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("0:0::1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", None),
        ("127.1", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("010.0.0.1", None),
        ("example.com", None),
        ("", None),
    ],
)
def test_an_address_has_one_form(text: str, plain: str | None) -> None:
    assert plain_address(text) == plain


async def test_a_name_becomes_addresses_and_an_address_stays_one() -> None:
    assert await resolve("::ffff:10.0.0.1", 80) == ["10.0.0.1"]
    assert set(await resolve("localhost", 80)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["nothing.invalid", "a..b", "x" * 64 + ".com", "a\0b", "", "../../etc/passwd"])
async def test_what_is_no_name_does_not_resolve(name: str) -> None:
    with pytest.raises(OSError):
        await resolve(name, 80)


async def test_lookups_that_nobody_answers_take_up_a_share_of_their_actor_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence = threading.Event()
    ask = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **named: Any) -> Any:
        if host == "silent.example.com":
            silence.wait(60)
        return ask("127.0.0.1", *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolve("silent.example.com", 80, owner="hostile")
    with pytest.raises(OSError, match="2 lookups of this actor are under way"):
        await resolve("other.example.com", 80, owner="hostile")
    assert await resolve("other.example.com", 80, owner="other") == ["127.0.0.1"]
    assert await resolve("other.example.com", 80) == ["127.0.0.1"]
    silence.set()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await resolve("other.example.com", 80, owner="hostile") == ["127.0.0.1"]
                break
            except OSError:
                await asyncio.sleep(0.002)
