"""What a power cut takes: nothing of what the ledger was told, and of all else whole files or none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.image_host import JPEG, PNG, ImageHost
from worker.evidence.archive import archive
from worker.evidence.images import Images
from worker.evidence.storage import durability as disks
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

REGION, ID = "ph", "f302f5d2454a85c2"


class Killed(BaseException):
    """A worker that goes no further. What it leaves open is closed, as the kernel would."""


class Disk:
    """Knows what a power cut would take: bytes that were not synced, and names in folders that were not.

    Raises ``Killed`` in place of the call of the system that `kills` counts down to.
    """

    CALLS = ("mkdir", "write", "fsync", "link")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kills = 0
        self.synced_whole = False
        self._bytes: set[int] = set()
        self._names: set[tuple[int, str]] = set()
        self._real = {name: getattr(os, name) for name in self.CALLS}
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._watched(name))
        self._real["syncfs"] = disks.syncfs
        monkeypatch.setattr(disks, "syncfs", self._watched("syncfs"))

    @property
    def lost(self) -> set[str]:
        """The names that would be gone."""
        return {name for _, name in self._names}

    def _watched(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.kills -= 1
            if not self.kills:
                raise Killed
            returned = self._real[name](*arguments, **options)
            getattr(self, f"_{name}")(*arguments, **options)
            return returned

        return call

    def _mkdir(self, path: str | Path, mode: int) -> None:
        del mode
        made = Path(path)
        self._names.add((made.parent.stat().st_ino, made.name))

    def _write(self, descriptor: int, _: Any) -> None:
        self._bytes.add(os.fstat(descriptor).st_ino)

    def _fsync(self, descriptor: int) -> None:
        node = os.fstat(descriptor).st_ino
        self._bytes.discard(node)
        self._names = {(folder, name) for folder, name in self._names if folder != node}

    def _syncfs(self, descriptor: int) -> None:
        del descriptor
        self.synced_whole = True
        self._bytes.clear()
        self._names.clear()

    def _link(self, source: str, name: str, *, dst_dir_fd: int) -> None:
        assert Path(source).stat().st_ino not in self._bytes, f"{name} may be empty after a power cut"
        if name == "manifest.json":
            assert not self.lost & {"answer.json", "front.jpg", "back.png"}, "it may be sealed and not whole"
        self._names.add((os.fstat(dst_dir_fd).st_ino, name))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def answer(front: str, back: str) -> bytes:
    document = {"docFrontImage": front, "docBackImage": back}
    data = {"signatureId": ID, "overallResult": "PASS", "errorCode": "SUCCESS", "docDetail": document}
    return json.dumps({"code": "SUCCESS", "data": data}).encode()


@pytest.fixture(params=["nameless", "staged"])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "staged":
        monkeypatch.setattr("worker.evidence.storage.local._NAMELESS", 0)
    return bool(request.param == "nameless")


@pytest.fixture(params=["whole", "one by one"])
def whole(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system is synced, or each file of it."""
    monkeypatch.setattr("worker.evidence.storage.durability._is_disk", lambda _: request.param == "whole")
    return bool(request.param == "whole")


@pytest.mark.usefixtures("nameless")
def test_what_the_ledger_is_told_survives_a_power_cut_whoever_was_killed_before_at_whatever_step(
    tmp_path: Path, host: ImageHost, disk: Disk, *, whole: bool
) -> None:
    """The worker that goes on where another was killed may find what that one had not synced."""
    raw = answer(host.serve("/front", JPEG), host.serve("/back", PNG))
    images = Images((host.origin,))

    def settle(evidence: Evidence) -> None:
        assert evidence.of(REGION, ID).keep_answer(raw) == raw
        assert not disk.lost

    def seal(evidence: Evidence) -> None:
        assert archive(evidence.of(REGION, ID), images, refresh=lambda: None).complete
        assert not disk.lost

    for step in range(1, 100):
        disk.kills = 0
        place = tmp_path / str(step)
        killed, other = Evidence(place.as_uri()), Evidence(place.as_uri())
        disk.kills = step
        for stage in (settle, seal):
            try:
                stage(killed)
            except Killed:
                stage(other)
        assert verify(other.of(REGION, ID)) == []
        assert len(list((place / REGION / ID).iterdir())) == 4
        if disk.kills > 0:  # it came to its end alive
            break
    assert disk.synced_whole is whole
    assert 15 < step < 40
