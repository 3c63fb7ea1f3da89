"""Charts of the console: a picture and the same in words, without a style attribute."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from worker.web.console.charts import share, sparkline

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(str(picture).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def columns(picture: str, style: str = "front") -> list[tuple[int, float]]:
    """The place and the height of each column."""
    for path in parsed(picture).iter(f"{SVG}path"):
        if path.get("class") == style:
            found = re.findall(r"M(\d+) 27v-([\d.]+)", path.get("d", ""))
            return [(int(place), float(height)) for place, height in found]
    return []


def test_each_value_has_its_column_and_the_largest_fills_the_height() -> None:
    values: list[float | None] = [0.0] * 60
    values[0], values[30], values[59] = 4.0, 8.0, 2.0
    assert columns(sparkline("Polls", "14", values)) == [(1, 12.5), (61, 25.0), (119, 6.25)]


def test_a_small_value_beside_a_large_one_is_still_seen() -> None:
    assert columns(sparkline("Polls", "", [1_000_000.0, 1.0])) == [(30, 25.0), (90, 1.0)]


def test_noise_does_not_fill_the_height() -> None:
    assert columns(sparkline("Polls", "", [1.0], least=10.0)) == [(60, 2.5)]


def test_where_nothing_is_known_the_ground_has_a_gap() -> None:
    picture = sparkline("Polls", "", [None, 1.0, 0.0, None, 2.0, None])
    (ground,) = [
        path.get("d") for path in parsed(picture).iter(f"{SVG}path") if path.get("class") == "ground"
    ]
    assert ground == "M20 27.5H60M80 27.5H100"
    assert [place for place, _ in columns(picture)] == [30, 90]


@pytest.mark.parametrize("values", [[], [None] * 60, [0.0] * 60])
def test_a_chart_of_nothing_is_a_chart(values: list[float | None]) -> None:
    assert columns(sparkline("Polls", "", values)) == []


def test_what_is_larger_stands_behind_on_the_same_scale() -> None:
    picture = sparkline("Delay", "", [1.0, 2.0], behind=[4.0, 8.0])
    assert columns(picture) == [(30, 3.13), (90, 6.25)] or columns(picture) == [(30, 3.12), (90, 6.25)]
    assert columns(picture, "behind") == [(30, 12.5), (90, 25.0)]


def test_a_picture_has_a_name_and_the_same_in_words_and_no_markup_of_others() -> None:
    root = parsed(sparkline("<script>&\"'", "a </svg> b", [1.0]))
    assert root.get("role") == "img"
    assert [root.findtext(f"{SVG}{part}") for part in ("title", "desc")] == ["<script>&\"'", "a </svg> b"]
    assert not list(root.iter(f"{SVG}script"))


def test_a_page_that_allows_no_style_shows_it() -> None:
    for picture in (sparkline("a", "b", [1.0] * 60, behind=[2.0] * 60), share("a", "b", [1, 2, 3])):
        assert not re.search(r"style=|<style|<script|\son\w+=|href", picture)
        # Six regions with six charts each are a part of a page of 150 kB.
        assert len(picture) < 2000


def test_the_parts_of_a_bar_fill_it_in_proportion() -> None:
    root = parsed(share("Waiting", "", [3, 1, 0, 0, 0]))
    rects = [
        (each.get("class"), float(each.get("x", "")), float(each.get("width", "")))
        for each in root.iter(f"{SVG}rect")
    ]
    assert rects[:2] == [("part-0", 0.0, 90.0), ("part-1", 90.0, 30.0)]
    assert [style for style, _, _ in rects[2:]] == ["part-2", "part-3", "part-3"]
    assert sum(width for _, _, width in rects) == pytest.approx(120, abs=0.3)
    assert list(parsed(share("Waiting", "", [0, 0])).iter(f"{SVG}rect"))
