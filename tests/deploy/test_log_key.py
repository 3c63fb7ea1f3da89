"""Each way of deploying gives the key of the log to workers, and to no other process."""

from __future__ import annotations

from typing import Final

import yaml

from tests.deploy.sources import DEPLOY, KUBERNETES, documents
from tests.support.docs_pages import page

VARIABLE: Final = "EKYC_LOG_KEY_FILE"


def test_compose_mounts_it() -> None:
    (file,) = documents(DEPLOY / "docker-compose.log.yml")
    assert file["services"] == {
        "worker": {"environment": {VARIABLE: "/run/secrets/log_key"}, "secrets": ["log_key"]}
    }
    assert file["secrets"].keys() == {"log_key"}


def test_the_page_says_where_it_goes() -> None:
    text = page("deploy/README.md").text
    for place in (
        "/etc/ekyc/credentials/log_key",
        "/etc/systemd/system/ekyc-worker@.service.d/log.conf",
        "docker-compose.log.yml",
        "components/evidence-log/kustomization.yaml",
    ):
        assert place in text


def test_the_component_is_for_workers_alone() -> None:
    (component,) = documents(KUBERNETES / "components" / "evidence-log" / "kustomization.yaml")
    (patch,) = component["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "ekyc-worker"}
    env, item = yaml.safe_load(patch["patch"])
    assert env["value"] == {"name": VARIABLE, "value": "/run/secrets/ekyc/log_key"}
    assert item["value"] == {"key": "log_key", "path": "log_key"}
