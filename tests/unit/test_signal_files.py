"""Files that are sent from a project and files that are received: neither leads anywhere else."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.signal import project_files
from handlers.signal.file_names import safe_name
from handlers.signal.project_files import FileRefused, find, read
from handlers.signal.received import save

NAMES = ["..", ".", "/", "a.txt", "in", "out", "deep", "secret.txt", "~", "loop", "\0", "é", "link.txt", " ", "//"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with files and links, and a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (project / "a.txt").write_text("a")
    (project / "deep/b.png").write_bytes(b"\x89PNG")
    (project / "in").symlink_to("deep")
    (project / "out").symlink_to(tmp_path)
    (project / "link.txt").symlink_to("../secret.txt")
    (project / "loop").symlink_to("loop")
    return project


def refused(project: Path, wanted: str, **more: int) -> str:
    with pytest.raises(FileRefused) as raised:
        read(project, wanted, **more)
    return str(raised.value)


def test_a_file_of_the_project_is_read(project: Path) -> None:
    """Its name, content and type come back, by relative or absolute path and through links that stay inside."""
    assert read(project, "a.txt") == ("a.txt", b"a", "text/plain")
    assert read(project, " in/b.png\n") == ("b.png", b"\x89PNG", "image/png")
    assert read(project, str(project / "a.txt"))[1] == b"a"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("", "is no path of a file"),
        ("  ", "is no path of a file"),
        ("a.txt\0", "is no path of a file"),
        ("../secret.txt", "leads upwards"),
        ("deep/../a.txt", "leads upwards"),
        ("/etc/hostname", "outside the project"),
        ("out/secret.txt", "outside the project"),
        ("link.txt", "outside the project"),
        ("loop", "cannot be reached"),
        ("none.txt", "does not exist"),
        ("a.txt/b", "does not exist"),
        ("x" * 5000, "cannot be reached"),
        ("\ud800", "cannot be reached"),
        (".", "is a directory"),
        ("deep", "is a directory"),
    ],
)
def test_what_is_no_file_of_the_project_is_refused(project: Path, wanted: str, reason: str) -> None:
    """Each refusal is one short sentence that says why."""
    sentence = refused(project, wanted)

    assert reason in sentence
    assert len(sentence) < 250
    assert sentence.isprintable()


@given(st.lists(st.sampled_from(NAMES), max_size=6).map("/".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_leads_out(project: Path, wanted: str) -> None:
    """Whatever is asked for, what is found lies in the project, and the secret beside it is never read."""
    try:
        path = find(project, wanted)
        content = read(project, wanted)[1]
    except FileRefused:
        return

    assert path.is_relative_to(project.resolve())
    assert content in (b"a", b"\x89PNG")


@pytest.mark.parametrize("swapped", ["deep/b.png", "deep"])
def test_a_link_that_comes_into_being_meanwhile_is_not_followed(
    project: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Between looking and opening, the file or a directory above it may become a link: nothing outside is read."""
    outside = project.parent / "outside"
    outside.mkdir()
    (outside / "b.png").write_text("secret")
    really = project_files.find

    def find_and_swap(root: Path, wanted: str) -> Path:
        found = really(root, wanted)
        (project / swapped).rename(project / "old")
        (project / swapped).symlink_to(outside / "b.png" if swapped.endswith("png") else outside)
        return found

    monkeypatch.setattr(project_files, "find", find_and_swap)

    assert "cannot be read" in refused(project, "deep/b.png")


def test_what_would_hang_or_is_no_file_is_refused(project: Path) -> None:
    """A pipe without a writer, a socket and a device are refused at once."""
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(project / "socket"))

        assert "not a regular file" in refused(project, "pipe")
        assert "cannot be read" in refused(project, "socket")
    assert "not a regular file" in refused(Path("/dev"), "null")


def test_size_has_a_limit(project: Path) -> None:
    """One byte too many is refused, and so is nothing at all: signal-cli takes no empty file."""
    (project / "big").write_bytes(b"x" * 11)
    (project / "empty").touch()

    assert read(project, "big", limit_bytes=11)[1] == b"x" * 11
    assert "more than 10 bytes" in refused(project, "big", limit_bytes=10)
    assert "is empty" in refused(project, "empty")
    with (project / "sparse").open("wb") as file:
        file.truncate(project_files.LIMIT_BYTES + 1)
    assert "more than 20 MB" in refused(project, "sparse")


def test_no_descriptor_is_left(project: Path) -> None:
    """Neither a file that is read nor one that is refused stays open."""
    before = len(list(Path("/dev/fd").iterdir()))
    read(project, "in/b.png")
    refused(project, "deep")

    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(project: Path) -> None:
    """A file of somebody else is a sentence."""
    (project / "a.txt").chmod(0)

    assert "cannot be read" in refused(project, "a.txt")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("shot 1.png", "shot 1.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        (".bashrc", "bashrc"),
        ("a;b,c\n\x1b.md", "a_b_c__.md"),
        ("exe\u202egnp.txt", "exe_gnp.txt"),
        ("", "file"),
        ("...", "file"),
        ("con.txt", "_con.txt"),
        ("Überblick.pdf", "Überblick.pdf"),
        ("चित्र.png", "चित्र.png"),
        ("x" * 300 + ".jpeg", "x" * 150 + ".jpeg"),
        ("\ud800.txt", "_.txt"),
        ("-rf", "-rf"),
    ],
)  # fmt: skip
def test_names_are_made_safe(name: str, safe: str) -> None:
    """A name is never a path, hidden, empty, a device or too long; it keeps its letters and its extension."""
    assert safe_name(name) == safe.replace("\ud800", "?")


@given(st.text(alphabet=st.sampled_from("./\\ a;,\0\u202eé😀")) | st.text(max_size=400))
def test_a_safe_name_is_safe(name: str) -> None:
    """Whatever came, it can be a file's name anywhere, and is its own safe name."""
    safe = safe_name(name)

    assert 0 < len(safe.encode()) < 200
    assert not set(safe) & set("/\\;,\0\n\u202e")
    assert safe not in (".", "..")
    assert not safe.startswith(".")
    assert safe_name(safe) == safe


def modes(directory: Path) -> Iterator[tuple[str, int]]:
    for path in sorted(directory.rglob("*")):
        yield path.name, stat.S_IMODE(path.stat().st_mode)


def test_a_received_file_is_kept_for_this_user_only(tmp_path: Path) -> None:
    """It lies under its message's key, readable by nobody else, with an extension from its type if it has none."""
    path = save(tmp_path / "received", "sig-1", None, "image/jpeg", b"\xff\xd8")

    assert (path, path.read_bytes()) == (tmp_path / "received/sig-1/0-attachment.jpg", b"\xff\xd8")
    assert list(modes(tmp_path)) == [("received", 0o700), ("sig-1", 0o700), ("0-attachment.jpg", 0o600)]


def test_two_files_of_one_message_do_not_meet(tmp_path: Path) -> None:
    """The same name twice is two files, and a file that comes again takes its own place."""
    first = save(tmp_path, "k", "a.txt", "text/plain", b"1", index=0)
    second = save(tmp_path, "k", "a.txt", "text/plain", b"2", index=1)
    again = save(tmp_path, "k", "a.txt", "text/plain", b"3", index=0)

    assert first == again
    assert (first.read_bytes(), second.read_bytes()) == (b"3", b"2")
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["0-a.txt", "1-a.txt"]


@given(name=st.text() | st.sampled_from(["../x", "/etc/passwd", "..", "a" * 500]), key=st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_name_leads_out(tmp_path: Path, name: str, key: str) -> None:
    """Neither a name nor a key puts a file anywhere but into its message's directory."""
    path = save(tmp_path / "received", key, name, "x/y;z", b"1")

    assert path.resolve().parent.parent == (tmp_path / "received").resolve()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content stays and no draft is left, also when the disk gives up."""
    path = save(tmp_path, "k", "a.txt", "text/plain", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, "k", "a.txt", "text/plain", b"new")

    assert [(each, each.read_bytes()) for each in (tmp_path / "k").iterdir()] == [(path, b"old")]
