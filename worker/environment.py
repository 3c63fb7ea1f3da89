"""Reads environment variables: converts and checks each value, and collects all faults instead of raising the first.

It needs only the standard library, because `worker.client` reads settings, too.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    # Aliases of the types whose names the methods of `Environment` shadow.
    Text: TypeAlias = str
    Texts: TypeAlias = list[str]
    Whole: TypeAlias = int
    Number: TypeAlias = float

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")


@dataclass(frozen=True, slots=True)
class Range:
    """A validator that raises ``ValueError`` for a number outside of the range."""

    min: float
    max: float = math.inf
    min_inclusive: bool = True

    def __call__(self, value: float) -> None:
        if value > self.max or value < self.min or (value == self.min and not self.min_inclusive):
            raise ValueError(f"must be {self}")

    def __str__(self) -> str:
        if self.max < math.inf:
            return f"{self.min:g} to {self.max:g}"
        return f"{self.min:g} or more" if self.min_inclusive else f"more than {self.min:g}"


class Environment:
    """The variables of this process. An empty variable counts as unset.

    ``NAME_FILE`` names a file whose content is the value of ``NAME``; it has precedence over ``NAME``. Each method
    returns the default for a variable that is unset or cannot be used. `validate` raises ``ValueError`` to refuse a
    value.

    `names`: the variables that were read. `faults`: a line for each that cannot be used, without its value.
    """

    def __init__(self) -> None:
        self.names: set[Text] = set()
        self.faults: Texts = []

    def str(
        self, name: Text, default: _Default, *, validate: Callable[[Text], object] | None = None
    ) -> Text | _Default:
        return self._read(name, default, _unchanged, validate)

    def list(
        self, name: Text, default: _Default, *, validate: Callable[[Texts], object] | None = None
    ) -> Texts | _Default:
        """Return the parts between commas, unchanged."""
        return self._read(name, default, _parts, validate)

    def int(
        self, name: Text, default: _Default, *, validate: Callable[[Whole], object] | None = None
    ) -> Whole | _Default:
        return self._read(name, default, _whole, validate)

    def float(
        self, name: Text, default: _Default, *, validate: Callable[[Number], object] | None = None
    ) -> Number | _Default:
        return self._read(name, default, _number, validate)

    def _read(
        self,
        name: Text,
        default: _Default,
        convert: Callable[[Text], _Value],
        validate: Callable[[_Value], object] | None,
    ) -> _Value | _Default:
        self.names.add(name)
        try:
            text = self._text(name)
        except (ValueError, OSError) as error:
            self.faults.append(f"{name}_FILE: the file that it names {_unreadable(error, name)}")
            return default
        if not text.strip():
            return default
        try:
            value = convert(text)
            if validate is not None:
                validate(value)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return default
        return value

    def _text(self, name: Text) -> Text:
        if path := os.environ.get(f"{name}_FILE"):
            return Path(path).read_text().strip()
        return os.environ.get(name, "")


def _unreadable(error: Exception, name: str) -> str:
    """Return why a file cannot be read. Its path is not quoted: it may be the secret itself, set by mistake."""
    match error:
        case FileNotFoundError() if not Path(os.environ[f"{name}_FILE"]).is_absolute():
            return "does not exist below the folder in which this command was started: give an absolute path"
        case FileNotFoundError():
            return "does not exist"
        case IsADirectoryError():
            return "is a folder"
        case PermissionError():
            return "cannot be read by this account: check its owner and its mode"
    return "cannot be read as text"


def _unchanged(text: str) -> str:
    return text


def _parts(text: str) -> list[str]:
    return text.split(",")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("must be a number")
    return value
