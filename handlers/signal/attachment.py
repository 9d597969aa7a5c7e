"""A file as signal-cli takes it without sharing a disk with us."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import quote

from handlers.signal.file_names import safe_name

_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][\w.+-]*/[A-Za-z0-9][\w.+-]*", re.ASCII)
_ANY: Final = "application/octet-stream"


def attachment(name: str, content: bytes | str, kind: str = "text/markdown") -> str:
    """The file as a data: URI. It must have content: signal-cli takes no empty one."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    media_type = kind if _MEDIA_TYPE.fullmatch(kind) else _ANY
    # signal-cli decodes the name as a URL does, so that spaces and letters of any script arrive.
    return f"data:{media_type};filename={quote(safe_name(name), safe='')};base64,{base64.b64encode(data).decode()}"
