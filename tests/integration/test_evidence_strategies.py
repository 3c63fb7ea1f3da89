"""The two ways in which local evidence reaches the disk: chosen once, never less durable, and measured apart."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING

import gevent
import pytest

from benchmarks import evidence as costs
from benchmarks.bench.lineup import OURS, OURS_FSYNC
from worker.errors import InvalidInput
from worker.evidence import paths
from worker.evidence.storage import durability
from worker.evidence.storage.durability import FileSync, FileSystemSync, choose
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

REGION, ID = "ph", "f302f5d2454a85c2"

second_file_system = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")


def test_the_strategy_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def is_disk(kind: str | None) -> bool:
        looked.append(str(kind))
        return True

    monkeypatch.setattr(durability, "_is_disk", is_disk)
    evidence = Evidence(tmp_path.as_uri())
    for number in range(5):
        evidence.of(REGION, f"id-{number}").keep_answer(b"answer")
    assert len(looked) == 1


def test_a_root_that_is_away_leaves_the_choice_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    with pytest.raises(FileNotFoundError):
        choose(str(tmp_path / "away"))
    (tmp_path / "away").mkdir()
    assert isinstance(choose(str(tmp_path / "away")), FileSystemSync)


@second_file_system
def test_a_file_system_that_is_mounted_while_we_look_is_not_taken_for_the_one_we_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "evidence"
    root.symlink_to(tmp_path)

    def file_system(path: str) -> str:
        Path(path).unlink()
        Path(path).symlink_to("/dev/shm")
        return "ext4"

    monkeypatch.setattr(durability, "file_system", file_system)
    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    assert isinstance(choose(str(root)), FileSync)


@second_file_system
def test_what_lies_elsewhere_may_be_slow_and_leaves_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    strategy = choose(str(tmp_path))

    def run() -> tuple[int, int]:
        return get_ident(), strategy.run(get_ident)

    here, there = gevent.spawn(run).get(timeout=30)
    assert here == there
    elsewhere = os.open("/dev/shm", os.O_RDONLY | os.O_DIRECTORY)
    strategy.sync(elsewhere, since=0)
    os.close(elsewhere)
    here, there = gevent.spawn(run).get(timeout=30)
    assert here != there


@second_file_system
def test_a_shared_folder_is_synced_by_itself_where_it_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    synced: list[str] = []
    monkeypatch.setattr(durability, "sync", synced.append)
    strategy = choose(str(tmp_path))
    strategy.sync_folder(str(tmp_path))
    strategy.sync_folder("/dev/shm")
    assert synced == ["/dev/shm"]


def test_the_folder_of_a_verification_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    folder = paths.folder

    def count(region: str, signature_id: str) -> str:
        computed.append(signature_id)
        return folder(region, signature_id)

    monkeypatch.setattr(paths, "folder", count)
    evidence = Evidence(tmp_path.as_uri()).of(REGION, ID)
    evidence.keep_answer(b"answer")
    evidence.keep("front.jpg", b"image")
    assert [file.name for file in evidence.files()] == ["answer.json", "front.jpg"]
    assert evidence.url == f"{tmp_path.as_uri()}/{REGION}/{ID}"
    assert computed == [ID]


def test_an_object_has_evidence_of_its_own_verification_only(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path.as_uri())
    one, other = evidence.of(REGION, "one"), evidence.of(REGION, "other")
    one.keep_answer(b"of one")
    assert (one.answer(), other.answer(), other.files()) == (b"of one", None, ())
    with pytest.raises(InvalidInput):
        one.read("../other/answer.json")


@pytest.mark.parametrize("way", [costs.ours, costs.fsync, costs.plain])
def test_every_way_that_is_measured_keeps_the_same_files(
    tmp_path: Path, way: Callable[[Path], Callable[[str], None]]
) -> None:
    figures = costs.measure(way(tmp_path / "kept"), 1, 2)
    assert figures.keys() == {"wall_us", "cpu_us"}
    kept = sorted(path.name for path in (tmp_path / "kept").rglob("id-1/*"))
    assert kept == ["answer.json", "back.jpg", "front.jpg", "manifest.json"]


def test_the_variant_that_is_measured_apart_never_syncs_the_file_system(tmp_path: Path) -> None:
    (ours, *_), (apart, *_) = OURS.variants[0].commands(1, tmp_path), OURS_FSYNC.commands(1, tmp_path)
    assert apart.arguments[1:] == ours.arguments[1:]
    script = """
        import importlib, sys
        from worker.evidence.storage import durability
        from worker.evidence.store import Evidence

        def never(descriptor):
            raise SystemExit("syncfs")

        durability.syncfs, durability._is_disk = never, lambda kind: True
        if sys.argv[2] != "celery":
            importlib.import_module(sys.argv[2])
        Evidence(sys.argv[1]).of("ph", "one").keep_answer(b"answer")
    """
    for module, ends in ((ours.arguments[0], "syncfs"), (apart.arguments[0], "")):
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), tmp_path.as_uri(), module],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert child.stderr.strip() == ends
