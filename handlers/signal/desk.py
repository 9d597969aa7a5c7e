"""What is needed to do what somebody wrote, and what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from handlers.signal.chats import Chats, ChatState
from handlers.signal.envelope import Received
from handlers.signal.inbox import Inbox
from handlers.signal.letters import Letter
from handlers.signal.outbox import Outbox
from handlers.signal.presence import Presence
from handlers.signal.progress import Progress
from handlers.signal.projects import Projects
from handlers.signal.prompts import Prompts
from handlers.signal.store import Store
from handlers.signal.style import Styled
from handlers.signal_api import Signal
from runtime.signal_settings import Role
from workflows.client import Sessions
from workflows.errors import NoServer
from workflows.notices import Listener


class Reach:
    """The way to the sessions, which opens when Temporal answers for the first time."""

    def __init__(self) -> None:
        self._sessions: Sessions | None = None

    def open(self, sessions: Sessions) -> None:
        """From now on sessions can be asked."""
        self._sessions = sessions

    @property
    def sessions(self) -> Sessions:
        """The sessions, or NoServer."""
        if self._sessions is None:
            raise NoServer("Temporal has not answered yet")
        return self._sessions


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where the work is done: the sessions, the handler's memory, and Signal."""

    account: str
    queue: str
    reach: Reach
    signal: Signal
    presence: Presence
    progress: Progress
    store: Store
    inbox: Inbox
    outbox: Outbox
    chats: Chats
    prompts: Prompts
    projects: Projects
    files: Path
    """Where received files are put."""
    host_id: str
    """The host this program runs on, empty when no worker ever did: only its files can be read and written here."""

    @property
    def sessions(self) -> Sessions:
        """The sessions; NoServer while Temporal has not been reached."""
        return self.reach.sessions

    def shows_work(self, chat: ChatState, session_id: str, turn_id: str) -> None:
        """A turn of this chat has been given to claude."""
        self.presence.works(chat.chat)
        if chat.level == "everything":
            self.progress.begin(chat.chat, lambda: self.sessions, session_id, turn_id)

    def listener(self, chat: str) -> Listener:
        """Who is told what happens in a session of this chat."""
        return Listener(queue=self.queue, address=chat)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One thing that somebody who may wants done. It may be tried again: whatever is made derives its name from `key`."""

    message: Received
    role: Role
    chat: ChatState
    argument: str = ""
    plan: str = ""

    @property
    def key(self) -> str:
        """The identity of the message, and of all that it causes."""
        return self.message.key

    @property
    def digest(self) -> str:
        """The same, short enough to be part of a name that people read."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:8]

    def reply(self, text: str | Styled, *, gist: str = "", files: tuple[str, ...] = (), part: str = "") -> Letter:
        """An answer to the message; in a group it quotes it, since others write there too."""
        said = Styled(text) if isinstance(text, str) else text
        message = self.message
        quote = {"target": message.timestamp, "author": message.author, "quoted": message.text[:200]}
        return Letter(
            key=f"re/{self.key}{part}",
            chat=self.chat.chat,
            text=said.text,
            styles=said.styles,
            files=files,
            gist=gist or said.text[:80],
            **(quote if message.chat.group and message.kind == "text" else {}),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Done:
    """What came of an order: letters and changes of the memory, written down together with its end."""

    letters: list[Letter] = field(default_factory=list)
    changes: list[Callable[[], object]] = field(default_factory=list)


def said(*letters: Letter) -> Done:
    """Nothing but answers came of it."""
    return Done(list(letters))
