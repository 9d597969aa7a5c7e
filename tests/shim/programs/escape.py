"""A leader with descendants of every kind that is hard to end; each writes its pid into the directory given.

With `leave` as second argument the leader ends by itself once all of them are there.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

HERE = sys.argv[1]
WAIT = [sys.executable, "-I", "-S", "-c", "import signal\nwhile True: signal.pause()"]


def note(kind: str) -> None:
    """Appears whole, or not at all."""
    draft = os.path.join(HERE, f".{kind}")
    with open(draft, "w") as file:
        file.write(str(os.getpid()))
    os.rename(draft, os.path.join(HERE, kind))


def stay() -> None:
    while True:
        signal.pause()


def fork(life: Callable[[], None]) -> None:
    if os.fork() == 0:
        life()
        os._exit(0)


def daemonize(life: Callable[[], None]) -> None:
    """Double fork and setsid: its parent is gone before it lives."""

    def first() -> None:
        os.setsid()
        fork(life)

    fork(first)


def group() -> None:
    os.setpgid(0, 0)
    note("group")
    stay()


def session() -> None:
    os.setsid()
    note("session")
    stay()


def child() -> None:
    note("child")
    stay()


def daemon() -> None:
    note("daemon")
    stay()


def bare() -> None:
    note("bare")
    os.execve(WAIT[0], WAIT, {})


def hidden() -> None:
    """Neither our environment nor any of our descriptors."""
    note("hidden")
    os.closerange(3, 1024)
    os.execve(WAIT[0], WAIT, {})


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("deaf")
    stay()


def stopped() -> None:
    note("stopped")
    os.kill(os.getpid(), signal.SIGSTOP)
    stay()


def reaper() -> None:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    daemonize(heir)
    note("reaper")
    stay()


def heir() -> None:
    note("heir")
    stay()


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    note("leader")
    for life in (child, group, session, deaf, stopped, reaper):
        fork(life)
    for life in (daemon, bare, hidden):
        daemonize(life)
    while len([name for name in os.listdir(HERE) if not name.startswith(".")]) < 11:
        time.sleep(0.002)
    print("ready", flush=True)
    if sys.argv[2:] == ["leave"]:
        sys.stdin.readline()
        return
    stay()


main()
