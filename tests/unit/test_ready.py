"""The answer to the handshake as a value."""

import pytest

from claude.ready import Ready

NOTHING = Ready(cli_version=None, permission_mode=None, models=(), commands=(), api_key_source=None)


def test_what_claude_tells_about_itself_is_read() -> None:
    """Version, mode, models, commands and where the credentials come from."""
    ready = Ready.read(
        {
            "claude_code_version": "2.1.330",
            "current_permission_mode": "plan",
            "models": [{"value": "default"}, {"value": "opus"}],
            "commands": [{"name": "compact"}],
            "account": {"apiKeySource": "ANTHROPIC_API_KEY"},
        }
    )

    assert ready == Ready(
        cli_version="2.1.330",
        permission_mode="plan",
        models=("default", "opus"),
        commands=("compact",),
        api_key_source="ANTHROPIC_API_KEY",
    )


@pytest.mark.parametrize(
    "response",
    [{}, {"models": "none", "commands": [1, {"name": None}], "account": [], "claude_code_version": 2}],
    ids=["empty", "other kinds"],
)
def test_what_a_version_does_not_tell_is_absent(response: dict[str, object]) -> None:
    """Missing fields, and fields of a kind that nobody expects, are no reason not to be ready."""
    assert Ready.read(response) == NOTHING
