"""The log by hand: the commands of the documentation, without our code."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.docs_pages import page
from tests.support.logged_evidence import PUBLIC, REGION, LoggedEvidence, names
from tests.support.timestamp_authority import TimestampAuthority
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.timestamps import Authority, stamp_day

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

SIGNATURE, TIMESTAMP = re.findall(r"```sh\n(.*?)```", page("docs/evidence-log.md").text, re.DOTALL)


@pytest.fixture
def world(redis: redis_py.Redis, tmp_path: Path) -> LoggedEvidence:
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    made.end(*names(3), images=False)
    made.sequencer().turn()
    return made


def run(script: str, world: LoggedEvidence, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=world.folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_openssl_verifies_the_signature_of_a_checkpoint(world: LoggedEvidence) -> None:
    (regional,) = LogKeys.parse(PUBLIC).verifiers(REGION)
    for key in (PUBLIC, str(regional)):
        ended = run(SIGNATURE, world, KEY=key)
        assert ended.returncode == 0, ended.stderr
        assert "Verified Successfully" in ended.stdout
    checkpoint = world.folder / "checkpoint"
    checkpoint.write_text(checkpoint.read_text().replace("\n3\n", "\n2\n"))
    assert run(SIGNATURE, world, KEY=PUBLIC).returncode != 0


def test_openssl_verifies_the_timestamp_of_a_day(world: LoggedEvidence, tmp_path: Path) -> None:
    folder = tmp_path / "tsa"
    folder.mkdir()
    with TimestampAuthority(folder).running() as tsa:
        assert stamp_day(world.log, Authority(tsa.url), datetime(2026, 12, 1, tzinfo=UTC)) == "2026-11-30"
    script = TIMESTAMP.replace("authority.pem", str(folder / "ca.pem"))
    ended = run(script, world)
    assert (ended.returncode, "Verification: OK" in ended.stdout + ended.stderr) == (0, True)
