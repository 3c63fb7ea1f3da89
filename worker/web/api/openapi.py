"""The description of the API: OpenAPI 3.1, made from the views and their schemas."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import flask_smorest
from marshmallow.validate import Range
from werkzeug.routing import BaseConverter

from schemas.fields import Context, Truth
from worker.enqueue_request import REGION_ALIASES, REGIONS, SIGNATURE_ID
from worker.policy.api_tokens import SCOPES
from worker.web.api import webhooks
from worker.web.api.problems import CONTENT_TYPE, KINDS, TYPE, of_http
from worker.web.api.rate_limit import WINDOW_S
from worker.web.api.schemas import ProblemDetails

if TYPE_CHECKING:
    from flask import Flask, Response
    from marshmallow.fields import Field
    from werkzeug.exceptions import HTTPException

_DESCRIPTION: Final = f"""
Enqueue verifications, and receive decisions. Every id in the examples is one that the sandbox answers.

Each request carries a token: `Authorization: Bearer …`. A token has scopes ({", ".join(SCOPES)}). Each token may make
the requests of {WINDOW_S} seconds at once; `RateLimit` says what is left.
""".strip()

#: Of every answer to a valid token.
_HEADERS: Final = {
    "RateLimit": {"description": "What the token has left.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "What the token may use.", "schema": {"type": "string"}},
}

_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "callbackSecret": {"type": "apiKey", "in": "query", "name": "secret"},
}


#: The end of a text in a pattern of Python.
_END: Final = r"\Z"


class RegionConverter(BaseConverter):
    """A region or its alias in a path."""

    regex = "|".join((*REGIONS, *REGION_ALIASES))
    part_isolating = True


class SignatureIdConverter(BaseConverter):
    regex = SIGNATURE_ID.pattern
    part_isolating = True


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest's, with its errors as problems."""

    ERROR_SCHEMA = ProblemDetails

    def handle_http_exception(self, error: HTTPException) -> Response:
        return of_http(error).response()


def make_api(app: Flask) -> Api:
    """The collector of the views of `app`. Its `spec` is complete once each blueprint is registered."""
    app.config |= {
        "API_TITLE": "ekyc-worker",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {
            "info": {"description": _DESCRIPTION},
            "security": [{"bearer": []}],
        },
    }
    app.url_map.converters |= {"region": RegionConverter, "signature_id": SignatureIdConverter}
    api = Api(app)
    for function in (exclusive_bounds, any_or_null, ecma_pattern):
        api.ma_plugin.converter.add_attribute_function(function)
    api.register_field(Truth, "boolean", None)
    api.register_field(Context, None, None)
    api.register_converter(RegionConverter, lambda _: {"type": "string", "enum": [*REGIONS, *REGION_ALIASES]})
    api.register_converter(
        SignatureIdConverter, lambda _: {"type": "string", "pattern": f"^{SIGNATURE_ID.pattern}$"}
    )
    for name, scheme in _SECURITY.items():
        api.spec.components.security_scheme(name, scheme)
    webhooks.register(api.spec)
    return api


def exclusive_bounds(self: Any, field: Field[Any], ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Publish a bound that is itself not allowed as such: apispec publishes every bound as an inclusive one."""
    del self
    found: dict[str, Any] = {}
    for rule in field.validators:
        if not isinstance(rule, Range):
            continue
        if rule.min is not None and not rule.min_inclusive and ret.get("minimum") == rule.min:
            del ret["minimum"]
            found["exclusiveMinimum"] = rule.min
        if rule.max is not None and not rule.max_inclusive and ret.get("maximum") == rule.max:
            del ret["maximum"]
            found["exclusiveMaximum"] = rule.max
    return found


def any_or_null(self: Any, field: Field[Any], ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Publish no type for a nullable field of any type: apispec publishes that it is always null."""
    del self, field
    if ret.get("type") == ["null"]:
        del ret["type"]
    return {}


def ecma_pattern(self: Any, field: Field[Any], ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    r"""Publish a pattern that ends in `\Z`, as Python has it, in the syntax of JSON Schema."""
    del self, field
    pattern = ret.get("pattern", "")
    return {"pattern": f"^(?:{pattern.removesuffix(_END)})$"} if pattern.endswith(_END) else {}


def document(api: Api) -> dict[str, Any]:
    """The description as JSON has it."""
    spec: dict[str, Any] = api.spec.to_dict()
    for path in spec["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                _complete(operation)
    components = spec["components"]
    for response in components.get("responses", {}).values():
        content = response.get("content", {})
        if "application/json" in content:
            content[CONTENT_TYPE] = content.pop("application/json")
        response["headers"] = _HEADERS
    components["schemas"]["ProblemDetails"]["properties"]["type"]["examples"] = [
        TYPE + kind.slug for kind in KINDS
    ]
    spec["webhooks"] = webhooks.section()
    return spec


def _complete(operation: dict[str, Any]) -> None:
    responses = operation.get("responses", {})
    for status, response in list(responses.items()):
        if "$ref" in response:
            continue
        if int(status) < HTTPStatus.BAD_REQUEST:
            response["headers"] = response.get("headers", {}) | _HEADERS
    operation["description"] = operation.get("description", "").strip()
    if not operation["description"]:
        del operation["description"]
