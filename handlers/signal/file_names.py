"""Names of files, as they may come from anybody and go to anybody."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category, normalize

from handlers.signal.harmless import hides

# Every file system takes names of 255 bytes; what stores a file may put something before or behind.
_LIMIT_BYTES: Final = 150
# Longer than any real one: .dockerignore has 13.
_EXTENSION_BYTES: Final = 16
# Windows opens devices by these, with any extension; a name may end up there.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(name: str, fallback: str = "file") -> str:
    """The last part of the name, of letters, digits and a few signs; never a path, hidden or empty."""
    last = re.split(r"[/\\]", normalize("NFC", name.encode("utf-8", "replace").decode()))[-1]
    plain = "".join(char if _is_plain(char) else "_" for char in last).strip(" .")
    stem, extension = parts(plain)
    kept = _clipped(stem, _LIMIT_BYTES).rstrip(" .") + extension
    if not kept.strip("_ "):
        return fallback
    return f"_{kept}" if _DEVICES.fullmatch(kept) else kept


def parts(name: str) -> tuple[str, str]:
    """The name and its extension with the dot, empty where what follows the last dot is none."""
    stem, dot, last = name.rpartition(".")
    is_extension = bool(stem and dot) and last.isascii() and last.isalnum() and len(last) <= _EXTENSION_BYTES
    return (stem, dot + last) if is_extension else (name, "")


def _is_plain(char: str) -> bool:
    return not hides(char) and (char.isalnum() or category(char)[0] == "M" or char in " ._-()@")


def _clipped(text: str, limit_bytes: int) -> str:
    return text.encode()[:limit_bytes].decode(errors="ignore")
