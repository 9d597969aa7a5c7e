"""A shim starts with little: what it leaves out of the standard library, and that it can do with the whole of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from shim import jsontext
from shim.client import LaunchFailed, launcher_argv
from shim.poller import READ, WRITE, Poller
from tests.shim.stage import Stage, first_line

# Each of them brings enum, functools or re with it: together half of what a start would cost.
HEAVY = {
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "json",
    "pathlib",
    "re",
    "selectors",
    "signal",
}

# Runs the program with the C halves hidden from the shim, and only from it: the modules above them need them.
HIDDEN = """
import builtins, sys
real = builtins.__import__
def without(name, *rest):
    scope = rest[0] if rest else None
    if name in ("_json", "_signal", "_socket") and scope and scope["__name__"].startswith("shim."):
        raise ImportError(name)
    return real(name, *rest)
builtins.__import__ = without
sys.path.append(sys.argv[1].rpartition("/")[0])
import json, signal, socket
from shim import jsontext, kernel, launch, sockets
assert (jsontext.loads, kernel.signal, sockets.socket) == (json.loads, signal, socket)
launch.main(sys.argv[2:])
"""


def test_a_shim_imports_little(stage: Stage) -> None:
    """A start is fast because of what it does without."""
    program = Path(launcher_argv(stage.host)[3]).parent
    source = f"import sys; sys.path.append({str(program)!r}); import shim.launch, shim.supervisor; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, check=True, text=True)
    assert "shim.supervisor" in modules.stdout.split()
    assert HEAVY & set(modules.stdout.split()) == set()


async def test_a_shim_works_with_the_whole_library(stage: Stage) -> None:
    """A Python whose C halves are not the ones we know gets the public modules, and nothing else changes."""
    python, isolated, no_site, program, *arguments = launcher_argv(stage.host)
    command = [python, isolated, no_site, "-c", HIDDEN, program, *arguments]
    assert (await stage.run(stage.spec(["/bin/cat"]), launcher_command=command)).outcome == "started"
    connection = await stage.attach()
    await connection.write("a", b"fine\n")
    assert await first_line(connection) == b"fine"
    assert (await connection.stop(5)).tree == "empty"


@pytest.mark.parametrize("missing", ["supervisor", "peer"])
async def test_a_program_that_goes_away_during_a_start(stage: Stage, missing: str) -> None:
    """What is imported while claude starts may be gone: then claude is ended, and the worker is told."""
    program = Path(launcher_argv(stage.host)[3]).parent / "shim"
    hidden = [(path, path.with_suffix(".hidden")) for path in (program / f"{missing}.py", _byte_code(program, missing))]
    for path, away in hidden:
        path.rename(away)
    witness = stage.host.state / "witness"
    with pytest.raises(LaunchFailed, match=f"ModuleNotFoundError.*{missing}") as failure:
        await stage.launch(["/bin/sh", "-c", f"echo $$ > {witness}; exec sleep 600"])
    assert failure.value.kind == "internal"
    for path, away in hidden:
        away.rename(path)
    assert not stage.directory().socket.exists()
    assert (await stage.launch(["/bin/cat"])).outcome == "started"
    if witness.exists() and witness.read_text():
        assert not _lives(int(witness.read_text()))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _byte_code(program: Path, module: str) -> Path:
    (compiled,) = (program / "__pycache__").glob(f"{module}.*.pyc")
    return compiled


DOCUMENTS: list[Any] = [
    {},
    {"request": 1, "ok": True, "message": "“quoted” \\ \n \x00 \ud800", "nested": {"list": [1, -2.5, 1e300, None]}},
    ["", 0, 12345678901234567890, float("inf")],
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_json_is_written_and_read_as_the_package_does_it(document: object) -> None:
    """The same bytes, and the same value back."""
    written = jsontext.dumps(document)
    assert written == json.dumps(document).encode()
    assert jsontext.loads(b" " + written + b"\r\n") == document


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a': 1}", b'{"a" 1}', b"[1,]", b"1 2", b"\xff", b'"\n"', b"[" * 100_000, b"nul", b"9" * 5000]
)
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    """Whatever the scanner makes of it; the package itself agrees that it is none."""
    with pytest.raises((ValueError, RecursionError)):
        json.loads(text)
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_what_is_no_json_is_refused_without_the_package() -> None:
    """A running shim whose library was replaced refuses a bad line like any other."""
    source = "import sys; sys.path.append(sys.argv[1]); from shim import jsontext; sys.modules['json.decoder'] = None\n"
    source += "try: jsontext.loads(b'{\"a\" 1}')\nexcept ValueError as error: print(error)"
    command = [sys.executable, "-I", "-S", "-c", source, str(Path(jsontext.__file__).parents[1])]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.startswith("not JSON")


def test_a_call_that_is_no_longer_wanted_is_not_made() -> None:
    """What an earlier call of the same round gave up is not called: its descriptor may be closed already."""
    poller, calls = Poller(), list[int]()
    (one, to_one), (two, to_two) = os.pipe(), os.pipe()

    def call(other: int) -> None:
        calls.append(other)
        poller.ignore(other)

    poller.watch(one, READ, lambda _: call(two))
    poller.watch(two, READ, lambda _: call(one))
    for end in (to_one, to_two):
        os.write(end, b"x")
    poller.run(0)
    assert len(calls) == 1
    for fd in (one, to_one, two, to_two):
        os.close(fd)


def test_the_end_of_a_pipe_wakes_whoever_waits() -> None:
    """An end or an error is readiness for what was asked for, and for nothing else."""
    poller, seen = Poller(), list[int]()
    (reader, to_reader), (from_writer, writer) = os.pipe(), os.pipe()
    poller.watch(reader, READ, seen.append)
    poller.watch(writer, WRITE, seen.append)
    os.close(to_reader)
    os.close(from_writer)
    poller.run(0)
    assert sorted(seen) == sorted([READ, WRITE])
    os.close(reader)
    os.close(writer)
