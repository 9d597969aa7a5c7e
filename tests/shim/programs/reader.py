"""A worker that copies a session's lines to a file, resuming where the file ends; it is made to be killed."""

import asyncio
import os
import sys
from pathlib import Path

from shim.client import HostDirectory, NotRunning, ShimConnection, recorded_lines


async def main(state: str, run: str, copy: str) -> None:
    directory = HostDirectory(state=Path(state), run=Path(run)).session("one")
    fd = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    # What is in the copy is what was read: its length is the offset.
    offset = os.fstat(fd).st_size
    try:
        connection = await ShimConnection.attach(directory, generation=1)
    except NotRunning:
        for _, line in recorded_lines(directory, generation=1, offset=offset):
            os.write(fd, line + b"\n")
        return
    async for _, line in connection.lines(offset):
        os.write(fd, line + b"\n")
    await connection.detach()


asyncio.run(main(*sys.argv[1:]))
