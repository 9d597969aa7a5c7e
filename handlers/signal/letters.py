"""What is to be sent to a chat, as a value that can be kept: a message, or a reaction to one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

# The beginning of the key of a 👀.
SEEN: Final = "seen/"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One thing for one chat. `key` names it however often it is made; `gist` says in a line what it says.

    With `emoji` it is a reaction to the message that `author` wrote at `target`; else a message, which quotes that one
    if it is named. `approval_id` makes it the prompt for a question of the session. `files` are data URIs.
    """

    key: str
    chat: str
    text: str = ""
    styles: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    gist: str = ""
    emoji: str = ""
    author: str = ""
    target: int = 0
    quoted: str = ""
    session_id: str = ""
    approval_id: str = ""
    is_silent: bool = False
    """The phone shows it without a sound."""

    def body(self) -> str:
        """The letter as it is kept."""
        return json.dumps(asdict(self))


def opened(body: str) -> Letter:
    """The letter that was kept."""
    told: dict[str, Any] = json.loads(body)
    return Letter(**{**told, "styles": tuple(told["styles"]), "files": tuple(told["files"])})
