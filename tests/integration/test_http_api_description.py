"""OpenAPI at `/openapi.json`, and the page at `/docs`."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import marshmallow
import pytest
from flask import Flask
from marshmallow.validate import Range, Regexp

from sandbox.grammar import parse
from tests.support.json_schema import check, check_schema
from worker.decisions.endpoints import EVENTS
from worker.settings import Settings
from worker.web.api import docs_page
from worker.web.api.application import make_application
from worker.web.api.openapi import document, make_api
from worker.web.api.problems import KINDS
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


@pytest.fixture
def app(redis: Redis) -> Flask:
    return make_application(Settings(regions=("ph",)), redis, TokenFile(None))


@pytest.fixture
def description(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.test_client().get("/openapi.json").data)
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "post"}:
                yield path, method, operation


def test_every_route_is_described_and_has_a_scope(app: Flask, description: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1")
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    }
    assert routes == {(path, method) for path, method, _ in operations(description)}
    for name, view in app.view_functions.items():
        assert getattr(view, "scope", None) in {"public", "enqueue", "read", "close", "deliver", "notify"}, (
            name
        )


def test_it_is_openapi_3_1_with_a_place_for_webhooks(description: dict[str, Any]) -> None:
    assert description["openapi"] == "3.1.0"
    events = {name: entry["post"] for name, entry in description["webhooks"].items()}
    assert events.keys() == {"verification.decided", "endpoint.test", *EVENTS}
    for name, operation in events.items():
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert description["components"]["schemas"][schema]["properties"]["type"]["enum"] == [name]
    ids = [operation["operationId"] for _, _, operation in operations(description)]
    assert len(set(ids)) == len(ids) == 17


def test_every_schema_is_valid_and_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    for schema in description["components"]["schemas"].values():
        check_schema(schema)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(description))):
        found: Any = description
        for step in reference.split("/"):
            found = found[step]


def test_every_error_is_a_problem(description: dict[str, Any]) -> None:
    for path, method, operation in operations(description):
        for status, response in operation["responses"].items():
            if status == "default" or int(status) >= 400:
                name = response["$ref"].rpartition("/")[2]
                content = description["components"]["responses"][name]["content"]
                assert list(content) == ["application/problem+json"], (path, method, status)
    types = description["components"]["schemas"]["ProblemDetails"]["properties"]["type"]["examples"]
    assert types == [f"urn:ekyc:problem:{kind.slug}" for kind in KINDS]


def test_every_body_has_an_example_that_its_schema_takes(description: dict[str, Any]) -> None:
    bodies = 0
    for _, _, operation in operations(description):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples
            bodies += 1
            schema = content["schema"] | {"components": description["components"]}
            for example in examples:
                check(example, schema)
    assert bodies == 6


def test_every_id_of_the_examples_is_one_that_the_sandbox_knows(description: dict[str, Any]) -> None:
    examples = json.dumps([
        content for _, _, operation in operations(description)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ])  # fmt: skip
    ids = set(re.findall(r'"signature_?[iI]d": "([^"]+)"', examples))
    assert ids == {"pass-n2-1", "CARD_NOT_FOUND-1"}
    assert (parse("pass-n2-1").error_code, parse("pass-n2-1").nulls) == ("SUCCESS", 2)
    assert parse("CARD_NOT_FOUND-1").error_code == "CARD_NOT_FOUND"


class Bounded(marshmallow.Schema):
    low = marshmallow.fields.Integer(validate=Range(min=0, min_inclusive=False))
    high = marshmallow.fields.Float(validate=Range(max=1.5, max_inclusive=False))
    both = marshmallow.fields.Integer(validate=Range(0, 9, min_inclusive=False, max_inclusive=False))
    inclusive = marshmallow.fields.Integer(validate=Range(0, 9))
    anything = marshmallow.fields.Raw(allow_none=True)
    text = marshmallow.fields.String(allow_none=True, validate=Regexp(r"[a-z]+\Z"))


def test_what_apispec_publishes_wrongly_is_published_right() -> None:
    """Bounds that are themselves not allowed, nullable values of any type, and the end of a text in a pattern."""
    app = Flask(__name__)
    api = make_api(app)
    api.spec.components.schema("Bounded", schema=Bounded)
    published = api.spec.to_dict()["components"]["schemas"]["Bounded"]["properties"]
    assert published == {
        "low": {"type": "integer", "exclusiveMinimum": 0},
        "high": {"type": "number", "exclusiveMaximum": 1.5},
        "both": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
        "inclusive": {"type": "integer", "minimum": 0, "maximum": 9},
        "anything": {},
        "text": {"type": ["string", "null"], "pattern": "^(?:[a-z]+)$"},
    }


class Page(HTMLParser):
    """What a page loads, its ids and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes |= found.keys()
        if tag in {"script", "img", "link", "iframe"}:
            self.loads.append(found.get("src") or found.get("href") or "")
        if found.get("id"):
            self.ids.append(found["id"] or "")
        if tag == "a":
            self.links.append(found.get("href") or "")


def test_the_page_names_everything_and_obeys_its_own_policy(app: Flask, description: dict[str, Any]) -> None:
    answer = app.test_client().get("/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == docs_page.POLICY
    assert "unsafe" not in docs_page.POLICY
    html = answer.data.decode()
    page = Page(html)
    assert page.loads == ["docs/docs.css"]
    assert app.test_client().get("/docs/docs.css").content_type == "text/css; charset=utf-8"
    assert not page.tags & {"script", "style", "iframe", "object", "form"}
    assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
    assert "://" not in html
    for path, method, operation in operations(description):
        assert f"{method.upper()} {path}" in html
        assert operation["operationId"] in page.ids
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    for kind in KINDS:
        assert f"urn:ekyc:problem:{kind.slug}" in html


def test_what_a_description_says_is_escaped_on_the_page(app: Flask, description: dict[str, Any]) -> None:
    description["info"]["description"] = "<script>alert(1)</script>"
    html = docs_page.page(description, {"<b>": "&"}).decode()
    assert "<script>" not in html
    assert "<b>" not in html


def test_the_description_is_the_same_each_time() -> None:
    app = Flask(__name__)
    first = json.dumps(document_of(app))
    assert json.dumps(document_of(Flask(__name__))) == first


def document_of(app: Flask) -> dict[str, Any]:
    from worker.web.api.verifications import blueprint  # noqa: PLC0415 - the blueprint alone

    api = make_api(app)
    api.register_blueprint(blueprint)
    return document(api)
