"""The JSON of a request: UTF-8, no name twice in an object, no NaN, not nested too deep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from schemas.vendor_json import is_within
from worker.web.api.costly import LARGE_BODY, take_place
from worker.web.api.problems import BAD_REQUEST, NOT_JSON, Problem

if TYPE_CHECKING:
    from worker.web.api.current import ApiRequest

#: A context may have 100 levels, and a batch puts three around it.
MAX_LEVELS: Final = 103

#: The most members of an object. A context, which no other object exceeds, has no room for more.
MAX_MEMBERS: Final = 1000

#: The most digits of an integer. Conversion takes time quadratic in their number.
MAX_DIGITS: Final = 308


class _Fault(ValueError):
    """What is wrong with a JSON text."""


def json_body(request: ApiRequest) -> Any:
    """The JSON that a request sent; its `raw_body` has the bytes. Raises ``Problem``."""
    # Its length was checked: werkzeug's own stream would check it once more.
    length = int(request.environ.get("CONTENT_LENGTH") or 0)
    raw: bytes = request.environ["wsgi.input"].read(length)
    request.raw_body = raw
    if len(raw) < length:
        # Gunicorn takes the end of the connection for the end of the body.
        raise Problem(BAD_REQUEST, "the body is shorter than its Content-Length")
    if not raw:
        raise Problem(NOT_JSON, "the request has no body: send JSON")
    if length > LARGE_BODY:
        # The client may be slow in sending it, so not before it is here.
        take_place()
    try:
        return parse(raw)
    except ValueError as error:
        raise Problem(NOT_JSON, str(error)) from None


def parse(raw: bytes) -> Any:
    """The value of a JSON text, in time linear in its length. Raises ``ValueError`` that does not quote it."""
    try:
        value = _DECODER.decode(raw.decode())
    except _Fault:
        raise
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError(f"the body is nested more than {MAX_LEVELS} levels deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON at line {error.lineno}, column {error.colno}") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_LEVELS and not is_within(value, MAX_LEVELS):
        raise ValueError(f"the body is nested more than {MAX_LEVELS} levels deep")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise _Fault(f"an object in the body has more than {MAX_MEMBERS} members")
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Fault("an object in the body has a name twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Fault(f"a number in the body has more than {MAX_DIGITS} digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    del name
    raise _Fault("the body has NaN or Infinity, which JSON does not have")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant, strict=True
)
