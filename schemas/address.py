"""The documents of an address product. Their fields are not documented, so links are found by the field names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields

from schemas.document import UNUSABLE_LINK
from schemas.vendor_json import doubled

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The links of one answer that are kept.
MAX_ADDRESS_LINKS: Final = 8

#: The roles of those links, and of one more that stands for all further links.
ADDRESS_ROLES: Final = (
    *(f"address_{number}" for number in range(1, MAX_ADDRESS_LINKS + 1)),
    "address_more",
)

#: The values of one list or object that are looked at.
_MAX_VALUES: Final = 100

#: Names of fields that hold documents: `docImage`, `proofFileUrl`, `addressDocument`.
_NAME: Final = re.compile(r"image|photo|picture|file|doc|proof", re.IGNORECASE | re.ASCII)
_LINK: Final = re.compile(r"\s{0,64}https?:", re.IGNORECASE | re.ASCII)


class AddressLinks(fields.Field[tuple[tuple[str, str], ...]]):
    """The links in `addressDetail`, as pairs of a role and a link, in the order of the vendor's field names.

    Each may be the value of a field or stand in a list or an object there. More than ``MAX_ADDRESS_LINKS`` are
    reported by one unusable link.
    """

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[tuple[str, str], ...]:
        del attr, data, kwargs
        if not isinstance(value, Mapping):
            raise ValidationError("must be an object")
        found = tuple(islice(_links(value), len(ADDRESS_ROLES)))
        return tuple(
            (role, link if number < MAX_ADDRESS_LINKS else UNUSABLE_LINK)
            for number, (role, link) in enumerate(zip(ADDRESS_ROLES, found, strict=False))
        )


def _links(detail: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(name for name in detail if _NAME.search(name)):
        if name in doubled(detail):
            yield UNUSABLE_LINK
            continue
        yield from (text for text in _values(detail[name]) if isinstance(text, str) and _LINK.match(text))


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        return islice((value[name] for name in sorted(value)), _MAX_VALUES)
    return iter(value[:_MAX_VALUES] if isinstance(value, list) else [value])
