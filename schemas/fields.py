"""The fields that several schemas share, and the codes that they accept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from marshmallow import ValidationError, fields

from schemas.record import Nested
from worker.enqueue_request import (
    BAD_REGION,
    BAD_SIGNATURE_ID,
    check_context,
    check_pipeline,
    check_region,
    check_signature_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Kept = TypeVar("_Kept")

#: The last moment that a `datetime` can hold, in epoch milliseconds.
MAX_MILLIS: Final = 253_402_300_799_999

#: The most entries of a list in an answer. The vendor's page shows one in each. A user who tries every four seconds for
#: the whole hour makes 900 events. A body could have a million, which would take 155 MB if each were loaded.
MAX_ENTRIES: Final = 1000

#: Replaces a code of the vendor that does not look like one.
UNPRINTABLE: Final = "UNPRINTABLE"

#: The form of the vendor's codes.
CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

_MILLIS: Final = re.compile(r"[0-9]{1,15}")


class SignatureId(fields.String):
    """1 to 64 of letters, digits, `-` and `_`."""

    default_error_messages = {"null": BAD_SIGNATURE_ID}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        return _by_rule(check_signature_id, value)


class Region(fields.String):
    """A region or its alias; loads as the name of the region."""

    default_error_messages = {"null": BAD_REGION}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        return _by_rule(check_region, value)


class Pipeline(fields.String):
    """The name of a pipeline; null loads as that of the default one."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        given = super().deserialize(value, attr, data, **kwargs)
        return check_pipeline(None) if given is None else given

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        return _by_rule(check_pipeline, value)


class Context(fields.Field[Any]):
    """Any JSON of the pipeline; loads as compact JSON text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        return _by_rule(check_context, value)


def _by_rule(rule: Callable[[Any], _Kept], value: Any) -> _Kept:
    """Return what a rule of `worker.enqueue_request` makes of a value. Raises ``ValidationError``."""
    try:
        return rule(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


class Truth(fields.Field[bool]):
    """`true` or `false`. Similar values such as `"yes"` or `1` are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        del attr, data, kwargs
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Millis(fields.Field[int]):
    """A moment in epoch milliseconds, up to the year 9999, as a number or as its digits in a string.

    The vendor's documentation has one, its samples the other.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        del attr, data, kwargs
        if isinstance(value, str) and _MILLIS.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MILLIS:
            raise ValidationError("must be a moment in epoch milliseconds")
        return value


class ShortList(fields.List[Any]):
    """A list of at most ``MAX_ENTRIES``. A longer list is refused before any entry is loaded."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > MAX_ENTRIES:
            raise ValidationError(f"must have at most {MAX_ENTRIES} entries")
        return super()._deserialize(value, attr, data, **kwargs)


class ReadableList(ShortList):
    """A ``ShortList`` that drops entries that cannot be read. For lists that no decision depends on."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            return super()._deserialize(value, attr, data, **kwargs)
        return [read for entry in value if (read := self._read(entry)) is not None]

    def _read(self, entry: Any) -> Any:
        try:
            return self.inner.deserialize(entry)
        except ValidationError:
            return None


class Part(Nested):
    """A nested record. An empty array is null, because some JSON encoders write an empty object this way."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        return None if value == [] else super()._deserialize(value, attr, data, partial, **kwargs)


class Code(fields.Field[str | None]):
    """One of the vendor's codes, such as `SUCCESS`, known or unknown.

    Codes go into the ledger, messages and logs, where no personal data may be. So a text that does not look like
    a code loads as ``UNPRINTABLE``, and an empty one as None.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        if not isinstance(value, str):
            raise ValidationError("must be a string or null")
        if not value:
            return None
        return value if CODE.fullmatch(value) else UNPRINTABLE
