"""The names of a host's task queues, for whoever asks it: they need not load what a host has."""

from __future__ import annotations


def queue_of(host_id: str) -> str:
    """The task queue of a host's short control activities."""
    return f"claude-host-{host_id}"


def watch_queue_of(host_id: str) -> str:
    """The task queue of a host's long activities."""
    return f"{queue_of(host_id)}-watch"


def read_queue_of(host_id: str) -> str:
    """The task queue of those who read a host's journals."""
    return f"{queue_of(host_id)}-read"
