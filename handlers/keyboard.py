"""What a person types in a conversation: lines that can be edited, called off, and interrupted by something that comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import StdoutProxy

# Bundles what is printed at once; longer would be seen.
_BUNDLE_SECONDS: Final = 0.02
# The terminal is asked where its cursor is, and one that does not answer is waited for this long by the library.
_PRINTING_SECONDS: Final = 2.0


class _Keys(Vt100Input):
    """Stays raw while something is printed above the line. A Ctrl-D that is typed at that moment would be lost."""

    def cooked_mode(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Displaced(Exception):
    """Something else needs the line; what was typed is in `Keyboard.draft`."""


class Keyboard:
    """One line of input at a time, below everything that is printed meanwhile."""

    def __init__(self, history: Path) -> None:
        keys = _Keys(sys.stdin)
        self._messages = _session(_private(history), keys)
        self._answers = _session(InMemoryHistory(), keys)
        self._asking: PromptSession[str] | None = None
        self.is_left = False
        """The person has gone: nothing is asked any more."""
        self.draft = ""
        """What was typed of a message when something else came."""

    async def message(self) -> str:
        """The next message. KeyboardInterrupt and EOFError are a person who leaves; Displaced keeps the draft."""
        draft, self.draft = self.draft, ""
        try:
            return await self._ask(self._messages, "› ", draft)
        except Displaced:
            self.draft = self._messages.default_buffer.text
            raise

    async def answer(self, question: str, *, is_expected: bool = False) -> str:
        """The answer to a question. What was typed before it was there is not meant for it, unless it is expected."""
        if not is_expected:
            with contextlib.suppress(termios.error):
                termios.tcflush(sys.stdin, termios.TCIFLUSH)
        return await self._ask(self._answers, question, "")

    def displace(self) -> None:
        """End what is being asked with Displaced, and take it off the screen."""
        if self._asking is not None and self._asking.app.is_running and not self._asking.app.is_done:
            self._asking.app.erase_when_done = True
            self._asking.app.exit(exception=Displaced())

    def leave(self) -> None:
        """End what is being asked, with Displaced, and whatever is asked from now on, with EOFError."""
        self.is_left = True
        self.displace()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """What is typed while nothing is asked is not shown; Ctrl-C is a signal as ever.

        Nor is it gathered into lines: between two prompts a Ctrl-D would then be the end of a line, and be lost.
        """
        before = termios.tcgetattr(sys.stdin)
        silent = termios.tcgetattr(sys.stdin)
        silent[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

    async def _ask(self, session: PromptSession[str], prompt: str, draft: str) -> str:
        session.app.erase_when_done = False
        # What was printed above the last line still holds the keyboard until it is on the screen.
        if (printing := session.app._running_in_terminal_f) is not None:  # noqa: SLF001  nothing public tells
            await asyncio.wait([printing], timeout=_PRINTING_SECONDS)
        if self.is_left:
            raise EOFError
        self._asking = session
        try:
            with _printing_above():
                return await session.prompt_async(prompt, default=draft, handle_sigint=False)
        finally:
            self._asking = None


def _session(history: History, keys: _Keys) -> PromptSession[str]:
    return PromptSession(
        input=keys,
        history=history,
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation="  ",
        # Room below the line would scroll away what claude said.
        reserve_space_for_menu=0,
    )


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    return keys


@contextlib.contextmanager
def _printing_above() -> Iterator[None]:
    """What is printed while a line is being typed goes above it."""
    out, err = sys.stdout, sys.stderr
    with StdoutProxy(sleep_between_writes=_BUNDLE_SECONDS, raw=True) as proxy:
        sys.stdout = sys.stderr = proxy
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


def _private(history: Path) -> History:
    """Messages are nobody else's business; where they cannot be kept, they are forgotten."""
    try:
        os.close(os.open(history, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(history)
