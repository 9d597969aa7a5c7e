"""Reading one setting after the other from an environment, keeping what is wrong for the end."""

import contextlib
import difflib
import ipaddress
import math
import os
import pwd
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar, get_args

from runtime.address import Address, parse_address
from runtime.keys import Key, parse_keys, read_keys

PREFIX: Final = "DURABLE_CLAUDE_"

# A socket's path has at most 103 bytes on macOS, 107 on Linux, and the socket's own name needs 22 of them.
_RUN_DIRECTORY_BYTES = 80

# What an operator must not hand to claude, however it is asked for: it could talk to Temporal or Signal in our
# name, or read what others said.
_NEVER_PASSED = ("TEMPORAL_", "SIGNAL_", PREFIX + "ENCRYPTION_", PREFIX + "SIGNAL_")

# What the shim marks claude's processes with: a command typed inside a session inherits these, and they set nothing.
_MARKS = {PREFIX + "SESSION", PREFIX + "NONCE"}

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

_T = TypeVar("_T")


class Reader:
    """Reads one setting after the other, keeping the problems for the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []
        self.known: set[str] = set()
        self.home = Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)

    def value(self, name: str, default: _T, parse: Callable[[str], _T]) -> _T:
        """Return the parsed value; unset and empty mean the default, as in a shell."""
        self.known.add(PREFIX + name)
        text = self.environ.get(PREFIX + name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{PREFIX}{name}={text!r} {error}")
            return default

    def choice(self, name: str, default: str, choices: object) -> str:
        def parse(text: str) -> str:
            if text not in get_args(choices):
                raise ValueError(f"must be one of {', '.join(get_args(choices))}")
            return text

        return self.value(name, default, parse)

    def absolute(self, text: str) -> Path:
        path = self.home / text[2:] if text == "~" or text.startswith("~/") else Path(text)
        if not path.is_absolute():
            raise ValueError("must be an absolute path")
        return path

    def paths(self, text: str) -> tuple[Path, ...]:
        paths = tuple(self.absolute(part) for part in text.split(os.pathsep) if part)
        if not paths:
            raise ValueError("names no directory")
        return paths

    def state_directory(self) -> Path:
        default = self.xdg("XDG_STATE_HOME") or self.home / ".local/state/durable-claude"
        return self.value("STATE_DIRECTORY", default, self.absolute)

    def run_directory(self) -> Path:
        default = self.xdg("XDG_RUNTIME_DIR") or Path(f"/tmp/durable-claude-{os.getuid()}")
        path = self.value("RUN_DIRECTORY", default, self.absolute)
        if len(os.fsencode(path)) > _RUN_DIRECTORY_BYTES:
            self.problems.append(
                f"{PREFIX}RUN_DIRECTORY={str(path)!r} has more than {_RUN_DIRECTORY_BYTES} bytes, too many for a socket in it"
            )
        return path

    def key_file(self) -> Path | None:
        self.known.add(PREFIX + "ENCRYPTION_KEY_FILE")
        text = self.environ.get(PREFIX + "ENCRYPTION_KEY_FILE", "").strip()
        if not text:
            return None
        with contextlib.suppress(ValueError):
            # A key in the wrong variable; whatever is said of it must not show it.
            parse_keys(text)
            self.problems.append(f"{PREFIX}ENCRYPTION_KEY_FILE holds a key: put it into a file and name the file")
            return None
        return self.value("ENCRYPTION_KEY_FILE", None, self.absolute)

    def encryption_keys(self, file: Path | None) -> tuple[Key, ...]:
        """Return the keys of the file or of the variable; what is wrong with a key is said without showing it."""
        self.known.add(PREFIX + "ENCRYPTION_KEYS")
        text = self.environ.get(PREFIX + "ENCRYPTION_KEYS", "").strip()
        if text and file:
            self.problems.append(f"{PREFIX}ENCRYPTION_KEYS and {PREFIX}ENCRYPTION_KEY_FILE are both set: keep one")
            return ()
        named = f"{PREFIX}ENCRYPTION_KEY_FILE={str(file)!r}" if file else f"{PREFIX}ENCRYPTION_KEYS"
        try:
            return read_keys(file) if file else parse_keys(text) if text else ()
        except ValueError as error:
            self.problems.append(f"{named} {error}")
            return ()

    def xdg(self, name: str) -> Path | None:
        """Return our directory in an XDG base directory; their standard says that a relative one does not count."""
        base = Path(self.environ.get(name, ""))
        return base / "durable-claude" if base.is_absolute() else None

    def unknown(self) -> list[str]:
        """Return a sentence per name of ours that means nothing: a typo must not quietly leave a default in force."""
        return [
            f"{name} is not a setting" + "".join(f"; did you mean {close}?" for close in self._closest(name))
            for name in sorted(self.environ)
            if name.startswith(PREFIX) and name not in self.known | _MARKS
        ]

    def _closest(self, name: str) -> list[str]:
        return difflib.get_close_matches(name, sorted(self.known), n=1, cutoff=0.8)


def passable(text: str) -> tuple[str, ...]:
    """Names of variables that claude may have."""
    names = tuple(name for name in (part.strip() for part in text.split(",")) if name)
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"must be names with commas between them, and {name!r} is none")
        if name.startswith(_NEVER_PASSED):
            raise ValueError(f"names {name!r}, which is never handed to claude")
    return names


def named(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """A parser of names in this form."""

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("may have letters, digits and a few signs, no spaces, and at most 100 of them")
        return text

    return parse


def or_zero(unit: str) -> Callable[[str], float]:
    """A parser of such numbers, or 0."""

    def parse(text: str) -> float:
        number = _number(text)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"must be a number of {unit}, or 0")
        return number

    return parse


def positive(text: str) -> float:
    """Seconds above 0."""
    number = _number(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError("must be a number of seconds above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def flag(text: str) -> bool:
    """Yes or no, as people write it."""
    if text.lower() not in _FLAGS:
        raise ValueError("must be 1 or 0")
    return _FLAGS[text.lower()]


def address(text: str) -> str:
    """Where to listen, as IP:port, for what takes no names."""
    found = parse_address(text)
    try:
        ip = ipaddress.ip_address("127.0.0.1" if found.host == "localhost" else found.host)
    except ValueError:
        raise ValueError("must have an IP address or localhost before the port") from None
    if not found.port:
        raise ValueError("must have a port above 0")
    return str(Address(host=str(ip), port=found.port))


def count(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("must be a whole number above 0")
    return int(text)
