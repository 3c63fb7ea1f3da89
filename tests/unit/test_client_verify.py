"""`worker.client.verify` with headers. The acceptance tests of signed decisions have real messages."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any, Final

import pytest

from tests.support.paths import ROOT
from worker import signatures
from worker.client import verify
from worker.errors import InvalidInput, SignatureRefused
from worker.signatures import Signer, task_body

KEY: Final = signatures.new_private_key()
PUBLIC: Final = signatures.format_public_key(KEY.public_key())
DECISION: Final[dict[str, Any]] = {"id": "d-1", "decision": "approve", "context": {"n": 1.5}}
TASK: Final = "onboarding.approve"


def headers(at: float | None = None) -> dict[str, str]:
    return Signer(private_keys=[KEY]).headers("d-1", int(at or time.time()), task_body(TASK, DECISION))


def test_headers_with_the_name_of_the_task() -> None:
    assert verify(headers(), DECISION, keys=PUBLIC, name=TASK) == "d-1"
    other = signatures.format_public_key(signatures.new_private_key().public_key())
    assert verify(headers(), DECISION, keys=[other, PUBLIC], name=TASK) == "d-1"
    with pytest.raises(SignatureRefused) as caught:
        verify(headers(), DECISION, keys=PUBLIC, name="onboarding.reject")
    assert caught.value.reason == "WRONG_SIGNATURE"


def test_the_age_of_a_decision() -> None:
    month_s = 30 * 86_400
    assert verify(headers(time.time() - month_s + 60), DECISION, keys=PUBLIC, name=TASK) == "d-1"
    for at, max_age_s in ((time.time() - month_s - 60, month_s), (time.time() - 60, 30)):
        with pytest.raises(SignatureRefused) as caught:
            verify(headers(at), DECISION, keys=PUBLIC, name=TASK, max_age_s=max_age_s)
        assert caught.value.reason == "STALE_TIMESTAMP"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": None}, "name: give the name of the task, because headers do not have it"),
        ({"keys": "sesame"}, "keys or decision: a public key begins with whpk_"),
        ({"keys": []}, "keys or decision: give 1 to 8"),
        ({"decision": {"n": float("nan")}}, "keys or decision: Out of range float"),
        ({"decision": {"n": object()}}, "keys or decision: Object of type object"),
    ],
)
def test_wrong_input(change: dict[str, Any], fault: str) -> None:
    arguments: dict[str, Any] = {"decision": DECISION, "keys": PUBLIC, "name": TASK} | change
    with pytest.raises(InvalidInput, match=fault):
        verify(headers(), arguments.pop("decision"), **arguments)


def test_without_cryptography_the_error_says_what_to_install() -> None:
    program = f"""
import sys
sys.modules["cryptography"] = None
from worker.client import verify
from worker.errors import ConfigError
try:
    verify({{}}, {{}}, keys={PUBLIC!r}, name="onboarding.approve")
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "ed25519 needs the package cryptography: pip install 'cryptography>=46,<51'\n"
