"""What a worker killed in the middle of a write leaves, and that it never counts as evidence."""

from __future__ import annotations

import json
import signal
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.cli_process import run_program, start_program
from tests.support.image_host import JPEG, PNG, ImageHost
from worker.evidence.archive import archive
from worker.evidence.images import Images
from worker.evidence.store import Evidence, Usage
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"
BODY = bytes(range(256)) * 400

#: How a child begins. Where it is told so, it does as on a file system that knows no files without a name.
PRELUDE = """
    import os, resource, signal, sys, time
    from worker.evidence.storage import local
    from worker.evidence.store import Evidence
    if "STAGED" in os.environ:
        local._NAMELESS = 0
    evidence = Evidence(sys.argv[1])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture(params=["nameless", "staged"])
def leaves(request: pytest.FixtureRequest) -> int:
    """How many files a killed write leaves: none, where files without a name are known."""
    return int(request.param == "staged")


def variables(leaves: int) -> dict[str, str]:
    return {"STAGED": "1"} if leaves else {}


def command(script: str, *arguments: object) -> list[str]:
    script = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return [script, *map(str, arguments)]


def assert_nothing_counts_and_the_next_worker_can_write(root: Path) -> None:
    evidence = Evidence(root.as_uri())
    assert evidence.of(REGION, ID).read("front.jpg") is None
    assert evidence.of(REGION, ID).files() == ()
    assert evidence.usage() == Usage(files=0, size_bytes=0)
    evidence.of(REGION, ID).keep("front.jpg", BODY)
    assert evidence.of(REGION, ID).read("front.jpg") == BODY
    assert evidence.usage() == Usage(files=1, size_bytes=len(BODY))


def test_killed_while_the_bytes_are_being_written(root: Path, leaves: int) -> None:
    """The kernel kills the child with a signal after half of the bytes."""
    script = """
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (51_200, 51_200))
        evidence.of("ph", "f302f5d2454a85c2").keep("front.jpg", bytes(range(256)) * 400)
    """
    child = run_program(*command(script, root.as_uri()), **variables(leaves))
    assert child.code == -signal.SIGXFSZ
    left = list((root / REGION / ID).iterdir())
    assert [file.stat().st_size for file in left] == [51_200] * leaves
    assert_nothing_counts_and_the_next_worker_can_write(root)


def test_killed_between_the_bytes_and_their_name(root: Path, leaves: int) -> None:
    """`kill -9` at the moment when all bytes are written and none has its name yet."""
    script = """
        def wait(descriptor):
            print("written", flush=True)
            time.sleep(60)
        os.fsync = wait
        os.makedirs(sys.argv[2])
        evidence.of("ph", "f302f5d2454a85c2").keep("front.jpg", bytes(range(256)) * 400)
    """
    arguments = command(script, root.as_uri(), root / REGION / ID)
    with start_program(*arguments, **variables(leaves)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.kill()
    left = list((root / REGION / ID).iterdir())
    assert [file.read_bytes() for file in left] == [BODY] * leaves
    assert_nothing_counts_and_the_next_worker_can_write(root)


def test_killed_at_random_every_name_that_can_be_seen_is_whole(root: Path) -> None:
    """Twenty workers that write without end, each killed at another moment."""
    script = """
        print("ready", flush=True)
        for n in range(100_000):
            evidence.of("ph", f"{sys.argv[2]}-{n}").keep("front.jpg", bytes(range(256)) * 400)
            print(n, flush=True)
    """
    for worker in range(20):
        arguments = command(script, root.as_uri(), worker)
        with start_program(*arguments) as child:
            assert child.stdout is not None
            for _ in range(2 + worker % 3):
                child.stdout.readline()
            child.kill()
    seen = list(root.rglob("front.jpg"))
    assert seen
    assert all(file.read_bytes() == BODY for file in seen)


def answer(signature_id: str, front: str, back: str) -> bytes:
    document = {"docFrontImage": front, "docBackImage": back}
    data = {
        "signatureId": signature_id,
        "overallResult": "PASS",
        "errorCode": "SUCCESS",
        "docDetail": document,
    }
    return json.dumps({"code": "SUCCESS", "data": data}).encode()


def test_killed_before_any_step_the_next_worker_completes_it_and_fetches_nothing_twice(
    root: Path, host: ImageHost, leaves: int
) -> None:
    """A worker is killed before its first call of the system, another before its second, and so on to the last."""
    script = """
        from worker.evidence.archive import archive
        from worker.evidence.images import Images

        def counted(call):
            def count(*arguments, **options):
                global left
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)
            return count

        for name in ("mkdir", "open", "write", "fsync", "link", "close", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        for step in range(1, 100):
            left, name = step, f"killed-{step}"
            worker = os.fork()
            if not worker:
                evidence.of("ph", name).keep_answer(sys.argv[2].replace("ID", name).encode())
                images = Images((sys.argv[3],))
                archive(evidence.of("ph", name), images, refresh=lambda: None)
                os._exit(0)
            left = 0
            if os.waitpid(worker, 0)[1] == 0:
                break
        print(step - 1)
    """
    front, back = host.serve("/front", JPEG), host.serve("/back", PNG)
    raw = answer("ID", front, back).decode()
    child = run_program(*command(script, root.as_uri(), raw, host.origin), **variables(leaves))
    assert child.code == 0, child.err
    steps = int(child.out)
    assert 20 < steps < 80

    evidence, images = Evidence(root.as_uri()), Images((host.origin,))
    bodies = {"/front": ("front.jpg", JPEG), "/back": ("back.png", PNG)}
    for name in (f"killed-{step}" for step in range(1, steps + 1)):
        kept = {file.name for file in evidence.of(REGION, name).files()}
        assert len(list((root / REGION / name).glob("*"))) - len(kept) <= leaves * 3
        host.asked.clear()
        evidence.of(REGION, name).keep_answer(answer(name, front, back))
        assert archive(evidence.of(REGION, name), images, refresh=lambda: None).complete
        missing = [path for path, (file, _) in bodies.items() if file not in kept]
        assert host.asked == ([] if "manifest.json" in kept else missing)
        assert all(evidence.of(REGION, name).read(file) == body for file, body in bodies.values())
        assert verify(evidence.of(REGION, name)) == []
