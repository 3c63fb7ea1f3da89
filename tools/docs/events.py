"""The page of log events, from the calls that log them; their meanings are in `events.toml`."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.docs.page import ROOT, code, generated, linked, table
from worker.ledger import audit
from worker.observability import verification_log
from worker.observability.verification_log import LINES

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES: Final = ("worker", "tasks")
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

#: Modules that render lines themselves, at INFO, and how the names of their events begin.
_RENDERED: Final = {verification_log.__name__: "verification_", audit.__name__: "operator_act"}

_INTRO = """
What a worker, `web` and Flower log, and where. [Logs](../operations.md#logs) describes the form of a line and which
lines are left out.
"""


@dataclass(slots=True)
class Event:
    """One event as found in the source: its levels, fields and modules."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


@cache
def meanings() -> dict[str, str]:
    """Return the meaning of each event, by its name."""
    found: dict[str, str] = tomllib.loads(Path(__file__).with_name("events.toml").read_text())
    return found


@cache
def logged() -> dict[str, Event]:
    """Return every event that the source logs, by its name."""
    events: dict[str, Event] = defaultdict(Event)
    indirect: dict[str, Event] = defaultdict(Event)
    modules = dict(_modules())
    for module, tree in modules.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if levels := _levels(call.func, tree):
                fields = {each.arg for each in call.keywords if each.arg} - {"exc_info"}
                for event in [events[name] for name in _names(call)] or [indirect[module]]:
                    event.levels |= levels
                    event.fields |= fields
                    event.modules.add(module)
    for name, _ in LINES.values():
        events[name].modules.add(verification_log.__name__)
    for module, tree in modules.items():
        for name in _constants(tree):
            if module in _RENDERED and name.startswith(_RENDERED[module]):
                events[name] = Event({"info"}, set(), {module})
            elif name in meanings() and not events[name].levels and module in indirect:
                # The call that logs the event takes its name from a variable.
                events[name] = indirect[module]
    return {name: event for name, event in events.items() if event.modules}


def page() -> str:
    found = logged()
    rows = [
        [
            code(name),
            ", ".join(level for level in _LEVELS if level in found[name].levels),
            linked(meaning),
            " ".join(map(code, sorted(found[name].fields))),
            " ".join(map(code, sorted(found[name].modules))),
        ]
        for name, meaning in meanings().items()
    ]
    header = ["event", "level", "meaning", "fields", "logged by"]
    return generated(
        "Log events",
        _INTRO,
        table(header, rows),
        source="the calls in `worker/` and `tasks/`, and `tools/docs/events.toml`",
    )


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in _PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text())


def _levels(func: ast.expr, tree: ast.Module) -> set[str]:
    """Return the levels of a log call: `_log.error(…)`, `(_log.error if … else _log.info)(…)`, `log(…)`; else none."""
    match func:
        case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level):
            return {level} & {*_LEVELS}
        case ast.IfExp(body=body, orelse=orelse):
            return _levels(body, tree) | _levels(orelse, tree)
        case ast.Name(id="log"):
            values = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "log"
            ]
            return {level for value in values for level in _levels(value, tree)}
    return set()


def _names(call: ast.Call) -> Iterator[str]:
    """Yield the events of a call whose first argument is text, or a choice of two texts."""
    match call.args[:1]:
        case [ast.Constant(value=str() as name)]:
            yield name
        case [ast.IfExp(body=ast.Constant(value=str() as body), orelse=ast.Constant(value=str() as orelse))]:
            yield from (body, orelse)


def _constants(tree: ast.Module) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
