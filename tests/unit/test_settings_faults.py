"""Slips in the environment: each is named in one line, before anything is done with the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from worker.errors import ConfigError
from worker.evidence.images import Images
from worker.settings import Settings, unread_names

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("empty_environment")

NUMBERS = (
    "EKYC_POLL_FIRST",
    "EKYC_POLL_FACTOR",
    "EKYC_POLL_CAP",
    "EKYC_POLL_DEADLINE",
    "EKYC_RATE",
    "EKYC_BATCH",
    "EKYC_LEASE",
    "EKYC_RETENTION",
    "EKYC_START_WAIT",
    "PORT",
)


def faults() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_number_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert Settings.from_env() == Settings()


def test_every_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    example = (ROOT / ".env.example").read_text()
    for name in {*re.findall(r"^(?:# ?)?([A-Z][A-Z_]+)=", example, re.MULTILINE), *NUMBERS}:
        monkeypatch.setenv(name, "")
    assert Settings.from_env() == Settings()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("EKYC_POLL_DEADLIN", "EKYC_POLL_DEADLINE"),
        ("EKYC_IMAGE_ORIGIN", "EKYC_IMAGE_ORIGINS"),
        ("EKYC_BATCHES", "EKYC_BATCH"),
        ("EKYC_LEASE_S", "EKYC_LEASE"),
        ("EKYC_QUEUES", "EKYC_QUEUE"),
        ("ADVANCE_REGION", "ADVANCE_REGIONS"),
        ("ADVANCE_ACESS_KEY", "ADVANCE_ACCESS_KEY"),
        ("ADVANCE_SECRETKEY_FILE", "ADVANCE_SECRET_KEY_FILE"),
        ("EKYC_DECISION_FILE", "EKYC_DECISIONS_FILE"),
        ("ekyc_batch", "EKYC_BATCH"),
    ],
)
def test_a_slip_in_a_name_is_refused_with_the_name_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.setenv(given, "sesame")
    (line,) = faults()
    assert line.startswith(f"{given}: ")
    assert meant in line
    assert "sesame" not in line


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("EKYC_CRM_TENANT", None),
        ("ADVANCE_CRM_TENANT", None),
        ("EKYC_POLL_LIMIT", "EKYC_POLL_FIRST"),
    ],
)
def test_a_name_that_is_not_ours_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, given: str, near: str | None
) -> None:
    """The program of another may share the prefix."""
    monkeypatch.setenv(given, "sesame")
    assert Settings.from_env() == Settings()
    (line,) = unread_names()
    assert line.startswith(f"{given} is not a setting")
    assert "sesame" not in line
    assert ("did you mean" in line) == (near is not None)
    assert (near or "") in line


def test_a_variable_beside_its_file_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "queue").write_text("of-the-file\n")
    monkeypatch.setenv("EKYC_QUEUE", "of-the-variable")
    monkeypatch.setenv("EKYC_QUEUE_FILE", str(tmp_path / "queue"))
    assert Settings.from_env().queue == "of-the-file"
    assert unread_names() == ["EKYC_QUEUE is not read, because EKYC_QUEUE_FILE is set, too"]
    monkeypatch.setenv("EKYC_QUEUE", "")
    assert unread_names() == []


def test_what_kubernetes_says_of_its_services_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "EKYC_WEB_SERVICE_HOST",
        "EKYC_WEB_SERVICE_PORT",
        "EKYC_WEB_SERVICE_PORT_HTTP",
        "EKYC_WEB_PORT",
        "EKYC_WEB_PORT_8000_TCP",
        "EKYC_WEB_PORT_8000_TCP_ADDR",
    ):
        monkeypatch.setenv(name, "10.0.0.1")
    assert Settings.from_env() == Settings()
    assert unread_names() == []


def test_settings_themselves_and_their_files_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "one").write_text("1")
    for name in ("EKYC_BATCH_FILE", "EKYC_RATE_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "one"))
    monkeypatch.setenv("EKYC_LEASE", "20")
    assert Settings.from_env().batch == 1
    assert unread_names() == []


@pytest.mark.parametrize(
    "entry",
    [
        "https://*.example.com",
        "https://images.example.com/path",
        "https://images.example.com?x",
        "https://user:sesame@images.example.com",
        "images.example.com",
        "//images.example.com",
        "ftp://images.example.com",
        "https://",
        "https://images.example.com:port",
        "https://images.example.com:99999",
        "https://images.example.com:0",
        "https://images.example.com https://b.example.com",
        "https://images.example.com;https://b.example.com",
        "https://bücher.example",
        "https://a%2eexample",
        "https://[::1",
        "https://[::g]",
        "https://::1",
        "null",
    ],
)
def test_an_origin_that_matches_no_link_is_refused(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("EKYC_IMAGE_ORIGINS", f"https://ok.example,{entry}")
    monkeypatch.setenv("EKYC_RATE", "-1")
    first, second = sorted(faults())
    assert first.startswith("EKYC_IMAGE_ORIGINS: entry 2 matches no link: ")
    assert second.startswith("EKYC_RATE: ")
    assert "sesame" not in first


@pytest.mark.parametrize("given", [",", " , ,"])
def test_a_list_of_no_origins_does_not_allow_every_host(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("EKYC_IMAGE_ORIGINS", given)
    (line,) = faults()
    assert line.startswith("EKYC_IMAGE_ORIGINS: ")


def test_origins_as_people_write_them_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "HTTPS://Images.Example.com, https://b.example:8443/,http://127.0.0.1:9000 , http://[::1]:80,"
    monkeypatch.setenv("EKYC_IMAGE_ORIGINS", given)
    origins = Settings.from_env().image_origins
    assert len(origins) == 4
    assert Images(origins)


@pytest.mark.parametrize("name", ["ADVANCE_BASE_URL", "EKYC_EVIDENCE_URL"])
@pytest.mark.parametrize("value", ["https://[::1", "https://host:port"])
def test_a_url_that_cannot_be_read_is_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    (line,) = faults()
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name",
    ["onboarding", " onboarding ", "onboarding\x06\x163", "a b", "a,b", "ekyc:{ph}:wake", "unacked", "amq.x"],
)
def test_a_queue_that_is_not_for_us_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("EKYC_QUEUE", name)
    (line,) = faults()
    assert line.startswith("EKYC_QUEUE: ")


def test_files_of_secrets_that_cannot_be_read_are_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfesesame")
    monkeypatch.setenv("ADVANCE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("ADVANCE_ACCESS_KEY_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("EKYC_BATCH", "many")
    lines = faults()
    assert {line.partition(":")[0] for line in lines} == {
        "ADVANCE_SECRET_KEY_FILE",
        "ADVANCE_ACCESS_KEY_FILE",
        "EKYC_BATCH",
    }
