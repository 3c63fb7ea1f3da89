"""The names and labels of metrics are Prometheus's, and those of their page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from schemas.result import DOCUMENTED_CODES
from tests.support.docs_pages import codes, page
from worker.decisions.table import Table
from worker.observability.metrics import Metrics
from worker.observability.metrics.catalogue import catalogue
from worker.observability.metrics.families import Tally
from worker.observability.metrics.label import FirstSeen, Label, few

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: Describing asks nobody: nothing listens there.
METRICS: Final = Metrics(Redis(port=1), ["ph"], Table.load(None))

DESCRIBED: Final = {metric.name: metric for metric in METRICS.describe()}

PAGE: Final = page("docs/metrics.md")
REFERENCE: Final = page("docs/reference/metrics.md")

#: https://prometheus.io/docs/practices/naming/: base units, and the unit last.
_UNITS: Final = ("seconds", "bytes")
_NO_BASE_UNITS: Final = r"_(ms|milliseconds|minutes|hours|days|kb|kilobytes|megabytes|percent)(_|$)"

#: Prometheus makes these itself of a histogram, or gives them a meaning of its own.
_RESERVED: Final = ("_bucket", "_count", "_sum", "_created", "_info")


def exposed(metric: Metric) -> str:
    """The name that a person sees in `/metrics`."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


each_metric = pytest.mark.parametrize("metric", DESCRIBED.values(), ids=list(DESCRIBED))


@each_metric
def test_a_name_follows_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"ekyc(_[a-z]+)+", metric.name)
    assert not metric.name.endswith(("_total", *_RESERVED))
    assert not re.search(_NO_BASE_UNITS, metric.name)
    for unit in _UNITS:
        assert unit not in metric.name or metric.name.endswith(f"_{unit}")
    assert metric.type != "histogram" or metric.name.endswith("_seconds")


@each_metric
def test_a_help_is_a_sentence_of_its_own(metric: Metric) -> None:
    assert metric.documentation.endswith(".")
    assert "\n" not in metric.documentation
    assert [other.documentation for other in DESCRIBED.values()].count(metric.documentation) == 1


@each_metric
def test_labels_are_words_that_the_name_does_not_say(metric: Metric) -> None:
    for label in _labels(metric):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)?", label)
        assert label not in {"le", "quantile", "job", "instance"}


def _labels(metric: Any) -> list[str]:
    return ["worker", "table", "version"] if metric.type == "info" else list(metric._labelnames)


def test_the_page_has_every_metric_with_its_type_and_labels_and_no_other() -> None:
    tables = re.findall(r"^(\| metric \| type \|.*?)\n\n", REFERENCE.text, re.MULTILINE | re.DOTALL)
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for table in tables
        for line in table.splitlines()[2:]
    ]
    stated = {codes(name)[0]: (kind, codes(labels)) for name, kind, labels, *_ in rows}
    assert len(stated) == len(rows)
    assert stated == {exposed(metric): (metric.type, _labels(metric)) for metric in DESCRIBED.values()}


def test_the_page_speaks_of_no_metric_that_is_not_there() -> None:
    known = {exposed(metric) for metric in DESCRIBED.values()}
    known |= {f"{name}_bucket" for name in known} | {f"{name}_count" for name in known}
    spoken_of = set(re.findall(r"\bekyc_[a-z_]+", PAGE.text + REFERENCE.text))
    assert spoken_of - known == set()


def test_what_the_page_shows_of_an_answer_is_what_is_answered() -> None:
    shown = re.findall(r"^# HELP (\S+) (.+)$", PAGE.text, re.MULTILINE)
    assert shown
    assert [DESCRIBED[name].documentation for name, _ in shown] == [told for _, told in shown]


def test_every_value_that_is_there_from_the_start_is_in_the_catalogue_once() -> None:
    for metric in catalogue(Table.load(None)):
        if isinstance(metric, Tally):
            assert len(set(metric.label.known)) == len(metric.label.known)


def test_names_that_anyone_may_choose_make_a_bounded_number_of_series() -> None:
    label = FirstSeen("pipeline", ("default",), 2)
    assert label.told_apart({}) == {"default": 0}
    assert label.told_apart({"default": 1, "a": 2}) == {"default": 1, "a": 2}
    for number in range(10):
        told = label.told_apart({"b": 3, f"new{number}": 4, "newer": 5})
        assert told == {"default": 0, "b": 3, "other": 9}
    assert label.told_apart({"a": 1}) == {"default": 0, "a": 1}


def test_every_documented_code_of_the_vendors_is_told_apart() -> None:
    (tally,) = [
        each for each in catalogue(Table.load(None)) if each.name == "ekyc_decision_error_codes_total"
    ]
    assert isinstance(tally, Tally)
    documented = {code for those in DOCUMENTED_CODES.values() for code in those}
    assert documented | {"DEADLINE_PASSED", "SIGNATURE_NOT_EXIST", "NONE"} <= set(tally.label.known)


def test_what_a_closed_label_does_not_know_is_other_and_nothing_is_lost() -> None:
    label = Label("error_code", ("SUCCESS", "ERROR"), closed=True)
    told = label.told_apart({"SUCCESS": 2, "NEW_1": 3, "NEW_2": 4})
    assert told == {"SUCCESS": 2, "ERROR": 0, "other": 7}


def test_words_of_the_vendors_about_tokens_are_one() -> None:
    assert few({"VENDOR_BUSY": 1, "TOKEN_A": 2, "TOKEN_B": 3}) == {"VENDOR_BUSY": 1, "TOKEN_REFUSED": 5}
    assert few({"VENDOR_DOWN": 1}) == {"VENDOR_DOWN": 1}
