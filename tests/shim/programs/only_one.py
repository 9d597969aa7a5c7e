"""A claude that knows when there are two of it: it writes `started` or `overlap` into the file given."""

import fcntl
import os
import signal
import sys

witness = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
lock = os.open(sys.argv[1] + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(witness, b"started\n")
except BlockingIOError:
    os.write(witness, b"overlap\n")
while True:
    signal.pause()
