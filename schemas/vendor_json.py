"""Parses the JSON of the vendor, as tolerantly as is safe and within bounds of time and memory."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from schemas.errors import SchemaError

#: The most commas and opening brackets of an answer, also within strings. The event loop is blocked while an answer is
#: read. A full result has about 60, with ``schemas.fields.MAX_ENTRIES`` events about 5,000. A body of 2 MiB could have
#: a million, which would take half a second.
MAX_VALUES: Final = 20_000

#: The most digits of an integer. A number with more digits does not fit into a double.
MAX_DIGITS: Final = 308

#: How deep an answer may be nested. Python's own limit depends on the call stack, but an answer that is accepted when
#: it arrives must also be accepted when it is archived.
MAX_LEVELS: Final = 100


class Doubled(dict[str, Any]):
    """An object with names that occur twice with different values. `names` holds these names."""

    __slots__ = ("names",)

    def __init__(self, members: dict[str, Any], names: frozenset[str]) -> None:
        super().__init__(members)
        self.names = names


def doubled(members: Any) -> frozenset[str]:
    """Return the names that occur twice in an object with different values."""
    return members.names if isinstance(members, Doubled) else frozenset()


def parse(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, UTF-16 or UTF-32, in time linear in its length.

    Beyond RFC 8259 it accepts a byte order mark, control characters within strings, NaN and Infinity: none of them
    makes the structure ambiguous. Raises ``SchemaError`` for everything else.
    """
    containers = raw.count(b"{") + raw.count(b"[")
    if containers + raw.count(b",") > MAX_VALUES:
        raise SchemaError("", f"must have at most {MAX_VALUES} values")
    try:
        value = _JSON.decode(raw.decode() if _is_utf_8(raw[:4]) else raw.decode(json.detect_encoding(raw)))
    except RecursionError:
        raise SchemaError("", f"must have at most {MAX_LEVELS} levels") from None
    except ValueError:
        raise SchemaError("", "must be JSON in UTF-8") from None
    if containers > MAX_LEVELS and not is_within(value, MAX_LEVELS):
        raise SchemaError("", f"must have at most {MAX_LEVELS} levels")
    return value


def _is_utf_8(head: bytes) -> bool:
    """Return whether the text is UTF-8 by its first bytes: JSON begins with ASCII characters."""
    return head.isascii() and b"\0" not in head


def _integer(digits: str) -> float:
    # Conversion takes time quadratic in the number of digits. No decision depends on a number.
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = frozenset(name for name, value in pairs if not _same(value, members[name]))
    # Null means missing, so the other value counts.
    members |= {name: value for name, value in pairs if members[name] is None and value is not None}
    return Doubled(members, names) if names else members


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one != other:
        return False
    # In Python, true and 1 are equal.
    return not isinstance(one, dict | list) or json.dumps(one) == json.dumps(other)


def is_within(value: Any, levels: int) -> bool:
    """Return whether `value`, an object or array, has at most `levels` levels of them."""
    outer = [value]
    for _ in range(levels):
        outer = [
            inner
            for container in outer
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, dict | list)
        ]
        if not outer:
            return True
    return False


_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, strict=False)
