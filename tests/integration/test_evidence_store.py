"""Evidence in a real folder: written once, whole, for the workers' eyes only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING

import pytest

from worker.errors import ConfigError, EvidenceConflict, EvidenceUnavailable, InvalidInput
from worker.evidence.manifest import Manifest
from worker.evidence.storage import local
from worker.evidence.storage.backend import MOST_BYTES
from worker.evidence.storage.local import LocalFolder
from worker.evidence.store import Evidence, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

REGION, ID = "ph", "f302f5d2454a85c2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "not yet" / "evidence"


@pytest.fixture
def evidence(root: Path) -> Evidence:
    return Evidence(root.as_uri())


def manifest(error_code: str) -> Manifest:
    return Manifest(ID, REGION, "PASS", error_code, None, "2026-01-02T03:04:05.006Z", complete=True, files=())


def in_child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `script` in a process of its own; it finds its arguments in `sys.argv`."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_answer_comes_back_as_it_was_given(evidence: Evidence, root: Path) -> None:
    raw = b'{"code": "SUCCESS",\r\n "data":  null}\x00'
    assert evidence.of(REGION, ID).keep_answer(raw) == raw
    assert evidence.of(REGION, ID).answer() == raw
    assert (root / REGION / ID / "answer.json").read_bytes() == raw


def test_of_two_answers_the_first_one_counts(evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep_answer(b"first")
    assert evidence.of(REGION, ID).keep_answer(b"second") == b"first"
    assert evidence.of(REGION, ID).answer() == b"first"


def test_of_two_manifests_the_first_one_counts(evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep_answer(b"{}")
    first = evidence.of(REGION, ID).keep_manifest(manifest("SUCCESS"))
    assert evidence.of(REGION, ID).keep_manifest(manifest("ERROR")) == first
    assert evidence.of(REGION, ID).manifest() == first


def test_the_same_bytes_again_change_nothing(evidence: Evidence, root: Path) -> None:
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    before = (root / REGION / ID / "front.jpg").stat()
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    after = (root / REGION / ID / "front.jpg").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [file.name for file in (root / REGION / ID).iterdir()] == ["front.jpg"]


def test_other_bytes_under_the_same_name_are_refused(evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    with pytest.raises(EvidenceConflict) as caught:
        evidence.of(REGION, ID).keep("front.jpg", b"another image")
    assert caught.value.reason == "OTHER_BYTES"
    assert evidence.of(REGION, ID).read("front.jpg") == b"image"


def test_an_unreadable_answer_is_named_by_what_it_holds(evidence: Evidence) -> None:
    name = evidence.of(REGION, ID).keep_unreadable(b"<html>")
    assert name == "unreadable-b7d082ee12e91b75.bin"
    assert evidence.of(REGION, ID).keep_unreadable(b"<html>") == name
    assert evidence.of(REGION, ID).keep_unreadable(b"<body>") != name
    assert evidence.of(REGION, ID).read(name) == b"<html>"


def test_what_was_never_kept_is_not_there(evidence: Evidence) -> None:
    assert evidence.of(REGION, ID).answer() is None
    assert evidence.of(REGION, ID).manifest() is None
    assert evidence.of(REGION, ID).files() == ()


def test_a_verification_has_a_url(evidence: Evidence, root: Path) -> None:
    assert evidence.of(REGION, ID).url == f"{root.as_uri()}/ph/{ID}"
    assert Evidence("s3://bucket/ekyc/").of(REGION, ID).url == f"s3://bucket/ekyc/ph/{ID}"


def test_a_folder_with_spaces_and_percent_signs_is_the_one_that_was_meant(tmp_path: Path) -> None:
    evidence = Evidence((tmp_path / "a b%20c").as_uri())
    evidence.of(REGION, ID).keep_answer(b"{}")
    assert (tmp_path / "a b%20c" / REGION / ID / "answer.json").exists()


def test_a_folder_behind_a_link_is_the_one_that_the_link_means(tmp_path: Path) -> None:
    (tmp_path / "disk" / "evidence").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "evidence")
    Evidence(f"{tmp_path.as_uri()}/link/../here").of(REGION, ID).keep_answer(b"{}")
    assert [file.relative_to(tmp_path) for file in tmp_path.rglob("answer.json")] == [
        Path("disk/here") / REGION / ID / "answer.json"
    ]


@pytest.mark.parametrize("signature_id", ["../escaped", "..", "a/b", "%2e%2e", "..\\x", ""])
def test_an_id_never_leaves_its_folder(evidence: Evidence, root: Path, signature_id: str) -> None:
    """Whatever is asked of the store, nothing is read, written or named for such an id."""
    asks: list[Callable[[], object]] = [
        lambda: evidence.of(REGION, signature_id).keep_answer(b"{}"),
        lambda: evidence.of(REGION, signature_id).keep_unreadable(b"{}"),
        lambda: evidence.of(REGION, signature_id).keep("front.jpg", b"{}"),
        lambda: evidence.of(REGION, signature_id).answer(),
        lambda: evidence.of(REGION, signature_id).manifest(),
        lambda: evidence.of(REGION, signature_id).files(),
        lambda: evidence.of(REGION, signature_id).url,
    ]
    for ask in asks:
        with pytest.raises(InvalidInput):
            ask()
    assert list(root.rglob("*")) == []


def test_evidence_is_for_the_account_that_runs_the_workers_alone(evidence: Evidence, root: Path) -> None:
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    for folder in (root, root / REGION, root / REGION / ID):
        assert S_IMODE(folder.stat().st_mode) == 0o700
    assert S_IMODE((root / REGION / ID / "front.jpg").stat().st_mode) == 0o600


def test_a_folder_that_an_operator_made_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Evidence(tmp_path.as_uri()).of(REGION, ID).keep_answer(b"{}")
    assert S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_many_threads_that_keep_different_answers_all_get_the_one_that_was_first(evidence: Evidence) -> None:
    with ThreadPoolExecutor(16) as pool:
        kept = set(pool.map(lambda n: evidence.of(REGION, ID).keep_answer(b"answer %d" % n), range(64)))
    assert kept == {evidence.of(REGION, ID).answer()}
    assert [file.name for file in evidence.of(REGION, ID).files()] == ["answer.json"]


def test_no_descriptor_stays_open(evidence: Evidence) -> None:
    evidence.check()  # one of the root may be kept
    before = len(list(Path("/proc/self/fd").iterdir()))
    for body in (b"first", b"second"):
        evidence.of(REGION, ID).keep_answer(body)
        evidence.of(REGION, ID).files()
        evidence.check()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_usage_counts_files_and_bytes(evidence: Evidence) -> None:
    assert evidence.usage() == Usage(files=0, size_bytes=0)
    evidence.of(REGION, ID).keep_answer(b"12345")
    evidence.of("sg", "other").keep("back.png", b"123")
    assert evidence.usage() == Usage(files=2, size_bytes=8)


def test_a_check_leaves_nothing_behind(evidence: Evidence, root: Path) -> None:
    evidence.check()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file://relative/x", "three slashes"),
        ("file:x", "three slashes"),
        ("ftp://host/x", "file:///, s3://, gs:// or az://"),
        ("", "file:///, s3://, gs:// or az://"),
        ("s3://key:hunter2@bucket/x", "secrets belong in the environment"),
        ("az://container/x?sig=hunter2", "secrets belong in the environment"),
        ("s3://", "AWS_"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_in_one_line_without_secrets(url: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Evidence(url)
    message = str(caught.value)
    assert says in message
    assert "EKYC_EVIDENCE_URL" in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_place_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    evidence = Evidence((tmp_path / "file" / "evidence").as_uri())
    with pytest.raises(EvidenceUnavailable) as caught:
        evidence.check()
    message = str(caught.value)
    assert (
        f"evidence cannot be written at {tmp_path.as_uri()}/file/evidence: not a directory; check" in message
    )
    assert "\n" not in message


def test_a_place_that_comes_back_is_used(tmp_path: Path) -> None:
    """A worker may start while the disk is away."""
    root = tmp_path / "evidence"
    root.write_text("in the way")
    evidence = Evidence(root.as_uri())
    with pytest.raises(EvidenceUnavailable):
        evidence.of(REGION, ID).keep_answer(b"{}")
    root.unlink()
    evidence.check()
    assert evidence.of(REGION, ID).keep_answer(b"{}") == b"{}"


def test_a_place_that_is_lost_later_is_told_in_one_line(evidence: Evidence, root: Path) -> None:
    """A file where the region's folder should be: rights would not stop a test that runs as root."""
    (root / REGION).write_text("in the way")
    asks: list[Callable[[], object]] = [
        lambda: evidence.of(REGION, ID).keep_answer(b"{}"),
        lambda: evidence.of(REGION, ID).answer(),
    ]
    for ask in asks:
        with pytest.raises(EvidenceUnavailable) as caught:
            ask()
        assert "not a directory" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.retry


@pytest.mark.parametrize("comes_back", [True, False])
def test_what_is_not_seen_while_the_place_is_away_is_not_gone(
    evidence: Evidence, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool
) -> None:
    """The place changes just after the first look at it: its disk is mounted again, or a file takes its name."""
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    away = root.rename(tmp_path / "away")
    scandir = os.scandir

    def first_look(path: str) -> object:
        monkeypatch.setattr(os, "scandir", scandir)
        try:
            return scandir(path)
        finally:
            if comes_back:
                away.rename(root)
            else:
                root.write_text("in the way")

    monkeypatch.setattr(os, "scandir", first_look)
    if comes_back:
        assert [file.name for file in one.files()] == ["answer.json"]
    else:
        with pytest.raises(EvidenceUnavailable, match="not a directory"):
            one.files()


@pytest.mark.parametrize("comes_back", [True, False])
def test_what_is_not_read_while_the_place_is_away_is_not_gone(
    evidence: Evidence, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool
) -> None:
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    away = root.rename(tmp_path / "away")
    read = local._read

    def first_look(path: str) -> bytes:
        monkeypatch.setattr(local, "_read", read)
        try:
            return read(path)
        finally:
            if comes_back:
                away.rename(root)

    monkeypatch.setattr(local, "_read", first_look)
    if comes_back:
        assert one.answer() == b"{}"
    else:
        with pytest.raises(EvidenceUnavailable, match="no such file or directory"):
            one.answer()


def test_nothing_is_written_or_missed_in_the_folder_under_a_disk(
    evidence: Evidence, root: Path, tmp_path: Path
) -> None:
    """Another folder takes the place of the root, as if its disk was unmounted under a running worker."""
    one, another = evidence.of(REGION, ID), evidence.of(REGION, "another")
    one.keep_answer(b"{}")
    away = root.rename(tmp_path / "away")
    root.mkdir()
    asks: list[Callable[[], object]] = [
        lambda: another.keep_answer(b"{}"),
        one.answer,
        one.files,
        lambda: list(evidence.ids(REGION)),
        evidence.check,
    ]
    for ask in asks:
        with pytest.raises(EvidenceUnavailable, match="another folder is there, without any of the evidence"):
            ask()
    assert not list(root.iterdir())
    root.rmdir()
    away.rename(root)
    another.keep_answer(b"{}")
    assert sorted(evidence.ids(REGION)) == sorted([ID, "another"])


def test_what_each_disk_has_is_no_evidence(evidence: Evidence, root: Path, tmp_path: Path) -> None:
    """Another disk is mounted in place of that of the evidence."""
    for disk in (root, tmp_path / "other"):
        disk.mkdir(parents=True, exist_ok=True)
        (disk / "lost+found").mkdir()
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    root.rename(tmp_path / "away")
    (tmp_path / "other").rename(root)
    with pytest.raises(EvidenceUnavailable, match="another folder is there, without any of the evidence"):
        one.answer()


def test_a_walk_from_which_the_disk_is_taken_away_does_not_end_early(
    evidence: Evidence, root: Path, tmp_path: Path
) -> None:
    for number in range(3):
        evidence.of(REGION, f"number-{number}").keep_answer(b"{}")
    walk = evidence.walk(REGION)
    next(walk)
    root.rename(tmp_path / "away")
    root.mkdir()
    with pytest.raises(EvidenceUnavailable, match="another folder is there, without any of the evidence"):
        list(walk)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir()
    or Path("/dev/shm").stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev,
    reason="needs a second file system",
)
def test_the_disk_of_one_region_that_is_unmounted_is_noticed(evidence: Evidence, root: Path) -> None:
    """The region's folder is on another file system, which is away for a while: the other regions go on."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        (root / REGION).symlink_to(disk)
        one, other = evidence.of(REGION, ID), evidence.of("sg", ID)
        for each in (one, other):
            each.keep_answer(b"{}")
        (root / REGION).unlink()
        for has_mount_point in (False, True):
            if has_mount_point:
                (root / REGION).mkdir()
            asks: list[Callable[[], object]] = [
                lambda: evidence.of(REGION, "another").keep_answer(b"{}"),
                one.answer,
                one.files,
                lambda: list(evidence.ids(REGION)),
            ]
            for ask in asks:
                with pytest.raises(EvidenceUnavailable, match="was on a disk of its own: mount it"):
                    ask()
            assert other.answer() == b"{}"
        assert not list((root / REGION).iterdir())
        (root / REGION).rmdir()
        (root / REGION).symlink_to(disk)
        assert one.answer() == b"{}"
        shutil.copytree(disk, root / "copy")
        (root / REGION).unlink()
        (root / "copy").rename(root / REGION)
        assert one.answer() == b"{}"
        assert evidence.of(REGION, "unknown").answer() is None


def test_evidence_restored_into_another_folder_is_used(
    evidence: Evidence, root: Path, tmp_path: Path
) -> None:
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    shutil.copytree(root.rename(tmp_path / "away"), root)
    assert one.answer() == b"{}"
    assert evidence.of(REGION, "unknown").answer() is None
    evidence.of(REGION, "another").keep_answer(b"{}")
    assert (root / REGION / "another").is_dir()


def test_a_check_finds_a_place_that_is_gone(evidence: Evidence, root: Path) -> None:
    root.rmdir()
    with pytest.raises(EvidenceUnavailable, match="no such file or directory"):
        evidence.check()


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(root: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails half way, as on a full one."""
    child = in_child(
        """
        import resource, sys
        from worker.evidence.store import Evidence
        from worker.errors import EvidenceUnavailable
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        evidence = Evidence(sys.argv[1])
        try:
            evidence.of("ph", "large").keep("front.jpg", bytes(50_000))
        except EvidenceUnavailable as error:
            print(error)
        evidence.of("ph", "small").keep("front.jpg", bytes(5_000))
        """,
        root.as_uri(),
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("\n") == 1
    assert "evidence cannot be written at file:///" in child.stdout
    assert "file too large" in child.stdout
    files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    assert files == [Path("ph/small/front.jpg")]


def test_of_files_kept_together_on_a_full_disk_none_is_seen(root: Path) -> None:
    child = in_child(
        """
        import resource, sys
        from worker.evidence.manifest import FileEntry
        from worker.evidence.store import Evidence
        from worker.errors import EvidenceUnavailable
        evidence = Evidence(sys.argv[1])
        evidence.of("ph", "one").keep_answer(b"{}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            with evidence.of("ph", "one").adding() as add:
                add(FileEntry("front.jpg", "front", 5_000, "", "image/jpeg", ""), bytes(5_000))
                add(FileEntry("back.jpg", "back", 50_000, "", "image/jpeg", ""), bytes(50_000))
        except EvidenceUnavailable as error:
            print(error)
        """,
        root.as_uri(),
    )
    assert child.returncode == 0, child.stderr
    assert "file too large" in child.stdout
    assert [file.name for file in (root / "ph" / "one").iterdir()] == ["answer.json"]


@pytest.mark.parametrize("used", ["", "evidence.check()"])
def test_a_store_made_before_a_fork_works_after_it(root: Path, used: str) -> None:
    """Celery makes its worker processes by forking."""
    child = in_child(
        """
        import os, sys
        from worker.evidence.store import Evidence
        evidence = Evidence(sys.argv[1])
        exec(sys.argv[2])
        if not os.fork():
            evidence.check()
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        """,
        root.as_uri(),
        used,
    )
    assert child.returncode == 0, child.stderr


def test_an_error_of_a_read_names_the_object_or_the_folder_that_is_away(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    backend = Evidence(root.as_uri()).backend
    backend.create("ph/a/answer.json", b"{}")
    (root / "ph/a/answer.json").unlink()
    # To read its first byte is an input/output error.
    (root / "ph/a/answer.json").symlink_to("/proc/self/mem")
    said = f"evidence cannot be read at {root.as_uri()}/ph/a/answer.json: input/output error; check "
    with pytest.raises(EvidenceUnavailable, match=re.escape(said)):
        backend.read("ph/a/answer.json")
    root.rename(tmp_path / "away")
    said = f"evidence cannot be read at {root.as_uri()}: no such file or directory; check "
    for reader in (backend, LocalFolder(root.as_uri(), "", str(root), make=False)):
        with pytest.raises(EvidenceUnavailable, match=re.escape(said)):
            reader.read("ph/a/answer.json")


def test_a_path_that_cannot_exist_is_one_line(tmp_path: Path) -> None:
    backend = Evidence(tmp_path.as_uri()).backend
    said = f"at {tmp_path.as_uri()}: such a path cannot exist"
    with pytest.raises(EvidenceUnavailable, match=re.escape(said)):
        backend.read("ph/a\0b/answer.json")
    with pytest.raises(EvidenceUnavailable, match="such a path cannot exist"):
        backend.create("ph/a\0b/answer.json", b"{}")


def test_a_file_that_is_larger_than_any_evidence_is_not_read_into_memory(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    evidence = Evidence(root.as_uri())
    evidence.backend.create("ph/a/answer.json", b"{}")
    with (root / "ph/a/front.jpg").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    said = f"evidence cannot be read at {root.as_uri()}/ph/a/front.jpg: it is larger than 67,108,864 bytes"
    tracemalloc.start()
    try:
        with pytest.raises(EvidenceUnavailable, match=re.escape(said)):
            evidence.of("ph", "a").read("front.jpg")
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES // 10
    finally:
        tracemalloc.stop()
    assert evidence.of("ph", "a").answer() == b"{}"


def test_links_to_the_folder_that_holds_them_end_no_list(tmp_path: Path) -> None:
    """The number of paths would grow with two to the power of their length."""
    root = tmp_path / "evidence"
    evidence = Evidence(root.as_uri())
    evidence.of("ph", "one").keep_answer(b"{}")
    found: list[int] = []
    for number in range(1, 9):
        (root / f"ph/one/link-{number}").symlink_to(".")
        began = time.thread_time()
        found.append(sum(1 for _ in islice(evidence.backend.list(), 10_000)))
        assert [file.name for file in evidence.of("ph", "one").files()] == ["answer.json"] * 2
        assert time.thread_time() - began < 5
    assert found == [2] * 8


def test_a_folder_of_a_region_may_be_a_link(tmp_path: Path) -> None:
    root, disk = tmp_path / "evidence", tmp_path / "disk"
    evidence = Evidence(root.as_uri())
    disk.mkdir()
    (root / "ph").symlink_to(disk)
    evidence.of("ph", "one").keep_answer(b"{}")
    assert [each.path for each in evidence.backend.list()] == ["ph/one/answer.json"]
    assert list(evidence.ids("ph")) == ["one"]


def test_folders_within_folders_without_an_end_end_no_list(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    evidence = Evidence(root.as_uri())
    evidence.of("ph", "one").keep_answer(b"{}")
    folders = [f"{root}/ph/one{'/a' * depth}" for depth in range(1, 1500)]
    for folder in folders:
        os.mkdir(folder)  # noqa: PTH102 - `Path` recurses
    try:
        assert [each.path for each in evidence.backend.list()] == ["ph/one/answer.json"]
    finally:
        # What removes the folders of tests recurses, too.
        for folder in reversed(folders):
            os.rmdir(folder)  # noqa: PTH106


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_delays_nobody_and_fills_no_memory(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    root = tmp_path / "evidence"
    evidence = Evidence(root.as_uri())
    evidence.of("ph", "one").keep_answer(b"{}")
    make(root / "ph/one/front.jpg")
    said = f"evidence cannot be read at {root.as_uri()}/ph/one/front.jpg: it is no file"
    with pytest.raises(EvidenceUnavailable, match=re.escape(said)):
        evidence.of("ph", "one").read("front.jpg")
