"""The shim's own program: a copy that nobody changes while a shim runs from it."""

from __future__ import annotations

import functools
import hashlib
import os
import py_compile
import shutil
import sys
import tempfile
from pathlib import Path

from shim.layout import PROGRAMS

# A script and not a directory is executed: Python would import runpy for that, 5 ms. The script's own directory is
# not on the path under -I, so it is put there; the working directory, which is the user's repository, never is.
_MAIN = """\
import sys

sys.path.append(__file__.rpartition("/")[0])
from shim.launch import main

main(sys.argv[1:])
"""


def immutable_copy(state: Path) -> Path:
    """The script to execute, in a directory named by its content, so that an upgrade never touches a running shim's code."""
    sources = _sources()
    program = state / PROGRAMS / _digest(sources)
    if not (program / "__main__.py").exists():
        _install(sources, program)
    return program / "__main__.py"


@functools.cache
def _sources() -> tuple[tuple[str, bytes], ...]:
    """Our modules as they were when this worker first started a session: an upgrade under it mixes nothing."""
    package = Path(__file__).parent
    modules = [(f"shim/{path.name}", path.read_bytes()) for path in sorted(package.glob("*.py"))]
    return ("__main__.py", _MAIN.encode()), *modules


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
