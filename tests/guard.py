"""Run `python ARGUMENTS...` and fail when it leaves a process behind: `python tests/guard.py -m pytest`."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36

# Helpers that end by themselves when their reader goes get this long; whatever needs longer was left behind.
_SETTLE_SECONDS = 2.0

# Killed processes are gone at once; only one stuck in the kernel takes longer, and is then named again.
_KILL_SECONDS = 10.0


def main(arguments: list[str]) -> int:
    """Return the exit code of the child, or of the failure to leave nothing behind."""
    adopt_orphans()
    child = subprocess.Popen([sys.executable, *arguments])
    # Ctrl-C reaches the child by itself; the guard stays to look after what it leaves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(child.pid, number))
    code = _wait(child.pid)
    survivors = _settle()
    _report(survivors)
    _kill_all()
    return _exit_code(code, survivors)


def adopt_orphans() -> None:
    """Make this process the one that orphans of its tree fall to (Linux; elsewhere they go unseen)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _wait(pid: int) -> int:
    # Orphans are reaped as they end: to a test that waits for one to be gone, a zombie would look alive.
    while (ended := os.waitpid(-1, 0))[0] != pid:
        pass
    return os.waitstatus_to_exitcode(ended[1])


def _settle() -> list[psutil.Process]:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (survivors := _living()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return survivors


def _living() -> list[psutil.Process]:
    _reap()
    return [process for process in psutil.Process().children(recursive=True) if _is_living(process)]


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def _is_living(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _report(survivors: list[psutil.Process]) -> None:
    for process in survivors:
        print(f"left behind: pid {process.pid}: {_command_line(process)}", file=sys.stderr)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "(gone or not ours to read)"


def _kill_all() -> None:
    # Killing a parent hands its children to this process, so the tree is empty when none is left to be seen.
    deadline = time.monotonic() + _KILL_SECONDS
    while (survivors := _living()) and time.monotonic() < deadline:
        for process in survivors:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    for process in survivors:
        print(f"could not be killed: pid {process.pid}", file=sys.stderr)


def _exit_code(code: int, survivors: list[psutil.Process]) -> int:
    if code < 0:
        # What a shell says of a child that a signal ended.
        return 128 - code
    return code or (1 if survivors else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
