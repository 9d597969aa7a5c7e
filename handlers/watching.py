"""`watch`: a look at many sessions about once a second, for a person at a terminal, for a pipe, or for a program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.console import Group
from rich.live import Live
from rich.text import Text
from temporalio.service import RPCError

from handlers import board, console, finding
from handlers.connection import connect
from handlers.failure import judge
from runtime.settings import Settings
from runtime.temporal import TemporalAway
from workflows.lookout import Lookout, Sight

REFRESH_SECONDS: Final = 1.0
# The first look waits for who answers slowly; later ones show what was known and hear the rest the next time.
_PATIENCE_SECONDS: Final = 0.5
# A server that answers takes a tenth of this; one that hangs must not look like one where nothing happens.
_LOOK_SECONDS: Final = 8.0
_OUTAGES: Final = (TemporalAway, RPCError, TimeoutError)


@dataclass(kw_only=True)
class Scene:
    """What was seen last and when, and why nothing newer can be seen."""

    sights: list[Sight] = field(default_factory=list)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    trouble: str = ""


async def watch(names: Sequence[str], *, once: bool, as_json: bool) -> None:
    """Show the sessions until somebody leaves, or once."""
    for name in names:
        finding.check(name)
    settings = Settings.from_env()
    sessions = await connect(settings)
    chosen = list(dict.fromkeys([await finding.find(sessions, name, ended=True) for name in names]))
    async with contextlib.aclosing(_scenes(settings, sessions.lookout(), chosen)) as scenes:
        if once:
            _print(await anext(scenes), as_json=as_json)
        elif as_json or not console.out.is_terminal:
            await _follow(scenes, as_json=as_json)
        else:
            await _at_terminal(scenes)


async def _scenes(settings: Settings, lookout: Lookout, chosen: Sequence[str]) -> AsyncGenerator[Scene]:
    """What is to be seen, again and again. A server that goes away is told, and looked for."""
    scene = Scene(sights=await lookout.look(chosen), at=datetime.now(UTC))
    try:
        while True:
            began = time.monotonic()
            yield scene
            await asyncio.sleep(max(0.0, REFRESH_SECONDS - (time.monotonic() - began)))
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    if scene.trouble:
                        # It may be back at another address.
                        await lookout.close()
                        lookout = (await connect(settings)).lookout()
                    sights = await lookout.look(chosen, _PATIENCE_SECONDS)
                scene = Scene(sights=sights, at=datetime.now(UTC))
            except _OUTAGES as error:
                scene = Scene(sights=scene.sights, at=scene.at, trouble=judge(error)[1] or "Temporal does not answer")
    finally:
        await lookout.close()


async def _follow(scenes: AsyncGenerator[Scene], *, as_json: bool) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        async for scene in scenes:
            _print(scene, as_json=as_json)


def _print(scene: Scene, *, as_json: bool) -> None:
    sights = board.sorted_by_need(scene.sights)
    if as_json:
        console.document({**board.document(sights, scene.at), "trouble": scene.trouble})
        return
    width = console.out.width if console.out.is_terminal else None
    lines = [*_headlines(scene), *board.lines(sights, scene.at, width)]
    if width is None:
        console.result("\n".join(line.plain for line in lines))
        console.out.file.flush()
        return
    for line in lines:
        console.out.print(line, soft_wrap=False)


async def _at_terminal(scenes: AsyncGenerator[Scene]) -> None:
    """The whole screen, as `top` does it, until `q` or Ctrl-C. However it ends, the terminal is as it was."""
    loop = asyncio.get_running_loop()
    leaving = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, _leave, leaving)
    with (
        contextlib.suppress(asyncio.CancelledError),
        _keys(leaving),
        Live(console=console.out, screen=True, auto_refresh=False) as live,
    ):
        showing = asyncio.create_task(_show(scenes, live))
        try:
            await asyncio.wait([showing, leaving], return_when=asyncio.FIRST_COMPLETED)
            if showing.done():
                await showing
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _show(scenes: AsyncGenerator[Scene], live: Live) -> None:
    async for scene in scenes:
        live.update(_screen(scene, *console.out.size), refresh=True)


def _screen(scene: Scene, width: int, height: int) -> Group:
    head = [*(part for line in _headlines(scene) for part in line.wrap(console.out, width)), Text("")]
    lines = board.lines(board.sorted_by_need(scene.sights), scene.at, width)
    room = max(1, height - len(head) - 1)
    if len(lines) > room:
        lines = [*lines[: room - 1], Text(f"… and {len(lines) - room + 1} more", style="dim")]
    return Group(*head, *lines)


def _headlines(scene: Scene) -> list[Text]:
    """How many sessions there are, and before that why nothing newer is known."""
    counted = f"{scene.at.astimezone():%H:%M:%S}  {board.summary(scene.sights)}"
    trouble = [Text(console.printable(scene.trouble), style="bold red")] if scene.trouble else []
    return [*trouble, Text(f"as it was at {counted}" if trouble else counted)]


def _leave(leaving: asyncio.Future[None]) -> None:
    if not leaving.done():
        leaving.set_result(None)


@contextlib.contextmanager
def _keys(leaving: asyncio.Future[None]) -> Iterator[None]:
    """Each key as it is pressed, not line by line; Ctrl-C stays what it is."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(keyboard)

    def pressed() -> None:
        # A terminal that is gone is a person who left.
        typed = b""
        with contextlib.suppress(OSError):
            typed = os.read(keyboard, 64)
        if not typed or b"q" in typed.lower():
            _leave(leaving)

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
