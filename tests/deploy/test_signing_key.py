"""Each way of deploying gives the signing key to workers and to `web`, and to no other process."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import kubernetes_validate
import pytest
import yaml

from tests.deploy.sources import DEPLOY, KUBERNETES, documents
from tests.support.docs_pages import page

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "EKYC_SIGNING_KEY_FILE"


def test_compose_mounts_it() -> None:
    (file,) = documents(DEPLOY / "docker-compose.signing.yml")
    given = {"environment": {VARIABLE: "/run/secrets/signing_key"}, "secrets": ["signing_key"]}
    assert file["services"] == {"worker": given, "web": given}
    assert file["secrets"].keys() == {"signing_key"}


def test_the_page_says_where_systemd_wants_it() -> None:
    text = page("deploy/README.md").text
    for place in (
        "/etc/ekyc/credentials/signing_key",
        "/etc/systemd/system/ekyc-worker@.service.d/signing.conf",
        "ekyc-web.service.d/signing.conf",
    ):
        assert place in text


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubernetes_mounts_it(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "example"
    (kustomization,) = documents(overlay / "kustomization.yaml")
    components = ["../../components/broker", *kustomization["components"], "../../components/signing"]
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization | {"components": components}))
    ran = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    rendered = {
        (each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout) if each
    }
    for process in ("worker", "web"):
        deployment = rendered["Deployment", f"ekyc-{process}"]
        kubernetes_validate.validate(deployment, "1.37", strict=True)
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert {"name": VARIABLE, "value": "/run/secrets/ekyc/signing_key"} in container["env"]
        (secret,) = (each["secret"] for each in pod["volumes"] if each["name"] == "secrets")
        assert {"key": "signing_key", "path": "signing_key"} in secret["items"]
    assert VARIABLE not in yaml.safe_dump(rendered["Deployment", "ekyc-flower"])
