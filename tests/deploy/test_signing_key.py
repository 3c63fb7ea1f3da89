"""Each way of deploying gives the signing key to workers and to `web`, and to no other process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deploy.kubectl import check_secret_of, check_without, needs_kubectl, with_components
from tests.deploy.sources import DEPLOY, documents
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


@needs_kubectl
def test_kubernetes_mounts_it(tmp_path: Path) -> None:
    rendered = with_components(tmp_path, "signing", before=["broker"])
    for process in ("worker", "web"):
        check_secret_of(rendered, process, VARIABLE, "signing_key")
    check_without(rendered, VARIABLE, "flower")
