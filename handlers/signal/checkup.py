"""The doctor's rows about Signal: the daemon, who may write, and whether a handler runs and keeps up."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from doctor.finding import Finding, green, red, yellow
from doctor.living import is_held
from handlers.failure import CommandFailed
from handlers.signal.service import LOCK, MEMORY, directory_of, endpoint_of
from handlers.signal_api import Endpoint, NoAccount, SignalCli, SignalError
from runtime.settings import Settings

# A network that is away comes back before that; what waits for longer waits for somebody.
LATE_SECONDS: Final = 600.0
_GUIDE: Final = "`durable-claude signal --guide` says how"


async def examine(settings: Settings) -> list[Finding]:
    """One green row when Signal is not set up; else a row for each thing it needs."""
    chosen = settings.signal
    if not chosen.account:
        return [green("signal", f"not set up: {_GUIDE}")]
    try:
        endpoint = endpoint_of(settings)
    except CommandFailed as error:
        return [red("signal", str(error), "correct it")]
    daemon = await _daemon(endpoint, chosen.account)
    return [_people(settings), *_socket(endpoint), *daemon, _handler(settings)]


def _people(settings: Settings) -> Finding:
    chosen = settings.signal
    owners = sum(role == "owner" for role in chosen.people.values()) + chosen.owns_account
    if not owners:
        return red("signal-people", "nobody may give work", "set DURABLE_CLAUDE_SIGNAL_OWNERS to your number or ACI")
    return green("signal-people", f"{owners} may give work, {len(chosen.people)} are known in all")


def _socket(endpoint: Endpoint) -> list[Finding]:
    """Who can open the socket can write in the account's name."""
    if not endpoint.path:
        remedy = "use a socket in a directory of yours: `signal-cli daemon --socket PATH`"
        return [yellow("signal-socket", "anybody on this machine can use the daemon's port", remedy)]
    path = Path(endpoint.path)
    try:
        open_to = stat.S_IMODE(path.parent.stat().st_mode) & stat.S_IMODE(path.stat().st_mode) & 0o077
    except OSError:
        # The row of the daemon says that it is not there.
        return []
    if open_to:
        return [red("signal-socket", f"others can open {str(path)!r}", f"`chmod 700 {path.parent}`")]
    return [green("signal-socket", f"only this user can open {str(path)!r}")]


async def _daemon(endpoint: Endpoint, account: str) -> list[Finding]:
    signal = SignalCli(endpoint, account)
    async with contextlib.aclosing(signal):
        try:
            answers = f"signal-cli {await signal.version()} answers at {endpoint}"
            groups = len(await signal.groups())
        except NoAccount as error:
            missing = red("signal-account", str(error), error.remedy or "register or link it, and restart the daemon")
            return [green("signal-daemon", f"signal-cli answers at {endpoint}"), missing]
        except SignalError as error:
            return [red("signal-daemon", str(error), error.remedy or f"start it: {_GUIDE}")]
    found = f"the daemon has the account, in {groups} groups"
    return [green("signal-daemon", answers), green("signal-account", found)]


def _handler(settings: Settings) -> Finding:
    directory = directory_of(settings)
    if not is_held(directory / LOCK):
        return yellow("signal-handler", "no handler runs here", "start one with `durable-claude signal`")
    with _opened(directory / MEMORY) as db:
        undone = db.execute("SELECT count(*) FROM inbox WHERE is_done = 0").fetchone()[0]
        waiting, since = db.execute("SELECT count(*), min(at) FROM outbox WHERE state = 'waiting'").fetchone()
    if waiting and time.time() - since > LATE_SECONDS:
        remedy = "look into its log: a rate limit, a captcha, an identity that is not trusted, or no network"
        return red(
            "signal-handler", f"{waiting} messages wait to be sent, the oldest for {time.time() - since:.0f} s", remedy
        )
    return green("signal-handler", f"one runs; {undone} messages wait to be done, {waiting} to be sent")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The handler's file, only to look at."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        yield db
