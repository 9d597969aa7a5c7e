"""Everything real, with a key: what a person types and claude answers is nowhere in Temporal, and the key nowhere near claude."""

from __future__ import annotations

import base64

from demo.messages_api import Text
from runtime.keys import Key
from tests.e2e.command_line import CommandLine
from tests.e2e.scene import Scene, playing
from workflows.messages import SessionReport, workflow_id

KEY = Key(secret=b"a key of this test, and no other")
KEYS = {"DURABLE_CLAUDE_ENCRYPTION_KEYS": base64.b64encode(KEY.secret).decode()}


async def test_a_session_by_the_command_line_is_encrypted() -> None:
    """With the key it is opened, spoken to and stopped as ever; without it a command says which key is missing."""
    async with playing(**KEYS) as scene:
        scene.api.script["what is rosebud?"] = [Text("A sledge.")]
        await scene.new_worker()
        run, keyless = CommandLine(scene.stage, KEYS), CommandLine(scene.stage)
        project = scene.stage.project / "project-rosebud"
        project.mkdir()
        opened = await run("start", str(project), "--name", "app")
        assert opened.code == 0, opened.stderr
        answered = await run("send", "app", "what is rosebud?")
        keys_seen = environments(scene, "app")
        logged = await run("logs", "app")
        refused = [await keyless("status", "app"), await keyless("send", "app", "hello rosebud")]
        told = (await keyless("ls", "--json")).json
        listed = (await run("ls", "--json")).json
        stopped = await run("stop", "app")
        kept = await raw(scene, "app") + b"".join(
            path.read_bytes() for path in scene.stage.host.state.glob("temporal.db*")
        )

    assert (answered.code, answered.stdout.strip()) == (0, "A sledge.")
    assert "A sledge." in logged.stdout
    assert (listed[0]["session_id"], listed[0]["project_path"]) == ("app", str(project))
    assert (told[0]["status"], KEY.key_id in told[0]["note"]) == ("locked", True)
    assert stopped.code == 0
    assert [command.code for command in refused] == [2, 2]
    assert all(command.is_one_sentence and KEY.key_id in command.stderr for command in refused)
    assert not [word for word in (b"rosebud", b"sledge") if word in kept]
    assert not [text for text in keys_seen if KEYS["DURABLE_CLAUDE_ENCRYPTION_KEYS"] in text]
    assert len(keys_seen) > 1


def environments(scene: Scene, session_id: str) -> list[str]:
    """The environments of all processes of a session."""
    report = SessionReport(session_id=session_id, project_path="", status="ready")
    return [str(process.environ()) for process in scene.trace(report).processes()]


async def raw(scene: Scene, session_id: str) -> bytes:
    """All that Temporal holds of a session, byte for byte."""
    handle = scene.client.get_workflow_handle(workflow_id(session_id))
    history = await handle.fetch_history()
    described = (await handle.describe()).raw_description
    return b"".join(event.SerializeToString() for event in history.events) + described.SerializeToString()
