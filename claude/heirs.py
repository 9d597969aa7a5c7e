"""What a killed shim left running, ended without starting anything."""

from shim import documents, locks, procfs, sweep
from shim.client import SessionDirectory


def end_heirs(directory: SessionDirectory) -> list[int]:
    """Kill what is left of the last launch, remove its socket, and return who could not be killed; blocks up to 10 s.

    Nothing is done while a shim lives or starts: the lock says so, and is held meanwhile, so that a new claude,
    which has the same lock file open, is never taken for an heir.
    """
    boot = documents.read(str(directory.boot))
    if boot is None or boot["boot_id"] != procfs.boot_id():
        return []
    lock = locks.take(str(directory.lock))
    if lock is None:
        return []
    try:
        directory.socket.unlink(missing_ok=True)
        return sweep.sweep(sweep.Marks(boot["nonce"], str(directory.child_lock), boot["cgroup"]))
    finally:
        lock.release()
