"""Answers that are longer than what history keeps, with the real CLI."""

from __future__ import annotations

import pytest

from activities.outcomes import TEXT_CAP
from demo.messages_api import Text
from tests.e2e.scene import playing
from workflows.errors import Refused

# Four parts, cut between and inside of words.
LONG = "é " * 100_000 + "the end"


async def test_a_long_answer_is_read_in_full() -> None:
    """Reports have its beginning; all of it comes from the journal, also after claude was restarted."""
    async with playing() as scene:
        await scene.new_worker()
        scene.api.script["much"] = [Text(LONG)]
        session = await scene.open()
        for prompt in ("much", "little"):
            await scene.begin(session, prompt)
            turn = await scene.end(session, prompt)
            assert turn.ended is not None
            assert turn.ended.text_truncated == (prompt == "much")
            assert len(turn.ended.text) <= TEXT_CAP
        first = await scene.sessions.full_text(session.session_id, "much")
        await scene.kill_claude(session)
        later = await scene.sessions.full_text(session.session_id, "much")
        little = await scene.sessions.full_text(session.session_id, "little")
        with pytest.raises(Refused, match="'nothing' has no answer: it is unknown"):
            await scene.sessions.full_text(session.session_id, "nothing")
        await scene.stop(session)

    assert first == later == LONG
    assert little == "ok"
