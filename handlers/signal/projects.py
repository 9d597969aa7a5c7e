"""Which projects people may name: those the operator named, and the directories right under the roots."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from handlers.signal.harmless import hides
from workflows.errors import Refused

# A directory that begins with a dot holds settings, not a project.
_NAME: Final = re.compile(r"[^/.~][^/]*")
# More of them would not be read on a phone.
LISTED: Final = 40


class Projects:
    """Names of directories. Whether a session may really work in one is for its host to say, and it does."""

    def __init__(self, named: Mapping[str, Path], roots: Sequence[Path]) -> None:
        self._named = dict(named)
        self._roots = tuple(roots)

    def path(self, wanted: str) -> Path:
        """The directory that is meant by a name, or by a path under one of the roots; Refused in words."""
        if not wanted or len(wanted) > 1000 or any(hides(char) or not char.isprintable() for char in wanted):
            raise Refused("that is no name of a project: /projects shows what there is")
        if wanted in self._named:
            return self._named[wanted]
        if wanted.startswith(("/", "~/")):
            return self._under_roots(wanted)
        if _NAME.fullmatch(wanted):
            for root in self._roots:
                if (root / wanted).is_dir():
                    return root / wanted
        raise Refused(f"there is no project {wanted!r}: /projects shows what there is")

    def listed(self) -> list[str]:
        """What may be named, the operator's names first."""
        found = {path.name for root in self._roots for path in _directories(root)}
        return [*sorted(self._named), *sorted(found - set(self._named))][:LISTED]

    def _under_roots(self, wanted: str) -> Path:
        if ".." in PurePosixPath(wanted).parts:
            raise Refused("a project's path may hold no '..'")
        path = Path(wanted).expanduser()
        if not any(path.is_relative_to(root) for root in self._roots):
            raise Refused("that path is outside the allowed roots: DURABLE_CLAUDE_ROOTS lists them")
        return path


def _directories(root: Path) -> list[Path]:
    try:
        return [path for path in root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    except OSError:
        return []
