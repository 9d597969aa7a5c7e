"""The commands that open, look at and end sessions, as they are typed on a phone, against a real server."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.failures import PROJECT_REFUSED
from tests.signal.handler.scene import Scene, until
from tests.workflow.conftest import ScriptedHost


async def reaches(scene: Scene, status: str) -> None:
    """Return once the chat's session has this status."""
    session_id = scene.session()
    told = ""
    while told != status:
        told = (await scene.sessions.status(session_id)).status


async def is_listed(scene: Scene) -> None:
    """Return once Temporal lists the chat's session, a moment after it began: the beginning of a name is looked up there."""
    session_id = scene.session()
    while session_id not in [row.session_id async for row in scene.sessions.list()]:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("project", ["named", "shop", "PATH"])
async def test_a_project_is_started_by_its_name_or_path(scene: Scene, project: str) -> None:
    """A configured name, a directory under a root and an absolute path under it open a session there; 👀 stands on it."""
    said = await scene.owner.says(f"/start {str(scene.shop) if project == 'PATH' else project}")
    told = await scene.owner.sees(lambda screen: "".join(screen.texts))
    row = await scene.sessions.glance(scene.session())
    assert told == f"Session {scene.session()} works in {scene.shop}. Write what claude should do."
    assert row.project_path == str(scene.shop)
    assert scene.owner.screen().reaction(said) == "👀"


async def test_a_session_is_started_with_its_first_message(scene: Scene) -> None:
    """What stands behind the project is the first turn; its answer comes, and ✅ says that all of it is there."""
    said = await scene.owner.says("/start shop look\naround")
    await scene.owner.sees(lambda screen: screen.reaction(said) == "✅")
    assert scene.owner.screen().texts[1:] == ["answer to look\naround"]
    assert scene.ran == ["look\naround"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("nowhere", "There is no project 'nowhere'"),
        ("..", "There is no project '..'"),
        ("../shop", "There is no project '../shop'"),
        (".hidden", "There is no project '.hidden'"),
        ("shop/../../etc", "There is no project"),
        ("ROOTS/../state", "A project's path may hold no '..'"),
        ("/etc", "That path is outside the allowed roots"),
        ("~/state", "That path is outside the allowed roots"),
        ("shop\u202e", "That is no name of a project"),
    ],
)
async def test_no_session_is_started_elsewhere(scene: Scene, wanted: str, why: str) -> None:
    """Unknown names, ways upwards and paths outside the roots are refused in words, and no session is opened."""
    told = await scene.asks(f"/start {wanted.replace('ROOTS', str(scene.roots))} go")
    assert told.startswith(why)
    assert (await scene.asks("/start")).startswith("Say which project")
    assert scene.session() == ""
    assert scene.host.starts == []


async def test_a_chat_has_one_session(scene: Scene) -> None:
    """A second `/start` is refused while the first session lives, and names it."""
    first = await scene.opens()
    told = await scene.asks("/start shop again")
    assert told.startswith(f"This chat is for {first} already")
    assert scene.session() == first


async def test_text_without_a_session_is_answered_with_a_hint(scene: Scene) -> None:
    """Whoever writes before anything is open is told how to begin."""
    assert "/start PROJECT" in await scene.asks("hello")
    assert scene.host.starts == []


async def test_a_message_that_must_wait_says_how_long_the_queue_is(scene: Scene) -> None:
    """One message is run at a time; each further one is told its place, and the order is kept."""
    await scene.opens("hold")
    await until(lambda: scene.host.sent)
    second = await scene.asks("second")
    third = await scene.asks("third")
    scene.claude.released = True
    await scene.owner.sees(lambda screen: "answer to third" in screen.texts)
    assert (second, third) == ("Queued: one message is ahead of it.", "Queued: 2 messages are ahead of it.")
    assert scene.ran == ["hold", "second", "third"]


async def test_the_status_says_how_the_session_stands(scene: Scene) -> None:
    """Its name, state, place, costs, open questions, and what is told here."""
    session_id = await scene.opens()
    await scene.prompt("ask")
    lines = (await scene.asks("/status")).splitlines()
    assert lines[0] == f"{session_id}: awaiting_approval"
    assert lines[1:3] == [f"in {scene.shop}", "0 turns done, 0 queued, 0.00 USD"]
    assert lines[3].startswith("❓ a1: Bash rm x")
    assert lines[-1] == "told here: milestones"


async def test_sessions_projects_and_help_are_listed(scene: Scene) -> None:
    """The lists hold what there is, and the help every command."""
    session_id = await scene.opens()
    await until(lambda: scene.host.starts)
    sessions = await scene.asks("/sessions")
    projects = await scene.asks("/projects")
    text = await scene.asks("/HELP")
    assert any(line.startswith(f"▸ {session_id} · ") and line.endswith("shop") for line in sessions.splitlines())
    assert projects.splitlines() == ["named", "shop"]
    assert text.startswith("Text without a slash goes to claude.")


async def test_a_fresh_conversation_in_the_same_project(scene: Scene) -> None:
    """`/new` stops the session before and opens another one with the message; while a turn runs it does not."""
    first = await scene.opens("hold")
    await until(lambda: scene.host.sent)
    refused = await scene.asks("/new begin anew")
    scene.claude.released = True
    await scene.owner.sees(lambda screen: "answer to hold" in screen.texts)
    await scene.owner.says("/new begin anew")
    await scene.owner.sees(lambda screen: "answer to begin anew" in screen.texts)
    assert refused.startswith("A turn is running")
    assert scene.session() not in ("", first)
    assert (await scene.sessions.glance(first)).status == "stopped"


async def test_a_session_is_stopped_once(scene: Scene, environment: WorkflowEnvironment) -> None:
    """`/stop` ends it and says what it cost; a second one says that it has ended; text is told how to go on."""
    session_id = await scene.opens("go")
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts)
    told = await scene.asks("/stop now")
    again = await scene.asks("/stop")
    text = await scene.asks("and now?")
    assert told == f"Stopped {session_id}: one turn, 0.25 USD."
    assert again == f"{session_id} has ended already."
    assert text.startswith("This session has ended. /new begins a fresh one")
    # The notice that it was stopped closes questions, and is told to nobody who knows it.
    await environment.client.get_workflow_handle(f"session-{session_id}").result()
    assert not any(text.startswith("⏹") for text in scene.owner.screen().texts)


async def test_a_stop_made_elsewhere_is_told(scene: Scene) -> None:
    """Whoever stops a session at the desk need not tell the phone: its chat says so, and how to go on."""
    session_id = await scene.opens("go")
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts)
    await scene.sessions.stop(session_id)
    told = await scene.owner.sees(lambda screen: [text for text in screen.texts if text.startswith("⏹")])

    assert told == [
        "⏹ The session was stopped elsewhere. /new begins a fresh one, /resume goes on with its conversation."
    ]


async def test_a_session_of_another_place_is_stopped_by_its_name(scene: Scene) -> None:
    """`/stop NAME` needs no session of the chat's own."""
    await scene.sessions.open(str(scene.shop), session_id=(name := f"desk-{scene.daemon.account[1:]}"))
    told = await scene.asks(f"/stop {name}")
    assert told.startswith(f"Stopped {name}")
    assert scene.session() == ""


async def test_the_running_turn_is_interrupted(scene: Scene) -> None:
    """`/interrupt` ends the turn and keeps the session; with nothing running it says so."""
    await scene.opens("hold")
    await until(lambda: scene.host.sent)
    await scene.owner.says("/interrupt")
    await scene.owner.sees(lambda screen: any(text.startswith("⏹ Interrupted") for text in screen.texts))
    await reaches(scene, "ready")
    assert await scene.asks("/interrupt") == "No turn is running"
    assert len(scene.host.interrupts) == 1


async def test_a_failed_session_is_resumed(scene: Scene, host: ScriptedHost, environment: WorkflowEnvironment) -> None:
    """A session that failed is said to have failed, and `/resume` opens it again under its name, with its chat."""
    host.start_failures.append(ApplicationError("'/x' is a file", type=PROJECT_REFUSED, non_retryable=True))
    session_id = await scene.opens()
    await scene.owner.sees(lambda screen: "❌ The session has failed: '/x' is a file" in screen.texts)
    # It has told its last notice, and is over a moment later.
    with pytest.raises(WorkflowFailureError):
        await environment.client.get_workflow_handle(f"session-{session_id}").result()
    told = await scene.asks("/resume")
    await scene.owner.says("go on")
    await scene.owner.sees(lambda screen: "answer to go on" in screen.texts)
    assert told.startswith(f"This chat is for {session_id} now")


async def test_a_stopped_session_goes_on_as_another_one(scene: Scene, host: ScriptedHost) -> None:
    """What was stopped stays stopped: `/resume` opens a session that adopts its conversation."""
    first = await scene.opens("go")
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts)
    await scene.asks("/stop")
    await scene.settled()
    told = await scene.asks("/resume")
    second = scene.session()
    await until(lambda: host.starts[-1].session_id == second)
    assert told == f"{first} was stopped; {second} goes on with its conversation."
    assert host.starts[-1].origin is not None
    assert host.starts[-1].origin.conversation_id == (await scene.sessions.status(first)).conversation_id


async def test_a_living_session_moves_to_the_chat_that_resumes_it(scene: Scene) -> None:
    """What happens is told in the new chat from then on, and the old one is for nothing any more."""
    session_id = await scene.opens()
    await is_listed(scene)
    group = scene.daemon.group("work", [scene.owner])
    told = await scene.asks(f"/resume {session_id[:9]}", to=group)
    await scene.owner.says("in the group", group)
    await scene.owner.sees(lambda screen: "answer to in the group" in screen.texts, group)
    assert told.startswith(f"This chat is for {session_id} now")
    assert scene.session() == ""
    assert "answer to in the group" not in scene.owner.screen().texts


async def test_nothing_is_resumed_where_nothing_was(scene: Scene) -> None:
    """Without a session and a name it asks for one; an unknown name is said to be unknown."""
    assert (await scene.asks("/resume")).startswith("Say which session")
    assert "nobody-7" in await scene.asks("/resume nobody-7")


async def test_a_sleeping_session_is_woken(scene: Scene, host: ScriptedHost) -> None:
    """`/resume` brings the process of a hibernated session up."""
    scene.set(IDLE_SECONDS="0.05")
    await scene.restart()
    await scene.opens()
    await reaches(scene, "hibernated")
    starts = len(host.starts)
    assert "This chat is for" in await scene.asks("/resume")
    await until(lambda: len(host.starts) > starts)


async def test_words_that_are_claudes_own_reach_it(scene: Scene) -> None:
    """`/compact` passes through, `//stop` is `/stop` for claude, and a name that only begins like a command is text."""
    await scene.opens()
    for text in ("/compact keep the plan", "//stop", "/statuses of it", "/ start"):
        await scene.owner.says(text)
    await until(lambda: len(scene.ran) == 4)
    assert scene.ran == ["/compact keep the plan", "/stop", "/statuses of it", "/ start"]


async def test_commands_that_only_look_do_not_open_anything(scene: Scene) -> None:
    """Without a session each says so, and nothing is started."""
    for command in ("/status", "/interrupt", "/last", "/file x", "/stop", "/approve", "/deny"):
        assert (await scene.asks(command)).startswith("No session is open here"), command
    assert (await scene.asks("/new")).startswith("This chat is for no project yet")
    assert scene.host.starts == []
