"""Files that came with messages: kept where only this user looks, under names that harm nobody."""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import os
import re
from pathlib import Path
from typing import Final

from handlers.signal.file_names import parts, safe_name

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", re.ASCII)


def save(directory: Path, key: str, name: str | None, content_type: str, content: bytes, *, index: int = 0) -> Path:
    """The path of the stored file. `key` is the message, `index` the file's place in it; the same two again overwrite.

    The place stands before the name, so two files of one message never meet.
    """
    folder = directory / (key if _KEY.fullmatch(key) else hashlib.sha256(os.fsencode(_plain(key))).hexdigest())
    for each in (directory, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        each.chmod(0o700)
    path = folder / f"{index}-{_named(name, content_type)}"
    _write(path, content)
    return path


def _named(name: str | None, content_type: str) -> str:
    safe = safe_name(name or "", "attachment")
    _, extension = parts(safe)
    media_type = content_type.partition(";")[0].strip().lower()
    return safe if extension else safe + (mimetypes.guess_extension(media_type) or "")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a crash in between leaves the file that was there."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _plain(key: str) -> str:
    return key.encode("utf-8", "replace").decode()
