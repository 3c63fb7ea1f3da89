"""The page of the operations of the HTTP API, from its OpenAPI document and the scopes of its views."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from redis import Redis

from tools.docs.page import code, generated, table
from worker.policy.api_tokens import SCOPES
from worker.settings import Settings
from worker.web.api.admission import PUBLIC
from worker.web.api.application import make_application
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INTRO = """
Every operation of [the HTTP API](../http-api.md), in the order of `/openapi.json`. `/docs` on your `web` has the
parameters, fields and answers of each.
"""

_PARAMETER: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def page() -> str:
    rows = [
        [code(f"{method} {path}"), code(scope) if scope else "none, and no token", summary]
        for method, path, scope, summary in operations()
    ]
    scopes = [[code(name), text] for name, text in SCOPES.items()]
    return generated(
        "Operations of the HTTP API",
        _INTRO,
        table(["operation", "scope", "what it does"], rows),
        "## Scopes\n\n" + table(["scope", "allows to"], scopes),
        source="the views in `worker/web/api/`",
    )


def operations() -> Iterator[tuple[str, str, str, str]]:
    """Method, path, scope and summary of each operation; the scope of one that needs no token is empty."""
    # It never connects.
    app = make_application(Settings(regions=("ph",)), Redis(port=1), TokenFile(None))
    document = json.loads(app.test_client().get("/openapi.json").data)
    scopes = {
        (method.lower(), _PARAMETER.sub(r"{\1}", rule.rule)): vars(app.view_functions[rule.endpoint])["scope"]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, methods in document["paths"].items():
        for method, operation in _operations(methods):
            scope = scopes[method, path]
            yield method.upper(), path, "" if scope == PUBLIC else scope, operation["summary"]


def _operations(methods: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, each) for name, each in methods.items() if name in {"get", "post"})
