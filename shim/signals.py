"""Signals as events of the loop: a child has ended, somebody asks the session to end."""

from __future__ import annotations

import os

from shim import kernel, log, procfs
from shim.kernel import signal
from shim.poller import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.poller import Poller


def watch(poller: Poller, stop: Callable[[], None]) -> None:
    """Wake the loop when a child ends; call `stop` for a SIGTERM that the session did not send itself.

    An orphan's `kill $PPID` hits the shim that adopted it, by accident. A sender that is gone already may have been
    ours, so it is not obeyed either; init systems and shells live on. macOS does not tell the sender: all are obeyed.
    """
    _wake_on_child(poller)
    descriptor = kernel.signal_descriptor(signal.SIGTERM)
    if descriptor is None:
        signal.signal(signal.SIGTERM, lambda *_: stop())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return
    poller.watch(descriptor, READ, lambda _: _terminate(descriptor, stop))


def _wake_on_child(poller: Poller) -> None:
    wake, woken = os.pipe()
    for fd in (wake, woken):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    poller.watch(wake, READ, lambda _: os.read(wake, 4096))


def _terminate(descriptor: int, stop: Callable[[], None]) -> None:
    for sender in kernel.read_senders(descriptor):
        if sender == 0 or procfs.is_below(sender, os.getpid()) is False:
            stop()
        else:
            log.say(f"SIGTERM from {sender}, a process of this session: not obeyed")
