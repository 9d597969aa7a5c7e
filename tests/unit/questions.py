"""A question of claude's, with whatever a test wants to say of it."""

from dataclasses import replace
from typing import Any

from workflows.approvals import Approval

A_QUESTION = Approval(
    approval_id="a1",
    turn_id="t",
    tool="Bash",
    input={"command": "echo"},
    digest="",
    reason="",
    can_be_remembered=False,
    request_id="r",
    deadline=0.0,
)


def question(**said: Any) -> Approval:
    return replace(A_QUESTION, **said)
