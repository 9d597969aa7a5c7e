"""The documents speak of tests, files and settings that exist."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import typer
from temporalio.converter import value_to_type

from handlers import cli, failure
from runtime.settings import Settings
from workflows.approvals import Answer, Decision
from workflows.messages import CancelTurn, Interrupt, Listen, Message, StopSession

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", GUARANTEES)))
INPUTS = re.findall(
    r"^\| .+ \| (?:update|signal) `(\w+)` \| `(\{.+\})` \|$", (ROOT / "docs" / "web-ui.md").read_text(), re.MULTILINE
)
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_every_proof_exists(file: str, test: str) -> None:
    """A row of the guarantees names a test that is there."""
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_row_has_a_proof() -> None:
    """No promise stands without a test."""
    rows = [line for line in GUARANTEES.splitlines() if line.startswith("| ") and not line.startswith("| what happens")]

    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Relative links in the documents point at files of the project."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_tour_shows_commands_that_there_are() -> None:
    """Each command of the tour is one of the command line, and each one that can be shown by itself is in it."""
    shown = set(re.findall(r"^\$ durable-claude (\w+)", (ROOT / "docs" / "tour.md").read_text(), re.MULTILINE))
    commands = set(typer.main.get_group(cli.app).commands)

    assert shown <= commands
    assert {"ls", "watch", "status", "approve", "send", "logs", "interrupt", "fork", "resume", "stop"} <= shown


def test_every_exit_code_is_explained() -> None:
    """The operator's guide has a line for each exit code that a command can end with, and no other."""
    explained = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    known = {getattr(failure, name) for name in dir(failure) if isinstance(getattr(failure, name), int)}

    assert [int(code) for code in explained] == sorted(known)


@pytest.mark.parametrize(("name", "payload"), INPUTS)
def test_every_input_of_the_guide_to_the_web_ui_is_taken(name: str, payload: str) -> None:
    """What the guide gives to copy is all that the update or signal of that name takes, and nothing that it does not."""
    taken = {
        "resolve_permission": Answer,
        "send": Message,
        "cancel_turn": CancelTurn,
        "interrupt": Interrupt,
        "listen": Listen,
        "stop": StopSession,
    }[name]

    call = value_to_type(taken, json.loads(payload))

    assert set(json.loads(payload)) <= {field.name for field in fields(taken)}
    assert not isinstance(call, Answer) or call.decision in get_args(Decision)


def test_every_setting_is_explained() -> None:
    """The operator's guide lists the settings that the code knows, and no other."""
    explained = set(
        re.findall(r"^\| `(DURABLE_CLAUDE_[A-Z_]+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    )

    assert explained == set(Settings.from_env({}).describe())
