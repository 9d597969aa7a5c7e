"""What a worker knows of its host by following it: processor time counted once, questions by when they were asked."""

from activities.calls import AnswerPermission, ClaudeEnded
from activities.figures import decision, reason
from activities.roster import Load, Roster


def beat(pid: int, seconds: float) -> dict[str, object]:
    return {"pid": pid, "cpu_seconds": seconds, "rss_mb": 160.0}


def test_all_of_a_new_process_counts_and_of_an_adopted_one_what_comes() -> None:
    """Nobody counts the time that another worker has counted, and no start goes uncounted."""
    roster = Roster()
    roster.started("new", 1)
    for session, pid, seconds in (("new", 1, 2.0), ("old", 2, 100.0), ("new", 1, 3.0), ("old", 2, 100.5)):
        roster.seen(session, beat(pid, seconds))

    assert roster.cpu_seconds == 3.5
    assert roster.processes["old"] == Load(rss_bytes=160 * 2**20, cpu_seconds=100.5)


def test_time_never_goes_back() -> None:
    """A process whose figures cannot be read, or one after another, takes nothing away."""
    roster = Roster()
    roster.started("a", 1)
    for details in (beat(1, 2.0), {"pid": 1}, beat(1, 2.5), beat(7, 1.0), beat(7, 1.5)):
        roster.seen("a", details)

    assert roster.cpu_seconds == 3.0


def test_a_watcher_that_comes_back_counts_on() -> None:
    """A new run of the workflow watches the same process again."""
    roster = Roster()
    roster.started("a", 1)
    roster.seen("a", beat(1, 2.0))
    roster.unwatched("a")
    assert roster.processes == {}
    roster.seen("a", beat(1, 3.0))

    assert roster.cpu_seconds == 3.0


def test_what_heartbeats_said_last_is_told_while_somebody_follows() -> None:
    """A turn's follower says more than the watcher does, and takes it along when it leaves."""
    roster = Roster()
    roster.seen("a", beat(1, 2.0))
    roster.begins("a", "t1", since=100.0)
    roster.followed("a", {**beat(1, 3.0), "doing": "writes"})
    roster.followed("unwatched", beat(2, 1.0))
    during, since = roster.loads, [(turn.turn_id, turn.since) for turn in roster.turns.values()]
    roster.unfollowed("a")
    after = roster.loads
    roster.unwatched("a")

    assert {name: (load["cpu_seconds"], load["doing"]) for name, load in during.items()} == {"a": (3.0, "writes")}
    assert [(load["cpu_seconds"], "doing" in load) for load in after.values()] == [(2.0, False)]
    assert (since, roster.loads, roster.turns) == ([("t1", 100.0)], {}, {})


def test_a_question_waits_since_it_was_asked_first() -> None:
    """Seeing it again changes nothing; its answer, or the end of its turn or process, ends it."""
    roster = Roster()
    for session, request, now in (("a", "r1", 5.0), ("a", "r2", 7.0), ("b", "r1", 6.0), ("a", "r1", 9.0)):
        roster.asked(session, request, now)
    assert roster.asked_since == [5.0, 6.0, 7.0]
    roster.answered("a", "r1")
    assert roster.asked_since == [6.0, 7.0]
    roster.turn_ended("a")
    roster.ended("b")

    assert roster.asked_since == []


def test_decisions_and_ends_have_one_word() -> None:
    """Nobody's denial is told from a person's, and a signal from an exit."""

    def answered(**how: object) -> str:
        call = {"session_id": "a", "project_path": "/", "generation": 1, "request_id": "r", "offset": 0, **how}
        return decision(AnswerPermission(**call))  # type: ignore[arg-type]

    assert answered(behavior="allow") == "allow"
    assert answered(behavior="allow", remember=True) == "allow_always"
    assert answered(behavior="deny", message="use the other one") == "deny"
    assert answered(behavior="deny", message="Nobody answered within 10 minutes.") == "unanswered"
    assert reason(ClaudeEnded(generation=1, why="exited", code=1)) == "exited"
    assert reason(ClaudeEnded(generation=1, why="exited", signal=9)) == "killed"
    assert reason(ClaudeEnded(generation=1)) == "lost"
