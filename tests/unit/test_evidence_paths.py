"""Where evidence lies, and that nothing talks it into lying elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.enqueue_request import REGIONS
from worker.errors import InvalidInput
from worker.evidence import paths
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from pathlib import Path

ESCAPES = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "a/b",
    "a/../b",
    "/etc/passwd",
    "a\\b",
    "..\\..\\x",
    "C:x",
    "a%2fb",
    "%2e%2e",
    "%2e%2e%2f",
    "a\x00b",
    "a\nb",
    "a\n",
    "a b",
    " a",
    "a#1",
    "~",
    "*",
    "a.json",
    "ａ",  # noqa: RUF001 - a full-width letter
    "é",
    "․․",  # noqa: RUF001 - two characters that look like dots
    "a" * 65,
]


@pytest.mark.parametrize("signature_id", ESCAPES)
def test_an_id_that_is_more_than_a_name_gets_no_path(signature_id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        paths.folder("ph", signature_id)
    assert not signature_id or len(signature_id) < 3 or signature_id not in str(caught.value)


@pytest.mark.parametrize("region", ["", "..", "PH", "ph/..", "ph/", "../ph", "id", "api", "ph\n"])
def test_a_region_that_is_none_of_ours_gets_no_path(region: str) -> None:
    with pytest.raises(InvalidInput, match="use one of sg, ph"):
        paths.folder(region, "f302f5d2454a85c2")


@pytest.mark.parametrize(
    "name",
    ["", "..", "../answer.json", "answer.json\n", "answer.json#1", "staged-1", "front.exe", "x/front.jpg"],
)
def test_a_file_that_is_no_evidence_gets_no_path(name: str) -> None:
    with pytest.raises(InvalidInput):
        paths.file_name(name)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(
    "name", ["answer.json", "manifest.json", "front.jpg", "back.heic", "unreadable-0123456789abcdef.bin"]
)
def test_evidence_lies_under_its_region_and_its_id(tmp_path: Path, region: str, name: str) -> None:
    Evidence(tmp_path.as_uri()).of(region, "A-b_9").keep(name, b"kept")
    assert (tmp_path / region / "A-b_9" / name).read_bytes() == b"kept"
