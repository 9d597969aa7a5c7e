"""Leaving a conversation by a signal, which may come at any moment of what the keyboard does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.terminal import terminal

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from handlers.keyboard import Displaced, Keyboard

async def main():
    keyboard = Keyboard(Path(sys.argv[1]))
    if sys.argv[2] == "before":
        keyboard.leave()
    asking = asyncio.create_task(keyboard.message())
    if sys.argv[2] == "in_between":
        await asyncio.sleep(0)
        keyboard.leave()
    while sys.argv[2] == "while" and not asking.done():
        await asyncio.sleep(0.05)
        keyboard.leave()
    try:
        await asking
    except (EOFError, Displaced) as error:
        print(type(error).__name__)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("moment", "error"), [("before", "EOFError"), ("in_between", "Displaced"), ("while", "Displaced")]
)
async def test_who_leaves_is_not_asked(tmp_path: Path, moment: str, error: str) -> None:
    """No key is waited for, whether the line was there already or was about to come."""
    program = [sys.executable, "-c", PROGRAM, str(tmp_path / "history"), moment]
    async with terminal(program, {"PYTHONPATH": str(ROOT)}, ROOT) as screen:
        assert await screen.ended() == 0
        assert error in screen.text
