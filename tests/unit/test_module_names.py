"""Names that a package imports do not hide its own modules, nor are they replaced once such a module is imported."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = sorted(
    found.parent
    for folder in ("worker", "tasks", "schemas", "sandbox")
    for found in (ROOT / folder).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_no_package_imports_a_name_that_one_of_its_modules_has(package: Path) -> None:
    modules = {path.stem for path in package.iterdir()}
    dotted = ".".join(package.relative_to(ROOT).parts)
    hidden = [
        f"{source}.{name}"
        for source, name in _imported(package / "__init__.py")
        if name in modules and source not in {dotted, f"{dotted}.{name}"}
    ]
    assert hidden == []


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.asname or alias.name) for alias in node.names)
