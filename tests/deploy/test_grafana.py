"""The dashboard: what its script writes, and every panel asks for what there is."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.paths import ROOT
from tests.support.promql import EXPOSED, faults, metrics, needs_promtool, promtool

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = ROOT / "deploy" / "grafana"

DASHBOARD: Final = json.loads((FOLDER / "ekyc.json").read_text())
PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
DRAWN: Final = [panel for panel in PANELS if panel["type"] != "row"]
TARGETS: Final = [target for panel in DRAWN for target in panel["targets"]]

#: Parts of histograms that no panel needs: a mean says less than what the half waited.
UNUSED: Final = ("_count", "_sum")


def test_it_is_what_its_script_writes() -> None:
    command = [sys.executable, "-B", str(FOLDER / "dashboard.py")]
    written = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert (FOLDER / "ekyc.json").read_text() == written


def test_every_panel_has_an_id_a_place_of_its_own_and_says_what_to_make_of_it() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"].endswith(".") for panel in DRAWN)
    assert not [
        (one["title"], other["title"]) for one, other in combinations(PANELS, 2) if _overlap(one, other)
    ]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    return not beside and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def test_whose_prometheus_it_is_can_be_chosen() -> None:
    variables = DASHBOARD["templating"]["list"]
    assert [each["name"] for each in variables] == ["datasource", "job", "region"]
    asking = [*DRAWN, *TARGETS, *variables[1:]]
    assert {each["datasource"]["uid"] for each in asking} == {"${datasource}"}


@pytest.mark.parametrize("panel", DRAWN, ids=[panel["title"] for panel in DRAWN])
def test_a_panel_asks_for_metrics_labels_and_values_that_there_are(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert faults(target["expr"], target["legendFormat"]) == []
        assert all(f'{name}{{job="$job"' in target["expr"] for name in metrics(target["expr"])), (
            "only of the ledger that was chosen"
        )


def test_variables_ask_for_metrics_and_labels_that_there_are() -> None:
    for each in DASHBOARD["templating"]["list"][1:]:
        asked = each["query"]["query"].removeprefix("label_values(").removesuffix(")")
        expr, _, label = asked.rpartition(", ")
        assert faults(expr) == []
        assert label in EXPOSED[metrics(expr).pop()] | {"job"}


def test_nothing_is_counted_that_nobody_sees() -> None:
    shown = {name for target in TARGETS for name in metrics(target["expr"])}
    assert {name for name in EXPOSED if not name.endswith(UNUSED)} == shown


@needs_promtool
def test_promtool_understands_every_query(tmp_path: Path) -> None:
    """As rules, because those it reads; Grafana fills in the variables."""
    asked = [target["expr"].replace("$__rate_interval", "1m") for target in TARGETS]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", file)
