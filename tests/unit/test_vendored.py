"""The files of others in this repository are those that were released, with their licences; ours stay small."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

STATIC: Final = ROOT / "worker" / "web" / "console" / "static"
AXE: Final = ROOT / "tests" / "vendor" / "axe-core"


@pytest.mark.parametrize(
    ("file", "digest", "version", "licence", "words"),
    [
        pytest.param(
            STATIC / "htmx.min.js",
            "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
            '"4.0.1"',
            STATIC / "htmx.LICENSE",
            "Zero-Clause BSD",
            id="htmx",
        ),
        pytest.param(
            AXE / "axe.min.js",
            "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
            "/*! axe v4.14.1",
            AXE / "LICENSE",
            "Mozilla Public License version 2.0",
            id="axe-core",
        ),
    ],
)
def test_a_vendored_file_is_as_released_and_has_its_licence_beside_it(
    file: Path, digest: str, version: str, licence: Path, words: str
) -> None:
    content = file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert version in content.decode()
    assert words in " ".join(licence.read_text().replace(",", "").split())


def test_the_stylesheet_stays_small() -> None:
    assert len((STATIC / "console.css").read_text().splitlines()) <= 400
