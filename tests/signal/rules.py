"""What signal-cli takes: each method with the names and types of its parameters. The real one passes typos over."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Desktop shows no more of one message.
TEXT_CAP_BYTES = 64 * 2**10
# Java reads a smaller number as another type than a timestamp's and fails.
SMALLEST_TIMESTAMP = 2**31
STYLES = "BOLD|ITALIC|SPOILER|STRIKETHROUGH|MONOSPACE"

Kind = Callable[[object], bool]


def text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def texts(value: object) -> bool:
    """A string, or a list of them."""
    return text(value) or (isinstance(value, list) and all(map(text, value)))


def flag(value: object) -> bool:
    """True or false, and not 0 or 1."""
    return isinstance(value, bool)


def number(value: object) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def numbers(value: object) -> bool:
    """A whole number, or a list of them."""
    return number(value) or (isinstance(value, list) and all(map(number, value)))


@dataclass(frozen=True)
class Method:
    """What one method takes; `addressed` ones need exactly one of TARGETS."""

    allowed: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    addressed: bool = False


TARGETS: dict[str, Kind] = {"recipient": texts, "groupId": texts}
ANYBODY: dict[str, Kind] = {**TARGETS, "noteToSelf": flag, "username": texts}

METHODS: dict[str, Method] = {
    "send": Method(
        {
            **ANYBODY,
            "message": text,
            "textStyle": texts,
            "attachments": texts,
            "quoteTimestamp": number,
            "quoteAuthor": text,
            "quoteMessage": text,
            "mention": texts,
            "editTimestamp": number,
            "noUrgent": flag,
            "notifySelf": flag,
            "viewOnce": flag,
        },
        addressed=True,
    ),
    "sendReaction": Method(
        {**ANYBODY, "emoji": text, "targetAuthor": text, "targetTimestamp": number, "remove": flag},
        required=("emoji", "targetAuthor", "targetTimestamp"),
        addressed=True,
    ),
    "sendTyping": Method({**TARGETS, "stop": flag}, addressed=True),
    "sendReceipt": Method(
        {"recipient": text, "targetTimestamp": numbers, "type": text}, required=("recipient", "targetTimestamp")
    ),
    "remoteDelete": Method({**ANYBODY, "targetTimestamp": number}, required=("targetTimestamp",), addressed=True),
    "getAttachment": Method({"id": text, "recipient": text, "groupId": text}, required=("id",)),
    "listGroups": Method({"groupId": texts}),
    "updateGroup": Method(
        {"groupId": text, "name": text, "description": text, "member": texts, "expiration": number}, required=("name",)
    ),
    "trust": Method({"recipient": text, "verifiedSafetyNumber": text, "trustAllKnownKeys": flag}, ("recipient",)),
    "version": Method({}),
    "listAccounts": Method({}),
    "subscribeReceive": Method({}),
    "unsubscribeReceive": Method({"subscription": number}),
}

_TIMESTAMPS = ("quoteTimestamp", "editTimestamp", "targetTimestamp")
_STYLE = re.compile(rf"(\d+):(\d+):({STYLES})")
_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(;filename=(?P<name>[^;,]+))?;base64,(?P<data>.*)", re.DOTALL)


def problems(method: str, params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters, in sentences; `account` was taken off before."""
    rule = METHODS[method]
    unknown = [f"{method}: unknown parameter {name!r}" for name in params.keys() - rule.allowed.keys()]
    missing = [f"{method}: {name!r} is missing" for name in rule.required if name not in params]
    wrong = [
        f"{method}: {name!r} is a {type(value).__name__}"
        for name, value in params.items()
        if name in rule.allowed and not rule.allowed[name](value)
    ]
    found = unknown + missing + wrong
    if rule.addressed and len(params.keys() & ANYBODY.keys()) != 1:
        found.append(f"{method}: needs one of {', '.join(ANYBODY)}")
    if method == "send" and not found:
        found += [*_text_problems(params.get("message", "")), *_style_problems(params), *_quote_problems(params)]
    return found


def has_small_timestamp(params: Mapping[str, Any]) -> bool:
    """Whether Java would fail with a ClassCastException."""
    return any(stamp < SMALLEST_TIMESTAMP for name in _TIMESTAMPS if name in params for stamp in listed(params[name]))


def listed(value: Any) -> list[Any]:
    """A list, of which signal-cli takes the only element alone too."""
    return value if isinstance(value, list) else [value]


def file_of(uri: str) -> tuple[str, str, bytes] | None:
    """Type, name and content of a data: URI; None when it is none or does not decode."""
    found = _DATA_URI.fullmatch(uri)
    if found is None:
        return None
    try:
        return found["type"], found["name"] or "", base64.b64decode(found["data"], validate=True)
    except binascii.Error:
        return None


def _text_problems(message: str) -> list[str]:
    try:
        size = len(message.encode())
    except UnicodeEncodeError:
        return ["send: the text is no UTF-8"]
    return [f"send: the text has {size} bytes"] if size > TEXT_CAP_BYTES else []


def _style_problems(params: Mapping[str, Any]) -> list[str]:
    units = params.get("message", "").encode("utf-16-le", "surrogatepass")
    return [
        f"send: the style {style!r} is not in the text"
        for style in listed(params.get("textStyle", []))
        if not _fits(style, units)
    ]


def _fits(style: str, units: bytes) -> bool:
    found = _STYLE.fullmatch(style)
    if found is None or int(found[2]) == 0:
        return False
    start, end = int(found[1]), int(found[1]) + int(found[2])
    return end * 2 <= len(units) and not any(_splits_a_pair(units, at) for at in (start, end))


def _splits_a_pair(units: bytes, at: int) -> bool:
    # A low surrogate: the second half of one character.
    return at * 2 < len(units) and 0xDC <= units[at * 2 + 1] <= 0xDF


def _quote_problems(params: Mapping[str, Any]) -> list[str]:
    given = {"quoteTimestamp", "quoteAuthor", "quoteMessage"} & params.keys()
    return [f"send: a quote needs all three, not {sorted(given)}"] if given and len(given) < 3 else []
