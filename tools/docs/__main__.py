"""Write every generated page and picture. With `--check`, change nothing and exit with 1 if one is out of date."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tools.docs import (
    cli,
    data_flow,
    decisions,
    errors,
    events,
    layers,
    licences,
    metrics,
    operations,
    settings,
)
from tools.docs.page import REFERENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Each generated file, and the function that returns its text.
GENERATED: Final[dict[Path, Callable[[], str]]] = {
    REFERENCE / "settings.md": settings.page,
    REFERENCE / "decisions.md": decisions.page,
    REFERENCE / "commands.md": cli.page,
    REFERENCE / "operations.md": operations.page,
    REFERENCE / "metrics.md": metrics.page,
    REFERENCE / "events.md": events.page,
    REFERENCE / "errors.md": errors.page,
    REFERENCE / "licences.md": licences.page,
    ROOT / "docs" / "images" / "data-flow.svg": data_flow.picture,
    ROOT / "docs" / "images" / "layers.svg": layers.picture,
}


def main(arguments: list[str]) -> int:
    """Write or check the pages. Return the exit code."""
    stale = [path for path, make in GENERATED.items() if not path.exists() or path.read_text() != make()]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make docs`", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GENERATED[path]())
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
