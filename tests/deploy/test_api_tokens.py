"""Each way of deploying gives `web`, and no other process, the file of the tokens of the HTTP API."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from tests.deploy.sources import DEPLOY, KUBERNETES, PROCFILE, component, documents, is_read, unit
from tests.support.docs_pages import page

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


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("others", [[], ["../../components/broker"]])
def test_kubernetes_mounts_it_as_a_folder(tmp_path: Any, others: list[str]) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "example"
    (kustomization,) = documents(overlay / "kustomization.yaml")
    changed = kustomization | {"components": [*others, *kustomization["components"], "../../components/api"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(changed))
    ran = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    rendered = {
        (each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout) if each
    }
    web = rendered["Deployment", "ekyc-web"]
    kubernetes_validate.validate(web, "1.37", strict=True)
    pod = web["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (path,) = (each["value"] for each in container["env"] if each["name"] == VARIABLE)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "api-tokens")
    (secret,) = (each["secret"] for each in pod["volumes"] if each["name"] == "api-tokens")
    assert path == f"{mount['mountPath']}/{secret['items'][0]['path']}"
    assert mount["readOnly"] is True
    assert "subPath" not in mount, "a file that is mounted alone does not change with the secret"
    assert (secret["secretName"], secret["defaultMode"]) == ("ekyc-api-tokens", 0o440)
    for process in ("worker", "flower"):
        assert VARIABLE not in yaml.safe_dump(rendered["Deployment", f"ekyc-{process}"])


def test_in_kubernetes_clients_reach_web_and_nothing_else() -> None:
    policy = component("api")
    kubernetes_validate.validate(policy, "1.37", strict=True)
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels["app.kubernetes.io/component"] == "web"
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    ((peer,),) = (each["from"] for each in policy["spec"]["ingress"])
    assert peer["podSelector"]["matchLabels"] == {"ekyc-client": "true"}
