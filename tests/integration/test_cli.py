"""`ekyc` as a whole: how it lists its commands, and how it says that something is wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from worker.cli.commands import BUILT_IN

if TYPE_CHECKING:
    from tests.support.cli_process import Ekyc


@pytest.fixture
def ekyc(ekyc: Ekyc) -> Ekyc:
    return ekyc.with_env(ADVANCE_REGIONS="ph")


def installed(folder: Path, entry_points: dict[str, str]) -> Path:
    """A package with commands for `ekyc`, as pip would leave it in `folder`."""
    info = folder / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\nSummary: Says hello.\n")
    lines = [f"{name} = {place}" for name, place in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[ekyc.commands]", *lines, ""]))
    return folder


def test_help_lists_every_command_with_a_line_about_it(ekyc: Ekyc) -> None:
    ended = ekyc("--help")

    assert ended.code == 0
    listed = [line.split(maxsplit=1) for line in ended.out.partition("Commands:\n")[2].splitlines()]
    assert [name for name, *_ in listed] == [*BUILT_IN, "demo", "sandbox"]
    assert all(about and not about[0].endswith("...") for name, *about in listed if name in BUILT_IN)


def test_help_imports_nothing_that_takes_long() -> None:
    """Whoever only wants to know how a command is called does not wait for Celery, Redis or buckets."""
    program = (
        "import sys; from worker.cli.program import run; run(['--help']); "
        "print([name for name in ('celery', 'kombu', 'redis', 'requests', 'obstore', 'rich', 'marshmallow') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr == "[]\n"


def test_the_version_is_that_of_the_package(ekyc: Ekyc) -> None:
    ended = ekyc("--version")
    assert (ended.code, ended.out) == (0, "ekyc 0.1.0\n")


def test_without_a_command_the_help_is_shown_and_the_status_says_that_something_was_missing(
    ekyc: Ekyc,
) -> None:
    ended = ekyc()
    assert ended.code == 2
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["enrol"], "ekyc: No such command 'enrol'; see `ekyc --help`"),
        (["stats", "--jason"], "ekyc: No such option '--jason'"),
        (["watch", "--interval", "soon"], "ekyc: Invalid value for '--interval'"),
        (
            ["stats", "--region", "mars"],
            "ekyc: Invalid value for '--region': unknown region, use one of sg, ph,",
        ),
        (["status"], "ekyc: Missing argument 'ID'; see `ekyc status --help`"),
    ],
)
def test_what_cannot_be_understood_is_one_line_and_status_2(
    ekyc: Ekyc, arguments: list[str], line: str
) -> None:
    ended = ekyc(*arguments)
    assert ended.code == 2
    assert len(ended.err_lines) == 1
    assert ended.err.startswith(line.partition(":")[0])
    assert line.removeprefix("ekyc: ").replace("'", "") in ended.err.replace("'", "").replace(": --", " --")


def test_a_command_of_another_package_is_listed_without_being_imported_and_run_by_name(
    ekyc: Ekyc, tmp_path: Path
) -> None:
    place = installed(tmp_path, {"greet": "guest:greet"})
    (place / "guest.py").write_text(
        "import click\nprint('imported')\n@click.command\ndef greet():\n"
        '    """Say hello. And more."""\n    click.echo(\'hello\')\n'
    )
    guest = ekyc.with_env(PYTHONPATH=str(place))

    listing = guest("--help")
    assert "imported" not in listing.out
    assert ["greet", "Says", "hello."] in [line.split() for line in listing.out.splitlines()]
    assert guest("greet").out == "imported\nhello\n"


@pytest.mark.parametrize("source", [None, "import nowhere_to_be_found\n"], ids=["module", "dependency"])
def test_a_command_whose_dependency_is_missing_says_so_in_one_line_and_only_when_it_is_run(
    ekyc: Ekyc, tmp_path: Path, source: str | None
) -> None:
    place = installed(tmp_path, {"greet": "guest:greet"})
    if source is not None:
        (place / "guest.py").write_text(source)
    guest = ekyc.with_env(PYTHONPATH=str(place))

    assert "greet" in guest("--help").out
    assert guest("stats").code == 0
    ended = guest("greet", "--loud", "x")
    assert (ended.code, len(ended.err_lines)) == (1, 1)
    assert f"this needs {'nowhere_to_be_found' if source else 'guest'}, which cannot be imported" in ended.err


def test_a_command_of_another_package_cannot_take_the_place_of_ours(ekyc: Ekyc, tmp_path: Path) -> None:
    place = installed(tmp_path, {"stats": "guest:stats"})
    assert ekyc.with_env(PYTHONPATH=str(place))("stats").code == 0


def test_each_setting_that_cannot_be_used_is_a_line(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(EKYC_RATE="fast", ADVANCE_REGIONS="mars", EKYC_EVIDENCE_URL="ftp://x")("stats")
    assert ended.code == 2
    assert sorted(line.split(": ")[1] for line in ended.err_lines) == [
        "ADVANCE_REGIONS",
        "EKYC_EVIDENCE_URL",
        "EKYC_RATE",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats"],
        ["stats", "--json"],
        ["status", "some-id"],
        ["enqueue", "some-id"],
        ["watch", "--count", "1"],
        ["quarantine", "list", "--json"],
    ],
)
def test_a_redis_that_is_down_is_one_line_and_status_1_and_its_password_stays_secret(
    ekyc: Ekyc, arguments: list[str]
) -> None:
    url = f"redis://user:hush-hush@127.0.0.1:{free_port()}/0"
    ended = ekyc.with_env(REDIS_URL=url)(*arguments)
    said = ended.out + ended.err
    assert ended.code == 1
    assert len(said.splitlines()) == 1
    assert "Redis does not answer" in said
    assert "REDIS_URL" in said
    assert "hush-hush" not in said


def test_a_redis_url_that_is_none_is_one_line_without_the_url(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(REDIS_URL="http://:hush-hush@host")("stats")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert "REDIS_URL" in ended.err
    assert "hush-hush" not in ended.err


def test_a_reader_that_has_seen_enough_is_no_fault(ekyc: Ekyc) -> None:
    command = f"{shlex.quote(sys.executable)} -m worker.cli watch --interval 0.1 | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], env=ekyc.env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "waiting=0" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_that_is_full_is_one_line(ekyc: Ekyc) -> None:
    with Path("/dev/full").open("w") as full, ekyc.start("stats", "--json", stdout=full) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "ekyc: No space left on device\n"
