"""What each command on sessions does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, TypeVar

from handlers import console, naming, views
from handlers.connection import connect, options, session_named
from handlers.failure import OUT_OF_REACH, REFUSED, CommandFailed
from handlers.follow import follow
from handlers.options import Limits, When
from handlers.progress import live_view
from runtime.settings import Settings
from workflows.client import Sessions
from workflows.ending import Asked
from workflows.errors import NoWorker, SessionError
from workflows.line import known
from workflows.messages import Message, SessionReport, TurnReport

T = TypeVar("T")

# What a person can do about a turn that went wrong.
_WENT_WRONG: Final[dict[str, str]] = {
    "interrupted": "was interrupted",
    "not_logged_in": "failed: claude is not logged in, run `claude` on that host and `/login`, or set its API key",
    "no_credit": "failed: the account has no credit left",
    "overloaded": "failed: the model is overloaded, send the message again later",
    "limit": "reached a limit and was ended",
}


async def start(
    path: str, text: str | None, name: str | None, limits: Limits, resume: str, *, wait: bool, as_json: bool
) -> None:
    """Open a session, wait until claude is ready, and send it the message, if there is one."""
    project = naming.project_path(path)
    session_id = naming.new_session_id(project) if name is None else known(name)
    message = None if text is None else naming.message("", text)
    settings = Settings.from_env()
    sessions = await connect(settings, limits.applied(options(settings)))
    report = await _opened(sessions, str(project), session_id, resume, wait=wait)
    if report is None:
        await _start_and_leave(sessions, session_id, message, as_json=as_json)
        return
    if message is None:
        _show_opened(report, as_json=as_json)
        return
    _show_opening(report, as_json=as_json)
    await _ask(sessions, session_id, message, as_json=as_json)


async def fork(name: str, new_name: str | None, *, as_json: bool) -> None:
    """Open a second session that begins with a copy of this one's conversation."""
    new_id = None if new_name is None else known(new_name)
    sessions, session_id = await session_named(name, ended=True)
    if new_id is None:
        report = await sessions.status(session_id)
        new_id = naming.new_session_id(Path(report.project_path))
    await sessions.fork(session_id, new_id)
    _show_opened(await ready(sessions, new_id), as_json=as_json)


async def send(name: str, text: str, turn_id: str, files: Sequence[str], *, wait: bool, as_json: bool) -> None:
    """Send a message and follow its turn."""
    message = naming.message(turn_id, text, files)
    sessions, session_id = await session_named(name)
    if wait:
        await _ask(sessions, session_id, message, as_json=as_json)
        return
    accepted = await _taken(message, sessions.send(session_id, message))
    if as_json:
        console.document({"session_id": session_id, **asdict(accepted)})
    else:
        console.result(message.turn_id)
        console.note(f"{session_id} has it" + (f", behind {accepted.place} others" if accepted.place else ""))


async def wait(name: str, turn_id: str, *, as_json: bool) -> None:
    """Follow a turn that was sent before."""
    sessions, session_id = await session_named(name, ended=True)
    await _follow(sessions, session_id, turn_id, as_json=as_json)


async def status(name: str, *, as_json: bool) -> None:
    """Show one session."""
    sessions, session_id = await session_named(name, ended=True)
    report, doing = await asyncio.gather(sessions.status(session_id), sessions.doing(session_id))
    if as_json:
        console.document({**asdict(report), "doing": doing})
    else:
        views.show_session(report, doing)


async def ls(*, ended: bool, as_json: bool) -> None:
    """List sessions."""
    sessions = await connect(Settings.from_env())
    rows = await sessions.overview(ended=ended)
    if as_json:
        console.document([asdict(row) for row in rows])
    elif rows:
        views.show_sessions(rows)
    else:
        console.note("No session is open: `durable-claude start PATH` opens one.")


async def stop(name: str, timeout_seconds: float | None, when: When, *, as_json: bool) -> None:
    """Stop one session and say what is left of it."""
    sessions, session_id = await session_named(name)
    if (row := await sessions.glance(session_id)).status == "host_lost":
        console.note(f"{row.note}: the stop is carried out when it is back")
    try:
        report = await sessions.stop(session_id, timeout_seconds, when=when)
    except asyncio.CancelledError:
        console.note(f"The stop goes on: `durable-claude status {session_id}` shows how far it is.")
        raise
    if as_json:
        console.document(report)
    _judge_stopped(report, as_json=as_json)


async def stop_all(timeout_seconds: float | None, when: When, *, as_json: bool) -> None:
    """Stop every session that lives, all at once; one that cannot be stopped does not keep the others."""
    sessions = await connect(Settings.from_env())
    living = [row.session_id async for row in sessions.list()]
    stopping = (sessions.stop(session_id, timeout_seconds, when=when) for session_id in living)
    outcomes = await asyncio.gather(*stopping, return_exceptions=True)
    reports = [outcome for outcome in outcomes if isinstance(outcome, SessionReport)]
    if as_json:
        console.document([asdict(report) for report in reports])
    elif not living:
        console.note("No session is open.")
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for report in reports:
        try:
            _judge_stopped(report, as_json=as_json)
        except CommandFailed as failed:
            errors.append(failed)
    for more in errors[1:]:
        console.problem(str(more))
    if errors:
        raise errors[0]


def _judge_stopped(report: SessionReport, *, as_json: bool) -> None:
    if report.survivors:
        left = ", ".join(map(str, report.survivors))
        raise CommandFailed(
            f"session {report.session_id!r} is {report.status}, but these processes could not be ended: {left}"
        )
    if not as_json:
        console.result(f"{report.session_id} is {report.status}; no process of it is left")


async def _ask(sessions: Sessions, session_id: str, message: Message, *, as_json: bool) -> None:
    asked = await _taken(message, sessions.asked(session_id, message))
    await _follow(sessions, session_id, message.turn_id, asked, as_json=as_json)


async def _taken(message: Message, sending: Awaitable[T]) -> T:
    try:
        return await sending
    except NoWorker as error:
        # Temporal may hand the message to a worker that comes later.
        raise NoWorker(
            f"{error}, then send the message again with `--turn-id {message.turn_id}`, so that it runs once"
        ) from error


async def _opened(
    sessions: Sessions, project: str, session_id: str, resume: str, *, wait: bool
) -> SessionReport | None:
    """Open the session; with its claude up, if that is waited for."""
    if resume:
        await sessions.adopt(project, resume, session_id=session_id)
    elif wait:
        return await _brought_up(session_id, sessions.open_ready(project, session_id=session_id))
    else:
        await sessions.open(project, session_id=session_id)
    return await ready(sessions, session_id) if wait else None


async def _start_and_leave(sessions: Sessions, session_id: str, message: Message | None, *, as_json: bool) -> None:
    turn_id = message.turn_id if message else None
    if message is not None:
        await _taken(message, sessions.send(session_id, message))
    if as_json:
        console.document({"session_id": session_id, "turn_id": turn_id})
    else:
        console.result(session_id)


async def ready(sessions: Sessions, session_id: str) -> SessionReport:
    """Wait until claude is up, and say how a start can be left; CommandFailed when the session ends instead."""
    return await _brought_up(session_id, sessions.wait_ready(session_id))


async def _brought_up(session_id: str, waiting: Awaitable[SessionReport]) -> SessionReport:
    try:
        with console.err.status(f"claude starts in session {session_id}"):
            report = await waiting
    except NoWorker as error:
        raise NoWorker(f"{error}; session {session_id!r} is open and begins when one is there") from error
    except asyncio.CancelledError:
        console.note(f"Session {session_id} goes on starting: `durable-claude stop {session_id}` ends it.")
        raise
    if report.status in ("failed", "stopped"):
        raise CommandFailed(f"session {session_id!r} {report.status}: {report.note}")
    if report.status == "starting":
        raise CommandFailed(f"session {session_id!r} is open, but {report.note}", OUT_OF_REACH)
    if report.status == "restarting":
        raise CommandFailed(f"session {session_id!r} is open, but its claude ended and is started again: {report.note}")
    return report


def _show_opened(report: SessionReport, *, as_json: bool) -> None:
    if as_json:
        console.document(report)
        return
    console.result(report.session_id)
    console.note(opened(report) + f"; next: durable-claude send {report.session_id} 'what claude should do'")


def _show_opening(report: SessionReport, *, as_json: bool) -> None:
    if as_json:
        console.event("session", report)
    else:
        console.note(f"{report.session_id}: " + opened(report))


def opened(report: SessionReport) -> str:
    """That claude is up, and where."""
    return f"claude is up in {report.project_path} (pid {report.pid}, host {report.host_id})"


async def _follow(
    sessions: Sessions, session_id: str, turn_id: str, asked: Asked | None = None, *, as_json: bool
) -> None:
    try:
        async with live_view(as_json=as_json) as progress:
            report = await follow(sessions, session_id, turn_id, progress, asked)
    except asyncio.CancelledError:
        console.note(
            f"The turn goes on: `durable-claude wait {session_id} {turn_id}` shows it again, "
            f"`durable-claude interrupt {session_id}` ends it."
        )
        raise
    _show_turn(await _in_full(sessions, session_id, report), as_json=as_json)


async def _in_full(sessions: Sessions, session_id: str, report: TurnReport) -> TurnReport:
    """The report with the whole answer, as far as the session's host has it."""
    if report.ended is None or not report.ended.text_truncated:
        return report
    with contextlib.suppress(SessionError):
        text = await sessions.full_text(session_id, report.turn_id)
        return replace(report, ended=replace(report.ended, text=text, text_truncated=False))
    return report


def _show_turn(report: TurnReport, *, as_json: bool) -> None:
    if as_json:
        console.event("turn", report)
    answer = answered(report)
    if as_json:
        return
    console.result(answer)
    console.note(views.summary(report))
    if report.ended and report.ended.text_truncated:
        console.note("The answer is longer than what is kept here: the whole of it stands in the session's journal.")


def answered(report: TurnReport) -> str:
    """The turn's answer; CommandFailed says what became of it if it has none."""
    ended = report.ended
    if report.state == "unknown":
        raise CommandFailed(f"no turn {report.turn_id!r} is known: it was never sent, or is long over", REFUSED)
    if ended is None:
        raise CommandFailed(f"turn {report.turn_id!r} has no result, it is {report.state}: {report.error}")
    if wrong := _WENT_WRONG.get(ended.error_kind):
        raise CommandFailed(f"turn {report.turn_id!r} {wrong}" + (f" ({ended.text})" if ended.text else ""))
    if ended.is_error:
        raise CommandFailed(
            f"claude ended the turn with an error ({ended.subtype}): {ended.text or 'it gave no reason'}"
        )
    return ended.text
