"""The fields that several schemas share, and the words they take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from marshmallow import ValidationError, fields

from worker.enqueue_request import (
    BAD_REGION,
    BAD_SIGNATURE_ID,
    check_context,
    check_region,
    check_signature_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Kept = TypeVar("_Kept")

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


class SignatureId(fields.String):
    """1 to 64 of letters, digits, `-` and `_`."""

    default_error_messages = {"null": BAD_SIGNATURE_ID}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        return _by_rule(check_signature_id, value)


class Region(fields.String):
    """A region or its alias; loads as the region's own name."""

    default_error_messages = {"null": BAD_REGION}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        return _by_rule(check_region, value)


class Context(fields.Field[Any]):
    """JSON of the pipeline's own; loads as compact JSON text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        return _by_rule(check_context, value)


def _by_rule(rule: Callable[[Any], _Kept], value: Any) -> _Kept:
    """What a rule of `worker.enqueue_request` makes of a value."""
    try:
        return rule(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


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
