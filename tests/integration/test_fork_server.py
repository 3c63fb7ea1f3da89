"""A command that is forked for a test behaves as one that Python starts."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fork_server import fits, server

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "what it writes": "import os, sys; print(sys.argv[1:], os.getcwd(), dict(os.environ)); print('x', file=sys.stderr)",
    "what it reads": "import sys; print(sys.stdin.read().upper())",
    "a byte that is no text": "import sys; print(repr(sys.stdin.read())); sys.stdout.buffer.write(b'\\xff')",
    "a status": "raise SystemExit(7)",
    "a line as status": "raise SystemExit('no')",
    "no status": "raise SystemExit",
    "a bug": "1 / 0",
    "at its exit": "import atexit; atexit.register(print, 'last')",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "who it is": "print(__name__); import sys; print(sys.modules['__main__'].__name__, sys.stdout.encoding)",
}


@pytest.fixture
def module(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "program.py").write_text(textwrap.dedent(request.param))
    return "program"


def forked(module: str, folder: Path, stdin: bytes, **more: Any) -> tuple[int, bytes, bytes]:
    names = [folder / name for name in ("in", "out", "err")]
    names[0].write_bytes(stdin)
    with names[0].open("rb") as given, names[1].open("wb") as out, names[2].open("wb") as err:
        code = server().run(
            module,
            ["a", "b"],
            environment={"PATH": "/bin", "A": "1"},
            cwd=str(folder),
            descriptors=(given.fileno(), out.fileno(), err.fileno()),
            timeout_s=more.get("timeout_s", 60),
        )
    return code, names[1].read_bytes(), names[2].read_bytes()


@pytest.mark.parametrize("module", CASES.values(), ids=CASES, indirect=True)
def test_it_ends_as_a_process_that_python_starts(module: str, tmp_path: Path) -> None:
    stdin = b"caf\xe9\n"
    started = subprocess.run(
        [sys.executable, "-m", module, "a", "b"],
        input=stdin, capture_output=True, check=False, cwd=tmp_path, env={"PATH": "/bin", "A": "1"},
    )  # fmt: skip
    code, out, err = forked(module, tmp_path, stdin)
    assert (code, out) == (started.returncode, started.stdout)
    assert err.splitlines()[-1:] == started.stderr.splitlines()[-1:]


@pytest.mark.parametrize("module", ["import time; time.sleep(60)"], indirect=True)
def test_one_that_takes_too_long_is_killed(module: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        forked(module, tmp_path, b"", timeout_s=0.2)


@pytest.mark.parametrize(("name", "whether"), [("REDIS_URL", True), ("PYTHONPATH", False), ("LC_ALL", False)])
def test_what_python_reads_at_its_start_needs_a_start(name: str, whether: bool) -> None:
    assert fits({"PATH": "/bin", name: "x"}) is whether
