"""What handlers call is what the workflow offers."""

import dataclasses
import typing
from types import ModuleType

import pytest
from temporalio import workflow

from activities import calls
from workflows import approvals, edge, messages, notices, reports
from workflows.session import SessionWorkflow


def answers(definitions: typing.Mapping[str | None, typing.Any], function: str) -> dict[str | None, object]:
    return {name: typing.get_type_hints(getattr(known, function))["return"] for name, known in definitions.items()}


def test_every_call_is_known_to_the_workflow_with_its_answer() -> None:
    """The names and answers by which a session is asked are those of its workflow, and none is left out."""
    definition = workflow._Definition.must_from_class(SessionWorkflow)

    assert answers(definition.updates, "fn") == {call.name: call.answer for call in edge.UPDATES}
    assert answers(definition.queries, "fn") == {call.name: call.answer for call in edge.QUERIES}


@pytest.mark.parametrize("module", [calls, approvals, messages, notices, reports], ids=lambda module: module.__name__)
def test_what_travels_is_read_without_compiling(module: ModuleType) -> None:
    """The fields of all values that cross an edge have types, not texts that the converter compiles for each value."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    fields = [(kind.__name__, field.name, field.type) for kind in kinds for field in dataclasses.fields(kind)]

    assert fields
    assert [field for field in fields if isinstance(field[2], str)] == []
