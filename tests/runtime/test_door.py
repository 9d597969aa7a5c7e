"""The small HTTP door: what it answers, and what does not hurt it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from runtime import door
from runtime.address import Address, parse_address
from runtime.door import DoorTaken, answering

LOOPBACK = Address(host="127.0.0.1", port=0)


def answer(path: str) -> tuple[bool, Mapping[str, Any]] | None:
    answers: dict[str, tuple[bool, Mapping[str, Any]]] = {
        "/well": (True, {"ok": True}),
        "/ill": (False, {"ok": False, "why": "it is ill"}),
    }
    return answers.get(path)


@pytest.fixture
def where() -> Iterator[Address]:
    with answering(LOOPBACK, answer) as address:
        yield address


def say(where: Address, request: bytes) -> bytes:
    """Everything that comes back."""
    with socket.create_connection((where.host, where.port), timeout=20) as connection:
        connection.sendall(request)
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
        return said


def get(where: Address, path: str) -> tuple[int, Any]:
    head, _, body = say(where, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_paths_are_answered_with_status_and_json(where: Address) -> None:
    """Well is 200, ill is 503 with a sentence, all else is 404; HEAD has no body."""
    head = say(where, b"HEAD /ill HTTP/1.0\r\n\r\n")

    assert get(where, "/well?verbose=1") == (200, {"ok": True})
    assert get(where, "/ill") == (503, {"ok": False, "why": "it is ill"})
    assert get(where, "/other")[0] == 404
    assert head.startswith(b"HTTP/1.1 503 ")
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\xff\xfe\r\n\r\n", b"400"),
        (b"GET /well\r\n\r\n", b"400"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /well HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", b"405"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request_gets_a_sentence(where: Address, request_bytes: bytes, status: bytes) -> None:
    """And the next one is answered as ever."""
    try:
        said = say(where, request_bytes)
    except ConnectionResetError:
        # Closed with much of the request unread.
        said = b"HTTP/1.1 431"

    assert said.split()[1] == status
    assert get(where, "/well")[0] == 200


def test_who_says_nothing_is_shown_out(where: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request, and a crowd that says nothing, keep nobody out for long."""
    monkeypatch.setattr(door, "_REQUEST_SECONDS", 0.5)
    half = say(where, b"GET /we")
    crowd = [socket.create_connection((where.host, where.port)) for _ in range(door._CONNECTIONS + 10)]
    deadline = time.monotonic() + 10
    answered = 0
    while answered != 200 and time.monotonic() < deadline:
        try:
            answered = get(where, "/well")[0]
        except (IndexError, OSError):
            time.sleep(0.05)
    for connection in crowd:
        connection.close()

    assert half == b""
    assert answered == 200


async def test_it_answers_while_this_loop_hangs(where: Address) -> None:
    """The door has a loop of its own, and that is what it is for."""
    answers: list[int] = []
    asker = threading.Thread(target=lambda: answers.append(get(where, "/well")[0]))
    asker.start()
    # Blocking the loop is the point.
    asker.join(20)

    assert answers == [200]


def test_an_address_that_is_taken_is_a_sentence(where: Address) -> None:
    """It names the address."""
    with pytest.raises(DoorTaken, match=str(where.port)), answering(where, answer):
        pass


def test_nothing_is_left_of_it() -> None:
    """Neither thread nor port."""
    with answering(LOOPBACK, answer) as where:
        get(where, "/well")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((where.host, where.port))

    assert [thread for thread in threading.enumerate() if thread.name == "door"] == []


@pytest.mark.parametrize("text", ["127.0.0.1:8240", "localhost:0", "[::1]:65535"])
def test_addresses_are_read_as_they_are_written(text: str) -> None:
    """With a name, a number, or a number of the newer kind."""
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", ["8240", ":8240", "localhost", "localhost:x", "localhost:70000", "::1:80", "a b:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The sentence shows how one is written."""
    with pytest.raises(ValueError, match="host:port"):
        parse_address(text)


def test_many_at_once(where: Address) -> None:
    """Twenty probes at the same moment are all answered."""

    async def ask() -> int:
        return (await asyncio.to_thread(get, where, "/well"))[0]

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(ask() for _ in range(20)))

    assert asyncio.run(all_of_them()) == [200] * 20
