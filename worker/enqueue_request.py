"""A request to enqueue one verification, and the rules of its fields.

`worker.client` applies the rules itself; the marshmallow fields of `schemas` apply the same rules to messages and
files. So this module needs only the standard library.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Names of the vendor's hosts, whose addresses are in `worker.advance.regions`. `global` is the host `api`, which the
#: vendor's tabs label Indonesia.
REGIONS: Final = ("sg", "ph", "th", "my", "vn", "global")

#: Other names for a region that people may use.
REGION_ALIASES: Final = {"id": "global"}

#: The form of an id, so that it is safe as a file name, a Redis key and a URL segment.
SIGNATURE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: The form of a pipeline's name. It becomes a part of a Redis key and a label of a metric.
PIPELINE: Final = re.compile(r"[a-z0-9_-]{1,32}")

#: The pipeline of requests that name none.
DEFAULT_PIPELINE: Final = "default"

#: The largest context of a verification, as compact JSON.
MAX_CONTEXT_BYTES: Final = 4096

#: The deepest nesting of a context. Python's JSON fails near 1000 levels, earlier on a deep call stack: a context that
#: is accepted here must not fail in a worker.
MAX_CONTEXT_LEVELS: Final = 100

BAD_SIGNATURE_ID: Final = "must be 1 to 64 of letters, digits, - and _"
BAD_PIPELINE: Final = "must be 1 to 32 of a-z, digits, - and _"
BAD_REGION: Final = f"unknown region, use one of {', '.join(REGIONS)}"


@dataclass(frozen=True, slots=True)
class EnqueueRequest:
    """One verification to enqueue. `context` is compact JSON text, or None."""

    signature_id: str
    region: str
    context: str | None = None
    #: Pipelines that have something due get equal shares of a region's polls.
    pipeline: str = DEFAULT_PIPELINE


def canonical_region(name: str) -> str:
    """Return the region that `name` means. Raises ``ValueError`` with the names of all regions."""
    region = name.strip().lower()
    region = REGION_ALIASES.get(region, region)
    if region not in REGIONS:
        raise ValueError(BAD_REGION)
    return region


def check_signature_id(value: Any) -> str:
    """Return the signature id. Raises ``ValueError`` without quoting it, as the other rules do."""
    text = _text(value, BAD_SIGNATURE_ID)
    if not SIGNATURE_ID.fullmatch(text):
        raise ValueError(BAD_SIGNATURE_ID)
    return text


def check_region(value: Any) -> str:
    """Return the region, an alias replaced by the region's own name."""
    return canonical_region(_text(value, BAD_REGION))


def check_context(value: Any) -> str | None:
    """Return the context that the decision carries, up to 4 KB, as compact JSON text; None for None.

    A UUID, a decimal number, a date and a time, which Celery can decode, become their text.
    """
    if value is None:
        return None
    try:
        text = _ENCODER.encode(value)
        size_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must be JSON") from None
    if '"__type__":' in text:
        raise ValueError("must not have the key __type__: Celery reads it as a type of its own")
    if size_bytes > MAX_CONTEXT_BYTES:
        raise ValueError(f"must be at most {MAX_CONTEXT_BYTES} bytes of JSON, is {size_bytes}")
    if not _is_within(value, MAX_CONTEXT_LEVELS):
        raise ValueError(f"must be nested at most {MAX_CONTEXT_LEVELS} levels deep")
    return text


def check_pipeline(value: Any) -> str:
    """Return the name of the pipeline; of the default one for None."""
    if value is None:
        return DEFAULT_PIPELINE
    text = _text(value, BAD_PIPELINE)
    if not PIPELINE.fullmatch(text):
        raise ValueError(BAD_PIPELINE)
    return text


#: The rule of each field. A rule takes the given value and returns the value to store.
RULES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "signature_id": check_signature_id,
    "region": check_region,
    "context": check_context,
    "pipeline": check_pipeline,
}


def _text(value: Any, fault: str) -> str:
    """Return text, also for its bytes in UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError(fault) from None
    if not isinstance(value, str):
        raise ValueError(fault)  # noqa: TRY004 - every rule raises this
    return str(value)


def _as_text(value: Any) -> str:
    """Return the text of a value for which JSON has no type. Raises ``TypeError`` for all others."""
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError


#: Made once: `json.dumps` makes one for each call.
_ENCODER: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_text
)


def _is_within(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_is_within(inner, levels - 1) for inner in value)
