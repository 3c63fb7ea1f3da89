"""The error that a schema raises: the field at fault and the problem, never the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marshmallow import ValidationError


class SchemaError(ValueError):
    """A payload cannot be read safely. ``field`` is a dotted path, ``problem`` what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem

    @classmethod
    def from_validation(cls, error: ValidationError, *, prefix: str = "") -> SchemaError:
        """Return the first fault of a marshmallow error, as one line."""
        path, problem = _first(error.messages)
        return cls(".".join(filter(None, (prefix, *path))), problem)


def _first(messages: Any) -> tuple[list[str], str]:
    path: list[str] = []
    while isinstance(messages, dict):
        key, messages = next(iter(messages.items()))
        if key != "_schema":
            path.append(str(key))
    problem = messages[0] if isinstance(messages, list) and messages else messages
    return path, str(problem).rstrip(".")
