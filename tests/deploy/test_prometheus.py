"""The alert rules: they ask for what there is, they ring when they should, and each says what to type."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.support.docs_pages import page
from tests.support.paths import ROOT
from tests.support.promql import faults, needs_promtool, of_rules, promtool

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = ROOT / "deploy" / "prometheus"

TESTS: Final = sorted(FOLDER.glob("*.test.yml"))

RULES: Final = of_rules(yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"])
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}

#: The text below each heading of the second level.
RUNBOOKS: Final = dict(
    re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page("docs/runbooks.md").text, re.MULTILINE | re.DOTALL)
)

each_alert = pytest.mark.parametrize("name", ALERTS)


@needs_promtool
def test_promtool_understands_the_rules() -> None:
    promtool("check", "rules", FOLDER / "alerts.yml")


@needs_promtool
@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_each_alert_fires_when_it_should_and_not_else(file: Path) -> None:
    promtool("test", "rules", file)


@each_alert
def test_each_alert_is_seen_firing(name: str) -> None:
    """By the tests that promtool runs."""
    rung, expected = _seen_firing()
    assert name in rung or any(f'alertname="{name}"' in labels for labels in expected)


@cache
def _seen_firing() -> tuple[set[str], list[str]]:
    """The alerts that promtool's tests expect, and the labels of the samples that they expect."""
    tests = [each for file in TESTS for each in yaml.safe_load(file.read_text())["tests"]]
    expected = [sample["labels"] for each in tests for ask in _asks(each) for sample in ask["exp_samples"]]
    rung = {
        ring["alertname"] for each in tests for ring in each.get("alert_rule_test", ()) if ring["exp_alerts"]
    }
    return rung, expected


def _asks(test: dict[str, Any]) -> list[dict[str, Any]]:
    asks: list[dict[str, Any]] = test.get("promql_expr_test", [])
    return asks


@pytest.mark.parametrize("rule", RULES, ids=[rule.get("alert") or rule["record"] for rule in RULES])
def test_a_rule_asks_for_metrics_labels_and_values_that_there_are(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []


def test_a_rule_uses_only_what_another_has_recorded() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {name for rule in RULES for name in re.findall(r"\bregion:\w+:\w+", rule["expr"])}
    assert used == recorded


@each_alert
def test_an_alert_says_whom_to_wake_what_it_means_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


def test_there_is_a_runbook_for_each_alert_in_the_rules_order_and_no_other() -> None:
    assert list(RUNBOOKS) == ["First steps", *ALERTS]


@each_alert
def test_a_runbook_says_how_urgent_it_is_what_to_type_and_when_it_is_over(name: str) -> None:
    text = RUNBOOKS[name]
    where = "[Where to type](operations.md#where-to-type)."
    assert text.startswith(f"\n*{ALERTS[name]['labels']['severity']}.* {where}")
    assert "\n```sh\n" in text
    assert "\n*Over when* " in text


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(ekyc_oldest_due)", "no metric ekyc_oldest_due"),
        ('ekyc_workers{region="ph"} == 0', "ekyc_workers has no label region"),
        ('ekyc_deliveries_total{outcome="broken"}', "ekyc_deliveries_total has no outcome broken"),
        ("sum by (reason) (ekyc_up)", "nothing has a label reason"),
    ],
)
def test_what_is_not_there_is_found(expr: str, fault: str) -> None:
    assert faults(expr) == [fault]
