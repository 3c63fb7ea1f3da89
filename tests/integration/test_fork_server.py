"""A command that is forked for a test behaves as one that Python starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.cli_process import start_program
from tests.support.fork_server import _READ_AT_START, READ_BY_OURS, server
from tests.support.paths import ROOT

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
    "a thread that goes on": "import threading; threading.Timer(0.1, print, ['last']).start()",
    "who it is": "print(__name__); import sys; print(sys.modules['__main__'].__name__, sys.stdout.encoding)",
}


@pytest.fixture
def module(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "program.py").write_text(textwrap.dedent(request.param))
    return "program"


def environment(**more: str) -> dict[str, str]:
    return {"PATH": "/bin", "A": "1"} | more


def forked(module: str, folder: Path, stdin: bytes, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    names = [folder / name for name in ("in", "out", "err")]
    names[0].write_bytes(stdin)
    with names[0].open("rb") as given, names[1].open("wb") as out, names[2].open("wb") as err:
        process = server(env).start(
            module, ["a", "b"], environment=env, cwd=str(folder),
            descriptors=(given.fileno(), out.fileno(), err.fileno()),
        )  # fmt: skip
    return process.wait(60), names[1].read_bytes(), names[2].read_bytes()


@pytest.mark.parametrize("env", [environment(), environment(LANG="C.UTF-8")], ids=["C", "UTF-8"])
@pytest.mark.parametrize("module", CASES.values(), ids=CASES, indirect=True)
def test_it_ends_as_a_process_that_python_starts(module: str, env: dict[str, str], tmp_path: Path) -> None:
    stdin = b"caf\xe9\n"
    started = subprocess.run(
        [sys.executable, "-m", module, "a", "b"],
        input=stdin, capture_output=True, check=False, cwd=tmp_path, env=env,
    )  # fmt: skip
    code, out, err = forked(module, tmp_path, stdin, env)
    assert (code, out) == (started.returncode, started.stdout)
    assert err.splitlines()[-1:] == started.stderr.splitlines()[-1:]


@pytest.mark.parametrize("module", ["import time; time.sleep(60)"], indirect=True)
def test_it_is_waited_for_and_ended_as_one(module: str, tmp_path: Path) -> None:
    with Path(os.devnull).open("r+b") as nothing:
        process = server(environment()).start(
            module, [], environment=environment(), cwd=str(tmp_path),
            descriptors=(nothing.fileno(),) * 3, new_session=True,
        )  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert (process.poll(), os.getsid(process.pid)) == (None, process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    assert (process.wait(10), process.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    process.terminate()


@pytest.mark.parametrize(
    "module", ["import random, uuid; print(random.random(), uuid.uuid4())"], indirect=True
)
def test_no_two_draw_the_same_numbers(module: str, tmp_path: Path) -> None:
    drawn = {forked(module, tmp_path, b"", environment())[1] for _ in range(2)}
    assert len(drawn) == 2


def test_variables_that_python_reads_at_its_start_have_a_server_of_their_own() -> None:
    assert server(environment()) is server(environment(REDIS_URL="x"))
    assert server(environment()) is server(environment(LANG="C.UTF-8"))
    assert server(environment()) is not server(environment(TZ="Asia/Manila"))


#: Prints the variables that our modules read while the server imports them, and how many threads there are then.
WATCH = """
import os, sys, threading
from importlib import import_module
from tests.support.cli_process import start_program
from tests.support.fork_server import LIBRARIES, OWN

def is_ours(frame):
    while frame := frame.f_back:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("schemas", "tasks", "worker"):
            return True

class Watched(type(os.environ)):
    def __getitem__(self, key):
        if is_ours(sys._getframe()):
            read.add(key)
        return super().__getitem__(key)

read = set()
for name in LIBRARIES:
    import_module(name)
os.environ.__class__ = Watched
for name in OWN:
    import_module(name)
print(*sorted(read), threading.active_count())
"""


def test_what_the_server_imports_of_ours_depends_on_no_process() -> None:
    """Neither the environment nor a thread of the server is in a command."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        cwd=ROOT, env=environment(HOME="/"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *read, threads = done.stdout.split()
    # For each set of what Python reads at its start there is a server.
    assert {name for name in read if not name.startswith(_READ_AT_START)} <= READ_BY_OURS
    assert threads == "1"


def test_a_command_with_a_variable_that_those_read_is_refused() -> None:
    env = environment(SSLKEYLOGFILE="/nowhere")
    with pytest.raises(ValueError, match="SSLKEYLOGFILE"):
        server(env).run("worker.cli", [], environment=env, cwd="/")


@pytest.mark.parametrize(
    "module", ["import sys; print(sys.stdin.read().upper()); sys.exit(3)"], indirect=True
)
def test_a_command_that_ends_is_run_with_its_input_and_output(module: str, tmp_path: Path) -> None:
    env = environment()
    done = server(env).run(module, [], environment=env, cwd=str(tmp_path), stdin=b"x")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"X\n", b"")


@pytest.mark.parametrize("module", ["import time; time.sleep(60)"], indirect=True)
def test_a_command_that_does_not_end_is_killed(module: str, tmp_path: Path) -> None:
    env = environment()
    with pytest.raises(subprocess.TimeoutExpired):
        server(env).run(module, [], environment=env, cwd=str(tmp_path), timeout_s=0.2)


def test_a_command_that_is_stuck_does_not_keep_its_test() -> None:
    """Its output is still being read then."""
    with (
        pytest.raises(subprocess.TimeoutExpired),
        start_program("import time; time.sleep(600)") as stuck,
    ):
        stuck.communicate(timeout=0.2)


def test_a_signal_that_is_not_seen_is_sent_again() -> None:
    """As one that comes just before Python reads from a terminal."""
    program = """
import signal, time
calls = []
signal.signal(signal.SIGINT, lambda *_: calls.append(1))
print("ready", flush=True)
while len(calls) < 2:
    time.sleep(0.01)
"""
    with start_program(program) as deaf:
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == "ready\n"
        assert deaf.interrupt(signal.SIGINT) == 0
