"""The codec endpoint as the Web UI and the Temporal CLI use it, and as they must not be able to."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from temporalio.testing import WorkflowEnvironment

from demo.stage import Stage, directories
from runtime.codec import converter
from runtime.keys import Key
from runtime.temporal import temporal_binary
from tests.e2e.command_line import PATIENCE_SECONDS, CommandLine
from workflows.messages import Message

KEY = Key(secret=b"k" * 32)
UI = "http://127.0.0.1:8233"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A codec endpoint that runs."""

    address: str

    async def post(self, path: str, body: bytes, *, method: str = "POST", **headers: str) -> tuple[int, str, str]:
        """Status, headers and body of the answer, read from the wire."""
        parts = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        sent = {"Host": parts.netloc, "Content-Length": str(len(body)), "Connection": "close", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = (await reader.read()).decode()
        writer.close()
        head, _, text = answer.partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), text


@pytest.fixture(scope="module")
def stage() -> Any:
    with directories() as made:
        yield made


@pytest.fixture(scope="module")
async def endpoint(stage: Stage) -> AsyncIterator[Endpoint]:
    """The command, as a process of its own; Ctrl-C ends it well."""
    run = CommandLine(stage, {"DURABLE_CLAUDE_ENCRYPTION_KEY_FILE": str(key_file(stage.root))})
    process = await run.begin("codec", "--port", "0", "--ui", UI, "--json")
    assert process.stdout is not None
    text = b""
    while b"}" not in text:
        text += await process.stdout.readline()
    yield Endpoint(address=json.loads(text)["address"])
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0


def key_file(directory: Path) -> Path:
    path = directory / "keys"
    path.touch(mode=0o600)
    path.write_text(base64.b64encode(KEY.secret).decode())
    return path


async def sealed(text: str) -> bytes:
    """What the UI sends: the payloads of a history as Temporal's API writes them in JSON."""
    [payload] = await converter([KEY]).encode([Message(turn_id="t", text=text)])
    metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
    return json.dumps({"payloads": [{"metadata": metadata, "data": base64.b64encode(payload.data).decode()}]}).encode()


def opened(text: str) -> dict[str, Any]:
    """The value in an answer."""
    [payload] = json.loads(text)["payloads"]
    assert base64.b64decode(payload["metadata"]["encoding"]) == b"json/plain"
    return dict(json.loads(base64.b64decode(payload["data"])))


async def test_the_web_ui_can_read_and_write(endpoint: Endpoint) -> None:
    """Its preflight is answered, it reads what is encrypted, and what it encrypts can be read again."""
    status, head, _ = await endpoint.post("/decode", b"", method="OPTIONS", Origin=UI)
    assert status == 200
    assert f"access-control-allow-origin: {UI}" in head
    assert "x-namespace" in head

    status, head, text = await endpoint.post("/decode", await sealed("rosebud"), Origin=UI)
    assert (status, opened(text)["text"]) == (200, "rosebud")
    assert f"access-control-allow-origin: {UI}" in head

    status, _, hidden = await endpoint.post("/encode", text.encode(), Origin=UI)
    assert status == 200
    assert base64.b64encode(b"rosebud").decode()[:8] not in hidden
    _, _, again = await endpoint.post("/decode", hidden.encode())
    assert opened(again)["text"] == "rosebud"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8233.evil.example"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8234", "Origin": UI},
        {"Host": ""},
    ],
    ids=["origin", "null", "prefix", "host", "rebound", "no host"],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_foreign_pages_get_nothing(endpoint: Endpoint, headers: dict[str, str], method: str) -> None:
    """Another origin, and a name that was pointed at this machine, are refused before anything is decrypted."""
    status, head, text = await endpoint.post("/decode", await sealed("rosebud"), method=method, **headers)

    assert status in (400, 403)
    assert "access-control-allow-origin" not in head
    assert "payloads" not in text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"payloads": 5}', b"\xff\xfe"])
async def test_nonsense_is_told_so(endpoint: Endpoint, body: bytes) -> None:
    """What is no list of payloads gets a sentence, and the endpoint goes on."""
    status, _, text = await endpoint.post("/decode", body)
    again, _, _ = await endpoint.post("/decode", await sealed("rosebud"))

    assert status == 400
    assert "not a list of payloads" in text
    assert again == 200


async def test_what_cannot_be_decrypted_stays_as_it_is(endpoint: Endpoint) -> None:
    """A payload under another key is shown as the bytes that it is, beside those that can be read."""
    [locked] = await converter([Key(secret=b"x" * 32)]).encode(["rosebud"])
    body = json.loads(await sealed("readable"))
    metadata = {name: base64.b64encode(value).decode() for name, value in locked.metadata.items()}
    body["payloads"].append({"metadata": metadata, "data": base64.b64encode(locked.data).decode()})
    status, _, text = await endpoint.post("/decode", json.dumps(body).encode())

    assert status == 200
    assert json.loads(text)["payloads"][1] == body["payloads"][1]


async def test_it_listens_on_loopback_only(endpoint: Endpoint) -> None:
    """Nobody on another machine can ask."""
    assert urlsplit(endpoint.address).hostname == "127.0.0.1"


async def test_without_a_key_there_is_nothing_to_serve(stage: Stage) -> None:
    """One sentence says which setting is missing; a Web UI that cannot be one is refused as well."""
    plain = await CommandLine(stage)("codec", "--port", "0")
    keyed = CommandLine(stage, {"DURABLE_CLAUDE_ENCRYPTION_KEY_FILE": str(key_file(stage.root))})
    wrong = await keyed("codec", "--ui", "somewhere")

    assert (plain.code, plain.is_one_sentence) == (2, True)
    assert "DURABLE_CLAUDE_ENCRYPTION_KEY_FILE" in plain.stderr
    assert (wrong.code, wrong.is_one_sentence) == (2, True)


async def test_the_temporal_cli_reads_a_history_through_it(endpoint: Endpoint, stage: Stage) -> None:
    """`temporal workflow show --codec-endpoint` shows the prompt, and without the endpoint it does not."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary()), dev_server_log_level="error", data_converter=converter([KEY])
    ) as server:
        await server.client.start_workflow("Any", Message(turn_id="t", text="rosebud"), id="w", task_queue="q")
        address = server.client.service_client.config.target_host

        async def show(*more: str) -> bytes:
            process = await asyncio.create_subprocess_exec(
                *(str(temporal_binary()), "workflow", "show", "-w", "w", "-o", "json", "--address", address, *more),
                env={"HOME": str(stage.root), "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=DEVNULL,
            )
            started = json.loads((await process.communicate())[0])["events"][0]
            [payload] = started["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
            return base64.b64decode(payload["data"])

        assert b"rosebud" in await show("--codec-endpoint", endpoint.address)
        assert b"rosebud" not in await show()
