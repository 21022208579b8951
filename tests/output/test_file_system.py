from pathlib import Path

import pytest

from batchgen.output.folder import NETWORK, network_file_system

LINE = "36 35 98:0 / {point} rw,noatime master:1 - {kind} server:/x rw\n"


@pytest.fixture
def mounts(tmp_path):
    """Writes a mount table of these points and kinds."""

    def write(*entries):
        table = tmp_path / "mountinfo"
        text = "".join(LINE.format(point=point, kind=kind) for point, kind in entries)
        table.write_text(text)
        return table

    return write


@pytest.mark.parametrize("kind", sorted(NETWORK))
def test_a_network_file_system_is_named(mounts, kind):
    """The kind that holds the folder is what the warning names."""
    assert network_file_system(Path("/mnt/out"), mounts(("/", "ext4"), ("/mnt", kind))) == kind


def test_the_innermost_mount_counts(mounts):
    """A local disk that is mounted inside a network share is local, and the other way round."""
    table = mounts(("/", "nfs4"), ("/data", "ext4"), ("/data/far", "cifs"))

    assert network_file_system(Path("/data/out"), table) is None
    assert network_file_system(Path("/data/far/out"), table) == "cifs"
    assert network_file_system(Path("/datafar"), table) == "nfs4"


def test_the_later_of_two_mounts_at_one_point_counts(mounts):
    """What was mounted over another is what a path leads to."""
    assert network_file_system(Path("/x/out"), mounts(("/x", "nfs"), ("/x", "xfs"))) is None


def test_a_mount_point_with_a_space(mounts):
    """The table writes a space as an octal number."""
    assert network_file_system(Path("/my share/out"), mounts((r"/my\040share", "nfs"))) == "nfs"


def test_a_machine_without_the_table_says_nothing(tmp_path):
    """No table, no warning: other systems have none."""
    assert network_file_system(Path("/out"), tmp_path / "none") is None
    (tmp_path / "odd").write_text("nonsense\n\n")
    assert network_file_system(Path("/out"), tmp_path / "odd") is None
