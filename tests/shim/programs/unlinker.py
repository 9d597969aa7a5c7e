"""Takes a lock again and again and, as nobody should, unlinks its file while holding it; prints how often it met another."""

import contextlib
import os
import sys

from shim import locks

path, witness, rounds = sys.argv[1], sys.argv[1] + ".witness", int(sys.argv[2])
met = 0
while rounds:
    lock = locks.take(path)
    if lock is None:
        continue
    rounds -= 1
    try:
        os.close(os.open(witness, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        met += 1
    with contextlib.suppress(FileNotFoundError):
        os.unlink(witness)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    lock.release()
print(met)
