"""The shim's own program: a copy that nobody changes while a shim runs from it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import py_compile
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from shim import locks
from shim.layout import IN_USE, PROGRAMS

# A script and not a directory is executed: Python would import runpy for that, 5 ms. The script's own directory is
# not on the path under -I, so it is put there; the working directory, which is the user's repository, never is.
_MAIN = """\
import sys

sys.path.append(__file__.rpartition("/")[0])
from shim.launch import main

main(sys.argv[1:])
"""

# A launch says that it is coming by touching the program; until it holds the lock it takes milliseconds, on a starved
# machine seconds.
_QUIET_SECONDS = 3600.0


def immutable_copy(state: Path) -> Path:
    """The script to execute, in a directory named by its content, so that an upgrade never touches a running shim's code."""
    sources = _sources()
    program = state / PROGRAMS / _digest(sources)
    with contextlib.suppress(FileNotFoundError):
        os.utime(program)
    if not (program / "__main__.py").exists():
        _install(sources, program)
    return program / "__main__.py"


def prune(state: Path) -> list[str]:
    """Remove the programs of other releases that no shim runs from; returns their names.

    The kernel says who runs, by the lock that each launcher takes and its shim inherits. A program without a file for
    that lock says nothing, and stays. Another worker of the host may need one again: it makes it again.
    """
    programs, own = state / PROGRAMS, _digest(_sources())
    found = [path for path in programs.glob("*") if path.name != own and _is_quiet(path)]
    for path in found:
        if path.name.startswith("."):
            # A draft whose maker was killed, or a deletion that was.
            shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in found if not path.name.startswith(".") and _remove(path))


def _is_quiet(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _QUIET_SECONDS
    except FileNotFoundError:
        return False


def _remove(program: Path) -> bool:
    """Rename it away under its lock, then empty it; False when it is in use, or another worker was faster."""
    if not (program / IN_USE).exists():
        return False
    with contextlib.suppress(FileNotFoundError):
        lock = locks.take(str(program / IN_USE))
        if lock is None:
            return False
        try:
            return _is_quiet(program) and _delete(program)
        finally:
            lock.release()
    return False


def _delete(program: Path) -> bool:
    gone = program.rename(program.with_name(f".deleted-{secrets.token_hex(8)}"))
    shutil.rmtree(gone, ignore_errors=True)
    return True


@functools.cache
def _sources() -> tuple[tuple[str, bytes], ...]:
    """Our modules as they were when this worker first started a session: an upgrade under it mixes nothing."""
    package = Path(__file__).parent
    modules = [(f"shim/{path.name}", path.read_bytes()) for path in sorted(package.glob("*.py"))]
    return ("__main__.py", _MAIN.encode()), (IN_USE, b""), *modules


def _digest(sources: tuple[tuple[str, bytes], ...]) -> str:
    # Byte code is part of the copy, and each interpreter has its own.
    digest = hashlib.sha256(str(sys.implementation.cache_tag).encode())
    for name, content in sources:
        digest.update(b"\0%s\0%d\0" % (name.encode(), len(content)) + content)
    return digest.hexdigest()[:16]


def _install(sources: tuple[tuple[str, bytes], ...], program: Path) -> None:
    """Build beside it and rename; two at once agree, because both built the same."""
    program.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=program.parent))
    (draft / "shim").mkdir()
    for name, content in sources:
        (draft / name).write_bytes(content)
        if name.endswith(".py"):
            _compile(draft / name, program / name)
    try:
        os.rename(draft, program)
    except OSError:
        shutil.rmtree(draft)
        if not (program / "__main__.py").exists():
            raise


def _compile(source: Path, destination: Path) -> None:
    """Byte code that is never checked against its source: the directory's name is the check."""
    py_compile.compile(
        str(source),
        dfile=str(destination),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
