"""The page of errors, from `worker/errors.py`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from tools.docs.page import code, generated, table
from worker import errors
from worker.errors import EkycError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRO = """
Every error of this project is a subclass of `EkycError`. Attributes of the class define how it is handled; no caller
tests for a list of classes. An answer of the vendor is a value, not an error: see
[answers, and what follows](../architecture.md#answers-and-what-follows).

- **cause**: the name in counters (`ekyc_faults_total`), timelines and logs.
- **retry**: a later attempt may succeed.
- **quarantine**: a person has to look at the verification.
- **alarm**: the fleet cannot repair the cause by itself.
- **exit code**: the exit code of a console command.
- **backoff**: the countdown of the next attempt ([`worker/policy/backoff.py`](../../worker/policy/backoff.py)).
"""


def page() -> str:
    kinds = list(_tree(EkycError, 0))
    tree = "\n".join(f"{'    ' * depth}{kind.__name__}" for kind, depth in kinds)
    rows = [
        [
            code(kind.__name__),
            code(kind.cause),
            _about(kind),
            _mark(kind.retry),
            _mark(kind.quarantine),
            _mark(kind.alarm),
            str(kind.exit_code),
            code(kind.backoff),
        ]
        for kind, _ in kinds
    ]
    header = ["class", "cause", "meaning", "retry", "quarantine", "alarm", "exit code", "backoff"]
    return generated(
        "Errors",
        _INTRO,
        f"## The tree\n\n```text\n{tree}\n```",
        "## Every error\n\n" + table(header, rows),
        source="`worker/errors.py`",
    )


def _tree(kind: type[EkycError], depth: int) -> Iterator[tuple[type[EkycError], int]]:
    yield kind, depth
    # Subclasses in other modules are not on this page, so that it does not depend on what is imported.
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__:
            yield from _tree(narrower, depth + 1)


def _about(kind: type[EkycError]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("``", "`")


def _mark(flag: bool) -> str:  # noqa: FBT001 - a cell of a table
    return "yes" if flag else ""
