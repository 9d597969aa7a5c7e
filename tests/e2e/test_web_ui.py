"""A session driven from the Web UI: what the page offers to copy is sent as the UI's own pages send it."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from demo.browser import browsing, programs
from demo.messages_api import Hold, Text, Tool
from demo.screenshots import WAITING
from tests.e2e.scene import Scene, until
from workflows.messages import SessionReport, workflow_id
from workflows.session import SessionWorkflow


class WebUi:
    """The HTTP calls of the UI's dialogs, seen in a browser that sent them."""

    def __init__(self, scene: Scene) -> None:
        self._address = str(scene.server.ui_address)
        self._client = scene.client

    async def update(self, session_id: str, name: str, payload: str = "") -> dict[str, Any]:
        """*Send an Update* with this in the input field."""
        request = {"meta": {"updateId": ""}, "input": {"args": {"payloads": _payloads(payload)}}}
        return await self._post(session_id, f"update/{name}", {"request": request})

    async def signal(self, session_id: str, name: str, payload: str) -> dict[str, Any]:
        """*Send a Signal* with this in the input field."""
        body = {"signalName": name, "input": {"payloads": _payloads(payload)}}
        return await self._post(session_id, f"signal/{name}", body)

    async def _post(self, session_id: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        handle = self._client.get_workflow_handle(workflow_id(session_id))
        body["workflowExecution"] = {"workflowId": handle.id, "runId": (await handle.describe()).run_id}
        url = f"{self._address}/api/v1/namespaces/default/workflows/{handle.id}/{path}"
        return await asyncio.to_thread(_post, self._address, url, body)

    async def details(self, session_id: str) -> tuple[str, str]:
        """The two texts of the tab *User Metadata*: what never changes, and how the session is now."""
        handle = self._client.get_workflow_handle(workflow_id(session_id))
        metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return str(await (await handle.describe()).static_details()), metadata.current_details


def _payloads(text: str) -> list[dict[str, Any]] | None:
    if not text:
        return None
    data = json.dumps(json.loads(text), separators=(",", ":"))
    return [{"metadata": {"encoding": _base64("json/plain")}, "data": _base64(data)}]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _post(address: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    # The UI takes a call only with the token that it gave to the page.
    with urllib.request.urlopen(f"{address}/api/v1/settings", timeout=30) as response:
        cookie = response.headers["Set-Cookie"].partition(";")[0]
    headers = {"Content-Type": "application/json", "Cookie": cookie, "X-CSRF-TOKEN": cookie.partition("=")[2]}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def code(details: str, word: str) -> str:
    """The line of code with this word, as a person copies it."""
    [line] = [line.strip() for line in details.splitlines() if line.startswith("    ") and word in line]
    return line


@pytest.fixture
async def asking(scene: Scene) -> SessionReport:
    """A session that waits for leave."""
    scene.api.script["remove"] = [Tool("Bash", {"command": "rm -rf build"}), Text("Removed.")]
    session = await scene.open()
    await scene.begin(session, "remove")
    await scene.asked(session)
    return session


async def test_a_question_is_answered_with_what_the_page_gives(scene: Scene, asking: SessionReport) -> None:
    """The input under the question, copied as it stands into the update's dialog, lets claude go on."""
    ui = WebUi(scene)
    _, now = await ui.details(asking.session_id)

    answered = await ui.update(asking.session_id, "resolve_permission", code(now, "approval_id"))

    report = await scene.end(asking, "remove")
    assert "success" in answered["outcome"]
    assert report.ended is not None
    assert report.ended.text == "Removed."


async def test_a_message_is_given_with_what_the_page_gives(scene: Scene) -> None:
    """The input of `send`, copied as it stands, is a message to claude, and its turn ends."""
    ui, session = WebUi(scene), await scene.open()
    introduction, _ = await ui.details(session.session_id)

    await ui.update(session.session_id, "send", code(introduction, "turn_id"))

    report = await scene.end(session, "my-turn-1")
    assert report.state == "done"
    assert scene.api.answered["Run the tests."] == 1


async def test_a_turn_is_interrupted_without_input(scene: Scene) -> None:
    """The update `interrupt` with an empty field ends the turn and leaves the session."""
    scene.api.script["long"] = [Hold(), Text("never")]
    session = await scene.open()
    await scene.begin(session, "long")

    async def is_running() -> bool:
        return bool(await scene.sessions.doing(session.session_id))

    await until(is_running)
    await WebUi(scene).update(session.session_id, "interrupt")

    report = await scene.end(session, "long")
    assert report.ended is not None
    assert report.ended.error_kind == "interrupted"
    assert (await scene.sessions.status(session.session_id)).status == "ready"


@pytest.mark.parametrize("payload", ["", '{"when": "after_turn"}'])
async def test_a_session_is_stopped(scene: Scene, payload: str) -> None:
    """The signal `stop`, with an empty field as well, stops the session, and no process of it is left."""
    session = await scene.open()

    await WebUi(scene).signal(session.session_id, "stop", payload)

    report = await scene.client.get_workflow_handle_for(SessionWorkflow.run, workflow_id(session.session_id)).result()
    assert report.status == "stopped"
    assert scene.trace(session).processes() == []


async def test_what_cannot_apply_is_refused_in_words(scene: Scene) -> None:
    """A wrong answer, or none, changes nothing; the dialog shows the sentence."""
    ui, session = WebUi(scene), await scene.open()
    refusals = []
    for name, payload in (
        ("resolve_permission", '{"approval_id": "a9", "decision": "allow"}'),
        ("interrupt", ""),
        ("send", '{"turn_id": "t", "text": ""}'),
    ):
        told = await ui.update(session.session_id, name, payload)
        refusals.append(told["outcome"]["failure"]["message"])

    assert refusals[0].startswith("there is no question 'a9'")
    assert refusals[1].startswith("no turn is running")
    assert refusals[2].startswith("the message is empty")
    assert (await scene.sessions.status(session.session_id)).status == "ready"


@pytest.mark.skipif(programs() is None, reason="chromium and chromedriver are not installed")
async def test_the_list_of_the_web_ui_is_filtered(scene: Scene, asking: SessionReport) -> None:
    """In a real browser the filter for those who wait shows who waits, and not the session beside it."""
    other = await scene.open()
    url = f"{scene.server.ui_address}/namespaces/default/workflows?query="
    async with browsing() as browser:
        await browser.go(url + quote(f"WorkflowId = '{workflow_id(other.session_id)}'"))
        await browser.until(other.session_id)
        await browser.go(url + quote(WAITING))
        shown = await browser.until(asking.session_id)

    assert other.session_id not in shown
