"""A headless Chromium, driven by the WebDriver protocol: the few calls that looking at a page takes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from demo.stage import free_ports

_ARGUMENTS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    # A browser that is not told calls home in many ways.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
    # Only this machine can be reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    *("--hide-scrollbars", "--force-device-scale-factor=1"),
)
# A page of the Web UI is there within a second; a busy machine gets this long.
_PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.1


class BrowserFailed(RuntimeError):
    """The page did not become what was expected, or there is no browser."""


def programs() -> tuple[Path, Path] | None:
    """Chromium and its driver, if both are installed."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (Path(chromium), Path(driver)) if chromium and driver else None


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    async def go(self, url: str) -> None:
        """Open a page."""
        await self._call("POST", "/url", {"url": url})

    async def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        await self._call("POST", "/window/rect", {"width": width, "height": height})

    async def run(self, script: str, *arguments: object) -> Any:
        """What a script returns in the page."""
        return await self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    async def text(self) -> str:
        """All the text of the page that a person could see, frames included."""
        return str(await self.run(_TEXT))

    async def until(self, *texts: str) -> str:
        """The page's text once it holds all of these."""
        found = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not all(text in found for text in texts):
                    await asyncio.sleep(_PAUSE_SECONDS)
                    found = await self.text()
                return found
        missing = [text for text in texts if text not in found]
        raise BrowserFailed(f"the page does not show {missing}, but:\n{found}")

    async def click(self, text: str, tag: str = "button, a, [role=menuitem], [role=option]") -> None:
        """Click what begins with this line of text, once it is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not await self.run(_CLICK, tag, text):
                    await asyncio.sleep(_PAUSE_SECONDS)
                return
        raise BrowserFailed(f"there is nothing to click with the text {text!r} in:\n{await self.text()}")

    async def type(self, text: str, into: str) -> None:
        """Type into what the selector finds."""
        await self.run(_TYPE, into, text)

    async def shot(self, path: Path) -> None:
        """Keep a picture of the window."""
        picture = base64.b64decode(await self._call("GET", "/screenshot"))
        await asyncio.to_thread(path.write_bytes, picture)

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(_request, method, self._session + path, body)


@contextlib.asynccontextmanager
async def browsing(width: int = 1280, height: int = 800) -> AsyncIterator[Browser]:
    """A browser with an empty profile of its own; both are gone afterwards."""
    found = programs()
    if found is None:
        raise BrowserFailed("there is no browser: install the packages chromium and chromium-driver")
    chromium, driver = found
    port, _ = free_ports()
    with tempfile.TemporaryDirectory(prefix="dc-browser-", ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            *(str(driver), f"--port={port}"),
            env={"HOME": home, "PATH": f"{chromium.parent}:/usr/bin:/bin"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            session = await _open(f"http://127.0.0.1:{port}", chromium, home, (width, height))
            try:
                yield Browser(session)
            finally:
                # Closes every window and ends Chromium.
                await asyncio.to_thread(_request, "DELETE", session, None)
        finally:
            process.terminate()
            await process.wait()


async def _open(driver: str, chromium: Path, home: str, size: tuple[int, int]) -> str:
    arguments = [*_ARGUMENTS, f"--user-data-dir={home}/profile", f"--window-size={size[0]},{size[1]}"]
    options = {"binary": str(chromium), "args": arguments}
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                opened = await asyncio.to_thread(_request, "POST", f"{driver}/session", wanted)
                return f"{driver}/session/{opened['sessionId']}"
            except urllib.error.URLError:
                # The driver has not opened its port yet.
                await asyncio.sleep(_PAUSE_SECONDS)


def _request(method: str, url: str, body: object) -> Any:
    data = None if method != "POST" else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        told = json.load(error)["value"]
        raise BrowserFailed(f"{told['error']}: {told['message']}") from error


_TEXT: Final = """
const texts = [document.body.innerText];
for (const frame of document.querySelectorAll('iframe')) {
  if (frame.contentDocument && frame.contentDocument.body) texts.push(frame.contentDocument.body.innerText);
}
return texts.join('\\n');
"""
_CLICK: Final = """
const [selector, text] = arguments;
const first = one => one.innerText.trim().split('\\n')[0];
const fits = [...document.querySelectorAll(selector)].filter(one => first(one) === text && one.offsetParent);
if (!fits.length) return false;
fits[0].click();
return true;
"""
_TYPE: Final = """
document.querySelector(arguments[0]).focus();
document.execCommand('insertText', false, arguments[1]);
"""
