"""Small JSON files that are whole or absent, never half written."""

from __future__ import annotations

import os

from shim import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def read(path: str) -> dict[str, Any] | None:
    """The JSON object in this file; None when there is none or it cannot be understood."""
    try:
        with open(path, "rb") as file:
            document = jsontext.loads(file.read())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write(path: str, document: Mapping[str, Any]) -> None:
    """Replace the file at once.

    Nothing is synced: a document only has to outlive processes, and after a host crash an older one or none
    is read as "lost", which is then the truth.
    """
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "wb") as file:
        file.write(jsontext.dumps(document))
    os.rename(fresh, path)


class Reserved:
    """A document whose disk space is taken now, so that it can still be written when the disk is full."""

    # An exit record is about 200 bytes; survivors are capped well below this.
    _BYTES = 4096

    def __init__(self, path: str) -> None:
        self._path = path + ".reserved"
        with open(self._path, "wb") as file:
            file.write(bytes(self._BYTES))

    def write(self, path: str, document: Mapping[str, Any]) -> None:
        """Fill the reserved space and give it its name; do without when somebody removed it."""
        if not os.path.exists(self._path):
            write(path, document)
            return
        content = jsontext.dumps(document)
        with open(self._path, "r+b", buffering=0) as file:
            file.write(content)
            file.truncate()
        os.rename(self._path, path)

    def discard(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass
