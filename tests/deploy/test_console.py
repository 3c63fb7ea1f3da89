"""Each way of deploying gives `web` alone the file of the users of the console, as a file that may change."""

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
from tests.deploy.sources import DEPLOY, component, documents, is_read, unit
from tests.support.docs_pages import page

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "EKYC_CONSOLE_USERS_FILE"


def test_compose_mounts_its_folder() -> None:
    """`ekyc console user` replaces the file: a container that mounts the file alone would keep the one before."""
    (file,) = documents(DEPLOY / "docker-compose.console.yml")
    (volume,) = file["services"]["web"]["volumes"]
    _, _, rest = volume.rpartition(":-")
    folder, path, mode = rest.replace("}", "").split(":")
    assert (folder, mode) == ("console", "ro")
    assert file == {
        "services": {"web": {"environment": {VARIABLE: f"{path}/users.toml"}, "volumes": [volume]}}
    }
    assert is_read(VARIABLE)


def test_systemd_names_it_and_leaves_room_for_a_log_in() -> None:
    lines = unit("console.conf")
    assert lines.keys() == {"Environment", "MemoryHigh", "MemoryMax"}
    (variable,) = lines["Environment"]
    name, _, path = variable.partition("=")
    assert name == VARIABLE
    assert path in page("deploy/README.md").text


@needs_kubectl
@pytest.mark.parametrize("others", [[], ["api"]])
def test_kubernetes_mounts_it_as_a_folder(tmp_path: Path, others: list[str]) -> None:
    rendered = with_components(tmp_path, "console", before=others)
    pod = pod_of(rendered, "web")
    check_file_that_may_change(pod, VARIABLE, "ekyc-console-users", "console-users")
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "768Mi"
    check_without(rendered, VARIABLE, "worker", "flower")


def test_in_kubernetes_the_proxy_reaches_web_and_nothing_else() -> None:
    check_reached_by(component("console"), {"ekyc-console-proxy": "true"})
