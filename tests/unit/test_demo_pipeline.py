"""The example pipeline: what anybody could write from the documented interface alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import sandbox.demo
from sandbox.demo.deliveries import Deliveries

SOURCE = Path(sandbox.demo.__file__).with_name("pipeline.py")

CALL_IT = """
import sandbox.demo.pipeline as pipeline
decision = {"signature_id": "pass-1", "decision": "call_back"}
pipeline.app.tasks["onboarding.call_back"].apply(kwargs={"decision": decision}, throw=True)
print(*sorted(name for name in pipeline.app.tasks if name.startswith("onboarding.")))
"""


def call_it(folder: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CALL_IT],
        env=os.environ | {"ONBOARDING_FILE": str(folder / "deliveries.jsonl"), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(SOURCE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "json", "os", "time", "typing", "celery"}


def test_it_takes_decisions_of_whatever_name_and_writes_each_down_on_a_line(tmp_path: Path) -> None:
    names = call_it(tmp_path, ONBOARDING_DECISIONS="approve,call_back")
    assert names == "onboarding.approve onboarding.call_back"
    call_it(tmp_path, ONBOARDING_DECISIONS="approve,call_back")
    deliveries = Deliveries(tmp_path / "deliveries.jsonl")
    deliveries.look()
    assert [delivery.task for delivery in deliveries.all] == ["onboarding.call_back"] * 2
    assert deliveries.by_id()["pass-1"][1].name == "call_back"


def test_a_line_that_is_still_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deliveries.jsonl"
    line = json.dumps({"received_at_ms": 1, "task": "onboarding.approve", "decision": {"signature_id": "a"}})
    deliveries = Deliveries(path)
    deliveries.look()
    assert deliveries.all == []
    with path.open("a") as stream:
        stream.write(f"{line}\n{line[:20]}")
        stream.flush()
        deliveries.look()
        assert len(deliveries.all) == 1
        stream.write(f"{line[20:]}\n")
    deliveries.look()
    assert len(deliveries.all) == 2
