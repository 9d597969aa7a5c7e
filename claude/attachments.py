"""A message's content from its text and files of the host: images inline, other files by their paths."""

import base64
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# A shim takes 8 MiB at once. In base64 this is 6 MiB; a text of 256 KiB may take 1.5 MiB when all of it is escaped.
IMAGES_CAP_BYTES = 4_500_000

# By what a file begins with: names lie, and the API refuses a type that does not fit.
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_HEAD_BYTES = 16

Block = dict[str, Any]


class AttachmentRefused(Exception):
    """A file cannot be attached; the sentence says why. Without it the message is not sent."""


def content(text: str, paths: Sequence[str], project: Path, roots: Iterable[Path]) -> str | list[Block]:
    """The message as claude takes it, or AttachmentRefused. Paths may be relative to the project; this reads files."""
    files = [attached_file(path, project, roots) for path in paths]
    kinds = {file: _image_type(file) for file in files}
    images = [file for file in files if kinds[file]]
    _refuse_large(images)
    others = "\n".join(str(file) for file in files if not kinds[file])
    said = f"{text}\n\nAttached files:\n{others}" if others else text
    if not images:
        return said
    return [*(_image(file, kinds[file]) for file in images), {"type": "text", "text": said}]


def attached_file(path: str, project: Path, roots: Iterable[Path]) -> Path:
    """The file, with symlinks resolved, if it may be attached; else AttachmentRefused with a sentence."""
    if not path or "\0" in path:
        raise AttachmentRefused(f"attachment {path!r} is not a path")
    try:
        file = (project / Path(path).expanduser()).resolve(strict=True)
    except FileNotFoundError:
        raise AttachmentRefused(f"attachment {path!r} does not exist on the session's host") from None
    except (OSError, RuntimeError) as error:
        raise AttachmentRefused(f"attachment {path!r} cannot be reached: {error}") from error
    if not any(file.is_relative_to(root.resolve()) for root in roots):
        raise AttachmentRefused(f"attachment {path!r} is outside the allowed roots: DURABLE_CLAUDE_ROOTS lists them")
    if not file.is_file():
        raise AttachmentRefused(f"attachment {path!r} is not a regular file")
    if not os.access(file, os.R_OK):
        raise AttachmentRefused(f"attachment {path!r} may not be read by this user")
    return file


def _image_type(file: Path) -> str:
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)), "")


def _refuse_large(images: Sequence[Path]) -> None:
    size = sum(image.stat().st_size for image in images)
    if size > IMAGES_CAP_BYTES:
        raise AttachmentRefused(
            f"the attached images have {size} bytes and one message may have at most {IMAGES_CAP_BYTES}: "
            "make them smaller, send them one by one, or name their paths in the text"
        )


def _image(file: Path, kind: str) -> Block:
    data = base64.b64encode(file.read_bytes()).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
