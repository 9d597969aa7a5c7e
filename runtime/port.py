"""A TCP port on the loopback interface: whether somebody listens there, and who."""

import asyncio

import psutil

# On loopback a listener accepts at once; one whose backlog is full is a listener too.
_ACCEPT_SECONDS = 2.0


async def is_listening(address: str, port: int) -> bool:
    """Return whether a connection to this port is taken up."""
    try:
        async with asyncio.timeout(_ACCEPT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return True
    except OSError:
        return False
    writer.close()
    return True


def listener(port: int) -> str:
    """Name the process that listens on this port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return _name(connection.pid)
    return "another process"


def _name(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()!r} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
