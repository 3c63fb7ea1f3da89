"""The page of settings, from `worker/settings.py`: its fields, the comments above them, and how each is read."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tools.docs.page import ROOT, code, generated, linked, table
from worker import settings as module
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE: Final = (ROOT / "worker" / "settings.py").read_text()
_UNSET: Final = re.compile(r"\s*Unset: (.+?)\.$")

_INTRO = """
All settings are environment variables. A variable `NAME` may be given as `NAME_FILE`, the path of a file with the
value; this is meant for secrets. A worker checks its settings when it starts, and `ekyc doctor` checks what they refer
to. All workers of a fleet need the same settings. How to set them, and what Celery and others read: [settings of a
fleet](../settings.md).
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `default` is text; `allowed` is the range of a number, or ""."""

    name: str
    field: str
    default: str
    allowed: str
    about: str


def settings() -> list[Setting]:
    """Return every variable that `Settings.from_env` reads, in the order of the fields."""
    tree = ast.parse(_SOURCE)
    kind = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == Settings.__name__
    )
    comments = {
        node.target.id: _comment(node.lineno)
        for node in kind.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    reads = dict(_reads(kind))
    return [
        _setting(field, call, comment if number == 0 else _comment(call.lineno))
        for field, comment in comments.items()
        for number, call in enumerate(reads[field])
    ]


def page() -> str:
    rows = [[code(each.name), each.default, each.allowed, linked(each.about)] for each in settings()]
    return generated(
        "Settings",
        _INTRO,
        table(["variable", "default", "allowed", "meaning"], rows),
        source="`worker/settings.py`",
    )


def _reads(kind: ast.ClassDef) -> Iterator[tuple[str, list[ast.Call]]]:
    """Yield each field with the calls of `env` that read it."""
    assigned = {
        node.targets[0].id: node.value
        for node in ast.walk(kind)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    construction = next(
        node
        for node in ast.walk(kind)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "cls"
        and node.keywords
    )
    for keyword in construction.keywords:
        value = keyword.value
        if isinstance(value, ast.Name):
            value = assigned[value.id]
        calls = [
            node
            for node in ast.walk(value)
            if isinstance(node, ast.Call) and re.fullmatch(r"env\.\w+", ast.unparse(node.func))
        ]
        yield keyword.arg or "", sorted(calls, key=lambda call: call.lineno)


def _setting(field: str, call: ast.Call, comment: str) -> Setting:
    name = ast.literal_eval(call.args[0])
    unset = _UNSET.search(comment)
    default = unset[1] if unset else code(_text(getattr(Settings(), field)))
    return Setting(name, field, default, _allowed(call), comment[: unset.start()] if unset else comment)


def _comment(line: int) -> str:
    """Return the `#:` comment directly above a line of the source."""
    above: list[str] = []
    for text in reversed(_SOURCE.splitlines()[: line - 1]):
        if not text.strip().startswith("#:"):
            break
        above.insert(0, text.strip().removeprefix("#:").strip())
    return " ".join(above)


def _allowed(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "validate":
            return _range(keyword.value)
    return ""


def _range(validate: ast.expr) -> str:
    match validate:
        case ast.Name(id="above_zero"):
            return "above 0"
        case ast.Call(func=ast.Name(id="Range"), keywords=keywords):
            # A bound may be a constant of `worker.settings`.
            bounds = {each.arg: eval(ast.unparse(each.value), vars(module)) for each in keywords}
            low, high = bounds.get("min"), bounds.get("max")
            return f"{_text(low)} to {_text(high)}" if high is not None else f"{_text(low)} or more"
    return ""


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value < _EXACT else str(value).removesuffix(".0")


#: From this number on `%g` writes an exponent.
_EXACT: Final = 1e6
