"""What the process ends with when a command does not end as it should."""

import sys

import pytest
import typer

from handlers import running


def test_a_reader_that_has_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """`| head` had what it wanted: the command ends with 0, whoever meets the closed pipe first."""
    app = typer.Typer()

    @app.command()
    def logs() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    captured = sys.stdout
    monkeypatch.setattr(sys, "stdout", captured)
    code = running.run(app, [])
    if sys.stdout is not captured:
        sys.stdout.close()

    assert code == 0
