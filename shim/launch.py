"""The launcher: reads what to start, forks the shim, prints one line about the outcome, and is gone.

Run as `python -I -S <program> launch <state> <run> [--without=<mechanism>,...]` with a LaunchSpec on stdin. The
switches exist for tests only: a test that passes with its safety mechanism switched off proves nothing.
"""

from __future__ import annotations

import os

from shim import jsontext, kernel, locks, log
from shim.kernel import signal
from shim.layout import IN_USE, SessionFiles
from shim.spawn import SpawnFailed
from shim.start import Refused, Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_INTERNAL = {"outcome": "failed", "kind": "internal", "message": "the shim ended before it could answer: see shim.log"}


def main(arguments: list[str]) -> NoReturn:
    """Start the session on stdin, or find it running."""
    # Nothing that a worker leaked into us may live as long as the session.
    os.closerange(3, 1024)
    locks.share(os.path.join(os.path.dirname(__file__), os.pardir, IN_USE))
    _command, state, run, *switches = arguments
    without = {name for switch in switches for name in switch.removeprefix("--without=").split(",")}
    with open(0, "rb", closefd=False) as stdin:
        text = stdin.read()
    if not text:
        # A worker had it wait for a start, and has gone.
        os._exit(0)
    spec = jsontext.loads(text)
    answers, answer = os.pipe()
    if os.fork() == 0:
        os.close(answers)
        _become_shim(SessionFiles(state, run, spec["session_id"]), spec, without, answer)
    os.close(answer)
    with open(answers, "rb") as lines:
        os.write(1, lines.read() or _line(_INTERNAL))
    os._exit(0)


def _become_shim(files: SessionFiles, spec: dict[str, Any], without: set[str], answer: int) -> NoReturn:
    supervisor = None
    try:
        _detach()
        supervisor, outcome = Start(files, spec, without).run()
    except (Refused, SpawnFailed) as refusal:
        outcome = {"outcome": "failed", "kind": refusal.kind, "message": str(refusal)}
    except BaseException as error:  # noqa: BLE001 - whatever it was, the worker waits for an answer
        log.say_error()
        outcome = {"outcome": "failed", "kind": "internal", "message": f"{type(error).__name__}: {error}"}
    _tell(answer, outcome)
    try:
        if supervisor:
            supervisor.run()
    except BaseException:  # noqa: BLE001 - nobody above could say it
        log.say_error()
        if supervisor:
            supervisor.abandon()
        os._exit(1)
    os._exit(0)


def _tell(answer: int, outcome: dict[str, Any]) -> None:
    """Answer the launcher. Its worker may have been killed meanwhile, which is no reason to end what was started."""
    try:
        os.write(answer, _line(outcome))
    except BrokenPipeError:
        pass
    os.close(answer)


def _detach() -> None:
    """A session of its own, no terminal, no inherited pipe: nothing of the worker keeps or ends it."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    kernel.name_process(b"durable-shim")
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(null, target)
    os.close(null)
    os.chdir("/")


def _line(document: dict[str, Any]) -> bytes:
    return jsontext.dumps(document) + b"\n"
