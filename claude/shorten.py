"""A line of claude's that is too long to be passed on: what is left of it says what it was."""

import json
from typing import Any, Final

# From "most of a page" to "that there was something"; the first that makes the line fit is taken.
_LONGEST: Final = (16_384, 1024, 64)
_PARTS: Final = 100


def shortened(line: bytes, limit: int) -> bytes:
    """The line in at most `limit` bytes, as JSON with the field `cut_bytes` if it was JSON, else its beginning."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return line[:limit]
    for longest in _LONGEST:
        cut = _marked(_cut(record, longest), len(line))
        if len(cut) <= limit:
            return cut
    kind = record.get("type") if isinstance(record, dict) else None
    return _marked({"type": _cut(kind, _LONGEST[-1])}, len(line))[:limit]


def _marked(record: Any, size: int) -> bytes:
    marked = {**record, "cut_bytes": size} if isinstance(record, dict) else {"cut_bytes": size, "line": record}
    return json.dumps(marked, separators=(",", ":")).encode("ascii")


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}… ({len(value)} characters)"
    if isinstance(value, list):
        return [_cut(part, longest) for part in value[:_PARTS]]
    if isinstance(value, dict):
        return {name[:longest]: _cut(part, longest) for name, part in list(value.items())[:_PARTS]}
    return value
