"""Each way of deploying gives `web`, and no other process, the file of the tokens of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.deploy.kubectl import (
    check_file_that_may_change,
    check_reached_by,
    check_without,
    needs_kubectl,
    pod_of,
    with_components,
)
from tests.deploy.sources import DEPLOY, PROCFILE, component, documents, is_read, unit
from tests.support.docs_pages import page

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "EKYC_API_TOKENS_FILE"


def test_compose_mounts_it() -> None:
    (file,) = documents(DEPLOY / "docker-compose.api.yml")
    path = "/run/secrets/api_tokens"
    assert file["services"] == {"web": {"environment": {VARIABLE: path}, "secrets": ["api_tokens"]}}
    assert file["secrets"].keys() == {"api_tokens"}
    assert "web" in PROCFILE
    assert is_read(VARIABLE)


def test_systemd_names_it_and_does_not_copy_it() -> None:
    """A credential is a copy from when the unit was started: `web` would not notice a new token."""
    lines = unit("api.conf")
    assert lines.keys() == {"Environment"}
    (variable,) = lines["Environment"]
    name, _, path = variable.partition("=")
    assert name == VARIABLE
    assert path in page("deploy/README.md").text


@needs_kubectl
@pytest.mark.parametrize("others", [[], ["broker"]])
def test_kubernetes_mounts_it_as_a_folder(tmp_path: Path, others: list[str]) -> None:
    rendered = with_components(tmp_path, "api", before=others)
    check_file_that_may_change(pod_of(rendered, "web"), VARIABLE, "ekyc-api-tokens", "api-tokens")
    check_without(rendered, VARIABLE, "worker", "flower")


def test_in_kubernetes_clients_reach_web_and_nothing_else() -> None:
    check_reached_by(component("api"), {"ekyc-client": "true"})
