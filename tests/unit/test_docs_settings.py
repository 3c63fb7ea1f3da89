"""The table of settings in the reference and `.env.example` are those that the code reads, with their defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

import pytest
from tornado.options import options

from sandbox.cli import sandbox
from sandbox.tokens import ACCESS_KEY, SECRET_KEY
from tests.support.docs_pages import codes, page
from tests.support.paths import ROOT
from tests.unit.flower_defaults import flower_defaults
from worker.messaging.celery_app import CONCURRENCY
from worker.settings import Settings

pytestmark = pytest.mark.usefixtures("empty_environment")

#: Read by Celery, gunicorn, Flower and OpenTelemetry, not by us.
_THEIRS: Final = ("CELERY_WORKER_", "WEB_CONCURRENCY", "FLOWER_", "OTEL_")

_SOURCE: Final = (ROOT / "worker" / "settings.py").read_text()
_READ: Final = set(re.findall(r'env\.\w+\(\s*"(\w+)"', _SOURCE))

#: The field that a variable sets, where it can be told by its name.
_FIELDS: Final = {
    "EKYC_QUEUE": "queue",
    "EKYC_POLL_FIRST": "poll_first_s",
    "EKYC_POLL_FACTOR": "poll_factor",
    "EKYC_POLL_CAP": "poll_cap_s",
    "EKYC_POLL_DEADLINE": "poll_deadline_s",
    "EKYC_BATCH": "batch",
    "EKYC_LEASE": "lease_s",
    "EKYC_RETENTION": "retention_s",
    "EKYC_START_WAIT": "start_wait_s",
    "EKYC_WEB_BIND": "web_bind",
    "EKYC_CONSOLE_PROXY_HEADER": "console_proxy_header",
    "REDIS_URL": "redis_url",
}


def example(*, defaults: bool) -> dict[str, str]:
    """The variables of `.env.example`; with `defaults`, those behind a # as well."""
    prefix = "(?:# )?" if defaults else ""
    return dict(re.findall(rf"^{prefix}([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def documented() -> dict[str, str]:
    """What the reference says is the default of each variable."""
    return {codes(row[0])[0]: row[1] for row in page("docs/reference/settings.md").rows("variable | default")}


def test_the_source_is_read_as_it_is_written() -> None:
    """Should somebody write `from_env` otherwise, the tests below would compare nothing."""
    # PORT is the one that has no field of its own.
    assert len(_READ - {"PORT"}) == len(fields(Settings))


def test_the_reference_has_every_variable_and_no_other() -> None:
    assert documented().keys() == _READ


def test_the_example_has_every_variable_and_no_other() -> None:
    ours = {name for name in example(defaults=True) if not name.startswith(_THEIRS)}
    assert ours == _READ


def test_every_default_in_the_reference_is_the_codes() -> None:
    stated = {name: codes(cell)[0] for name, cell in documented().items() if codes(cell)}
    assert stated.pop("CELERY_BROKER_URL") == "REDIS_URL"
    assert stated.keys() == _FIELDS.keys()
    for name, text in stated.items():
        default = getattr(Settings(), _FIELDS[name])
        assert type(default)(text) == default, name


def test_celerys_own_variables_have_the_defaults_that_are_stated() -> None:
    assert example(defaults=True)["CELERY_WORKER_CONCURRENCY"] == str(CONCURRENCY)
    assert f"`CELERY_WORKER_CONCURRENCY` (default `{CONCURRENCY}` batches" in page("docs/settings.md").text


def test_the_example_is_for_a_worker_beside_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example(defaults=False).items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    settings.require_vendor()
    settings.require_evidence()
    assert (settings.access_key, settings.secret_key) == (ACCESS_KEY, SECRET_KEY)
    port = next(parameter.default for parameter in sandbox.params if parameter.name == "port")
    assert settings.image_origins == (settings.base_url,) == (f"http://127.0.0.1:{port}",)


def test_what_stands_behind_a_hash_can_be_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example(defaults=True).items():
        monkeypatch.setenv(name, value)
    used = Settings.from_env()
    for name in _FIELDS:
        assert getattr(used, _FIELDS[name]) == getattr(Settings(), _FIELDS[name]), name


def test_the_page_on_flower_has_every_default_of_ours_and_says_what_flowers_own_is() -> None:
    """`options` still holds what Flower itself defines: nothing has been configured here."""
    rows = {codes(row[0])[0]: row for row in page("docs/flower.md").rows("variable | here")}
    for name, default in flower_defaults().items():
        _, here, theirs, _ = rows.pop(f"FLOWER_{name.upper()}")
        assert codes(here) == [_as_variable(default)], name
        if theirs.startswith("`"):
            assert codes(theirs) == [_as_variable(options[name])], name
    assert rows.keys() == {"FLOWER_BASIC_AUTH", "FLOWER_PORT"}
    assert codes(rows["FLOWER_PORT"][2]) == [_as_variable(options["port"])]


def test_the_examples_defaults_of_flower_are_ours() -> None:
    stated = example(defaults=True)
    unset = {name for name in stated if name.startswith("FLOWER_")} - example(defaults=False).keys()
    assert unset == {"FLOWER_ADDRESS", "FLOWER_READ_ONLY", "FLOWER_DB", "FLOWER_MAX_TASKS"}
    for name in unset:
        assert stated[name] == _as_variable(flower_defaults()[name.removeprefix("FLOWER_").lower()]), name


def _as_variable(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
