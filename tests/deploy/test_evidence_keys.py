"""Each way of deploying gives the keys of evidence to workers, and to no other process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from tests.deploy.kubectl import check_secret_of, check_without, needs_kubectl, with_components
from tests.deploy.sources import DEPLOY, KUBERNETES, documents
from tests.support.docs_pages import page

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "EKYC_EVIDENCE_KEYS_FILE"


def test_compose_mounts_them() -> None:
    (file,) = documents(DEPLOY / "docker-compose.encryption.yml")
    given = {"environment": {VARIABLE: "/run/secrets/evidence_keys"}, "secrets": ["evidence_keys"]}
    assert file["services"] == {"worker": given}
    assert file["secrets"].keys() == {"evidence_keys"}


def test_the_page_says_where_systemd_wants_them() -> None:
    text = page("deploy/README.md").text
    for place in (
        "/etc/ekyc/credentials/evidence_keys",
        "/etc/systemd/system/ekyc-worker@.service.d/encryption.conf",
        "docker-compose.encryption.yml",
    ):
        assert place in text


def test_the_component_is_for_workers_alone() -> None:
    (component,) = documents(KUBERNETES / "components" / "encryption" / "kustomization.yaml")
    (patch,) = component["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "ekyc-worker"}
    env, item = yaml.safe_load(patch["patch"])
    assert env["value"] == {"name": VARIABLE, "value": "/run/secrets/ekyc/evidence_keys"}
    assert item["value"] == {"key": "evidence_keys", "path": "evidence_keys"}


@needs_kubectl
def test_kubernetes_mounts_them(tmp_path: Path) -> None:
    rendered = with_components(tmp_path, "signing", "encryption")
    check_secret_of(rendered, "worker", VARIABLE, "evidence_keys")
    check_without(rendered, VARIABLE, "web", "flower")
