"""docker-compose.yml: valid, closed, and what the promises need."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from sandbox.tokens import ACCESS_KEY, SECRET_KEY
from tests.deploy.sources import DEPLOY, PROCFILE, compose, documents, is_read
from worker.process import CORE_LIMIT
from worker.settings import Settings

if TYPE_CHECKING:
    import pytest

SERVICES: Final[dict[str, Any]] = compose()["services"]
OURS: Final = {name: each for name, each in SERVICES.items() if name != "valkey"}

#: What Compose and the containers read, for a try.
SANDBOX: Final = dict(
    re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "sandbox.env").read_text(), re.MULTILINE),
)


def test_it_is_valid() -> None:
    """By the schema of the Compose Specification, as check-jsonschema brings it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ran = subprocess.run(
        [*command, DEPLOY / "docker-compose.yml"], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout


def test_it_starts_what_the_procfile_names_and_what_that_needs() -> None:
    assert SERVICES.keys() == {*PROCFILE, "valkey", "sandbox"}
    assert {name: tuple(OURS[name]["command"]) for name in PROCFILE} == PROCFILE
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert not any("depends_on" in each for each in SERVICES.values()), "nothing needs another to start first"


def test_every_container_is_closed() -> None:
    for name, each in SERVICES.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert not each["user"].startswith("0"), name
        assert each["restart"] == "always", name
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", [])), name


def test_no_container_leaves_a_core_dump() -> None:
    assert all(each["ulimits"] == {"core": CORE_LIMIT} for each in SERVICES.values())


def test_secrets_are_files_and_only_for_whom_they_are() -> None:
    for name, each in OURS.items():
        files = {value for key, value in each.get("environment", {}).items() if key.endswith("_FILE")}
        named = {f"/run/secrets/{secret}" for secret in each.get("secrets", [])}
        assert named == {file for file in files if file.startswith("/run/")}, name
    assert "flower_basic_auth" not in OURS["worker"]["secrets"]
    assert OURS["flower"]["secrets"] == ["flower_basic_auth"]


def test_a_broker_of_its_own_is_told_to_every_process() -> None:
    (file,) = documents(DEPLOY / "docker-compose.broker.yml")
    told = {"environment": {"CELERY_BROKER_URL_FILE": "/run/secrets/broker_url"}, "secrets": ["broker_url"]}
    assert file["services"] == {"worker": told, "flower": told, "web": told}
    assert file["secrets"].keys() == {"broker_url"}


def test_every_variable_is_read_by_somebody() -> None:
    for each in OURS.values():
        assert all(map(is_read, each.get("environment", {})))
    by_compose = {"SETTINGS", "COMPOSE_PROFILES"}
    assert all(map(is_read, SANDBOX.keys() - by_compose))


def test_a_try_beside_the_sandbox_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = {key: value for key, value in OURS["worker"]["environment"].items() if not key.endswith("_FILE")}
    keys = {"ADVANCE_ACCESS_KEY": ACCESS_KEY, "ADVANCE_SECRET_KEY": SECRET_KEY}
    for name, value in (SANDBOX | worker | keys).items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    settings.require_vendor()
    settings.require_evidence()
    assert settings.redis_url == "redis://valkey:6379/0"
    assert SANDBOX["COMPOSE_PROFILES"] == "sandbox"
    assert settings.image_origins == (settings.base_url,) == ("http://sandbox:8099",)
    assert settings.evidence_url == "file://" + OURS["worker"]["volumes"][0].partition(":")[2]


def test_valkey_is_what_the_promises_need() -> None:
    """docs/redis.md says why."""
    program, *words = SERVICES["valkey"]["command"]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert program == "valkey-server"
    assert given["--appendonly"] == "yes"
    assert given["--appendfsync"] == "always"
    assert given["--maxmemory-policy"] == "noeviction"
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]
    assert "ports" not in SERVICES["valkey"]
    assert SERVICES["valkey"]["networks"] == ["ledger"]
    assert compose()["networks"]["ledger"] == {"internal": True}
    pinned = r"\$\{VALKEY_IMAGE:-docker\.io/valkey/valkey:\d+\.\d+\.\d+\}"
    assert re.fullmatch(pinned, SERVICES["valkey"]["image"]), "by a tag, and can be by digest"


def test_no_health_check_asks_the_fleet() -> None:
    """A file's age, a page of the container itself; never `inspect ping`, which every worker would answer."""
    for name in PROCFILE:
        interpreter, *rest = OURS[name]["healthcheck"]["test"][1:]
        assert (interpreter, rest[:3]) == ("/usr/bin/python3", ["-I", "-S", "/opt/ekyc/healthy.py"])
        assert re.fullmatch(r"/tmp/alive|http://127\.0\.0\.1:\d+/\w+", rest[3])
    assert OURS["worker"]["environment"]["EKYC_HEALTH_FILE"] == OURS["worker"]["healthcheck"]["test"][5]
