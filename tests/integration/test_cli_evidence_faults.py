"""Decisions that wait for the evidence store show in `ekyc stats` and `ekyc doctor`, wherever the command runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.ledger import Ledger


@pytest.mark.parametrize(
    ("cause", "said", "on_stats"),
    [
        ("EVIDENCE_UNAVAILABLE", "could not use the evidence store: decisions wait", True),
        ("EVIDENCE_KEY_UNKNOWN", "met evidence under a key that they do not have", False),
    ],
)
def test_what_workers_could_not_do_lately_is_a_warning(  # noqa: PLR0917 - what is said
    ekyc: Ekyc, ledger: Ledger, redis: Redis, tmp_path: Path, cause: str, said: str, on_stats: bool
) -> None:
    # The store of this machine is all right.
    ekyc = ekyc.with_env(EKYC_EVIDENCE_URL=tmp_path.as_uri())
    ledger.enqueue([EnqueueRequest("a", "ph")])
    ledger.claim("ph", limit=1)
    warned = [each for each in checks(ekyc) if each["check"] == "evidence of workers"]
    assert warned == []
    redis.hincrby("ekyc:{ph}:counts", f"fault:{cause}", 3)
    (warning,) = [each for each in checks(ekyc) if each["check"] == "evidence of workers"]
    assert (warning["level"], said in warning["said"]) == ("warning", True)
    assert warning["said"].startswith("ph: 3 times in the last ")
    assert ("workers could not use the evidence store 3 times" in ekyc("stats").out) is on_stats


def checks(ekyc: Ekyc) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(ekyc("doctor", "--json").out)["checks"]
    return found
