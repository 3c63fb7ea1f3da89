"""The files that deploy the product, as values that tests can compare."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY: Final = ROOT / "deploy"
KUBERNETES: Final = DEPLOY / "kubernetes"

#: What our settings read, and what others do: Celery, Flower.
_OURS: Final = frozenset(re.findall(r'env\.\w+\(\s*"(\w+)"', (ROOT / "worker" / "settings.py").read_text()))
_THEIRS: Final = re.compile(r"CELERY_WORKER_[A-Z_]+|FLOWER_[A-Z_]+|PYTHONUNBUFFERED")

#: The command of each process.
PROCFILE: Final = {
    name: tuple(shlex.split(command))
    for name, _, command in (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines())
}


def is_read(variable: str) -> bool:
    """Whether a process of ours reads this variable, or the file that it names."""
    name = variable.removesuffix("_FILE")
    return variable in _OURS or name in _OURS or _THEIRS.fullmatch(variable) is not None


@cache
def documents(path: Path) -> tuple[dict[str, Any], ...]:
    """Everything in a YAML file."""
    return tuple(yaml.safe_load_all(path.read_text()))


def compose() -> dict[str, Any]:
    (file,) = documents(DEPLOY / "docker-compose.yml")
    return file


def base() -> dict[tuple[str, str], dict[str, Any]]:
    """What the base of Kubernetes consists of, by kind and name."""
    (kustomization,) = documents(KUBERNETES / "base" / "kustomization.yaml")
    found = [each for name in kustomization["resources"] for each in documents(KUBERNETES / "base" / name)]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def component(name: str) -> dict[str, Any]:
    """The only document of a component."""
    folder = KUBERNETES / "components" / name
    ((file,),) = (each["resources"] for each in documents(folder / "kustomization.yaml"))
    (document,) = documents(folder / file)
    return document


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each process."""
    return {
        name.removeprefix("ekyc-"): each["spec"]["template"]["spec"]
        for (kind, name), each in base().items()
        if kind == "Deployment"
    }


def unit(name: str) -> dict[str, list[str]]:
    """The lines of a systemd unit: every value that a name is given."""
    values: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if not line.startswith(("#", "[")) and line:
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


UNITS: Final = {"worker": "ekyc-worker@.service", "web": "ekyc-web.service", "flower": "ekyc-flower.service"}
