"""What `kubectl` renders of the example, as somebody has copied and changed it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.deploy.sources import KUBERNETES
from tests.support.json_schema import check_kubernetes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

needs_kubectl: Final = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def kustomize(overlay: Path) -> subprocess.CompletedProcess[str]:
    command = ["kubectl", "kustomize", str(overlay)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def render(overlay: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What `kubectl` would apply, by kind and name."""
    ran = kustomize(overlay)
    assert (ran.returncode, ran.stderr) == (0, "")
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout) if each}


def copied(folder: Path, **changed: Any) -> Path:
    """The example as somebody has copied it and changed these of its fields; None: taken out."""
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    file = folder / "kubernetes" / "overlays" / "example" / "kustomization.yaml"
    (kustomization,) = yaml.safe_load_all(file.read_text())
    fields = {name: value for name, value in (kustomization | changed).items() if value is not None}
    file.write_text(yaml.safe_dump(fields))
    return file.parent


def with_components(
    folder: Path, *after: str, before: Sequence[str] = ()
) -> dict[tuple[str, str], dict[str, Any]]:
    """What `kubectl` would apply of the example with more components, before and after its own."""
    overlay = KUBERNETES / "overlays" / "example" / "kustomization.yaml"
    (kustomization,) = yaml.safe_load_all(overlay.read_text())
    first, last = ([f"../../components/{each}" for each in names] for names in (before, after))
    return render(copied(folder, components=[*first, *kustomization["components"], *last]))


def pod_of(rendered: dict[tuple[str, str], dict[str, Any]], process: str) -> dict[str, Any]:
    """The pod of a process, whose deployment is one by the schema of Kubernetes."""
    deployment = rendered["Deployment", f"ekyc-{process}"]
    check_kubernetes(deployment)
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def check_file_that_may_change(pod: dict[str, Any], variable: str, secret_name: str, volume: str) -> None:
    """Assert that a variable names a file of a secret, in a folder: a file that is mounted alone does not change."""
    (container,) = pod["containers"]
    (path,) = (each["value"] for each in container["env"] if each["name"] == variable)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume)
    (secret,) = (each["secret"] for each in pod["volumes"] if each["name"] == volume)
    assert path == f"{mount['mountPath']}/{secret['items'][0]['path']}"
    assert mount["readOnly"] is True
    assert "subPath" not in mount
    assert (secret["secretName"], secret["defaultMode"]) == (secret_name, 0o440)


def check_secret_of(
    rendered: dict[tuple[str, str], dict[str, Any]], process: str, variable: str, name: str
) -> None:
    """Assert that a process has a secret beside its others, and that the variable names its file."""
    pod = pod_of(rendered, process)
    (container,) = pod["containers"]
    assert {"name": variable, "value": f"/run/secrets/ekyc/{name}"} in container["env"]
    (secret,) = (each["secret"] for each in pod["volumes"] if each["name"] == "secrets")
    assert {"key": name, "path": name} in secret["items"]


def check_without(rendered: dict[tuple[str, str], dict[str, Any]], variable: str, *processes: str) -> None:
    """Assert that processes have nothing of a variable."""
    for process in processes:
        assert variable not in yaml.safe_dump(rendered["Deployment", f"ekyc-{process}"])


def check_reached_by(policy: dict[str, Any], labels: dict[str, str]) -> None:
    """Assert that a policy lets pods with these labels reach `web`, and nothing else."""
    check_kubernetes(policy)
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "web"
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    ((peer,),) = (each["from"] for each in policy["spec"]["ingress"])
    assert peer["podSelector"]["matchLabels"] == labels
