"""What a worker killed in the middle of a write leaves, and that it never counts as evidence."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from worker.evidence.store import Evidence, Usage

if TYPE_CHECKING:
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"
BODY = bytes(range(256)) * 400


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def assert_nothing_counts_and_the_next_worker_can_write(root: Path) -> None:
    evidence = Evidence(root.as_uri())
    assert evidence.read(REGION, ID, "front.jpg") is None
    assert evidence.files(REGION, ID) == ()
    assert evidence.usage() == Usage(files=0, size_bytes=0)
    evidence.keep(REGION, ID, "front.jpg", BODY)
    assert evidence.read(REGION, ID, "front.jpg") == BODY
    assert evidence.usage() == Usage(files=1, size_bytes=len(BODY))


def test_killed_while_the_bytes_are_being_written(root: Path) -> None:
    """The kernel kills the child with a signal after half of the bytes."""
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import resource, signal, sys
                from worker.evidence.store import Evidence
                evidence = Evidence(sys.argv[1])
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (51_200, 51_200))
                evidence.keep("ph", "f302f5d2454a85c2", "front.jpg", bytes(range(256)) * 400)
                """
            ),
            root.as_uri(),
        ],
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGXFSZ
    (left,) = (root / REGION / ID).iterdir()
    assert left.stat().st_size == 51_200
    assert_nothing_counts_and_the_next_worker_can_write(root)


def test_killed_between_the_bytes_and_their_name(root: Path) -> None:
    """`kill -9` at the moment when all bytes are written and none has its name yet."""
    script = """
        import os, sys, time
        from worker.evidence.store import Evidence
        def wait(descriptor):
            print("written", flush=True)
            time.sleep(60)
        evidence = Evidence(sys.argv[1])
        os.makedirs(sys.argv[2])
        os.fsync = wait
        evidence.keep("ph", "f302f5d2454a85c2", "front.jpg", bytes(range(256)) * 400)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), root.as_uri(), str(root / REGION / ID)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.kill()
    (left,) = (root / REGION / ID).iterdir()
    assert left.read_bytes() == BODY
    assert_nothing_counts_and_the_next_worker_can_write(root)


def test_killed_at_random_every_name_that_can_be_seen_is_whole(root: Path) -> None:
    """Twenty workers that write without end, each killed at another moment."""
    script = """
        import sys
        from worker.evidence.store import Evidence
        evidence = Evidence(sys.argv[1])
        print("ready", flush=True)
        for n in range(100_000):
            evidence.keep("ph", f"{sys.argv[2]}-{n}", "front.jpg", bytes(range(256)) * 400)
            print(n, flush=True)
    """
    for worker in range(20):
        command = [sys.executable, "-c", textwrap.dedent(script), root.as_uri(), str(worker)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(2 + worker % 3):
                child.stdout.readline()
            child.kill()
    seen = list(root.rglob("front.jpg"))
    assert seen
    assert all(file.read_bytes() == BODY for file in seen)
