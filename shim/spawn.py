"""Starting claude: fork, private pipes, exec."""

from __future__ import annotations

import errno
import fcntl
import os

from shim.kernel import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

# The most an unprivileged process may ask for: claude can be a megabyte ahead before it has to wait for the shim.
_PIPE_BYTES = 1 << 20

# When memory runs out the kernel should take claude's tree before the shim or a worker.
_OOM_SCORE_MORE = 200


class SpawnFailed(Exception):
    """The child could not be started; `kind` is one of the kinds of LaunchFailed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Child:
    """A running process and our ends of its pipes."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout


def spawn(
    argv: Sequence[str],
    *,
    cwd: str,
    environment: Mapping[str, str],
    stderr: str,
    keep: int,
    fork: Callable[[], int],
    before: Callable[[], None],
) -> Child:
    """Start `argv`; `keep` is a descriptor it inherits, `before` runs in the child just before exec."""
    log = os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    (their_in, our_in), (our_out, their_out), (report, reporter) = os.pipe(), os.pipe(), os.pipe()
    _grow(our_out)
    pid = fork()
    if pid == 0:
        _become(argv, cwd, environment, (their_in, their_out, log), keep, before, reporter)
    for fd in (their_in, their_out, log, reporter):
        os.close(fd)
    with open(report, "rb") as reports:
        failure = reports.read()
    if failure:
        os.waitpid(pid, 0)
        os.close(our_in)
        os.close(our_out)
        raise _explain(failure, argv[0], cwd)
    os.set_blocking(our_in, False)
    os.set_blocking(our_out, False)
    return Child(pid, our_in, our_out)


def _become(
    argv: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    stdio: tuple[int, int, int],
    keep: int,
    before: Callable[[], None],
    reporter: int,
) -> NoReturn:
    """The child's side. exec closes every descriptor but stdio and `keep`, the report among them."""
    step = b"prepare"
    try:
        os.setsid()
        before()
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        os.set_inheritable(keep, True)
        _reset_signals()
        step = b"directory"
        os.chdir(cwd)
        step = b"execute"
        os.execvpe(argv[0], list(argv), dict(environment))
    except OSError as error:
        os.write(reporter, b"%s %d" % (step, error.errno or 0))
    except ValueError as error:
        os.write(reporter, b"%s 0 %s" % (step, str(error).encode()))
    finally:
        os._exit(127)


def offer_to_oom_killer() -> None:
    """In the child: raise our own badness, which needs no privilege."""
    try:
        with open("/proc/self/oom_score_adj", "r+b") as file:
            score = min(1000, int(file.read()) + _OOM_SCORE_MORE)
            file.seek(0)
            file.write(b"%d" % score)
    except (OSError, ValueError):
        pass


def _reset_signals() -> None:
    """exec keeps ignored and blocked signals: claude gets none of ours, nor of a worker that runs in the background."""
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            # SIGKILL, SIGSTOP and the two of the C library are as they are.
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _grow(pipe: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass


def _explain(failure: bytes, executable: str, cwd: str) -> SpawnFailed:
    step, number, *rest = failure.decode(errors="replace").split(" ", 2)
    code = int(number)
    reason = rest[0] if rest else os.strerror(code)
    if step == "directory" and code in (errno.ENOENT, errno.ENOTDIR):
        return SpawnFailed("directory-missing", f"{cwd!r} is not a directory: {reason}")
    if step == "directory":
        return SpawnFailed("directory-unreadable", f"{cwd!r} cannot be entered: {reason}")
    if step == "execute" and code in (errno.ENOENT, errno.ENOTDIR):
        return SpawnFailed("executable-missing", f"{executable!r} was not found, or its interpreter was not: {reason}")
    if step == "execute":
        return SpawnFailed("not-executable", f"{executable!r} cannot be executed: {reason}")
    return SpawnFailed("internal", f"{executable!r} could not be prepared: {reason}")
