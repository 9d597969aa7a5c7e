"""What a message holds beside its text, and which files may be attached."""

import base64
import os
import socket
from pathlib import Path

import pytest

from claude.attachments import IMAGES_CAP_BYTES, AttachmentRefused, content

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, which is the only root."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_a_message_without_files_is_its_text(project: Path) -> None:
    """Nothing is added."""
    assert content("hello", [], project, [project]) == "hello"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89arest", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 rest", "image/webp"),
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_an_image_travels_in_the_message(project: Path, data: bytes, kind: str) -> None:
    """It is known by how it begins, whatever its name says, and comes before the text."""
    (project / "notes.txt").write_bytes(data)
    blocks = content("look", ["notes.txt"], project, [project])

    source = {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()}
    assert blocks == [{"type": "image", "source": source}, {"type": "text", "text": "look"}]


def test_any_other_file_is_named_by_its_path(project: Path) -> None:
    """Also one that only calls itself an image; claude reads it if it needs it."""
    (project / "fake.png").write_text("no image")
    (project / "empty").touch()

    assert content("read", ["fake.png", str(project / "empty")], project, [project]) == (
        f"read\n\nAttached files:\n{project}/fake.png\n{project}/empty"
    )


def test_images_and_other_files_go_together(project: Path) -> None:
    """The text that names the files follows the images."""
    (project / "a.png").write_bytes(PNG)
    (project / "b.txt").write_text("b")
    blocks = content("see", ["b.txt", "a.png"], project, [project])

    assert [block["type"] for block in blocks if isinstance(block, dict)] == ["image", "text"]
    assert f"Attached files:\n{project}/b.txt" in str(blocks[-1]["text"] if isinstance(blocks[-1], dict) else "")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is not a path"),
        ("a\0b", "is not a path"),
        ("missing", "does not exist"),
        (".", "is not a regular file"),
        ("fifo", "is not a regular file"),
        ("socket", "is not a regular file"),
        ("loop", "cannot be reached"),
        ("../secret", "outside the allowed roots"),
        ("link", "outside the allowed roots"),
        ("/etc/hostname", "outside the allowed roots"),
    ],
    ids=repr,
)
def test_what_may_not_be_attached_is_refused_in_words(project: Path, path: str, why: str) -> None:
    """Symlinks do not lead out of the roots, and nothing that would block is opened."""
    (project.parent / "secret").write_text("s")
    (project / "link").symlink_to(project.parent / "secret")
    (project / "loop").symlink_to(project / "loop")
    os.mkfifo(project / "fifo")
    directory = os.open(project, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as bound:
        # By way of the descriptor: pytest's own paths are too long for sockets.
        bound.bind(f"/proc/self/fd/{directory}/socket")
    os.close(directory)

    with pytest.raises(AttachmentRefused, match=why):
        content("text", [path], project, [project])


def test_images_that_are_too_large_together_are_refused(project: Path) -> None:
    """The sentence says the size, the limit and what to do; the same files without signature are no images."""
    for name in ("a", "b"):
        (project / name).write_bytes(PNG + bytes(IMAGES_CAP_BYTES // 2))
    with pytest.raises(AttachmentRefused, match=f"at most {IMAGES_CAP_BYTES}: make them smaller"):
        content("text", ["a", "b"], project, [project])

    assert len(content("text", ["a"], project, [project])) == 2
