"""The environment, read and refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from worker.enqueue_request import REGIONS
from worker.errors import ConfigError
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("empty_environment")


def test_without_an_environment_the_defaults_of_the_interface_hold() -> None:
    settings = Settings.from_env()
    assert settings == Settings()
    assert (settings.poll_first_s, settings.poll_factor, settings.poll_cap_s, settings.poll_deadline_s) == (
        2.0,
        1.35,
        600.0,
        7200.0,
    )
    assert (settings.batch, settings.lease_s, settings.rate) == (64, 20.0, None)
    assert settings.regions == REGIONS


def test_a_variable_that_is_empty_is_as_good_as_none_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `.env` files and compose have them: none of them opens an address, lifts a limit or ends a wait."""
    example = (ROOT / ".env.example").read_text()
    names = {*re.findall(r"^(?:# ?)?([A-Z][A-Z_]+)=", example, re.MULTILINE), "PORT", "SENTRY_DSN"}
    assert {"EKYC_WEB_BIND", "EKYC_POLL_DEADLINE", "EKYC_RATE", "REDIS_URL", "ADVANCE_SECRET_KEY"} <= names
    for name in sorted(names):
        with monkeypatch.context() as alone:
            alone.setenv(name, "")
            try:
                assert Settings.from_env() == Settings(), name
            except ConfigError as error:
                assert str(error).startswith(f"{name}: ")  # noqa: PT017 - some are refused, others are not


def test_the_ledgers_redis_is_the_brokers_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://r/1")
    assert Settings.from_env().broker_url == "redis://r/1"
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://b")
    assert Settings.from_env().broker_url == "amqp://b"


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame\n")
    monkeypatch.setenv("ADVANCE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert Settings.from_env().secret_key == "sesame"
    monkeypatch.setenv("ADVANCE_SECRET_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="ADVANCE_SECRET_KEY_FILE"):
        Settings.from_env()


def test_evidence_may_lie_below_the_folder_in_which_a_process_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, meant in {
        "file:var/my evidence": (tmp_path / "var/my evidence").as_uri(),
        "file:///var/lib/ekyc": "file:///var/lib/ekyc",
        "s3://bucket/ekyc": "s3://bucket/ekyc",
    }.items():
        monkeypatch.setenv("EKYC_EVIDENCE_URL", given)
        assert Settings.from_env().evidence_url == meant


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVANCE_SECRET_KEY", "sesame")
    monkeypatch.setenv("ADVANCE_ACCESS_KEY", "sesame")
    monkeypatch.setenv("REDIS_URL", "redis://:sesame@r/1")
    assert "sesame" not in repr(Settings.from_env())


def test_regions_take_aliases_and_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVANCE_REGIONS", "PH, id,global")
    assert Settings.from_env().regions == ("ph", "global")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADVANCE_REGIONS", "ph,xx"),
        ("ADVANCE_BASE_URL", "localhost:80"),
        ("ADVANCE_BASE_URL", "http://host/path"),
        ("ADVANCE_BASE_URL", "http://user:sesame@host"),
        ("EKYC_IMAGE_ORIGINS", "https://ok.example,images.example"),
        ("EKYC_EVIDENCE_URL", "/var/lib"),
        ("EKYC_POLL_FIRST", "soon"),
        ("EKYC_POLL_FIRST", "0"),
        ("EKYC_POLL_FACTOR", "0.5"),
        ("EKYC_POLL_FACTOR", "1e9"),
        ("EKYC_RATE", "-1"),
        ("EKYC_BATCH", "0"),
        ("EKYC_BATCH", "1.5"),
        ("EKYC_LEASE", "nan"),
        ("EKYC_LEASE", "0"),
        ("EKYC_START_WAIT", "-1"),
    ],
)
def test_a_bad_value_is_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKYC_BATCH", "many")
    monkeypatch.setenv("EKYC_RATE", "0")
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {"EKYC_BATCH", "EKYC_RATE"}


def test_what_a_worker_cannot_do_without_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"ADVANCE_ACCESS_KEY is not set.*\nADVANCE_SECRET_KEY is not set"):
        Settings().require_vendor()
    with pytest.raises(ConfigError, match="EKYC_EVIDENCE_URL is not set"):
        Settings().require_evidence()


@pytest.mark.parametrize(
    ("given", "port", "listens"),
    [
        (None, None, "127.0.0.1:8000"),
        ("", None, "127.0.0.1:8000"),
        ("", "5000", "127.0.0.1:5000"),
        (None, "5000", "127.0.0.1:5000"),
        ("0.0.0.0", "5000", "0.0.0.0:5000"),
        ("[::1]", None, "[::1]:8000"),
        ("0.0.0.0:80", "5000", "0.0.0.0:80"),
        ("[::]:80", "5000", "[::]:80"),
        ("unix:/run/ekyc.sock", "5000", "unix:/run/ekyc.sock"),
    ],
)
def test_web_listens_on_the_loopback_unless_told_otherwise(
    given: str | None, port: str | None, listens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform that gives a port has said nothing of who may reach it."""
    for name, value in {"EKYC_WEB_BIND": given, "PORT": port}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    assert Settings.from_env().web_bind == listens


@pytest.mark.parametrize(
    "given", ["http://127.0.0.1:80", "127.0.0.1:", "127.0.0.1:0", "a b", "/run/ekyc.sock"]
)
def test_an_address_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKYC_WEB_BIND", given)
    with pytest.raises(ConfigError, match="EKYC_WEB_BIND: give host:port"):
        Settings.from_env()
