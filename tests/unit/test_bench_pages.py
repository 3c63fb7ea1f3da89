"""The tables and the picture of the benchmark, drawn from its results."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from benchmarks.bench.chart import chart
from benchmarks.bench.headline import headline
from benchmarks.bench.lineup import CONTENDERS
from benchmarks.bench.report import BEGIN, END, fill, report
from benchmarks.bench.results import read
from tests.support.docs_pages import page
from tests.unit.bench_results import results, run, step, unfinished

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"

MEASURED = results(
    run("ours", 1000.0),
    run("ours", 800.0),
    run("dramatiq", 500.0),
    run("dramatiq", 500.0, others_cores=0.7),
    unfinished("taskiq"),
    waiting=[
        step("ours", 100_000, 2000.0),
        step("taskiq", 100_000, 30.0, waiting=3_000, worker_bytes_each=7.0, failure="not done after 300 s"),
        step("huey", 1_000_000, 0.0, waiting=100_000, failure="not tried: it would need 9 GB of memory"),
    ],
    targets={"claim": {"few": 1000, "many": 10**6, "few_ms": [1.0], "many_ms": [1.2], "sitting": "x"}},
)


def test_what_all_come_to_when_all_sync_stands_fastest_first() -> None:
    per_s = {"ours": [200.0, 300.0, 250.0], "taskiq": [260.0, 270.0, 280.0]}
    said = report(results(targets={"synced": {"per_s": per_s, "sitting": "x"}}))
    rows = [row for row in said.splitlines() if "synced by everybody" in row]
    assert [row.split("|")[1:3] for row in rows] == [
        [" cpu with every file synced by everybody: taskiq ", " **270** (260 – 280) a second "],
        [" cpu with every file synced by everybody: ours ", " **250** (200 – 300) a second "],
    ]


def bars(picture: str) -> list[ET.Element]:
    """Without the background."""
    return ET.fromstring(picture).findall(f"{SVG}rect")[1:]


def words(picture: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(picture).findall(f"{SVG}text")]


def test_bars_of_a_panel_share_a_scale() -> None:
    ours, dramatiq, *_ = (float(bar.attrib["width"]) for bar in bars(chart(MEASURED)))
    assert ours / dramatiq == pytest.approx(900 / 500, rel=0.01)


def test_every_contender_is_named_with_its_rate_also_one_that_did_not_finish() -> None:
    said = words(chart(MEASURED))
    assert {"ours", "900", "dramatiq", "500", "taskiq", "did not finish"} <= set(said)


def test_nothing_of_a_picture_is_outside_of_it() -> None:
    drawn = ET.fromstring(chart(MEASURED))
    width, height = map(float, drawn.attrib["viewBox"].split()[2:])
    for bar in drawn.findall(f"{SVG}rect")[1:]:
        at = {name: float(bar.attrib[name]) for name in ("x", "y", "width", "height")}
        assert at["x"] + at["width"] <= width
        assert at["y"] + at["height"] <= height
    assert all(0 < float(text.attrib["y"]) < height for text in drawn.findall(f"{SVG}text"))


def test_a_picture_of_nothing_is_a_picture() -> None:
    assert bars(chart(results())) == []


def test_the_table_says_what_ours_is_beside_each() -> None:
    rows = [line for line in report(MEASURED).splitlines() if line.startswith("| dramatiq | **500**")]
    assert len(rows) == 1
    assert "| 1.80 × |" in rows[0]


def test_the_table_says_who_did_not_finish_and_who_was_disturbed() -> None:
    text = report(MEASURED)
    assert "| taskiq | did not finish |" in text
    # Who was stopped has shown how fast it was until then.
    assert "| taskiq | 3,000 of 100,000 | 30 | 100 MB | 7.0 bytes |  | not done after 300 s |" in text
    assert "| huey | 100,000 of 1,000,000 |  |  |  |  | not tried: it would need 9 GB of memory |" in text
    assert "up to 0.7 cores" in text


def test_every_contender_says_what_it_promises() -> None:
    text = report(results())
    assert all(
        f"| {contender.name} | {contender.promises.survives_kill} |" in text for contender in CONTENDERS
    )


def test_what_is_committed_is_what_the_results_say() -> None:
    """`python -m benchmarks.bench draw --record` writes them again."""
    found = read(page("docs/bench.json").path)
    for name, text in (("docs/benchmarks.md", report(found)), ("README.md", headline(found))):
        assert f"{BEGIN}\n\n{text}\n\n{END}" in page(name).text
    assert page("docs/images/bench.svg").text == chart(found)


def test_the_headline_names_all_that_are_faster_but_the_bare_limit() -> None:
    found = results(
        *(run(name, pace) for name, pace in (("ours", 200.0), ("plain Celery", 100.0), ("huey", 150.0))),
        *(run(name, pace) for name, pace in (("taskiq", 300.0), ("bare asyncio", 900.0))),
        unfinished("dramatiq"),
        run("huey", 10.0, profile="real"),
    )
    assert headline(found) == (
        "- no latency, the result is there at once: **200** verifications a second, 2.00 × plain Celery; "
        "faster than ours: taskiq 1.50 ×"
    )


def test_tables_replace_those_of_the_page_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    fill(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no marks"):
        fill(page, "new")
