"""The documents speak of tests, files and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", GUARANTEES)))
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


def test_every_setting_is_explained() -> None:
    """The operator's guide lists the settings that the code knows, and no other."""
    explained = set(
        re.findall(r"^\| `(DURABLE_CLAUDE_[A-Z_]+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    )

    assert explained == set(Settings.from_env({}).describe())
