"""What can go wrong with a process, named for what the caller may still do."""

from shim.records import Exit


class AlreadyStarted(Exception):
    """This object has its process; take a new one for another."""


class NotReady(Exception):
    """The process lives but has not answered the handshake in time; it may still."""


class ExitedEarly(Exception):
    """The process ended before it was ready; what it said on stderr is in the message."""

    def __init__(self, exit_record: Exit, stderr_tail: str) -> None:
        said = f"; it said: {stderr_tail.strip()!r}" if stderr_tail.strip() else " and said nothing on stderr"
        super().__init__(f"claude ended before it was ready ({_how(exit_record)}){said}")
        self.exit = exit_record
        self.stderr_tail = stderr_tail


class ConversationUnknown(ExitedEarly):
    """There is no transcript to resume; start a new conversation under the same id."""


class ConversationRefused(Exception):
    """The session cannot go on with the conversation it names: it does not exist, or another session has it."""


class ConversationTaken(ExitedEarly):
    """There is a transcript already; resume it."""


def exited_early(exit_record: Exit, stderr_tail: str) -> ExitedEarly:
    """The error for this end, by what claude said last."""
    last = stderr_tail.strip().rpartition("\n")[2]
    if "No conversation found with session ID" in last:
        return ConversationUnknown(exit_record, stderr_tail)
    if "Session ID" in last and "already in use" in last:
        return ConversationTaken(exit_record, stderr_tail)
    return ExitedEarly(exit_record, stderr_tail)


def _how(exit_record: Exit) -> str:
    if exit_record.signal is not None:
        return f"signal {exit_record.signal}"
    return f"exit code {exit_record.code}" if exit_record.code is not None else "nobody saw how"
