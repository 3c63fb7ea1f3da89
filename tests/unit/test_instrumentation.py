"""Traces and error reports are off unless somebody asks for them, and then they cost nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py

from tests.support.paths import ROOT
from worker.errors import ConfigError
from worker.ledger.models import Batch, Stage
from worker.observability import sentry
from worker.observability.otel.spans import trace_id
from worker.observability.setup import set_up, traces_wanted
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

_ALL_THAT_A_WORKER_NEEDS = """
import sys
from worker.runtime.services import services
import tasks
services()
ours = ["worker.observability.otel", "worker.observability.sentry", "sentry_sdk"]
ours += ["opentelemetry.instrumentation", "opentelemetry.exporter"]
print(*(name for name in ours if name in sys.modules))
"""


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


def none_there() -> redis_py.Redis:
    """Connects to nothing unless it is used."""
    return redis_py.Redis(port=1)


def test_what_is_off_is_not_imported(tmp_path: Path) -> None:
    """(redis-py imports the SDK of OpenTelemetry wherever it is installed, whoever asks for traces.)"""
    environment = {
        "ADVANCE_ACCESS_KEY": "k", "ADVANCE_SECRET_KEY": "s", "EKYC_EVIDENCE_URL": tmp_path.as_uri(),
        "OTEL_TRACES_EXPORTER": "none", "SENTRY_DSN": "",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", _ALL_THAT_A_WORKER_NEEDS],
        check=True, cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout.strip() == ""


def test_what_is_off_leaves_the_work_of_a_batch_as_it_is() -> None:
    around = set_up(Settings(), none_there())
    batch = Batch("b", "ph", Stage.POLLING, ())

    def work(_: Any) -> None: ...

    assert around(batch, work) is work


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_opentelemetrys_own_variables_switch_traces_on(environ: dict[str, str], wanted: bool) -> None:
    assert traces_wanted(environ) is wanted


@pytest.mark.parametrize(
    ("module", "extra", "settings", "environ"),
    [
        ("worker.observability.otel", "otel", Settings(), {"OTEL_TRACES_EXPORTER": "otlp"}),
        ("worker.observability.sentry", "sentry", Settings(sentry_dsn="http://key@127.0.0.1/1"), {}),
    ],
)
def test_an_extra_that_is_not_installed_is_one_clear_line(
    module: str, extra: str, settings: Settings, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    # As Python has it for what cannot be found.
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(f"{module}", raising=False)
    with pytest.raises(ConfigError, match=rf"pip install '\.\[{extra}\]'"):
        set_up(settings, none_there())


def test_the_trace_of_a_verification_follows_from_its_region_and_id() -> None:
    """The figure stands in dashboards and bookmarks: it never changes."""
    assert f"{trace_id('ph', 'f302f5d2454a85c2'):032x}" == "c9e1827b8eaac5c26934011eec1351dd"
    assert trace_id("sg", "f302f5d2454a85c2") != trace_id("ph", "f302f5d2454a85c2")


def test_what_others_report_in_our_process_is_not_sent() -> None:
    assert sentry.scrubbed({"message": "somebody else's", "level": "error"}) is None


def test_what_the_sdk_adds_is_not_sent() -> None:
    frame = {"function": "f", "vars": {"name": "Juan"}}
    values = [{"type": "KeyError", "module": "builtins", "value": "Juan", "stacktrace": {"frames": [frame]}}]
    event: Any = {
        "logger": sentry.LOGGER, "message": "polling: UNFORESEEN", "exception": {"values": values},
        "request": {"data": "Juan"}, "user": {"id": "Juan"}, "breadcrumbs": {"values": [{"message": "Juan"}]},
        "contexts": {"x": {"y": "Juan"}}, "modules": {"juan": "Juan"},
    }  # fmt: skip
    sent = sentry.scrubbed(event)
    assert sent is not None
    assert "Juan" not in str(sent)
    assert sent["message"] == "polling: UNFORESEEN"
