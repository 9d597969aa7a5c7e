"""Files of a project that somebody asked for: from under the project only, whatever links and races there are."""

from __future__ import annotations

import contextlib
import mimetypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from handlers.signal.file_names import safe_name
from handlers.signal.harmless import one_line

# It goes to signal-cli as one line of base64, which both sides hold in memory several times; a phone has to load it.
LIMIT_BYTES: Final = 20 * 1024 * 1024

_CLOEXEC: Final = os.O_CLOEXEC | os.O_NOFOLLOW
# A pipe that nobody writes to must not hold us, and a terminal must not become ours.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | _CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | _CLOEXEC


class FileRefused(Exception):
    """A file cannot be sent; the sentence says why."""


def find(project: Path, wanted: str) -> Path:
    """The path without links, if it lies under the project; FileRefused otherwise."""
    shown = repr(one_line(wanted, 80))
    if not wanted.strip() or "\0" in wanted:
        raise FileRefused(f"{shown} is no path of a file")
    asked = Path(wanted.strip())
    if ".." in asked.parts:
        raise FileRefused(f"{shown} leads upwards: name the file from the project's directory")
    try:
        root = project.resolve(strict=True)
        path = (root / asked).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise FileRefused(f"{shown} does not exist in the project") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise FileRefused(f"{shown} cannot be reached: {_reason(error)}") from error
    if not path.is_relative_to(root):
        raise FileRefused(f"{shown} is outside the project")
    return path


def read(project: Path, wanted: str, limit_bytes: int = LIMIT_BYTES) -> tuple[str, bytes, str]:
    """The file's name, content and media type; FileRefused where it cannot or must not be sent."""
    path = find(project, wanted)
    shown = repr(one_line(wanted, 80))
    try:
        with _opened(project.resolve(strict=True), path) as file:
            content = _content(file, shown, limit_bytes)
    except OSError as error:
        raise FileRefused(f"{shown} cannot be read: {_reason(error)}") from error
    return safe_name(path.name), content, _media_type(path.name)


@contextlib.contextmanager
def _opened(root: Path, path: Path) -> Iterator[int]:
    """The file, opened part by part from the project down: a link that comes into being meanwhile is not followed."""
    with contextlib.ExitStack() as opened:
        at = os.open(root, _DIRECTORY)
        opened.callback(os.close, at)
        *directories, name = path.relative_to(root).parts or (".",)
        for part in directories:
            at = os.open(part, _DIRECTORY, dir_fd=at)
            opened.callback(os.close, at)
        file = os.open(name, _FILE, dir_fd=at)
        opened.callback(os.close, file)
        yield file


def _content(file: int, shown: str, limit_bytes: int) -> bytes:
    about = os.fstat(file)
    if stat.S_ISDIR(about.st_mode):
        raise FileRefused(f"{shown} is a directory: name a file in it")
    if not stat.S_ISREG(about.st_mode):
        raise FileRefused(f"{shown} is not a regular file")
    with open(file, "rb", closefd=False) as stream:
        # One more, because it may grow while it is read.
        content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise FileRefused(f"{shown} has more than {_megabytes(limit_bytes)}, which is too much to send")
    if not content:
        raise FileRefused(f"{shown} is empty")
    return content


def _media_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name)
    return "application/octet-stream" if encoding or not kind else kind


def _megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:g} MB" if count >= 1024 * 1024 else f"{count} bytes"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "its name or its links make no sense"
