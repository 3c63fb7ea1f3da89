"""Promise 6 by search: what is planted in answers, settings and images is in the evidence alone, and there encrypted.

A whole fleet with everything that it can be connected to runs through success, every class of fault, quarantine, a
crash, debug logs, bad TLS and tracebacks. Then everything that it wrote, said and sent is searched.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis as redis_py
from celery import Celery
from kombu import Connection

from sandbox.documents import PERSON as SANDBOX_PERSON
from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import Fleet, fleet_at
from tests.acceptance.listener import listening
from tests.acceptance.watched import flower
from tests.support.certificates import self_signed, server_side
from tests.support.planting import CONTEXT, FAULTS, PERSON, Monitor, Search
from tests.support.receiver import receiving
from tests.support.servers import VALKEY, running_server
from tests.support.vendor_stub import Stub, envelope, http
from tests.support.waiting import until
from tests.support.web_process import web_process
from worker import signatures
from worker.advance.regions import TOKEN_PATH
from worker.decisions.table import PACKAGED
from worker.evidence.log.log_keys import new_log_key
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.support.receiver import Receiver
    from tests.support.vendor_stub import Call
    from tests.support.web_process import Web

pytestmark = pytest.mark.timeout(400)

TEXT: Final = {name: mark.decode(errors="replace") for name, mark in PERSON.items()}
JPEG: Final = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + PERSON["image"] * 20 + b"\xff\xd9"
INLINE: Final = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + PERSON["inline image"] * 20 + b"\xff\xd9"
TOKEN: Final = "planted-vendor-token-1a2b3c"

#: Secrets of settings and of requests, by name.
SECRETS: Final = {
    "access key": "planted-access-key-81f",
    "secret key": "planted-secret-key-22d",
    "vendor token": TOKEN,
    "Redis password": "planted-redis-password-9",
    "Flower password": "planted-flower-password-3",
    "Sentry key": "plantedsentrykey77",
    "collector header": "planted-collector-header-4",
    "wrong API token": "planted-wrong-api-token-5",
}


class Vendor:
    """Answers by the first word of an id, and gives images. `slow` verifications wait until they are let go."""

    def __init__(self) -> None:
        self.origin = ""
        self.asked: dict[str, int] = {}

    def __call__(self, call: Call) -> Iterable[Any]:
        if call.path == TOKEN_PATH:
            ends = int((time.time() + 3600) * 1000)
            return [http(envelope("SUCCESS", {"token": TOKEN, "expiredTime": ends}))]
        if call.method == "GET":
            return self._image(call.path)
        name = call.json()["signatureId"]
        self.asked[name] = self.asked.get(name, 0) + 1
        replies: Iterable[Any] = getattr(self, f"_{name.split('-')[0]}")(name)
        return replies

    def _image(self, path: str) -> Iterable[Any]:
        if "gone" in path:
            return [http(b"<Error>%s</Error>" % FAULTS["page"], 403)]
        if "page" in path:
            return [http(b"<html>%s</html>" % FAULTS["page"], 200)]
        if "moved" in path:
            return [http(b"", 302, Location=f"http://127.0.0.1:1/{TEXT['link']}")]
        if "broken" in path:
            return [http(b"%s" % FAULTS["page"], 500)]
        return [http(JPEG, Content_Type="image/jpeg")]

    def data(self, name: str, **changes: Any) -> dict[str, Any]:
        link = f"{self.origin}/{name.split('-', maxsplit=1)[0]}/{TEXT['link']}"
        inline = base64.b64encode(INLINE).decode()
        detail = {
            "ocrResult": "PASS",
            "docFrontImage": f"{link}?front",
            "docBackImage": inline,
            "docType": {"front": "PH-UMID"},
            "ocrInfo": {
                "front": {
                    "name": TEXT["name"],
                    "father": TEXT["name with an accent"],
                    "idNumber": TEXT["number"],
                    "birthday": TEXT["birthday"],
                }
            },
        }
        passed = {"overallResult": "PASS", "submissionCompleted": True, "errorCode": "SUCCESS"}
        return {"signatureId": name} | passed | {"docDetail": detail} | changes

    def answer(self, name: str, **changes: Any) -> bytes:
        return http(self.body(name, **changes), X_Trace=FAULTS["header"].decode())

    def body(self, name: str, **changes: Any) -> bytes:
        said = envelope("SUCCESS", self.data(name, **changes)) | {
            "message": TEXT["message"],
            "extra": PERSON_MAP,
        }
        return json.dumps(said, ensure_ascii=False).encode()

    def said(self, code: str, status: int = 200, **headers: Any) -> Iterable[Any]:
        said = envelope(code, PERSON_MAP) | {"message": TEXT["message"]}
        return [http(json.dumps(said, ensure_ascii=False).encode(), status, **headers)]

    def first(self, name: str, fault: Iterable[Any]) -> Iterable[Any]:
        return fault if self.asked[name] == 1 else [self.answer(name)]

    # By the first word of an id.

    def _ok(self, name: str) -> Iterable[Any]:
        return [self.answer(name)]

    _gone = _page = _moved = _broken = _ok

    def _forged(self, name: str) -> Iterable[Any]:
        return [self.answer(name, overallResult="FAIL", errorCode="ID_FORGERY_DETECTED")]

    def _doubt(self, name: str) -> Iterable[Any]:
        return [self.answer(name, idvResult="FAIL")]

    def _code(self, name: str) -> Iterable[Any]:
        return [self.answer(name, errorCode=TEXT["name"], errorCodes=[TEXT["number"] + " "])]

    def _label(self, name: str) -> Iterable[Any]:
        detail = self.data(name)["docDetail"]
        labels = {"docType": {"front": TEXT["name"]}, "forgeryLabels": [TEXT["name"], TEXT["birthday"]]}
        return [self.answer(name, docDetail=detail | labels)]

    def _transaction(self, name: str) -> Iterable[Any]:
        said = envelope("SUCCESS", self.data(name)) | {"transactionId": f"{TEXT['name']} {TEXT['number']}"}
        return [http(json.dumps(said).encode())]

    def _type(self, name: str) -> Iterable[Any]:
        return [self.answer(name, docDetail=TEXT["name"])]

    def _result(self, name: str) -> Iterable[Any]:
        return [self.answer(name, overallResult=TEXT["name"])]

    def _other(self, name: str) -> Iterable[Any]:
        return [self.answer(TEXT["name"].replace(" ", "-"))] if name else []

    def _cut(self, name: str) -> Iterable[Any]:
        whole = self.body(name)
        return [http(whole[: whole.index(PERSON["number"]) + 30])]

    def _html(self, name: str) -> Iterable[Any]:
        page = http(
            b"<html>%s %s</html>" % (FAULTS["page"], PERSON["name"]), 502, X_Trace="planted-header-91d"
        )
        return self.first(name, [page])

    def _hang(self, name: str) -> Iterable[Any]:
        return self.first(name, [http(b"x" * 10, Content_Length="99999") + PERSON["name"]])

    def _busy(self, name: str) -> Iterable[Any]:
        return self.first(name, self.said("SERVICE_BUSY", Retry_After=f"1{FAULTS['header'].decode()}"))

    def _denied(self, name: str) -> Iterable[Any]:
        return self.first(name, self.said("IAM_FAILED", 401))

    def _error(self, name: str) -> Iterable[Any]:
        return self.first(name, self.said("ERROR"))

    def _strange(self, name: str) -> Iterable[Any]:
        return self.first(name, self.said(TEXT["name"]))

    def _unknown(self, name: str) -> Iterable[Any]:
        return self.said("SIGNATURE_NOT_EXIST") if name else []

    def _ours(self, name: str) -> Iterable[Any]:
        return self.said("PARAMETER_ERROR") if name else []

    def _null(self, name: str) -> Iterable[Any]:
        return self.first(name, [self.answer(name, overallResult=None)])

    def _slow(self, name: str) -> Iterable[Any]:
        return self.first(name, [30.0, self.answer(name)])


PERSON_MAP: Final = {"of": TEXT["name"], "number": TEXT["number"]}

#: Ids by how they end.
DECIDED: Final = tuple(
    f"{word}-1"
    for word in (
        *(
            "ok",
            "gone",
            "page",
            "moved",
            "forged",
            "doubt",
            "code",
            "label",
            "transaction",
            "html",
            "hang",
            "busy",
        ),
        *("denied", "error", "strange", "unknown", "null"),
    )
)
QUARANTINED: Final = ("type-1", "result-1", "other-1", "cut-1", "ours-1")


@contextmanager
def planted(folder: Path) -> Iterator[tuple[Fleet, Vendor, dict[str, str]]]:
    """A Redis with a password, the vendor, and a fleet whose settings are full of secrets."""
    vendor, secrets = Vendor(), dict(SECRETS)
    key, named = signatures.new_private_key(), new_key("2027")
    log_key, _ = new_log_key("planted.example")
    webhook = base64.b64encode(b"planted-webhook-secret-0123").decode()
    secrets |= {
        "signing key": signatures.format_private_key(key).removeprefix("whsk_")[:40],
        "evidence key": format_key(named).partition(":")[2],
        "webhook secret": webhook,
        "log key": log_key.split("+", 4)[4],
    }
    with ExitStack() as stack:
        server = stack.enter_context(running_server(VALKEY, folder / "redis"))
        password = secrets["Redis password"]
        with redis_py.Redis(port=server.port) as redis:
            redis.config_set("requirepass", password)
        stub = stack.enter_context(Stub(vendor))
        vendor.origin = stub.origin
        fleet = stack.enter_context(fleet_at(f"redis://:{password}@127.0.0.1:{server.port}/0", folder))
        files = folder / "settings"
        for each in (files, folder / "tmp"):
            each.mkdir(mode=0o700)
        (files / "shop").write_text(f"whsec_{webhook}")
        (files / "secret-key").write_text(secrets["secret key"])
        fleet.environment |= {
            "ADVANCE_BASE_URL": stub.origin,
            "ADVANCE_ACCESS_KEY": secrets["access key"],
            "ADVANCE_SECRET_KEY_FILE": str(files / "secret-key"),
            "EKYC_IMAGE_ORIGINS": stub.origin,
            "EKYC_EVIDENCE_KEYS": format_key(named),
            "EKYC_LOG_KEY": log_key,
            "EKYC_SIGNING_KEY": signatures.format_private_key(key),
            "TMPDIR": str(folder / "tmp"),
        }
        fleet.environment.pop("ADVANCE_SECRET_KEY", None)
        yield fleet, vendor, secrets


def connect_endpoints(fleet: Fleet, receiver: Receiver) -> None:
    files = fleet.folder / "settings"
    kinds = json.dumps(["celery", "webhook:shop"])
    names = ("approve", "reject", "review", "recapture")
    (files / "table.toml").write_text(
        PACKAGED.read_text() + "\n[deliveries]\n" + "".join(f"{name} = {kinds}\n" for name in names)
    )
    (files / "endpoints.toml").write_text(
        f"origins = [{json.dumps(receiver.origin)}]\n"
        f'[endpoints.shop]\nurl = "{receiver.origin}/hook"\nsecrets = [{{ file = "{files / "shop"}" }}]\n'
        'events = ["verification.quarantined", "evidence.completed", "region.held", "region.resumed"]\n'
    )
    fleet.environment |= {
        "EKYC_DECISIONS_FILE": str(files / "table.toml"),
        "EKYC_ENDPOINTS_FILE": str(files / "endpoints.toml"),
    }


def enqueue(fleet: Fleet, *names: str) -> None:
    context = json.dumps({"note": CONTEXT.decode()})
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", context) for name in names])


def stages(fleet: Fleet, names: Iterable[str]) -> dict[str, str]:
    found = {name: fleet.ledger().status("ph", name) for name in names}
    return {name: status.verification.stage.value if status else "" for name, status in found.items()}


def ended(fleet: Fleet) -> set[str]:
    """Those with a decision, or in quarantine."""
    with fleet.redis() as redis:
        ids = [key.decode().partition("v:")[2] for key in redis.scan_iter("ekyc:{ph}:v:*")]
    found = {name: fleet.ledger().status("ph", name) for name in ids}
    return {
        name
        for name, status in found.items()
        if status and (status.verification.decision_name or status.verification.stage == "quarantined")
    }


def kill(process: Any) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def crash(fleet: Fleet, vendor: Vendor) -> None:
    """A worker is killed while it waits for an answer; another one takes over."""
    first = fleet.worker("doomed", EKYC_LEASE="5")
    enqueue(fleet, "slow-1")
    until(lambda: vendor.asked.get("slow-1"), "it waits for the vendor")
    kill(first)


def bad_tls(fleet: Fleet, folder: Path, vendor: Vendor) -> None:
    """The vendor's certificate is by nobody whom the worker trusts; nor is that of Redis."""
    with Stub(vendor, server_side(self_signed(folder))) as stub:
        worker = fleet.worker("untrusting", ADVANCE_BASE_URL=stub.origin)
        enqueue(fleet, "ok-2")
        until(lambda: "fault" in str(fleet.ledger().status("ph", "ok-2")), "TLS has failed")
        kill(worker)
    untrusted = fleet.redis_url.replace("redis://", "rediss://")
    fleet.start("worker.cli", "stats", name="mistrusting", REDIS_URL=untrusted, EKYC_START_WAIT="1")


def traceback(fleet: Fleet) -> None:
    """A bug of ours that quotes a person."""
    buggy = fleet.start("celery", "-A", "tests.acceptance.buggy", "worker", "-l", "DEBUG", name="buggy")
    enqueue(fleet, "ok-3", "taskfails-1")
    until(lambda: stages(fleet, ["ok-3"])["ok-3"] == "quarantined", "the bug is noticed")
    until(lambda: "LookupError" in fleet.log("buggy"), "the task fails")
    kill(buggy)


def commands(fleet: Fleet, search: Search) -> None:
    """What people see."""
    for arguments in (
        *(("doctor",), ("stats",), ("list", "--stage", "quarantined"), ("quarantine", "list")),
        *(("status", name, "--region", "ph") for name in ("ok-1", "code-1")),
        *(("quarantine", "show", name, "--region", "ph") for name in ("type-1", "other-1")),
        ("decisions", "explain", "label-1", "--region", "ph"),
    ):
        done = fleet.run("worker.cli", *arguments)
        search.look(f"ekyc {' '.join(arguments)}", done.stdout + done.stderr)


def pages(web: Web, search: Search) -> None:
    """The pages of `web` and its errors. The context belongs to decisions alone."""
    for path in (
        "/metrics",
        "/readyz",
        "/healthz",
        "/v1/verifications?stage=quarantined",
        "/v1/nothing",
        "/%00",
    ):
        search.look(f"web {path}", web.get(path).raw)
    for body in (b"{", b"[]", b"\xff" * 100):
        search.look("web, a bad body", web.post("/v1/verifications", body).raw)
    wrong = {"Authorization": f"Bearer {SECRETS['wrong API token']}"}
    search.look("web, a wrong token", web.get("/v1/decisions", name=None, **wrong).raw)


def answers_with_context(web: Web, search: Search) -> None:
    search.look("the feed", web.get("/v1/decisions").raw)
    for name in (*DECIDED, *QUARANTINED):
        search.look(f"web, {name}", web.get(f"/v1/verifications/ph/{name}").raw)


def messages(fleet: Fleet) -> list[bytes]:
    """What lies on the pipeline's queue, as it lies there."""
    found: list[bytes] = []
    with Connection(fleet.redis_url) as connection, connection.SimpleQueue("onboarding") as queue:
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                return found
            body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
            found.append(
                body + json.dumps(message.headers).encode() + json.dumps(message.properties).encode()
            )


def kept(fleet: Fleet) -> bytes:
    """All of the evidence, decrypted."""
    settings = Settings(
        evidence_url=fleet.environment["EKYC_EVIDENCE_URL"],
        evidence_keys=fleet.environment["EKYC_EVIDENCE_KEYS"],
    )
    evidence, found = Evidence.from_settings(settings), []
    for folder in (fleet.evidence / "ph").iterdir():
        one = evidence.of("ph", folder.name)
        found += [one.read(file.name) or b"" for file in one.files()]
    return b"\n".join(found)


def open_to_others(*folders: Path) -> list[str]:
    """Files and folders that another account could read."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return [
        f"{path} {path.stat().st_mode:o}" for path in paths if path.exists() and path.stat().st_mode & 0o077
    ]


def test_what_is_planted_is_in_the_encrypted_evidence_and_nowhere_else(tmp_path: Path) -> None:  # noqa: PLR0915
    with ExitStack() as stack:
        fleet, vendor, secrets = stack.enter_context(planted(tmp_path))
        collector, sentry = (stack.enter_context(listening()) for _ in range(2))
        receiver = stack.enter_context(receiving())
        connect_endpoints(fleet, receiver)
        fleet.environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.origin}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={secrets['collector header']}",
            "SENTRY_DSN": f"http://{secrets['Sentry key']}@{sentry.origin}/7",
        }
        marks = PERSON | FAULTS | {name: text.encode() for name, text in secrets.items()}
        marks["person of the bug"] = SANDBOX_PERSON.encode()
        everywhere = Search(marks)
        not_the_pipelines = Search(marks | {"context": CONTEXT})

        with Monitor(fleet.redis_url) as monitor:
            password = f"tester:{secrets['Flower password']}"
            (tmp_path / "settings" / "flower").write_text(password)
            watch = flower(fleet, FLOWER_BASIC_AUTH_FILE=str(tmp_path / "settings" / "flower"))
            web = stack.enter_context(web_of(tmp_path, fleet))
            crash(fleet, vendor)
            bad_tls(fleet, tmp_path / "settings", vendor)
            debugged = fleet.start(
                "celery", "-A", "worker", "worker", "-n", "w1@test", "-l", "DEBUG", name="w1",
                EKYC_HEALTH_FILE=str(tmp_path / "tmp" / "health"),
            )  # fmt: skip
            enqueue(fleet, *DECIDED, *QUARANTINED)
            Celery("pipeline", broker=fleet.redis_url).send_task(
                "tasks.enqueue",
                kwargs={"signature_id": "ok-4", "region": "ph", "context": {"note": CONTEXT.decode()}},
            )
            everywhere.look_at_processes()
            not_the_pipelines.look_at_processes()
            names = (*DECIDED, *QUARANTINED, "slow-1", "ok-2", "ok-4")
            until(lambda: ended(fleet) >= {*names}, "all have ended", patience_s=150)
            found = stages(fleet, names)
            assert [name for name in names if found[name] == "quarantined"] == [*QUARANTINED]
            until(lambda: len(receiver.received) >= len(DECIDED), "webhooks have arrived")
            commands(fleet, not_the_pipelines)
            pages(web, not_the_pipelines)
            answers_with_context(web, everywhere)
            for path in (
                "/",
                "/tasks",
                "/api/tasks",
                "/api/workers?refresh=1",
                "/broker",
                "/worker/w1@test",
                "/metrics",
            ):
                not_the_pipelines.look(f"Flower {path}", watch.ask(path, password).text)
            assert "slow-1" in watch.ask("/api/tasks", password).text
            debugged.send_signal(signal.SIGTERM)
            assert debugged.wait(timeout=60) == 0
            traceback(fleet)
            with fleet.redis() as redis:
                everywhere.look_at_redis(redis)
            queued = messages(fleet)

        # The plantings were there: each is in the evidence, and each class of fault was met.
        evidence = kept(fleet)
        inline = base64.b64encode(INLINE)[20:80]
        assert [
            name for name, mark in PERSON.items() if mark not in evidence and name != "inline image"
        ] == []
        assert inline in evidence
        assert set(vendor.asked) >= {*names}
        assert len(queued) >= len(DECIDED)
        assert monitor.heard.count(b"EVALSHA") > 50

        everywhere.look("MONITOR", monitor.heard)
        for message in queued:
            everywhere.look("a message to the pipeline", message)
        for request in receiver.received:
            not_the_pipelines.look("a webhook", request.body + json.dumps(request.headers).encode())
        for listener, what in ((collector, "traces"), (sentry, "error reports")):
            assert listener.heard, what
            for _, body in listener.heard:
                not_the_pipelines.look(what, body)
        # Logs, what Flower and workers keep, temporary files, the store as it lies there.
        everywhere.look_at_files(tmp_path, but=(tmp_path / "settings", tmp_path / "redis"))
        for log in tmp_path.glob("*.log"):
            not_the_pipelines.look(log.name, log.read_bytes())
        not_the_pipelines.look_at_files(fleet.evidence)
        not_the_pipelines.look_at_files(tmp_path / "tmp")
        everywhere.look_at_files(tmp_path / "redis")
        # A cut log would hide something.
        assert '"level": "debug"' in fleet.log("w1")
        assert "LookupError" in fleet.log("buggy")
        assert sorted({*everywhere.found, *not_the_pipelines.found}) == []
        assert everywhere.places + not_the_pipelines.places > 200
        assert open_to_others(fleet.evidence, tmp_path / "state") == []


@contextmanager
def web_of(folder: Path, fleet: Fleet) -> Iterator[Web]:
    given = {
        name: value for name, value in fleet.environment.items() if name not in {"REDIS_URL", "EKYC_WEB_BIND"}
    }
    with web_process(folder, fleet.redis_url, **given) as web:
        yield web


@pytest.mark.parametrize(
    "form", [lambda mark: mark, base64.b64encode, bytes.hex, repr], ids=["raw", "base64", "hex", "repr"]
)
def test_the_search_finds_what_is_planted(form: Callable[[bytes], Any]) -> None:
    """A search that finds nothing may also look for nothing."""
    search = Search(PERSON | FAULTS)
    for mark in search.marks.values():
        shown = form(b"xy" + mark + b"z")
        search.look("here", shown)
    assert {each.partition(": ")[2] for each in search.found} == search.marks.keys()
