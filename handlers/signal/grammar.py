"""What a person types, as commands and decisions. Reading never fails: what is no command of ours is said to claude."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from unicodedata import category, normalize

Verdict = Literal["allow", "allow_always", "deny"]
Scope = Literal["once", "turn", "always"]

HELP: Final = """\
Text without a slash goes to claude.
/start PROJECT [message] – open a session here
/new [message] – a fresh conversation in the same project
/resume [session] – go on with one that sleeps or failed
/sessions – all sessions and what they do
/status – how this one stands, and what it asks
/stop [now] – end this session, its process too
/interrupt – end the running turn, keep the session
/approve [a1] [turn|always] – let claude do what it asks
/deny [a1] [why] – do not
/projects – what can be started
/group PROJECT – a Signal group for a project
/level urgent|milestones|everything – what is told here
/mute [2h|off] – be quiet for a while
/quiet 22-7|off – be quiet every night
/last – the last answer again, whole
/file PATH – a file of the project
/help – this
A question of claude's is also answered by a reaction on it: 👍 once, ♾️ always, 👎 no; or by quoting it with yes or no.
Other /commands are claude's own; //stop sends /stop to claude."""

COMMANDS: Final = frozenset(re.findall(r"^/([a-z]+)", HELP, re.MULTILINE))

_COMMAND: Final = re.compile(r"\s*[/／]([A-Za-z]+)(?:\s+(.*))?", re.DOTALL)
_ESCAPED: Final = re.compile(r"\s*[/／]{2}([A-Za-z].*)", re.DOTALL)
_APPROVAL_ID: Final = re.compile(r"(a\d{1,9})\b[:,.]?\s*(.*)", re.DOTALL | re.IGNORECASE)

_REACTIONS: Final[Mapping[str, Verdict]] = {"👍": "allow", "♾": "allow_always", "👎": "deny"}
_WORDS: Final[Mapping[str, Verdict]] = {
    **dict.fromkeys(("yes", "y", "ok", "okay", "allow", "approve"), "allow"),
    "always": "allow_always",
    **dict.fromkeys(("no", "n", "deny", "stop"), "deny"),
    **_REACTIONS,
}


@dataclass(frozen=True)
class Command:
    """What is to be done; `say` is text for claude."""

    name: str
    argument: str = ""


@dataclass(frozen=True)
class AnswerGiven:
    """What stands behind /approve or /deny. Without an id the only open question is meant."""

    approval_id: str
    scope: Scope
    message: str = ""


def parse(text: str) -> Command:
    """The command that was typed, as phones type it: with a capital letter, or a full-width slash."""
    if escaped := _ESCAPED.fullmatch(text):
        return Command("say", "/" + escaped[1])
    match = _COMMAND.fullmatch(text)
    if match and match[1].lower() in COMMANDS:
        return Command(match[1].lower(), (match[2] or "").strip())
    return Command("say", text)


def decision(text: str) -> Verdict | None:
    """What a reply to a question decides; None unless all of it says the same."""
    words = re.findall(r"\w+|\S", normalize("NFKC", _plain(text)).casefold())
    # A question mark is no punctuation to pass over: "ok?" decides nothing.
    said = {_WORDS.get(word) for word in words if word == "?" or not category(word[0]).startswith("P")}
    return said.pop() if len(said) == 1 else None


def reaction(emoji: str) -> Verdict | None:
    """What a reaction to a question decides."""
    return _REACTIONS.get(_plain(emoji).strip())


def parse_answer(argument: str) -> AnswerGiven:
    """An answer's id, scope and message. A scope counts only when nothing follows it, so more is never given by chance."""
    rest, approval_id = argument.strip(), ""
    if match := _APPROVAL_ID.fullmatch(rest):
        approval_id, rest = match[1].lower(), match[2].strip()
    match rest.lower():
        case "turn" | "always" as scope:
            return AnswerGiven(approval_id, scope)
        case _:
            return AnswerGiven(approval_id, "once", rest)


def _plain(text: str) -> str:
    """The text without variation selectors and skin tones."""
    return re.sub("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]", "", text)
