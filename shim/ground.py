"""What is there before claude is: the marks of its start, its place, its files, the socket."""

from __future__ import annotations

from shim.documents import Reserved
from shim.journal import Journal
from shim.listener import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.cgroup import Cgroup
    from shim.layout import SessionFiles


class Ground:
    """Made after the boot record, so that a kill at any later moment leaves marks to a sweep."""

    def __init__(self, files: SessionFiles, boot: dict[str, Any], place: Cgroup | None) -> None:
        generation = boot["generation"]
        self.boot = boot
        self.place = place
        self.record = Reserved(files.exit(generation))
        self.journal = Journal(files.journal(generation))
        self.listener = Listener(files.socket)

    def clear(self) -> None:
        """Take it away, with whoever still stands on it."""
        self.listener.remove()
        self.record.discard()
        if self.place:
            self.place.empty()
            self.place.remove()
