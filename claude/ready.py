"""The answer to the handshake."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What claude tells about itself when it is ready; None and empty where its version does not say."""

    cli_version: str | None
    permission_mode: str | None
    models: tuple[str, ...]
    commands: tuple[str, ...]
    """Slash commands that a message may begin with."""
    api_key_source: str | None
    """Where it found its credentials: `ANTHROPIC_API_KEY`, `none`, …"""

    @classmethod
    def read(cls, response: Mapping[str, Any]) -> "Ready":
        """The answer as a value; a field of an unexpected kind counts as not said."""
        account = response.get("account")
        return cls(
            cli_version=_text(response.get("claude_code_version")),
            permission_mode=_text(response.get("current_permission_mode")),
            models=_names(response.get("models"), "value"),
            commands=_names(response.get("commands"), "name"),
            api_key_source=_text(account.get("apiKeySource")) if isinstance(account, dict) else None,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _names(entries: object, field: str) -> tuple[str, ...]:
    if not isinstance(entries, list):
        return ()
    names = (entry.get(field) for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if isinstance(name, str))
