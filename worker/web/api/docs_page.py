"""`/docs`: the description of the API as a page of HTML without scripts, from files of this package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, StrictUndefined, select_autoescape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER: Final = files("worker.web.api") / "pages"

#: Nothing but the page's own style sheet may be loaded.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(document: Mapping[str, Any], problems: Mapping[str, str]) -> bytes:
    """The page for a description. `problems`: the title of each type."""
    environment = Environment(
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string((_FOLDER / "docs.html").read_text())
    html = template.render(
        info=document["info"],
        operations=list(_operations(document)),
        schemas=[(name, _members(schema)) for name, schema in document["components"]["schemas"].items()],
        problems=problems,
    )
    return html.encode()


def style() -> bytes:
    return (_FOLDER / "docs.css").read_bytes()


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            operation = methods[method]
            yield {
                "path": path,
                "method": method.upper(),
                "id": operation["operationId"],
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "parameters": [*methods.get("parameters", []), *operation.get("parameters", [])],
                "examples": list(_examples(operation)),
                "body": list(_names(operation.get("requestBody", {}).get("content", {}))),
                "responses": list(_responses(operation)),
            }


def _examples(operation: Mapping[str, Any]) -> Iterator[str]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" in content:
            yield _pretty(content["example"])
        for example in content.get("examples", {}).values():
            yield _pretty(example["value"])


def _responses(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            yield status, "Problem", ["ProblemDetails"]
        else:
            yield status, response.get("description", ""), list(_names(response.get("content", {})))


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    """The schemas that a content refers to."""
    for kind in content.values():
        schema = kind.get("schema", {})
        for each in (schema, *schema.get("oneOf", ())):
            if "$ref" in each:
                yield each["$ref"].rpartition("/")[2]


def _members(schema: Mapping[str, Any]) -> list[tuple[str, str, bool, str]]:
    required = schema.get("required", [])
    return [
        (name, _type(member), name in required, member.get("description", ""))
        for name, member in schema.get("properties", {}).items()
    ]


def _type(member: Mapping[str, Any]) -> str:
    if "$ref" in member:
        return str(member["$ref"].rpartition("/")[2])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in member:
            return " or ".join(_type(each) for each in member[key])
    kinds = member.get("type", "any")
    text = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "items" in member:
        text += f" of {_type(member['items'])}"
    return text


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
