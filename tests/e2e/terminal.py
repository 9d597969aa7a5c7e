"""A command in a pseudo-terminal, and what a person would see on its screen."""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pyte

from tests.e2e.command_line import PROGRAM

PATIENCE_SECONDS = 60.0
ENTER, CTRL_C, CTRL_D, ALT_ENTER, UP = "\r", "\x03", "\x04", "\x1b\r", "\x1b[A"


class _Screen(pyte.HistoryScreen):
    """A screen that keeps what scrolls away, and answers when it is asked where the cursor is."""

    def __init__(self, columns: int, rows: int, keyboard: int) -> None:
        super().__init__(columns, rows, history=1000, ratio=0.5)
        self._keyboard = keyboard

    def write_process_input(self, data: str) -> None:
        os.write(self._keyboard, data.encode())


class Terminal:
    """A screen of some columns and rows, a keyboard, and the process that has them."""

    def __init__(self, columns: int, rows: int) -> None:
        self._master, self._slave = pty.openpty()
        self._screen = _Screen(columns, rows, self._master)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()
        self.written = b""
        """All that the process wrote, control codes included."""
        self.process: Process | None = None
        self.resize(columns, rows)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, line by line."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.lines).strip()

    @property
    def scroll(self) -> list[str]:
        """What a person sees who scrolls up as far as it goes, without blank lines."""
        rows = [*self._screen.history.top, *(self._screen.buffer[row] for row in range(self._screen.lines))]
        texts = ("".join(row[column].data for column in range(self._screen.columns)).rstrip() for row in rows)
        return [text for text in texts if text]

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as when a person pulls at the window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    async def start(self, program: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        """Run a program that has this terminal, as a shell would."""
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self.process = await asyncio.create_subprocess_exec(
            *program,
            cwd=directory,
            env={"TERM": "xterm-256color", **environment},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            # Only the terminal of its session turns Ctrl-C into a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._master, keys.encode())

    async def shows(self, text: str | Callable[[str], object]) -> str:
        """The screen once it has this text on it, or what is asked of it holds."""
        holds = (lambda screen: text in screen) if isinstance(text, str) else text
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds(self.text):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come; the screen is:\n{self.text}") from None
        return self.text

    async def said(self, text: str, times: int = 1) -> str:
        """All that was shown, once this text was shown that often."""
        try:
            await self.shows(lambda _: "\n".join(self.scroll).count(text) >= times)
        except AssertionError:
            raise AssertionError(f"{text!r} was not shown {times} times:\n" + "\n".join(self.scroll)) from None
        return "\n".join(self.scroll)

    async def prompts(self) -> None:
        """Return once the last line is an empty prompt."""
        await self.shows(lambda _: self.scroll and self.scroll[-1] == "›")

    async def ended(self) -> int:
        """The exit code, once the process has ended and all it wrote is on the screen."""
        assert self.process is not None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                code = await self.process.wait()
        except TimeoutError:
            raise AssertionError("it did not end:\n" + "\n".join(self.scroll)) from None
        self._read()
        return code

    @property
    def is_restored(self) -> bool:
        """Whether typed lines are edited and echoed again, as a shell expects."""
        modes = termios.tcgetattr(self._slave)[3]
        return bool(modes & termios.ICANON and modes & termios.ECHO)

    async def close(self) -> None:
        """End the process if it still runs, and give the terminal back."""
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._master, 65536):
                self.written += chunk
                self._stream.feed(chunk)
                self._changed.set()


@contextlib.asynccontextmanager
async def terminal(
    program: Sequence[str], environment: Mapping[str, str], directory: Path, *, columns: int = 120, rows: int = 30
) -> AsyncIterator[Terminal]:
    """The program in a terminal of this size; afterwards nothing of it is left."""
    shown = Terminal(columns, rows)
    try:
        await shown.start(program, environment, directory)
        yield shown
    finally:
        await shown.close()


@contextlib.asynccontextmanager
async def typed(environment: Mapping[str, str], directory: Path, *arguments: str) -> AsyncIterator[Terminal]:
    """The command in a terminal as people have them."""
    async with terminal([*PROGRAM, *arguments], environment, directory, columns=100, rows=40) as screen:
        yield screen
