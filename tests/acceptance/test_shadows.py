"""In a folder with a module named as one of ours, every command of ours ends with 2 and names both files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: Commands by `python -m`, which searches the working directory first, as Celery does by itself.
COMMANDS = {
    "worker": ("celery", "-A", "worker", "worker"),
    "flower": ("celery", "-A", "worker", "flower"),
    "ekyc": ("worker.cli", "stats"),
    "web": ("gunicorn", "-c", "python:worker.web.gunicorn_conf"),
}


def run(fleet: Fleet, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """As an installed command runs: our packages come after the working directory."""
    fleet.cwd = folder
    return fleet.run(*command, PYTHONPATH=str(ROOT), FLOWER_BASIC_AUTH="ops:secret", EKYC_START_WAIT="1")


def run_script(fleet: Fleet, folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A console script, which has another first folder than `python -m`."""
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        check=False,
        cwd=folder,
        env=fleet.environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        *(("worker", each) for each in ("tasks.py", "schemas.py", "sandbox/__init__.py")),
        ("flower", "schemas.py"),
        ("ekyc", "sandbox/__init__.py"),
        ("web", "tasks.py"),
    ],
)
def test_a_module_of_the_users_that_shadows_ours_is_refused(fleet: Fleet, name: str, theirs: str) -> None:
    """Each module by a worker, and each command with one of them: all commands ask the same function."""
    folder = fleet.folder / "theirs"
    file = folder / theirs
    file.parent.mkdir(parents=True)
    file.touch()
    ended = run(fleet, folder, *COMMANDS[name])
    assert ended.returncode == 2, ended.stderr
    ours = theirs.partition("/")[0].removesuffix(".py")
    line = f"ekyc: {file} shadows {ROOT / ours / '__init__.py'}: "
    assert [each for each in ended.stderr.splitlines() if each.startswith(line)], ended.stderr
    assert "Traceback" not in ended.stderr


def test_celery_as_installed_refuses_them_too(fleet: Fleet) -> None:
    """The console script has another first folder than `python -m`; Celery imports tasks from the working directory."""
    folder = fleet.folder / "theirs"
    folder.mkdir()
    (folder / "tasks.py").touch()
    ended = run_script(fleet, folder, "celery", "-A", "worker", "worker")
    assert ended.returncode == 2, ended.stderr
    assert f"ekyc: {folder / 'tasks.py'} shadows {ROOT / 'tasks/__init__.py'}: " in ended.stderr


def test_doctor_as_installed_warns_of_them(fleet: Fleet) -> None:
    folder = fleet.folder / "theirs"
    folder.mkdir()
    (folder / "tasks.py").touch()
    ended = run_script(fleet, folder, "ekyc", "doctor")
    assert f"{folder / 'tasks.py'} shadows {ROOT / 'tasks/__init__.py'}\n" in ended.stdout, ended.stderr


def test_a_worker_without_our_tasks_does_not_start(fleet: Fleet) -> None:
    """Whatever the reason: here an application of the user's that includes others."""
    folder = fleet.folder / "theirs"
    folder.mkdir()
    (folder / "mine.py").write_text("from worker.runtime.app import app\napp.conf.imports = ()\n")
    ended = run(fleet, folder, "celery", "-A", "mine", "worker")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("ekyc: Celery has no task tasks.archive_images, ")


def test_modules_of_other_names_and_folders_without_init_are_no_shadows(fleet: Fleet) -> None:
    folder = fleet.folder / "theirs"
    (folder / "tasks").mkdir(parents=True)
    for name in ("models.py", "config.py", "app.py"):
        (folder / name).touch()
    assert run(fleet, folder, *COMMANDS["ekyc"]).returncode == 0
