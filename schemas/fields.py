"""The fields that several schemas share, and the words they take."""

from __future__ import annotations

import json
import re
from typing import Any, Final

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
    """Whatever JSON the pipeline wants back beside the decision, up to 4 KB; loads as compact JSON text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        try:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            size_bytes = len(text.encode())
        except (TypeError, ValueError, RecursionError):
            raise ValidationError("must be JSON") from None
        if size_bytes > MAX_CONTEXT_BYTES:
            raise ValidationError(f"must be at most {MAX_CONTEXT_BYTES} bytes of JSON, is {size_bytes}")
        return text
