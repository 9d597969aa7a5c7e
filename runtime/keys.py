"""Encryption keys: where they come from, what they are called, and what cannot be one."""

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# AES-256.
KEY_BYTES: Final = 32

_HOW_TO_MAKE_ONE: Final = "make one with `openssl rand -base64 32`"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One AES key. It is called by its own fingerprint, so that one name never means two keys."""

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """What stands beside everything that this key encrypted."""
        return hashlib.sha256(b"durable-claude key " + self.secret).hexdigest()[:16]


def parse_keys(text: str) -> tuple[Key, ...]:
    """Read keys in base64, the newest first; raises ValueError with a sentence that holds nothing of them."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    words = re.split(r"[\s,]+", " ".join(lines).strip())
    keys = tuple(_key(word, place) for place, word in enumerate(filter(None, words), 1))
    if not keys:
        raise ValueError(f"holds no key: {_HOW_TO_MAKE_ONE}")
    return keys


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys that nobody but its owner may read; raises ValueError with a sentence."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("is not a text of keys in base64") from None
    if mode & 0o077:
        raise ValueError(
            f"may be read by others (mode {mode:04o}): take that away with `chmod 600`, and change the keys"
        )
    return parse_keys(text)


def names(keys: Sequence[Key]) -> str:
    """The keys by name, for a person."""
    return ", ".join(key.key_id for key in keys) or "none"


def _key(word: str, place: int) -> Key:
    try:
        secret = base64.b64decode(word, validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError(
            f"holds something in place {place} that is not {KEY_BYTES} bytes in base64: {_HOW_TO_MAKE_ONE}"
        )
    return Key(secret=secret)
