"""Questions of claude's: nothing runs without leave, and leave counts only where, while and by whom it may be given."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from handlers.signal.news import News
from tests.signal.handler.scene import Scene, prompts, until
from workflows.approvals import Approval
from workflows.notices import Notice
from workflows.session import SessionWorkflow


async def answered(scene: Scene, *behaviors: str) -> None:
    """Return once claude was told exactly this."""
    await until(lambda: scene.decided == list(behaviors))


async def nothing_comes_of_it(scene: Scene) -> None:
    """All that was written has been dealt with, and the question still waits."""
    await scene.barrier()
    assert scene.decided == []
    assert len((await scene.sessions.status(scene.session())).approvals) == 1


@pytest.mark.parametrize(
    ("emoji", "behavior", "remember"),
    [
        ("👍", "allow", False),
        ("👍🏽", "allow", False),
        ("👎🏿", "deny", False),
        ("♾️", "allow", True),
        ("♾", "allow", True),
    ],
)
async def test_a_reaction_decides(scene: Scene, emoji: str, behavior: str, *, remember: bool) -> None:
    """👍, ♾ and 👎 in any colour and spelling; the handler's own mark on the prompt says that it counts."""
    scene.claude.can_be_remembered = True
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.reacts(emoji, prompt.timestamp)
    mark = "❌" if behavior == "deny" else "✅"
    await scene.owner.sees(lambda screen: screen.reaction(prompt.timestamp) == mark)
    await answered(scene, behavior)
    assert scene.host.answers[0].remember is remember
    assert "rm x" in prompt.text


async def test_a_rule_that_claude_does_not_offer_is_refused(scene: Scene) -> None:
    """♾️ where nothing can be remembered decides nothing, and the person is told."""
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.reacts("♾️", prompt.timestamp)
    await scene.owner.sees(lambda screen: any("claude offers no rule" in text.lower() for text in screen.texts))
    await nothing_comes_of_it(scene)
    assert scene.host.answers == []


@pytest.mark.parametrize(
    ("text", "behavior", "message"),
    [
        ("Yes!", "allow", ""),
        ("👍🏻", "allow", ""),
        ("no", "deny", ""),
        ("use the trash", "deny", "use the trash"),
        ("ok?", "deny", "ok?"),
    ],
)
async def test_a_reply_that_quotes_the_prompt_decides(scene: Scene, text: str, behavior: str, message: str) -> None:
    """Yes and no decide; whatever else is said there is a no, with the words handed to claude."""
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.says(text, quote=prompt.timestamp)
    await answered(scene, behavior)
    assert scene.host.answers[0].message == message


async def test_commands_decide(scene: Scene) -> None:
    """`/approve` means the only question, `/approve a2 turn` all of the turn, `/deny a3 because` carries the reason."""
    await scene.opens()
    await scene.prompt("ask once")
    await scene.owner.says("/approve")
    await answered(scene, "allow")
    await scene.owner.sees(lambda screen: "answer to ask once" in screen.texts)
    await scene.owner.says("ask ask")
    await scene.owner.sees(lambda screen: len(prompts(screen)) == 3)
    told = await scene.asks("/approve")
    await scene.owner.says("/approve a2 turn")
    await answered(scene, "allow", "allow", "allow")
    await scene.owner.sees(lambda screen: "answer to ask ask" in screen.texts)
    await scene.prompt("ask thrice")
    await scene.owner.says("/deny a4 because it is mine")
    await answered(scene, "allow", "allow", "allow", "deny")
    assert told == "Say which question: a2, a3"
    assert scene.host.answers[-1].message == "because it is mine"
    assert await scene.asks("/approve a4") == "Nothing waits for an answer"


@pytest.mark.parametrize(
    ("program", "reply", "answers"),
    [
        ("choose", "2", {"Which database?": "Postgres"}),
        ("choose", "DuckDB, please", {"Which database?": "DuckDB, please"}),
        ("choose two", "1\n9090", {"Which database?": "SQLite", "Which port?": "9090"}),
    ],
)
async def test_a_choice_is_answered_by_number_or_words(
    scene: Scene, program: str, reply: str, answers: dict[str, str]
) -> None:
    """claude's own questions take a number or own words, a line for each; a thumb says nothing and is refused."""
    await scene.opens()
    prompt = await scene.prompt(program)
    await scene.owner.reacts("👍", prompt.timestamp)
    await scene.owner.sees(lambda screen: any(text.startswith("Claude asks for a choice") for text in screen.texts))
    await nothing_comes_of_it(scene)
    await scene.owner.says(reply, quote=prompt.timestamp)
    await answered(scene, "allow")
    assert scene.host.answers[0].answers == answers


async def test_too_few_answers_are_refused(scene: Scene) -> None:
    """Two questions are not answered by one line."""
    await scene.opens()
    prompt = await scene.prompt("choose two")
    await scene.owner.says("1", quote=prompt.timestamp)
    await scene.owner.sees(lambda screen: any("answer with a line for each" in text for text in screen.texts))
    await nothing_comes_of_it(scene)
    assert scene.host.answers == []


async def test_a_question_is_decided_once(scene: Scene) -> None:
    """A second reaction and a late reply change nothing, and each is told so: silence would look like consent."""
    over = "That question needs no answer any more."
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.reacts("👎", prompt.timestamp)
    await answered(scene, "deny")
    await scene.owner.reacts("👍", prompt.timestamp)
    await scene.owner.sees(lambda screen: screen.texts.count(over) == 1)
    await scene.owner.says("yes", quote=prompt.timestamp)
    await scene.owner.sees(lambda screen: screen.texts.count(over) == 2)
    await scene.barrier()
    assert scene.decided == ["deny"]
    assert scene.ran == ["ask"]


async def test_a_reaction_that_is_taken_back_is_no_answer(scene: Scene) -> None:
    """Removing 👍, and any other emoji, decide nothing."""
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.reacts("👍", prompt.timestamp, remove=True)
    await scene.owner.reacts("❤️", prompt.timestamp)
    await nothing_comes_of_it(scene)
    assert scene.host.answers == []


async def test_only_who_may_decides(scene: Scene) -> None:
    """In one group a stranger's and a watcher's reaction, quote and command do nothing; an approver's counts."""
    group = scene.daemon.group("work", [scene.owner, scene.approver, scene.watcher, scene.stranger])
    await scene.asks("/start shop", to=group)
    prompt = await scene.prompt(to=group)
    for person in (scene.stranger, scene.watcher):
        await person.reacts("👍", prompt.timestamp, group)
        await person.says("yes", group, quote=prompt.timestamp)
        await person.says("/approve", group)
    await scene.barrier()
    assert scene.decided == []
    await scene.approver.reacts("👍", prompt.timestamp, group)
    await answered(scene, "allow")


async def test_a_reaction_to_somebody_elses_message_decides_nothing(scene: Scene) -> None:
    """A message with the very time of the prompt, by another author, is not the prompt."""
    await scene.opens()
    prompt = await scene.prompt()
    await scene.owner.reacts("👍", prompt.timestamp, author=scene.owner.aci)
    await scene.owner.reacts("👍", prompt.timestamp, author=scene.stranger.aci)
    await nothing_comes_of_it(scene)
    assert scene.host.answers == []


async def test_a_prompt_of_another_chat_is_not_answered_here(scene: Scene) -> None:
    """The time of a prompt means something only in its own chat."""
    await scene.opens()
    prompt = await scene.prompt()
    group = scene.daemon.group("work", [scene.owner])
    await scene.asks("/start shop", to=group)
    await scene.owner.reacts("👍", prompt.timestamp, group)
    await scene.approver.reacts("👍", prompt.timestamp)
    await nothing_comes_of_it(scene)
    assert scene.host.answers == []


async def test_a_question_is_answered_after_a_restart(scene: Scene) -> None:
    """The prompts are in the memory: another process of the handler takes the answer."""
    await scene.opens()
    prompt = await scene.prompt()
    await scene.restart()
    await scene.owner.reacts("👍", prompt.timestamp)
    await answered(scene, "allow")
    assert [given.behavior for given in scene.host.answers] == ["allow"]


async def test_a_prompt_whose_time_is_lost_is_named_by_its_id(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When Signal did not say how the prompt is called, a reaction cannot be told apart: it is said, and /approve works."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    await scene.opens()
    await scene.settled()
    # 👀 is a reaction: the next message is the prompt.
    scene.daemon.loses_response("send")
    prompt = await scene.prompt()
    await scene.owner.sees(lambda screen: any("may not have reached you" in text for text in screen.texts))
    await scene.owner.reacts("👍", prompt.timestamp)
    await scene.owner.sees(lambda screen: any(text.startswith("I cannot tell which question") for text in screen.texts))
    await nothing_comes_of_it(scene)
    assert len(prompts(scene.owner.screen())) == 1
    await scene.owner.says("/approve a1")
    await answered(scene, "allow")


async def test_nobody_answers_in_time(scene: Scene, environment: WorkflowEnvironment) -> None:
    """The session denies after ten minutes: it is told, and a late answer to the prompt decides nothing."""
    scene.host.pace = timedelta(minutes=2)
    session_id = await scene.opens()
    prompt = await scene.prompt()
    handle = environment.client.get_workflow_handle_for(SessionWorkflow.run, f"session-{session_id}")
    while scene.decided != ["deny"]:
        await environment.fast_forward(handle, timedelta(minutes=3))
    await scene.owner.sees(lambda screen: any(text.startswith("a1: ") for text in screen.texts))
    await scene.owner.says("yes", quote=prompt.timestamp)
    await scene.owner.sees(lambda screen: "That question needs no answer any more." in screen.texts)
    assert scene.decided == ["deny"]


async def test_a_session_that_is_opened_again_asks_anew(scene: Scene) -> None:
    """It counts its questions from one: the new message stands for the new question, and a notice that is repeated
    does not open one that was answered.
    """
    await scene.barrier()
    news, chat = News(scene.desk, scene.service._people), scene.owner.key()
    first, second = asked(chat, "life-1", "rm x"), asked(chat, "life-2", "rm y")
    await news.notify(first)
    scene.desk.prompts.close("shop-1", "a1")
    await news.notify(first)
    assert scene.desk.prompts.open(chat, "shop-1") == []
    await news.notify(second)
    await scene.settled()
    shown = prompts(scene.owner.screen())
    assert [message.text.splitlines()[1] for message in shown] == ["rm x", "rm y"]
    assert scene.desk.prompts.at(chat, shown[0].timestamp) is None
    assert scene.desk.prompts.at(chat, shown[1].timestamp) == ("shop-1", second.approval)


def asked(chat: str, life: str, command: str) -> Notice:
    """A session's notice of its first question."""
    about = {"turn_id": "t", "tool": "Bash", "input": {"command": command}, "digest": command, "reason": ""}
    approval = Approval(approval_id="a1", can_be_remembered=False, request_id=command, deadline=0, **about)  # type: ignore[arg-type]
    key = f"shop-1/{life}/question/a1/{chat}"
    return Notice(
        key=key, address=chat, session_id="shop-1", project_path="/x", kind="question", at=0, approval=approval
    )
