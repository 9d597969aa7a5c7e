"""What can go wrong with Signal, by what may be done next: nothing else about an error decides whether to try again.

Signal has no idempotency key: a message that may have been delivered and is sent again is a message said twice.
So each error is one of three: `NotSent`, `Refused` or `Unclear`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# The codes of signal-cli's JSON-RPC.
_USER, _IO, _UNTRUSTED, _RATE, _CAPTCHA = -1, -3, -4, -5, -6
_PARSE, _REQUEST, _METHOD, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603

SUCCESS: Final = "SUCCESS"

# Longer says no more to a person, and whole stack traces have been seen in these texts.
_TEXT_CAP: Final = 300
_NUMBER: Final = re.compile(r"\+\d{3,}(?=\d\d)")

_LIMITED: Final = re.compile(r"\b(429|413)\b|rate.?limit", re.IGNORECASE)
_UNREADABLE: Final = re.compile(r"reading attachment|could not find attachment", re.IGNORECASE)
_NO_ACCOUNT: Final = re.compile(r"account", re.IGNORECASE)
_NOT_REGISTERED: Final = re.compile(r"not registered", re.IGNORECASE)

_TRUST: Final = "compare the safety number with this person, then `signal-cli trust` their new key"
_SOLVE: Final = "solve the captcha at signalcaptchas.org, then `signal-cli submitRateLimitChallenge` with the token"
_RESTART: Final = "restart the daemon where it can reach Signal; if that does not help, register or link the account"
_REGISTER: Final = "register or link the account with signal-cli"
_UPGRADE: Final = "this is a mistake of ours or too old a signal-cli: see which version the documentation asks for"


class SignalError(Exception):
    """Signal did not do what was asked; the sentence says why, and `remedy` what somebody can do about it."""

    def __init__(self, sentence: str, *, remedy: str = "") -> None:
        super().__init__(sentence)
        self.remedy = remedy


class NotSent(SignalError):
    """Nobody got it, and it may be tried again: after `wait_seconds` where that is known."""

    def __init__(self, sentence: str, *, wait_seconds: float | None = None, remedy: str = "") -> None:
        super().__init__(sentence, remedy=remedy)
        self.wait_seconds = wait_seconds


class Refused(SignalError):
    """Nobody got it, and trying again changes nothing until somebody does something."""


class Unclear(SignalError):
    """It may have been delivered or not. What only asks may be asked again; what was said must not be said again."""


class NoDaemon(NotSent):
    """Nobody listens at the endpoint."""


class NoAccount(NotSent):
    """The daemon does not know the account: it stays so after a start without a network, until it is restarted."""


class RateLimited(NotSent):
    """Too many messages for now."""


class CaptchaNeeded(NotSent):
    """Signal wants proof of a person before it takes more; `token` names the challenge."""

    def __init__(self, sentence: str, *, token: str, wait_seconds: float | None = None) -> None:
        super().__init__(sentence, wait_seconds=wait_seconds, remedy=_SOLVE)
        self.token = token


class Untrusted(NotSent):
    """The other side has a new key that nobody has trusted yet."""

    # Somebody has to look at two phones for that.
    WAIT_SECONDS = 3600.0

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, wait_seconds=self.WAIT_SECONDS, remedy=_TRUST)


class Unregistered(Refused):
    """The other side has no Signal account (any more)."""


def redacted(text: str) -> str:
    """The text with each phone number cut down to its last two digits."""
    return _NUMBER.sub("+…", text)


def from_response(error: object) -> SignalError:
    """The error that a response's `error` object means."""
    said = error if isinstance(error, Mapping) else {}
    results = _results(said.get("data"))
    text = redacted(str(said.get("message") or "no reason given"))[:_TEXT_CAP]
    return from_results(results, text) if results else _by_code(said.get("code"), text)


def from_results(results: Sequence[Mapping[str, Any]], text: str = "") -> SignalError:
    """The error that the results of a message mean which reached none of its recipients."""
    kinds = {str(result.get("type")) for result in results}
    said = text or f"not delivered: {', '.join(sorted(kinds))}"
    if SUCCESS in kinds:
        return Unclear(f"signal-cli says both that it failed and that somebody got it: {said}")
    token = next((result["token"] for result in results if result.get("token")), None)
    if token is not None:
        return CaptchaNeeded(f"Signal asks for a captcha: {said}", token=str(token), wait_seconds=_wait(results))
    return _by_kinds(kinds, said, _wait(results))


def _by_kinds(kinds: set[str], said: str, wait: float | None) -> SignalError:
    # Of several the one that most needs something done: the others show themselves at the next try.
    if "RATE_LIMIT_FAILURE" in kinds:
        return RateLimited(f"Signal limits the rate: {said}", wait_seconds=wait)
    if "IDENTITY_FAILURE" in kinds:
        return Untrusted(f"the key is new and not trusted: {said}")
    if kinds == {"UNREGISTERED_FAILURE"}:
        return Unregistered(f"nobody with a Signal account is meant: {said}")
    return NotSent(f"not delivered: {said}", wait_seconds=wait)


def _by_code(code: object, text: str) -> SignalError:
    if code == _IO:
        return NotSent(f"signal-cli could not reach Signal: {text}")
    if code == _UNTRUSTED:
        return Untrusted(f"the key is new and not trusted: {text}")
    if code == _RATE:
        return RateLimited(f"Signal limits the rate: {text}")
    if code == _CAPTCHA:
        return Refused(f"Signal did not take the captcha: {text}", remedy=_SOLVE)
    if code == _USER:
        return Refused(f"signal-cli refused: {text}", remedy=_REGISTER if _NOT_REGISTERED.search(text) else "")
    return _by_protocol(code, text)


def _by_protocol(code: object, text: str) -> SignalError:
    if code == _PARAMS and _NO_ACCOUNT.search(text):
        return NoAccount(f"signal-cli does not know the account: {text}", remedy=_RESTART)
    if code in (_PARSE, _REQUEST, _METHOD, _PARAMS):
        return Refused(f"signal-cli did not understand: {text}", remedy=_UPGRADE)
    # What the network answers to a step before the message goes out arrives under this code, as text only.
    if code == _INTERNAL and _LIMITED.search(text):
        return RateLimited(f"Signal limits the rate: {text}")
    if code == _INTERNAL and _UNREADABLE.search(text):
        return Refused(f"signal-cli has no such file (any more): {text}")
    return Unclear(f"signal-cli failed in the middle of it: {text}")


def _results(data: object) -> list[Mapping[str, Any]]:
    response = data.get("response") if isinstance(data, Mapping) else None
    return results_of(response)


def results_of(response: object) -> list[Mapping[str, Any]]:
    """Who got it and who did not, as a response tells it; empty when it does not tell."""
    found = response.get("results") if isinstance(response, Mapping) else None
    return [result for result in found if isinstance(result, Mapping)] if isinstance(found, list) else []


def _wait(results: Sequence[Mapping[str, Any]]) -> float | None:
    waits = [result.get("retryAfterSeconds") for result in results]
    return max((float(wait) for wait in waits if isinstance(wait, int | float)), default=None)
