"""Where state and sockets lie: private, writable, on a disk of this machine, with room."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from doctor.finding import Finding, green, red, yellow
from runtime.settings import Settings
from shim.paths import SOCKET_PATH_BYTES, HostDirectory

MB: Final = 1 << 20
# Locks there are another machine's word, and a journal stops with the network.
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
    | {"fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.gcsfuse", "fuse.davfs2"}
)
# Shared with another kernel, whose locks and flushes nobody here has measured.
_FOREIGN: Final = frozenset({"virtiofs", "vboxsf", "prl_fs", "fuse.vmhgfs-fuse", "fakeowner", "fuse.osxfs"})
_FORGETFUL: Final = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a directory must have."""

    setting: str
    red_bytes: int
    yellow_bytes: int
    # A session makes about ten files.
    red_inodes: int = 100
    yellow_inodes: int = 5000
    survives_reboot: bool = False


STATE: Final = Needs(
    setting="DURABLE_CLAUDE_STATE_DIRECTORY", red_bytes=100 * MB, yellow_bytes=1000 * MB, survives_reboot=True
)
# Sockets take no room, and a runtime directory in memory is often small.
RUN: Final = Needs(setting="DURABLE_CLAUDE_RUN_DIRECTORY", red_bytes=MB // 16, yellow_bytes=MB)


def examine_state(settings: Settings) -> list[Finding]:
    """The directory of journals and exit records."""
    return examine("state", settings.state_directory, STATE)


def examine_run(settings: Settings) -> list[Finding]:
    """The directory of sockets, and whether their paths fit."""
    return [*examine("run", settings.run_directory, RUN), socket_path(settings.state_directory, settings.run_directory)]


def examine(name: str, path: Path, needs: Needs) -> list[Finding]:
    """One directory, which need not exist yet."""
    place = nearest(path)
    return [
        privacy(f"{name}-directory", path, needs),
        filesystem(f"{name}-filesystem", place, needs),
        room(f"{name}-space", place, needs),
    ]


def privacy(name: str, path: Path, needs: Needs) -> Finding:
    """Whether it is ours alone, and can be written."""
    elsewhere = f"set {needs.setting} to a directory of your own"
    try:
        found = path.lstat()
    except FileNotFoundError:
        why = _cannot_write(nearest(path))
        return red(name, f"{path} cannot be made: {why}", elsewhere) if why else green(name, f"{path} will be made")
    except OSError as error:
        return red(name, f"{path} cannot be reached: {error.strerror}", elsewhere)
    if stat.S_ISLNK(found.st_mode):
        return red(name, f"{path} is a symbolic link, which the worker refuses", "name the directory itself")
    if not stat.S_ISDIR(found.st_mode):
        return red(name, f"{path} is not a directory", elsewhere)
    if found.st_uid != os.geteuid():
        return red(name, f"{path} belongs to user {found.st_uid}, which the worker refuses", elsewhere)
    if why := _cannot_write(path):
        return red(name, f"{path} cannot be written: {why}", f"mend that, or {elsewhere}")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        return yellow(
            name,
            f"{path} is open to others (mode {mode:04o})",
            f"`chmod 700 {path}`; the worker does it when it begins",
        )
    return green(name, f"{path} is private and can be written")


def filesystem(name: str, place: Path, needs: Needs, mounts: str | None = None) -> Finding:
    """Whether locks, journals and sockets can be trusted there."""
    kind = kind_of(place, Path("/proc/self/mountinfo").read_text() if mounts is None else mounts)
    local = f"set {needs.setting} to a directory on a local disk"
    if kind in _NETWORK:
        return red(name, f"{place} is on a network ({kind}): its locks prove nothing, its files may hang", local)
    if kind in _FOREIGN or kind.startswith("fuse"):
        return yellow(name, f"{place} is on {kind}, whose locks were not measured", local)
    if kind in _FORGETFUL and needs.survives_reboot:
        remedy = f"set {needs.setting} to a directory on a disk"
        return yellow(name, f"{place} is in memory ({kind}): a reboot takes journals and host id", remedy)
    return green(name, f"{place} is on {kind}")


def room(name: str, place: Path, needs: Needs) -> Finding:
    """Whether there is space, and whether files can be made in it."""
    disk = os.statvfs(place)
    space, inodes = disk.f_bavail * disk.f_frsize, disk.f_favail
    text = f"{space // MB} MB free" + (f", {inodes} more files" if disk.f_files else "")
    remedy = f"make room on the disk of {place}, or set {needs.setting} to another one"
    # Some filesystems (btrfs) do not count files.
    if space < needs.red_bytes or (disk.f_files and inodes < needs.red_inodes):
        return red(name, f"{text}: claude will block", remedy)
    if space < needs.yellow_bytes or (disk.f_files and inodes < needs.yellow_inodes):
        return yellow(name, f"{text}: journals grow with every turn", remedy)
    return green(name, text)


def socket_path(state: Path, run: Path) -> Finding:
    """Whether the path of a socket fits into what the kernel takes."""
    length = len(os.fsencode(HostDirectory(state=state, run=run).session("x").socket))
    if length > SOCKET_PATH_BYTES:
        text = f"sockets in {run} have paths of {length} bytes, and {SOCKET_PATH_BYTES} fit"
        return red("socket-path", text, f"set {RUN.setting} to a shorter directory")
    return green("socket-path", f"{length} of {SOCKET_PATH_BYTES} bytes")


def nearest(path: Path) -> Path:
    """The directory itself, or the closest one above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def kind_of(place: Path, mounts: str) -> str:
    """The type of the filesystem this path is on, by the kernel's list of mounts."""
    resolved, best, kind = place.resolve(), Path("/"), "unknown"
    for line in mounts.splitlines():
        fields, _, after = line.partition(" - ")
        point = Path(fields.split()[4].encode().decode("unicode_escape"))
        # A later mount lies over an earlier one at the same point.
        if resolved.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, after.split()[0]
    return kind


def _cannot_write(directory: Path) -> str:
    """Why no file can be written there; empty when one was, which never had a name."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""
