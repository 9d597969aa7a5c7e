"""Pictures of the Web UI for docs/web-ui.md: `python -m demo.screenshots`. Each shows what its text says, or it fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from demo.browser import Browser, BrowserFailed, browsing
from demo.gallery import Gallery, gallery

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
ASKING, BUSY = "api-3f9a2c", "shop-4f9a2c"
ANSWER: Final = '{"approval_id": "a1", "decision": "allow"}'
MESSAGE: Final = '{"turn_id": "my-turn-1", "text": "Run the tests."}'
WAITING: Final = 'ClaudeStatus = "awaiting_approval"'
# More is slow to load and hard to keep in a repository.
_BYTES_CAP: Final = 300_000
# What moves in has come to rest by then; nothing else tells.
_REST_SECONDS: Final = 0.7
_COLUMNS: Final = ("Workflow ID", "ClaudeStatus", "ClaudeTurns", "ClaudeCostUsd", "ClaudeHost", "ClaudeHandler")
_SHOW_COLUMNS: Final = """
const columns = arguments[0].map(label => ({label}));
localStorage.setItem('namespace-workflow-table-columns', JSON.stringify({default: columns}));
"""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The Web UI in a browser, and where its pictures go."""

    browser: Browser
    ui: str
    directory: Path

    async def open(self, path: str, *texts: str) -> None:
        """Open a page of the namespace; it must come to show these texts."""
        await self.browser.go(f"{self.ui}/namespaces/default/{path}")
        await self.browser.until(*texts)

    async def tab(self, session_id: str, tab: str, *texts: str) -> None:
        """Open a tab of a session's page."""
        await self.open(f"workflows/session-{session_id}", "Task Queue")
        await self.browser.click(tab)
        await self.browser.until(*texts)

    async def take(self, name: str, height: int, *texts: str) -> None:
        """Keep a picture, once the page shows these texts and has come to rest."""
        await self.browser.resize(1440, height)
        await asyncio.sleep(_REST_SECONDS)
        await self.browser.until(*texts)
        path = self.directory / f"{name}.png"
        await self.browser.shot(path)
        if (size := path.stat().st_size) > _BYTES_CAP:
            raise BrowserFailed(f"{path.name} has {size} bytes, and {_BYTES_CAP} are taken")
        print(f"{path.name}: {size // 1024} kB")


async def list_of_all(camera: Camera) -> None:
    """The list with columns of ours."""
    await camera.open("workflows", "SessionWorkflow")
    await camera.browser.run(_SHOW_COLUMNS, _COLUMNS)
    statuses = ("ready", "busy", "awaiting_approval", "hibernated", "stopped", "failed")
    await camera.open("workflows", *statuses)
    await camera.take("list", 800, *statuses, f"session-{ASKING}")


async def list_of_those_who_wait(camera: Camera) -> None:
    """The same, filtered: one session, and none of the others."""
    await camera.open(f"workflows?query={quote(WAITING)}", "1–1", f"session-{ASKING}")
    await camera.take("list-filtered", 620, WAITING, f"session-{ASKING}", "1–1")
    if BUSY in await camera.browser.text():
        raise BrowserFailed(f"the filter {WAITING} shows {BUSY} too")


async def page(camera: Camera) -> None:
    """What a session is, does and asks, with the answer to copy."""
    texts = (f"{ASKING}: awaiting_approval", "Question a1: Bash", "rm -r build && make all", ANSWER, MESSAGE)
    await camera.tab(ASKING, "User Metadata", *texts)
    await camera.take("page", 1280, *texts)


async def heartbeats(camera: Camera) -> None:
    """What claude does at this moment."""
    texts = ("send_turn", "Heartbeat Details", "212 of 480 tests", '"turn_id": "turn-2"')
    await camera.tab(BUSY, "Pending Activities", *texts)
    await camera.take("heartbeats", 1300, *texts)


async def timeline(camera: Camera) -> None:
    """Every step with what it is for."""
    texts = ("question a1 waits", "send_turn • turn turn-2: Clean up", "start_claude • start claude, generation 1")
    await camera.tab(ASKING, "Timeline", *texts)
    await camera.take("timeline", 1240, *texts)


async def answer(camera: Camera, shown: Gallery) -> None:
    """Answer in the browser, with the input that the page gives, and see claude go on."""
    await camera.tab(ASKING, "Timeline", "question a1 waits")
    await camera.browser.click("More Actions")
    await camera.browser.click("Send an Update", "[role=menuitem]")
    await camera.browser.until("Name")
    await camera.browser.run("document.querySelector('dialog[open] [aria-haspopup]').click()")
    await camera.browser.click("resolve_permission", "dialog[open] [role=option]")
    await camera.browser.type(ANSWER, "dialog[open] .cm-content")
    await camera.take("answer", 900, "Send an Update", '"approval_id"')
    await camera.browser.click("Submit", "dialog[open] button")
    await camera.browser.until("Update successful")
    await shown.reaches(ASKING, "ready")


async def take_all(directory: Path) -> None:
    """All pictures, the last of which answers the question that the others show."""
    async with gallery() as shown, browsing() as browser:
        camera = Camera(browser=browser, ui=str(shown.server.ui_address), directory=directory)
        for scene in (list_of_all, list_of_those_who_wait, page, heartbeats, timeline):
            await scene(camera)
        await answer(camera, shown)


async def main(arguments: Sequence[str]) -> int:
    """Take the pictures, into another directory if one is named; 1 when one does not show what it should."""
    directory = Path(arguments[0]) if arguments else IMAGES
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    try:
        await take_all(directory)
    except BrowserFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = asyncio.run(main(sys.argv[1:]))
    sys.stdout.flush()
    # The SDK's threads can abort an interpreter that is taken down in the usual way.
    os._exit(code)
