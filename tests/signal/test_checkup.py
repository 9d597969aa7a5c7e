"""What `doctor` says of Signal, met with the fault that each row is there for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.alone import alone
from handlers.signal import checkup
from handlers.signal.envelope import account_hash
from handlers.signal.letters import Letter
from handlers.signal.outbox import Outbox
from handlers.signal.service import LOCK, MEMORY
from handlers.signal.store import Store
from runtime.settings import Settings
from tests.signal.daemon import FakeDaemon

OWNER = "+15550001111"


def settings(daemon: FakeDaemon, state: Path, **more: str) -> Settings:
    """Those of a handler for this daemon."""
    given = {"SIGNAL_ACCOUNT": daemon.account, "SIGNAL_DAEMON": daemon.endpoint, "SIGNAL_OWNERS": OWNER, **more}
    environ = {"HOME": "/nonexistent", "DURABLE_CLAUDE_STATE_DIRECTORY": str(state)}
    return Settings.from_env(environ | {f"DURABLE_CLAUDE_{name}": value for name, value in given.items()})


async def levels(looked_at: Settings) -> dict[str, str]:
    """The level of each row."""
    return {finding.name: finding.level for finding in await checkup.examine(looked_at)}


@pytest.fixture
def handler(daemon: FakeDaemon, short_path: Path) -> Iterator[Store]:
    """The memory of a handler that holds its lock."""
    directory = short_path / "state" / "signal" / account_hash(daemon.account)
    with alone(directory / LOCK, "taken"):
        store = Store(directory / MEMORY)
        yield store
        store.close()


async def test_nothing_is_wrong_when_signal_is_not_wanted() -> None:
    """Who has no account set gets one green row that says how to begin."""
    [finding] = await checkup.examine(Settings.from_env({"HOME": "/nonexistent"}))

    assert (finding.name, finding.level) == ("signal", "green")
    assert "--guide" in finding.text


async def test_all_is_well(daemon: FakeDaemon, handler: Store, short_path: Path) -> None:
    """Daemon, account, people and handler are there."""
    rows = await levels(settings(daemon, short_path / "state"))

    assert rows == dict.fromkeys(
        ["signal-people", "signal-socket", "signal-daemon", "signal-account", "signal-handler"], "green"
    )


async def test_a_daemon_that_is_away_or_has_no_account(daemon: FakeDaemon, handler: Store, short_path: Path) -> None:
    """Both are red, and the account is not asked for where nobody answers."""
    looked_at = settings(daemon, short_path / "state")
    await daemon.restart(offline=True)
    offline = await levels(looked_at)
    await daemon.stop()
    away = await levels(looked_at)
    await daemon.start()

    assert (offline["signal-daemon"], offline["signal-account"]) == ("green", "red")
    assert away["signal-daemon"] == "red"
    assert "signal-account" not in away


async def test_nobody_may_give_work(daemon: FakeDaemon, handler: Store, short_path: Path) -> None:
    """A handler that obeys nobody is of no use."""
    looked_at = settings(daemon, short_path / "state", SIGNAL_OWNERS="", SIGNAL_WATCHERS=OWNER)

    assert (await levels(looked_at))["signal-people"] == "red"


async def test_a_socket_that_others_can_open(daemon: FakeDaemon, handler: Store, short_path: Path) -> None:
    """Whoever opens it writes in the account's name."""
    Path(daemon.endpoint).chmod(0o666)
    short_path.chmod(0o755)

    assert (await levels(settings(daemon, short_path / "state")))["signal-socket"] == "red"


async def test_no_handler_runs(daemon: FakeDaemon, short_path: Path) -> None:
    """Then messages wait at Signal's servers, which is no fault of the machine."""
    assert (await levels(settings(daemon, short_path / "state")))["signal-handler"] == "yellow"


async def test_letters_that_wait_for_long(daemon: FakeDaemon, handler: Store, short_path: Path) -> None:
    """Somebody has to do something, and nobody was told but the log."""
    Outbox(handler).put(Letter(key="k", chat="d:x", text="t"))
    fresh = await levels(settings(daemon, short_path / "state"))
    handler.write("UPDATE outbox SET at = at - 1000")
    late = await levels(settings(daemon, short_path / "state"))

    assert (fresh["signal-handler"], late["signal-handler"]) == ("green", "red")
