"""How files get to the disk: with their file system where that is known to wait for all, each by itself elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.evidence.storage import durability
from worker.evidence.storage.durability import choose, file_system

if TYPE_CHECKING:
    from collections.abc import Iterator


class Calls(list[str]):
    """The syncs that were made: `all`, or `one` for each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(durability, "syncfs", lambda _: self.append("all"))
        monkeypatch.setattr(durability, "_fsync", lambda descriptors: self.extend(["one"] * len(descriptors)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What file systems are said to be, by the path that is asked for."""
    kinds: dict[str, str | None] = {}
    monkeypatch.setattr(durability, "file_system", lambda path: kinds.get(path, "ext4"))
    monkeypatch.setattr("platform.release", lambda: "6.1.0-18-amd64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    return kinds


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.usefixtures("kind")
def test_where_it_is_known_to_wait_for_all_the_file_system_is_synced(
    tmp_path: Path, descriptor: int, calls: Calls
) -> None:
    choose(str(tmp_path)).sync(descriptor, descriptor, since=0)
    assert calls == ["all"]


@pytest.mark.parametrize("other", ["nfs4", "fuse.gcsfuse", "overlay", "btrfs", "tmpfs", None])
def test_elsewhere_each_file_is_synced_by_itself(
    tmp_path: Path, descriptor: int, kind: dict[str, str | None], calls: Calls, other: str | None
) -> None:
    kind[str(tmp_path)] = other
    choose(str(tmp_path)).sync(descriptor, descriptor, since=0)
    assert calls == ["one", "one"]


@pytest.mark.parametrize(
    ("system", "release"), [("Linux", "5.15.0-150-generic"), ("Linux", "odd"), ("Darwin", "24.1.0")]
)
@pytest.mark.usefixtures("kind")
def test_a_kernel_that_does_not_tell_of_failures_is_not_relied_on(
    descriptor: int, calls: Calls, monkeypatch: pytest.MonkeyPatch, system: str, release: str
) -> None:
    monkeypatch.setattr("platform.release", lambda: release)
    monkeypatch.setattr("platform.system", lambda: system)
    tmp_path = Path(f"/proc/self/fd/{descriptor}")
    choose(str(tmp_path)).sync(descriptor, since=0)
    assert calls == ["one"]


@pytest.mark.usefixtures("kind")
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_what_lies_on_another_file_system_is_synced_by_itself(tmp_path: Path, calls: Calls) -> None:
    """As a region's folder does that is a mount of its own."""
    other = os.open("/dev/shm", os.O_RDONLY | os.O_DIRECTORY)
    try:
        choose(str(tmp_path)).sync(other, since=0)
    finally:
        os.close(other)
    assert calls == ["one"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_a_file_system_that_is_mounted_later_is_looked_at_anew(
    tmp_path: Path, kind: dict[str, str | None], calls: Calls
) -> None:
    root, there = tmp_path / "evidence", Path(f"/dev/shm/ekyc-{os.getpid()}")
    kind[str(root)] = "ext4"
    root.symlink_to(tmp_path)
    there.mkdir()
    ours = choose(str(root))
    try:
        for place, of in ((tmp_path, "ext4"), (there, "nfs4"), (tmp_path, "xfs")):
            kind[str(root)] = of
            root.unlink()
            root.symlink_to(place)
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            ours.sync(descriptor, since=0)
            os.close(descriptor)
    finally:
        there.rmdir()
    assert calls == ["all", "one", "all"]


def test_a_sync_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    monkeypatch.setattr(durability, "syncfs", fail)
    with pytest.raises(OSError, match="Input/output"):
        choose(str(tmp_path)).sync(descriptor, since=0)


def test_what_failed_for_one_has_failed_for_all_who_had_written_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    """The kernel tells once: it may have been the file of somebody who asks only now."""
    fails = [True]

    def syncfs(_: int) -> None:
        if fails[0]:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    monkeypatch.setattr(durability, "syncfs", syncfs)
    ours = choose(str(tmp_path))
    began = ours.failures
    with pytest.raises(OSError, match="Input/output"):
        ours.sync(descriptor, since=began)
    fails[0] = False
    with pytest.raises(OSError, match="Input/output"):
        ours.sync(descriptor, since=began)
    ours.sync(descriptor, since=ours.failures)


def test_the_call_of_the_system_itself(tmp_path: Path, descriptor: int) -> None:
    del tmp_path
    durability.syncfs(descriptor)
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        durability.syncfs(-1)


def test_the_kind_of_a_file_system_is_the_mounts_own() -> None:
    assert file_system("/proc") == "proc"
    assert file_system("/dev/shm") == "tmpfs"
