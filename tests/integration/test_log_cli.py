"""`ekyc evidence verify`, `sequence` and `keygen --log`, as processes."""

from __future__ import annotations

import json
import stat
from base64 import b64decode
from datetime import UTC, datetime
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest

from tests.support.drive_ledger import quarantine
from tests.support.logged_evidence import NAME, PRIVATE, PUBLIC, REGION, LoggedEvidence, names
from worker.evidence.log.checkpoint import Checkpoint
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.evidence.log.merkle import proves_consistency
from worker.evidence.log.notes import NoteVerifier
from worker.keyring import format_key, new_key
from worker.ledger import Ledger
from worker.signatures import format_private_key, new_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    return LoggedEvidence(redis, (tmp_path / "evidence").as_uri())


@pytest.fixture
def ekyc(ekyc: Ekyc, world: LoggedEvidence) -> Ekyc:
    # As after the first start of a worker: an empty folder is refused.
    (world.root / "ledger").mkdir()
    return ekyc.with_env(EKYC_EVIDENCE_URL=world.url, EKYC_LOG_KEY=PRIVATE, ADVANCE_REGIONS="ph,my")


def test_a_store_as_it_was_logged_verifies_and_a_change_is_found(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end(*names(3))
    world.sequencer().turn()
    ended = ekyc("evidence", "verify", "--all")
    assert (ended.code, ended.err) == (0, "")
    assert "ph: 3 verifications, a log of 3 entries: as it was logged" in ended.out
    (world.root / REGION / "id000001" / "front.jpg").write_bytes(b"changed")
    ended = ekyc("evidence", "verify", "--all", "--json")
    report = json.loads(ended.out)
    assert ended.code == 1
    assert report["ok"] is False
    assert report["findings"] == [
        {
            "kind": "changed",
            "region": "ph",
            "path": "ph/id000001/front.jpg",
            "said": "has 7 bytes, not 9",
            "signature_id": "id000001",
        }
    ]
    assert [(each["region"], each["size"], each["checked"]) for each in report["regions"]] == [
        ("ph", 3, 3),
        ("my", 0, 0),
    ]
    ended = ekyc("evidence", "verify", "id000001")
    assert ended.code == 1
    assert "changed     ph/id000001/front.jpg" in ended.out
    assert ekyc("evidence", "verify", "id000000", "id000002").code == 0


def test_what_was_dropped_without_a_decision_is_no_stranger(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end(*names(2))
    world.sequencer().turn()
    quarantine(Ledger(world.redis, worker="w1", logs=True), "dropped")
    for signature_id in ("dropped", "stranger"):
        world.evidence.of(REGION, signature_id).keep_unreadable(b"<html>")
    assert ekyc("quarantine", "drop", "dropped", "--region", REGION, "--why", "a test", "--yes").code == 0
    world.sequencer().turn()

    def added() -> list[str]:
        ended = ekyc("evidence", "verify", "--all", "--json")
        assert ended.code == 1
        found = json.loads(ended.out)["findings"]
        assert {each["kind"] for each in found} == {"added"}
        return sorted(each["signature_id"] for each in found)

    def shown() -> str:
        ended = ekyc("evidence", "verify", "dropped")
        assert ended.code == 1
        return ended.out

    said = "ph/dropped has no entry: it was dropped, and has neither a manifest nor a decision"
    assert (added(), said in shown()) == (["stranger"], True)
    # The retention of the ledger is over, and the audit log still has the act.
    world.redis.delete(f"ekyc:{{{REGION}}}:v:dropped")
    assert (added(), said in shown()) == (["stranger"], True)
    world.redis.delete(f"ekyc:{{{REGION}}}:audit")
    assert added() == ["dropped", "stranger"]


def test_an_id_that_was_never_logged_is_not_passed_over(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end(*names(2))
    world.sequencer().turn()
    world.end("waits")
    quarantine(Ledger(world.redis, worker="w1", logs=True), "quarantined")
    world.store("quarantined")
    for given, said in (
        (["waits"], "ph/waits has no entry yet: it waits for the log"),
        (["quarantined"], "ph/quarantined has no entry yet: it has not ended, its stage is quarantined"),
    ):
        ended = ekyc("evidence", "verify", "--region", "ph", "id000001", *given)
        assert ended.code == 1
        assert f"no entry    {said}" in ended.out
        assert "1 verifications, a log of 2 entries: the log is whole, 1 not verified" in ended.out
    report = json.loads(ekyc("evidence", "verify", "--region", "ph", "waits", "quarantined", "--json").out)
    assert (report["ok"], report["findings"]) == (False, [])
    assert [each["signature_id"] for each in report["regions"][0]["unproved"]] == ["waits", "quarantined"]
    offline = ekyc("evidence", "verify", "--region", "ph", "--offline", "waits")
    assert (offline.code, "the ledger was not asked" in offline.out) == (1, True)
    # Everything: what has not ended is no finding, and is counted.
    ended = ekyc("evidence", "verify", "--region", "ph")
    assert ended.code == 0
    assert "as it was logged, 2 under way or waiting for the log were not checked" in ended.out


def test_an_id_that_cannot_be_logged_says_which_key_is_missing(
    ekyc: Ekyc, redis: Redis, tmp_path: Path
) -> None:
    sealed = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), keys=format_key(new_key("odd")))
    sealed.end("waits")
    good = ekyc.with_env(EKYC_EVIDENCE_KEYS=format_key(new_key("good")))
    ended = good("evidence", "verify", "--region", "ph", "waits")
    assert ended.code == 1
    assert "ph/waits has no entry, and cannot be opened" in ended.out
    assert "under the key odd" in ended.out


def test_an_id_that_may_be_planted_is_not_said_to_wait(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis
) -> None:
    world.end("planted")
    keys = format_key(new_key("k1"))
    LoggedEvidence(redis, world.url, keys=keys).end("genuine")
    here = ekyc.with_env(EKYC_EVIDENCE_KEYS=keys)
    ended = here("evidence", "verify", "--region", "ph", "planted", "genuine")
    assert ended.code == 1
    assert "ph/genuine has no entry yet: it waits for the log" in ended.out
    (line,) = [each for each in ended.out.splitlines() if "ph/planted has no entry" in each]
    assert "may be planted" in line


def test_an_auditor_needs_the_public_key_and_the_store_alone(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end(*names(2))
    world.sequencer().turn()
    day = datetime.now(UTC).date().isoformat()
    offline = ekyc.with_env(EKYC_LOG_KEY="", REDIS_URL="redis://127.0.0.1:1/0")
    ended = offline("evidence", "verify", "--region", "ph", "--offline", "--key", PUBLIC)
    assert (ended.code, ended.err) == (0, "")
    ended = offline("evidence", "verify", "--day", day, "--region", "ph", "--offline", "--key", PUBLIC)
    assert ended.code == 0
    assert "2 verifications" in ended.out


@pytest.mark.parametrize("offline", [(), ("--offline",)], ids=["ledger", "offline"])
def test_a_key_that_signed_nothing_gets_one_finding_about_the_checkpoint(
    ekyc: Ekyc, world: LoggedEvidence, offline: tuple[str, ...]
) -> None:
    for number in range(2):
        world.end(*names(2, 2 * number))
        world.sequencer().turn()
    _, another = new_log_key(NAME)
    for select in (("--region", "ph"), ("--region", "ph", "id000001"), ("--region", "ph", "--day", today())):
        ended = ekyc("evidence", "verify", *select, *offline, "--key", another, "--json")
        assert ended.code == 1
        (finding,) = json.loads(ended.out)["findings"]
        assert (finding["kind"], finding["path"]) == ("changed", "log/ph/checkpoint")
        assert finding["said"].startswith("its signature does not verify with this key")


def test_a_checkpoint_alone_that_another_key_signed_hides_nothing_else(
    ekyc: Ekyc, world: LoggedEvidence
) -> None:
    world.end(*names(2))
    world.sequencer().turn()
    private, _ = new_log_key(NAME)
    forged = Checkpoint(world.log.origin, 2, b"f" * 32).signed(LogKeys.parse(private).signer(REGION))
    (world.folder / "checkpoint").write_text(forged)
    (world.root / REGION / "id000001" / "front.jpg").write_bytes(b"changed")
    ended = ekyc("evidence", "verify", "--region", "ph", "--json")
    found = [(each["kind"], each["path"]) for each in json.loads(ended.out)["findings"]]
    assert found == [("changed", "log/ph/checkpoint"), ("changed", "ph/id000001/front.jpg")]


def grow(world: LoggedEvidence, sizes: tuple[int, ...], folder: Path) -> list[Path]:
    """Let the log grow, and keep a copy of each checkpoint."""
    kept = []
    for number, size in enumerate(sizes):
        world.end(*names(size, sum(sizes[:number])), images=False)
        world.sequencer().turn()
        kept.append(folder / f"kept-{number}")
        kept[-1].write_bytes((world.folder / "checkpoint").read_bytes())
    return kept


def test_a_log_is_proved_to_continue_a_checkpoint_that_was_kept(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    kept = grow(world, (3, 300, 7), tmp_path)
    auditor = ekyc.with_env(EKYC_LOG_KEY="", REDIS_URL="redis://127.0.0.1:1/0")
    command = ("evidence", "verify", "--region", "ph", "--offline", "--key", PUBLIC)
    since = [text for file in kept for text in ("--since-checkpoint", str(file))]
    ended = auditor(*command, *since)
    assert (ended.code, ended.err) == (0, "")
    assert [line for line in ended.out.splitlines() if "continues" in line] == [
        f"ph: continues the kept checkpoint of {size} entries" for size in (3, 303, 310)
    ]
    (region,) = json.loads(auditor(*command, *since, "--json").out)["regions"]
    root = bytes.fromhex(region["root"])
    for grown in region["grown"]:
        proof = [b64decode(each) for each in grown["proof"]]
        assert proves_consistency(grown["size"], region["size"], b64decode(grown["root"]), root, proof)


def test_a_log_that_was_rewritten_or_cut_off_does_not_continue_a_kept_checkpoint(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis, tmp_path: Path
) -> None:
    (kept,) = grow(world, (3,), tmp_path)
    # A person with the key and all of Redis can write another history.
    rmtree(world.root)
    world.root.mkdir()
    redis.flushall()
    command = ("evidence", "verify", "--region", "ph", "--since-checkpoint", str(kept), "--json")
    for number, said in enumerate(("has 2 entries, the kept checkpoint 3", "has another tree of 3 entries")):
        world.end(*names(2, number * 2), images=False)
        world.sequencer().turn()
        ended = ekyc(*command)
        assert ended.code == 1
        (finding,) = [each for each in json.loads(ended.out)["findings"] if each["kind"] == "rolled_back"]
        assert (finding["path"], finding["said"].startswith(said)) == ("log/ph", True), finding


def test_a_kept_checkpoint_that_proves_nothing_is_one_line(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    (kept,) = grow(world, (3,), tmp_path)
    text, other = kept.read_text(), tmp_path / "other"
    private, _ = new_log_key(NAME)
    forged = Checkpoint(world.log.origin, 3, b"f" * 32).signed(LogKeys.parse(private).signer(REGION))
    cases = {
        text.replace("\n3\n", "\n2\n"): "the signature of a known key is wrong",
        forged: "no known key has signed this note",
        "": "this is no checkpoint of the log",
        text.replace(f"{NAME}/ph", "other.example/ph"): "this is no checkpoint of the log",
        "x" * 10_000_000: "this is no checkpoint of the log",
    }
    for content, said in cases.items():
        other.write_text(content)
        ended = ekyc("evidence", "verify", "--all", "--since-checkpoint", str(other))
        assert (ended.code, len(ended.err_lines), said in ended.err) == (2, 1, True), ended.err
    for file, said in ((kept, "is verified"), (tmp_path / "none", "No such file")):
        ended = ekyc("evidence", "verify", "--region", "my", "--since-checkpoint", str(file))
        assert (ended.code, len(ended.err_lines), said in ended.err) == (2, 1, True), ended.err


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def test_a_certificate_of_before_the_log_is_checked_with_the_key_that_signed_it(
    ekyc: Ekyc, world: LoggedEvidence
) -> None:
    world.store("erased")
    key = format_private_key(new_private_key())
    early = ekyc.with_env(EKYC_LOG_KEY="", EKYC_SIGNING_KEY=key)
    ended = early(
        "evidence", "erase", "erased", "--region", "ph", "--why", "asked", "--without-vendor", "--yes"
    )
    assert (ended.code, ekyc("evidence", "sequence").code) == (0, 0)
    assert ekyc.with_env(EKYC_SIGNING_KEY=key)("evidence", "verify", "--all").code == 0
    ended = ekyc("evidence", "verify", "--all")
    assert ended.code == 1
    assert "certificate.txt proves nothing: no known key has signed this note" in ended.out


def test_what_is_in_the_store_alone_is_reported_and_then_sequenced(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis
) -> None:
    world.store(*names(4))
    world.end("queued")
    redis.hset(f"ekyc:{{{REGION}}}:v:id000003", "s", "archiving")
    before = json.loads(ekyc("evidence", "verify", "--region", "ph", "--json").out)
    assert {each["kind"] for each in before["findings"]} == {"not_logged"}
    assert len(before["findings"]) == 3
    ended = ekyc("evidence", "sequence", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"added": {"ph": 4, "my": 0}, "unreadable": 0})
    ended = ekyc("evidence", "sequence")
    assert (ended.code, ended.out) == (0, "added ph 0, my 0\n")
    assert ekyc("evidence", "verify", "--all").code == 0
    assert sorted(world.logged_ids()) == [*names(3), "queued"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of"),
        (("--all", "--day", "2026-11-30"), "give one of"),
        (("--all", "--region", "ph"), "give one of"),
        (("--day", "30.11.2026"), "must be a day"),
        (("--day", "2999-12-31"), "is in the future: today is 2"),
        (("--all", "--key", "nonsense"), "--key: key 1 cannot be read"),
        (("a b",), "id number 1"),
        (("id1", "--offline"), "which region?"),
    ],
)
def test_wrong_input_is_one_line(ekyc: Ekyc, arguments: tuple[str, ...], said: str) -> None:
    ended = ekyc("evidence", "verify", *arguments)
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "EKYC_LOG_KEY is not set"),
        ("PRIVATE+KEY+x+00000000+AAAA", "EKYC_LOG_KEY: key 1 cannot be read"),
        (PUBLIC, "this is a public key, which cannot sign"),
    ],
    ids=["none", "nonsense", "public"],  # a key is another one in each process of the tests
)
def test_without_a_key_that_signs_nothing_is_sequenced(ekyc: Ekyc, key: str, said: str) -> None:
    ended = ekyc.with_env(EKYC_LOG_KEY=key)("evidence", "sequence")
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err_lines) == 1


def test_a_damaged_log_is_one_line(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end("one")
    world.sequencer().turn()
    (world.folder / "commits/000000000001").write_bytes(b"{}")
    world.end("two")
    ended = ekyc("evidence", "sequence")
    assert ended.code == 1
    assert "docs/evidence-log.md" in ended.err
    assert len(ended.err_lines) == 1


def test_a_key_of_the_log_goes_to_a_file_and_its_public_half_to_stdout(ekyc: Ekyc, tmp_path: Path) -> None:
    file = tmp_path / "log.key"
    ended = ekyc("evidence", "keygen", str(file), "--log", "kyc.example.com/evidence")
    assert ended.code == 0
    assert NoteVerifier.parse(ended.out.strip()).name == "kyc.example.com/evidence"
    private = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert private.strip() not in ended.out + ended.err
    assert ekyc("evidence", "keygen", str(file), "--log", "kyc.example.com/evidence").code == 2
    ended = ekyc("evidence", "keygen", str(file), "--log", "kyc.example.com/evidence", "--add", "--json")
    assert json.loads(ended.out)["file"] == str(file)
    assert file.read_text().endswith(private)
    assert file.read_text().count("PRIVATE+KEY+") == 2
    assert ekyc("evidence", "keygen", str(file), "--log", "another.example", "--add").code == 2
    assert ekyc("evidence", "keygen", str(tmp_path / "x"), "--log", "two words").code == 2


def test_the_key_in_a_file_is_read(ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{PRIVATE}\n")
    world.store("one")
    quiet = ekyc.with_env(EKYC_LOG_KEY="", EKYC_LOG_KEY_FILE=str(tmp_path / "key"))
    assert quiet("evidence", "sequence").code == 0
    assert world.logged_ids() == ["one"]
