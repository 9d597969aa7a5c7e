"""The connection: by Temporal's own configuration, patient with a server that is away, plain with one that refuses."""

import asyncio
import io
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from runtime import dev_server
from runtime.temporal import TemporalAway, TemporalRefused, compression, connect, connect_once, temporal_binary
from tests.runtime.test_dev_server import free_port

# gRPC status codes.
UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED = 14, 16, 7


class Lines:
    """A log that keeps what it was told, and says when there is something."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.logger = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()), processors=[self._keep])

    def _keep(self, _logger: object, method: str, event: Any) -> str:
        self.lines.append(dict(event) | {"level": method})
        return ""


def environ(address: str, **more: str) -> dict[str, str]:
    return {"TEMPORAL_ADDRESS": address, "TEMPORAL_CONFIG_FILE": "/dev/null"} | more


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name: str, value: str) -> bytes:
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


@asynccontextmanager
async def refusing_server(status: int, message: str) -> AsyncIterator[str]:
    """A server that speaks just enough HTTP/2 to answer every gRPC call with this status; yields its address."""
    answer = header(":status", "200") + header("content-type", "application/grpc")
    answer += header("grpc-status", str(status)) + header("grpc-message", message)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(24)
            writer.write(frame(4, 0, 0, b""))
            while True:
                size, kind, flags, stream = struct.unpack(">xIBBI", b"\x00\x00" + await reader.readexactly(9))
                await reader.readexactly(size)
                if kind == 4 and not flags & 1:
                    writer.write(frame(4, 1, 0, b""))
                elif kind in (0, 1) and flags & 1:
                    writer.write(frame(1, 5, stream, answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_server_that_is_not_up_is_away() -> None:
    """One try says which address did not answer and why."""
    port = free_port()

    with pytest.raises(TemporalAway, match=rf"127\.0\.0\.1:{port}: Connection refused"):
        await connect_once(environ=environ(f"127.0.0.1:{port}"))


async def test_the_worker_waits_for_a_server_that_comes_up_later(tmp_path: Path) -> None:
    """Started before its server, connect() logs each try with the reason, and connects once the server answers."""
    plan = dev_server.DevServerPlan(state_directory=tmp_path, port=free_port(), ui_port=free_port())
    log = Lines()
    connecting = asyncio.create_task(connect(log.logger, environ=lambda: plan.connection))
    async with asyncio.timeout(60):
        while len(log.lines) < 2:
            await asyncio.sleep(0.01)

    server = await dev_server.start(plan)
    client = await asyncio.wait_for(connecting, 60)
    await server.stop()

    assert client.namespace == "default"
    assert {line["event"] for line in log.lines[:-1]} == {"waiting for Temporal"}
    assert f"127.0.0.1:{plan.port}" in log.lines[0]["reason"]
    assert log.lines[0]["retry_in_seconds"] < log.lines[1]["retry_in_seconds"]
    assert log.lines[-1] == {
        "event": "connected to Temporal",
        "level": "info",
        "address": plan.address,
        "namespace": "default",
    }


async def test_a_namespace_that_does_not_exist_is_said_at_once(tmp_path: Path) -> None:
    """A misspelt namespace is not waited for, and the sentence names it."""
    plan = dev_server.DevServerPlan(state_directory=tmp_path, port=free_port(), ui_port=free_port())
    server = await dev_server.start(plan)

    with pytest.raises(TemporalRefused, match=r"no namespace 'prodction'.*TEMPORAL_NAMESPACE"):
        await connect(Lines().logger, environ=lambda: plan.connection | {"TEMPORAL_NAMESPACE": "prodction"})

    await server.stop()


@pytest.mark.parametrize("status", [UNAUTHENTICATED, PERMISSION_DENIED], ids=["unauthenticated", "denied"])
async def test_a_refusal_is_not_waited_for(status: int) -> None:
    """A wrong key or missing right ends the wait with the server's own words and what to check."""
    log = Lines()

    async with refusing_server(status, "the key has expired") as address:
        with pytest.raises(TemporalRefused, match=r"the key has expired; check TEMPORAL_API_KEY"):
            await connect(log.logger, environ=lambda: environ(address))

    assert log.lines == []


async def test_a_server_that_is_busy_starting_is_waited_for() -> None:
    """`unavailable` is what a server says that is not ready yet."""
    async with refusing_server(UNAVAILABLE, "not healthy yet") as address:
        with pytest.raises(TemporalAway, match="not healthy yet"):
            await connect_once(environ=environ(address))


async def test_tls_against_a_server_without_it_is_said_at_once() -> None:
    """An API key means TLS; a server that speaks none never will, so nobody waits for it."""
    async with refusing_server(UNAVAILABLE, "") as address:
        with pytest.raises(TemporalRefused, match="cannot agree on TLS"):
            await connect_once(environ=environ(address, TEMPORAL_API_KEY="key"))


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"TEMPORAL_PROFILE": "prod", "TEMPORAL_CONFIG_FILE": "/dev/null"}, "'prod'"),
        ({"TEMPORAL_ADDRESS": "not an address", "TEMPORAL_CONFIG_FILE": "/dev/null"}, "'not an address'"),
    ],
    ids=["profile", "address"],
)
async def test_a_configuration_that_cannot_be_meant_is_refused(environ: dict[str, str], sentence: str) -> None:
    """An unknown profile or an impossible address names itself in the error."""
    with pytest.raises(TemporalRefused, match=sentence):
        await connect_once(environ=environ)


async def test_a_profile_of_the_standard_file_is_used(tmp_path: Path) -> None:
    """Address and namespace may come from temporal.toml, as for every other Temporal program."""
    port = free_port()
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.lab]\naddress = "127.0.0.1:{port}"\nnamespace = "lab"\n')

    with pytest.raises(TemporalAway, match=rf"127\.0\.0\.1:{port}"):
        await connect_once(environ={"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "lab"})


def test_the_program_beside_the_interpreter_comes_first() -> None:
    """The server of this virtual environment is found although the environment is not on PATH."""
    assert temporal_binary() == Path(sys.executable).with_name("temporal")


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("localhost:7233", "none"),
        ("127.0.0.1:7233", "none"),
        ("[::1]:7233", "none"),
        ("temporal:7233", "gzip"),
        ("10.0.0.7:7233", "gzip"),
        ("127.0.0.1.example.org:7233", "gzip"),
    ],
)
async def test_what_stays_on_this_machine_is_not_compressed(address: str, mode: str) -> None:
    """Over a network compression pays, and a host that has only a name may be anywhere."""
    assert compression(address)._to_bridge_config() == mode
