"""The settings of S3: encryption and Object Lock."""

from __future__ import annotations

import pytest

from worker.errors import ConfigError
from worker.keyring import format_key, new_key
from worker.settings import Settings

pytestmark = pytest.mark.usefixtures("empty_environment")


def faults() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    return str(caught.value).splitlines()


def test_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_SSE", "aws:kms")
    monkeypatch.setenv("EKYC_EVIDENCE_SSE_KEY", "alias/ekyc")
    monkeypatch.setenv("EKYC_EVIDENCE_LOCK", "COMPLIANCE")
    monkeypatch.setenv("EKYC_EVIDENCE_LOCK_DAYS", "1827")
    settings = Settings.from_env()
    assert (settings.evidence_sse, settings.evidence_sse_key) == ("aws:kms", "alias/ekyc")
    assert (settings.evidence_lock, settings.evidence_lock_days) == ("COMPLIANCE", 1827)


@pytest.mark.parametrize(
    ("keys_url", "is_fault"),
    [
        ("", True),
        ("s3://locked/keys", True),
        ("s3://keys/ekyc", False),
        ("az://keys/ekyc", False),
        ("file:///var/lib/keys", False),
    ],
)
def test_keys_are_not_kept_in_a_locked_bucket(
    monkeypatch: pytest.MonkeyPatch, keys_url: str, *, is_fault: bool
) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_URL", "s3://locked/ekyc")
    monkeypatch.setenv("EKYC_EVIDENCE_LOCK", "COMPLIANCE")
    monkeypatch.setenv("EKYC_EVIDENCE_LOCK_DAYS", "1827")
    assert Settings.from_env().evidence_lock == "COMPLIANCE"
    monkeypatch.setenv("EKYC_EVIDENCE_KEYS", format_key(new_key("first")))
    monkeypatch.setenv("EKYC_EVIDENCE_KEYS_URL", keys_url)
    if is_fault:
        (fault,) = faults()
        assert fault.startswith("EKYC_EVIDENCE_LOCK: set EKYC_EVIDENCE_KEYS_URL to another bucket")
    else:
        assert Settings.from_env().evidence_keys_url == keys_url


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"EKYC_EVIDENCE_SSE": "kms"}, "EKYC_EVIDENCE_SSE: give one of aws:kms, aws:kms:dsse, AES256"),
        ({"EKYC_EVIDENCE_SSE_KEY": "x"}, "EKYC_EVIDENCE_SSE_KEY: set EKYC_EVIDENCE_SSE=aws:kms, too"),
        (
            {"EKYC_EVIDENCE_SSE": "AES256", "EKYC_EVIDENCE_SSE_KEY": "x"},
            "EKYC_EVIDENCE_SSE_KEY: set EKYC_EVIDENCE_SSE=aws:kms, too",
        ),
        (
            {"EKYC_EVIDENCE_LOCK": "GOVERNANCE"},
            "EKYC_EVIDENCE_LOCK and EKYC_EVIDENCE_LOCK_DAYS: set both or none",
        ),
        (
            {"EKYC_EVIDENCE_LOCK_DAYS": "5"},
            "EKYC_EVIDENCE_LOCK and EKYC_EVIDENCE_LOCK_DAYS: set both or none",
        ),
        (
            {"EKYC_EVIDENCE_LOCK": "COMPLIANCE", "EKYC_EVIDENCE_LOCK_DAYS": "0"},
            "EKYC_EVIDENCE_LOCK_DAYS: must be 1 to 36525",
        ),
    ],
)
def test_each_fault_is_one_line(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], fault: str) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert fault in faults()
