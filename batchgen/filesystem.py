"""What kind of file system an output lies on: over a network, locks and syncs promise less."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""File system types (Linux names) whose locks or syncs depend on another machine."""


def network_file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that a folder lies on; None for a local one.

    Also None where the machine does not say (other systems than Linux).
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, ""
    resolved = folder.resolve()
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _mount_point(before)
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind if kind in NETWORK else None


def _mount_point(fields: str) -> Path:
    """The fifth field of a line of mountinfo, in which a space is written as an octal number."""
    named = fields.split(" ")[4:5]
    return Path(named[0].replace("\\040", " ")) if named else Path("/")
