"""What a pipeline is told of decisions, answers and reasons is what the code does."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import fields
from importlib import import_module
from itertools import product
from typing import Any

from schemas.decision import Decision, load_decision
from schemas.result import DOCUMENTED_CODES
from tests.support.decided import decided
from tests.support.docs_pages import codes, page
from tests.support.paths import ROOT
from worker.advance import answers
from worker.decisions.table import Table
from worker.observability.verification_log import LINES

PIPELINES = page("docs/pipelines.md")


def test_the_table_of_decisions_is_the_packaged_one() -> None:
    stated: dict[tuple[str, str], str] = {}
    rows = page("docs/reference/decisions.md").rows("errorCode | overallResult")
    for error_codes, results, decision, meaning in rows:
        assert meaning
        for pair in product(codes(results), codes(error_codes)):
            assert pair not in stated, pair
            stated[pair] = codes(decision)[0]
    table = Table.load(None)
    assert stated == {pair: decided(table, *pair) for pair in stated}
    assert {code for _, code in stated} == table.values("error_code")
    assert stated.keys() >= {
        (str(result), code) for result, those in DOCUMENTED_CODES.items() for code in those
    }


def test_every_reason_of_the_packaged_table_is_stated_with_its_decision_and_meaning() -> None:
    rows = page("docs/reference/decisions.md").rows("reason | decision")
    table = Table.load(None)
    stated = {codes(row[0])[0]: codes(row[1])[0] for row in rows}
    assert stated == {reason: decided(table, "PASS", "SUCCESS", reason) for reason in stated}
    assert stated.keys() == table.values("reason")
    assert all(row[2] for row in rows)


def test_every_decision_has_its_advice() -> None:
    advised = {codes(row[0])[0] for row in PIPELINES.rows("decision | what a pipeline may do")}
    assert advised == Table.load(None).decisions


def test_whatever_else_is_for_review_as_it_says() -> None:
    table = Table.load(None)
    reasons = table.values("reason")
    assert {table.otherwise, *(decided(table, None, None, reason) for reason in reasons)} == {"review"}
    for reason in reasons:
        assert f"`{reason}`" in PIPELINES.text + page("docs/reference/decisions.md").text


def test_the_example_of_a_decision_is_one_with_all_its_fields() -> None:
    (example,) = [json.loads(block.text) for block in page("README.md").blocks if block.language == "json"]
    assert list(example) == [field.name for field in fields(Decision)]
    load_decision(example)


def test_every_field_of_a_decision_is_explained() -> None:
    explained = {name for row in PIPELINES.rows("field |") for name in codes(row[0])}
    assert explained == {field.name for field in fields(Decision)}


def test_the_consumer_that_is_ready_for_a_decision_twice_does_it_once() -> None:
    (block,) = [each for each in PIPELINES.blocks if "def receive(" in each.text]
    names: dict[str, Any] = {}
    exec(block.text, names)
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY)")
        database.execute("CREATE TABLE applications (id INTEGER PRIMARY KEY, state TEXT)")
        database.execute("INSERT INTO applications VALUES (42, 'waiting')")
        decision = {"id": "one", "decision": "approve", "context": {"application": 42}}
        names["receive"](decision, database)
        database.execute("UPDATE applications SET state = 'closed since'")
        names["receive"](decision, database)
        assert database.execute("SELECT state FROM applications").fetchall() == [("closed since",)]
        assert database.execute("SELECT id FROM decisions").fetchall() == [("one",)]
    database.close()


def test_every_kind_of_answer_has_its_row() -> None:
    rows = [row[0].replace(" ", "_") for row in page("docs/architecture.md").rows("answer | comes from")]
    kinds = {
        getattr(answers, name).kind for name in answers.__all__ if hasattr(getattr(answers, name), "kind")
    }
    assert len(rows) == len(set(rows))
    assert set(rows) == kinds


def test_every_code_of_the_vendors_is_in_the_pages_for_whoever_is_on_call() -> None:
    # Not by attribute: there a function of the same name stands before the module.
    classify = import_module("worker.advance.answers.classify")
    known = {*classify._BUSY, *classify._OURS_TO_FIX, *classify._SAYS_ALL}
    told = page("docs/operators.md").text + page("docs/architecture.md").text
    assert {code for code in known if f"`{code}`" not in told} == set()


def source_text() -> str:
    paths = (path for package in ("worker", "tasks") for path in (ROOT / package).rglob("*.py"))
    return "".join(path.read_text() for path in paths)


def test_every_event_that_is_explained_is_logged() -> None:
    source = source_text()
    events = {
        name
        for row in page("docs/reference/events.md").rows("event | level | meaning |")
        for name in codes(row[0])
    }
    assert events
    assert {event for event in events if f'"{event}"' not in source} == set()


def test_every_event_that_a_worker_logs_is_explained() -> None:
    source = source_text()
    logged = set(re.findall(r'(?:(?<!\.)\b_?log(?:\.\w+)?|else _log\.info)\)?\(\s*"([a-z_]+)"', source))
    logged |= {event for event, _ in LINES.values()} | set(re.findall(r'"(verification_[a-z_]+)"', source))
    assert {"verification_settled", "verification_lease_expired", "fleet_ready"} <= logged
    explained = page("docs/reference/events.md").text
    assert {event for event in logged if f"`{event}`" not in explained} == set()
