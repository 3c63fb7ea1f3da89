"""The systemd units: understood by systemd, hardened alike, and true to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.sources import DEPLOY, PROCFILE, UNITS, is_read, unit
from worker.errors import ConfigError
from worker.process import CORE_LIMIT

each_unit = pytest.mark.parametrize("process", UNITS)

#: `systemd-analyze security`: 0 is a service that can do nothing, 10 one that may do all; in tenths of a point.
EXPOSURE: Final = 15

#: The first that knows `%d` and `security --offline`.
VERSION: Final = 250


def version() -> int:
    """Of the systemd that is installed; 0: there is none."""
    if shutil.which("systemd-analyze") is None:
        return 0
    shown = subprocess.run(["systemd-analyze", "--version"], check=True, capture_output=True, text=True)
    return int(shown.stdout.split()[1])


needs_systemd = pytest.mark.skipif(
    version() < VERSION, reason=f"systemd-analyze of version {VERSION} or newer is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


@needs_systemd
@each_unit
def test_systemd_understands_it(process: str, tmp_path: Path) -> None:
    """Every line: a name that systemd does not know is a complaint. Its programs are those of this environment."""
    text = (DEPLOY / "systemd" / UNITS[process]).read_text()
    installed = tmp_path / UNITS[process].replace("@", "@1")
    installed.write_text(text.replace("/opt/ekyc/bin", str(Path(sys.executable).parent)))
    ran = analyze("verify", "--man=no", str(installed))
    assert (ran.returncode, ran.stderr) == (0, "")


@needs_systemd
@each_unit
def test_it_may_do_little(process: str) -> None:
    unit_file = str(DEPLOY / "systemd" / UNITS[process])
    ran = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit_file)
    assert ran.returncode == 0, ran.stdout


@each_unit
def test_it_runs_what_the_procfile_says_with_variables_that_are_read(process: str) -> None:
    lines = unit(UNITS[process])
    program, *arguments = lines["ExecStart"][0].split()
    wanted = PROCFILE[process]
    assert (program, tuple(arguments[: len(wanted) - 1])) == (f"/opt/ekyc/bin/{wanted[0]}", wanted[1:])
    assert all(is_read(text.partition("=")[0]) for text in lines["Environment"])


@each_unit
def test_secrets_are_credentials(process: str) -> None:
    lines = unit(UNITS[process])
    given = {name for name, _, _ in (text.partition(":") for text in lines["LoadCredential"])}
    read = {found for text in lines["Environment"] for found in re.findall(r"_FILE=%d/(\w+)", text)}
    assert given == read
    assert ("advance_secret_key" in given) == (process == "worker")


@each_unit
def test_it_is_started_again_unless_a_person_has_to_mend_its_settings(process: str) -> None:
    lines = unit(UNITS[process])
    assert lines["Restart"] == ["always"]
    assert lines["StartLimitIntervalSec"] == ["0"]
    assert lines["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
    assert (lines["KillMode"], lines["KillSignal"]) == (["mixed"], ["SIGTERM"])


def test_what_a_person_types_has_what_a_worker_has() -> None:
    """`as-worker`: the same settings, secrets, user and programs."""
    lines = unit(UNITS["worker"])
    optional = [unit(f"{name}.conf") for name in ("broker", "signing", "encryption", "log")]
    script = (DEPLOY / "systemd" / "as-worker").read_text()
    for name in ("User", "Group", "WorkingDirectory", "EnvironmentFile", "LoadCredential"):
        assert sorted(re.findall(rf"--property={name}=(\S+)", script)) == sorted(
            [*lines[name], *(value for each in optional for value in each.get(name, []))]
        )
    given = dict(re.findall(r'--setenv=(\w+)="/run/credentials/\$unit\.service/(\w+)"', script))
    named = dict(
        re.findall(
            r"^(\w+_FILE)=%d/(\w+)",
            "\n".join(text for each in (lines, *optional) for text in each["Environment"]),
            re.MULTILINE,
        )
    )
    assert given == named
    assert '-- "/opt/ekyc/bin/$command" "$@"' in script


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("broker.conf", "broker_url"),
        ("signing.conf", "signing_key"),
        ("encryption.conf", "evidence_keys"),
        ("log.conf", "log_key"),
    ],
)
def test_an_optional_secret_is_a_credential_that_is_read(file: str, name: str) -> None:
    lines = unit(file)
    assert lines["LoadCredential"] == [f"{name}:/etc/ekyc/credentials/{name}"]
    (variable,) = lines["Environment"]
    assert variable.endswith(f"=%d/{name}")
    assert is_read(variable.partition("=")[0])


def test_without_a_command_it_says_what_to_type() -> None:
    ran = subprocess.run(
        ["sh", DEPLOY / "systemd" / "as-worker"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "as-worker: give a command to run, such as: sudo as-worker ekyc stats\n"


def test_all_are_hardened_alike() -> None:
    hardened = {
        process: (DEPLOY / "systemd" / name).read_text().partition("CapabilityBoundingSet=")[2]
        for process, name in UNITS.items()
    }
    assert len(set(hardened.values())) == 1
    for option in ("NoNewPrivileges", "ProtectSystem", "MemoryDenyWriteExecute", "SystemCallFilter"):
        assert f"\n{option}=" in hardened["worker"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_its_user_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "systemd" / "ekyc.sysusers")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert "ekyc:x:" in (tmp_path / "etc" / "passwd").read_text()
    assert {user for name in UNITS.values() for user in unit(name)["User"]} == {"ekyc"}


@each_unit
def test_it_leaves_no_core_dump(process: str) -> None:
    assert unit(UNITS[process])["LimitCORE"] == [str(CORE_LIMIT)]
