"""Reading journals from the disk in bounded parts: every whole line once, whatever is in it."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from activities.calls import JournalPart, ReadJournal
from activities.reading import awaited_part
from claude.journal import PART_BYTES, Journals
from claude.shorten import shortened
from shim.paths import HostDirectory, SessionDirectory

PATIENCE_SECONDS = 10.0


@pytest.fixture
def directory(host: HostDirectory) -> SessionDirectory:
    """A session that has a directory and no process."""
    directory = host.session("one")
    directory.path.mkdir()
    return directory


def write(directory: SessionDirectory, content: bytes, generation: int = 1) -> None:
    with directory.journal(generation).open("ab") as journal:
        journal.write(content)


def end(directory: SessionDirectory, generation: int = 1) -> None:
    """The exit record of a process that ended by itself."""
    unknown: dict[str, Any] = {
        "signal": None,
        "why": "exited",
        "tree": "empty",
        "survivors": [],
        "journal_bytes": 0,
        "at": 0.0,
    }
    directory.exit(generation).write_text(json.dumps({"generation": generation, "code": 0, **unknown}))


async def part(host: HostDirectory, *, wait: float = 0.0, **place: object) -> JournalPart:
    call = ReadJournal(session_id="one", wait_seconds=wait, **place)  # type: ignore[arg-type]
    return await awaited_part(host, call)


def texts(found: JournalPart) -> list[str]:
    return [line.text for line in found.lines]


async def test_whole_lines_are_read_and_torn_ones_when_the_journal_has_ended(
    host: HostDirectory, directory: SessionDirectory
) -> None:
    """A line that is being written comes when it is whole, or when nobody will write on."""
    write(directory, b"one\ntw")
    before = await part(host)
    write(directory, b"o\nthr")
    after = await part(host, generation=1, offset=before.offset)
    end(directory)
    last = await part(host, generation=1, offset=after.offset)

    assert (texts(before), before.offset, before.is_ended) == (["one"], 4, False)
    assert (texts(after), after.offset) == (["two"], 8)
    assert (texts(last), last.offset, last.is_ended, last.later) == (["thr"], 11, True, 0)


async def test_every_byte_of_random_lines_comes_through(host: HostDirectory, directory: SessionDirectory) -> None:
    """Bytes that are no text, empty lines and lines of every length add up to the journal; no part is too large."""
    chance = random.Random(5)
    lines = [chance.randbytes(chance.choice([0, 1, 30, 3000, 60_000])).replace(b"\n", b"") for _ in range(400)]
    write(directory, b"".join(line + b"\n" for line in lines))
    found, place = [await part(host)], 0
    while found[-1].lines:
        place = found[-1].offset
        found.append(await part(host, generation=1, offset=place))

    read = [line.text.encode("utf-8", "surrogateescape") for one in found for line in one.lines]
    assert read == lines
    assert place == directory.journal(1).stat().st_size
    assert len(found) > 5
    assert max(sum(len(line.text) for line in one.lines) for one in found) <= PART_BYTES


async def test_a_part_of_empty_lines_is_bounded_too(host: HostDirectory, directory: SessionDirectory) -> None:
    """Each line costs something on its way, also one without a character."""
    write(directory, b"\n" * 100_000)

    assert len((await part(host)).lines) == PART_BYTES // 16


async def test_a_line_of_ten_megabytes_is_shortened_and_the_next_one_comes(
    host: HostDirectory, directory: SessionDirectory
) -> None:
    """It stays JSON, says how long it was, keeps what it is about, and nothing waits behind it."""
    block = {"type": "tool_result", "tool_use_id": "t-1", "content": "x" * 10_000_000}
    long = json.dumps({"type": "user", "message": {"content": [block]}}).encode()
    write(directory, b"before\n" + long + b"\nafter\n")
    first = await part(host)
    second = await part(host, generation=1, offset=first.offset)
    third = await part(host, generation=1, offset=second.offset)

    assert texts(first) == ["before"]
    [line] = second.lines
    record = json.loads(line.text)
    assert len(line.text) <= PART_BYTES
    assert line.cut_bytes == record["cut_bytes"] == len(long)
    assert record["message"]["content"][0]["tool_use_id"] == "t-1"
    assert "(10000000 characters)" in record["message"]["content"][0]["content"]
    assert texts(third) == ["after"]


@pytest.mark.parametrize(
    "line",
    [
        b"\xff" * 1_000_000,
        json.dumps(["x" * 100] * 10_000).encode(),
        json.dumps({f"k{number}" * 50: "x" for number in range(10_000)}).encode(),
        json.dumps({"type": "y" * 1_000_000}).encode(),
        b"[" * 1_000_000,
    ],
    ids=["no JSON", "a long list", "many names", "a long type", "deeply nested"],
)
def test_whatever_is_too_long_fits_afterwards(line: bytes) -> None:
    """No line can be made that would wedge a reader."""
    assert 0 < len(shortened(line, 5000)) <= 5000


async def test_a_reader_goes_on_with_the_next_process(host: HostDirectory, directory: SessionDirectory) -> None:
    """Generations follow each other, also where one of them never wrote; 0 is the latest, -1 its end."""
    write(directory, b"one\n", generation=1)
    write(directory, b"four\nfo", generation=4)
    first = await part(host, generation=1)
    latest = await part(host)
    beyond = await part(host, generation=2)
    last = await part(host, offset=-1)
    none = await part(host, generation=5)

    assert (texts(first), first.is_ended, first.later) == (["one"], True, 4)
    assert (texts(latest), latest.generation, latest.is_ended) == (["four"], 4, False)
    assert (texts(beyond), beyond.generation) == (["four"], 4)
    assert (last.lines, last.generation, last.offset) == ([], 4, 5)
    assert (none.lines, none.generation, none.is_ended, none.later) == ([], 0, False, 0)


async def test_reading_begins_where_a_message_is_first_named(host: HostDirectory, directory: SessionDirectory) -> None:
    """In whichever journal that is; at the end of the last one when it is named nowhere."""
    write(directory, b"one\nnames m-1 here\n", generation=1)
    write(directory, b"m-1 again\nlast\n", generation=2)
    found = await part(host, since="m-1")
    missing = await part(host, since="m-2")

    assert (texts(found), found.generation, found.later) == (["names m-1 here"], 1, 2)
    assert (missing.lines, missing.generation, missing.offset) == ([], 2, 15)


@pytest.mark.parametrize("news", ["a line", "the end", "another process", "nothing"])
async def test_a_wait_ends_with_the_first_news(host: HostDirectory, directory: SessionDirectory, news: str) -> None:
    """It answers at once when something happens, and after its time when nothing does."""
    write(directory, b"one\n")
    happens: dict[str, Sequence[object]] = {
        "a line": (write, directory, b"two\n"),
        "the end": (end, directory),
        "another process": (write, directory, b"", 2),
    }
    waiting = asyncio.create_task(
        part(host, generation=1, offset=4, wait=0.3 if news == "nothing" else PATIENCE_SECONDS)
    )
    await asyncio.sleep(0.1)
    assert not waiting.done()
    began = time.monotonic()
    if news in happens:
        act, *arguments = happens[news]
        act(*arguments)  # type: ignore[operator]
    found = await waiting

    assert time.monotonic() - began < 2.0
    assert (texts(found), found.is_ended, found.later) == {
        "a line": (["two"], False, 0),
        "the end": ([], True, 0),
        "another process": ([], True, 2),
        "nothing": ([], False, 0),
    }[news]


async def test_a_session_that_never_ran_here_has_nothing_to_read(host: HostDirectory) -> None:
    """It is no error: its process may be about to start."""
    found = await part(host, since="m-1")

    assert (found.generation, found.lines, found.is_ended) == (0, [], False)


def test_files_that_only_look_like_journals_are_left_out(directory: SessionDirectory, tmp_path: Path) -> None:
    """Whoever copies a journal beside itself does not confuse its readers."""
    write(directory, b"one\n")
    (directory.path / "journal.copy.jsonl").write_text("x")

    assert Journals(directory).generations() == [1]
