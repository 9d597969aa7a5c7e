"""How people name projects, files and messages on a command line, and what a new session is called."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workflows.client import check
from workflows.errors import Refused
from workflows.messages import Message

# Leaves room for the random part within the 64 characters of a session id, and a column for other things.
_SLUG_CAP: Final = 40


def new_session_id(project: Path) -> str:
    """The directory's name, so that a person recognises it, and six random digits, so that it is free."""
    return f"{slug(project)}-{secrets.token_hex(3)}"


def slug(project: Path) -> str:
    """The directory's name as it may be part of an id."""
    return re.sub(r"[^a-z0-9]+", "-", project.name.lower()).strip("-")[:_SLUG_CAP].rstrip("-") or "session"


def project_path(text: str) -> Path:
    """The absolute path; whether a project may live there is the host's to say."""
    if not text.strip():
        raise Refused("the project path is empty: name a directory")
    check_text(text, "the project path")
    return Path(text).absolute()


def message(turn_id: str, text: str, files: Sequence[str] = ()) -> Message:
    """The message, read from stdin for `-`, checked before anything is done for it. Whether a host has the files is
    the host's to say.
    """
    try:
        if text == "-":
            text = sys.stdin.buffer.read().decode()
    except UnicodeError as error:
        raise Refused("the message is not valid UTF-8: send text only") from error
    check_text(text, "the message")
    check_text(turn_id, "the turn's id")
    attachments = [str(attached(name)) for name in files]
    made = Message(turn_id=turn_id or f"turn-{secrets.token_hex(6)}", text=text, attachments=attachments)
    check(made)
    return made


def attached(name: str) -> Path:
    """The absolute path of a file to send along; whether it may be sent is the session's host's to say."""
    if not name.strip():
        raise Refused("the name of the attached file is empty: name a file")
    check_text(name, "the attached file's name")
    return Path(name).absolute()


def check_text(text: str, what: str) -> None:
    """Refuse what no session can take in: bytes of the command line that are no UTF-8 arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeError as error:
        raise Refused(f"{what} is not valid UTF-8: send text only") from error
