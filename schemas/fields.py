"""The fields that several schemas share, and the words they take."""

from __future__ import annotations

import json
import re
from datetime import date, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from marshmallow import ValidationError, fields
from marshmallow.validate import Regexp

#: The vendor's six hosts by region; `global` is the host `api`, which the vendor's tabs label Indonesia.
REGIONS: Final = ("sg", "ph", "th", "my", "vn", "global")

#: Another name for a region, as a person may give it.
REGION_ALIASES: Final = {"id": "global"}

#: What an id may be made of, so that it is safe as a file name, a Redis key and a URL segment.
SIGNATURE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: The most that a pipeline may attach to a verification, as compact JSON.
MAX_CONTEXT_BYTES: Final = 4096

#: How deep it may be nested. Python's JSON gives up near 1000, the sooner the more calls are under way:
#: what was accepted here must not fail in a worker.
MAX_CONTEXT_LEVELS: Final = 100

#: The last moment that a `datetime` can hold, in epoch milliseconds.
MAX_MILLIS: Final = 253_402_300_799_999

#: The most entries of a list of the vendor's. Its page shows one in each; who tries again every four seconds for all of
#: the hour there is, makes 900 events. A body has room for a million: 155 MB, where each of them is looked at.
MAX_ENTRIES: Final = 1000

#: What stands for a code of the vendor's that does not look like one.
UNPRINTABLE: Final = "UNPRINTABLE"

#: What a code of the vendor's looks like.
CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

_MILLIS: Final = re.compile(r"[0-9]{1,15}")


def canonical_region(name: str) -> str:
    """The region that `name` means. Raises ``ValueError`` naming the regions there are."""
    region = name.strip().lower()
    region = REGION_ALIASES.get(region, region)
    if region not in REGIONS:
        raise ValueError(f"unknown region, use one of {', '.join(REGIONS)}")
    return region


class SignatureId(fields.String):
    """1 to 64 of letters, digits, `-` and `_`."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(
            "validate",
            Regexp(
                re.compile(rf"{SIGNATURE_ID.pattern}\Z"), error="must be 1 to 64 of letters, digits, - and _"
            ),
        )
        super().__init__(**kwargs)


class Region(fields.String):
    """A region or its alias; loads as the region's own name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            return canonical_region(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Context(fields.Field[Any]):
    """Whatever JSON the pipeline wants back beside the decision, up to 4 KB; loads as compact JSON text.

    A UUID, a decimal number, a date or a time, as Celery hands them on, becomes its text.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        try:
            text = json.dumps(
                value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_text
            )
            size_bytes = len(text.encode())
        except (TypeError, ValueError, RecursionError):
            raise ValidationError("must be JSON") from None
        if '"__type__":' in text:
            raise ValidationError("must not have the key __type__: Celery reads it as a type of its own")
        if size_bytes > MAX_CONTEXT_BYTES:
            raise ValidationError(f"must be at most {MAX_CONTEXT_BYTES} bytes of JSON, is {size_bytes}")
        if not _is_within(value, MAX_CONTEXT_LEVELS):
            raise ValidationError(f"must be nested at most {MAX_CONTEXT_LEVELS} levels deep")
        return text


def _as_text(value: Any) -> str:
    """The text of what JSON has no type for. Raises ``TypeError`` for all else."""
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError


def _is_within(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_is_within(inner, levels - 1) for inner in value)


class Truth(fields.Field[bool]):
    """`true` or `false` and nothing that merely looks like it: no `"yes"`, no `1`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        del attr, data, kwargs
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Millis(fields.Field[int]):
    """A moment in epoch milliseconds, up to the year 9999, as a number or as its digits in a string.

    The vendor documents the one and samples the other.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        del attr, data, kwargs
        if isinstance(value, str) and _MILLIS.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MILLIS:
            raise ValidationError("must be a moment in epoch milliseconds")
        return value


class ShortList(fields.List[Any]):
    """A list of at most ``MAX_ENTRIES``; of a longer one no entry is looked at."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > MAX_ENTRIES:
            raise ValidationError(f"must have at most {MAX_ENTRIES} entries")
        return super()._deserialize(value, attr, data, **kwargs)


class ReadableList(ShortList):
    """A ``ShortList`` without the entries that cannot be read. For lists that nobody decides on."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            return super()._deserialize(value, attr, data, **kwargs)
        return [read for entry in value if (read := self._read(entry)) is not None]

    def _read(self, entry: Any) -> Any:
        try:
            return self.inner.deserialize(entry)
        except ValidationError:
            return None


class Part(fields.Nested):
    """A nested record. An empty array is null: some JSON encoders write an empty object so."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        return None if value == [] else super()._deserialize(value, attr, data, partial, **kwargs)


class Code(fields.Field[str | None]):
    """One of the vendor's codes: `SUCCESS` as well as one that nobody knows yet.

    Codes go where personal data must not: into the ledger, messages and logs. So what does not look like
    a code loads as ``UNPRINTABLE``, and an empty one as None.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        if not isinstance(value, str):
            raise ValidationError("must be a string or null")
        if not value:
            return None
        return value if CODE.fullmatch(value) else UNPRINTABLE
