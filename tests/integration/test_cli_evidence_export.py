"""`ekyc evidence export`: an archive that a third party verifies by its VERIFY.md, with standard tools alone."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyrage  # type: ignore[import-untyped]
import pytest

from tests.support.cli_process import Ekyc
from tests.support.kept_evidence import IMAGE, PERSON, answer_of, keep
from tests.support.logged_evidence import NAME, PRIVATE, REGION, LoggedEvidence
from tests.support.paths import ROOT
from tests.support.timestamp_authority import TimestampAuthority
from tests.support.waiting import until
from worker.decisions.table import PACKAGED, Source, Table
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.evidence.log.timestamps import Authority, stamp_day
from worker.keyring import format_key, new_key
from worker.ledger import Quarantine
from worker.records.export import Export, Lacks, State
from worker.records.log_proofs import LogProofs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

KEYS = format_key(new_key("first"))
WHY = "audit 2026"
FIRST, SECOND, YOUNG = "-first", "second", "young"
EVERYONE = {FIRST, SECOND, YOUNG}

#: Tools that VERIFY.md names, beside those of POSIX.
TOOLS = ("bash", "tar", "sha256sum", "jq", "openssl")

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"one of {', '.join(TOOLS)} is not installed"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimestampAuthority]:
    with TimestampAuthority(tmp_path_factory.mktemp("tsa")).running() as running:
        yield running


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    """Evidence of three verifications under keys, two of them in the log at the end of a day."""
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), KEYS)
    for signature_id in (FIRST, SECOND):
        keep(made.evidence, REGION, signature_id)
    made.queue.add(REGION, (FIRST, SECOND))
    made.sequencer().turn()
    return made


@pytest.fixture
def stamped(world: LoggedEvidence, authority: TimestampAuthority) -> LoggedEvidence:
    """The same with a timestamp, and one that the log has only after it."""
    assert stamp_day(world.log, Authority(authority.url), datetime.now(UTC) + timedelta(days=1))
    keep(world.evidence, REGION, YOUNG)
    world.queue.add(REGION, (YOUNG,))
    world.sequencer().turn()
    return world


@pytest.fixture
def ekyc(tmp_path: Path, redis_url: str) -> Ekyc:
    return Ekyc(
        {
            "EKYC_EVIDENCE_URL": (tmp_path / "evidence").as_uri(),
            "EKYC_EVIDENCE_KEYS": KEYS,
            "EKYC_LOG_KEY": PRIVATE,
            "ADVANCE_REGIONS": "ph,sg",
            "REDIS_URL": redis_url,
        }
    )


def export(ekyc: Ekyc, output: Path, *options: str) -> dict[str, Any]:
    ended = ekyc("evidence", "export", "--output", str(output), "--why", WHY, "--json", *options)
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def unpacked(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder], check=True)
    return folder


def verify(folder: Path, authority: TimestampAuthority | None = None) -> subprocess.CompletedProcess[str]:
    """Follow VERIFY.md of an unpacked archive with the tools of this machine, and nothing of ours."""
    text = (folder / "VERIFY.md").read_text()
    found = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 6
    tools = folder.parent / f"tools-{folder.name}"
    tools.mkdir(exist_ok=True)
    python = tools / "python3"
    if not python.exists():
        # The interpreter without the packages of this project.
        python.symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    environment = {"PATH": f"{tools}:{os.defpath}", "LC_ALL": "C"}
    if authority is not None:
        environment["AUTHORITY"] = str(authority.folder / "ca.pem")
    # A reader goes on only after a step whose last command succeeds.
    command = ["bash", "-c", "".join(f"(\n{step}) || exit 1\n" for step in found)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def acts(redis: Redis) -> list[tuple[str, str, str]]:
    return [(act.name, act.detail, act.worker) for act in Quarantine(redis, who="").acts(REGION)]


def test_a_third_party_verifies_an_export_with_standard_tools(
    ekyc: Ekyc, stamped: LoggedEvidence, authority: TimestampAuthority, redis: Redis, tmp_path: Path
) -> None:
    output = tmp_path / "case.tar"
    told = export(ekyc, output, "--who", "maria", "--", FIRST, SECOND, YOUNG)
    assert told == {"output": str(output), "exported": 3, "erased": 0, "damaged": 0}
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    folder = unpacked(output, tmp_path / "case")
    one = folder / REGION / FIRST
    assert (one / "answer.json").read_bytes() == answer_of(FIRST)
    assert (one / "front.jpg").read_bytes() == IMAGE
    version = Table.load(None).version
    assert (folder / "tables" / f"{version}.toml").read_text() == PACKAGED.read_text()
    assert json.loads((one / "export.json").read_text()) == {
        "left_out": [],
        "log_index": 0,
        "region": REGION,
        "reviews": [],
        "signature_id": FIRST,
        "state": "exported",
        "table": version,
    }
    ended = verify(folder, authority)
    assert ended.returncode == 0, ended.stderr
    assert "3 proofs, 2 checkpoints" in ended.stdout
    assert "Time stamp: " in ended.stdout
    day = datetime.now(UTC).date().isoformat()
    assert (folder / "checked" / "stamped.txt").read_text().splitlines() == [
        f"{REGION}/{FIRST} log/{REGION}/timestamps/{day}.checkpoint",
        f"{REGION}/{SECOND} log/{REGION}/timestamps/{day}.checkpoint",
    ]
    assert len(list((folder / "checked").glob("*.sig"))) == 2
    assert acts(redis) == [("export_evidence", f"3 of 3 given by id: {WHY}", "maria")]


def test_show_names_the_entry_of_the_log(ekyc: Ekyc, stamped: LoggedEvidence) -> None:
    assert stamped
    ended = ekyc("evidence", "show", YOUNG)
    assert ended.code == 0, ended.err
    assert "log        entry 2" in ended.out
    keep(stamped.evidence, REGION, "later")
    assert "log        no entry yet" in ekyc("evidence", "show", "later").out
    assert json.loads(ekyc("evidence", "show", YOUNG, "--json").out)["log_index"] == 2
    unknown = ekyc.with_env(EKYC_LOG_KEY="")("evidence", "show", YOUNG)
    assert "log        unknown: EKYC_LOG_KEY is not set here" in unknown.out


def test_the_same_evidence_gives_the_same_archive(
    ekyc: Ekyc, stamped: LoggedEvidence, tmp_path: Path
) -> None:
    assert stamped
    for name in ("one.tar", "two.tar"):
        export(ekyc, tmp_path / name, "--since", "1h")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        members = archive.getmembers()
    assert {member.mode for member in members} == {0o600}
    assert {name.split("/")[1] for name in (member.name for member in members) if name.startswith("ph/")} == (
        EVERYONE
    )


CHANGES = {
    "an image": (f"{REGION}/{FIRST}/front.jpg", b"other"),
    "the manifest": (f"{REGION}/{FIRST}/manifest.json", None),
    "the decision": (f"{REGION}/{FIRST}/decision.json", b'"review"'),
    "the entry": (f"{REGION}/{FIRST}/entry.json", b"0"),
    "the proof": (f"{REGION}/{FIRST}/entry.tlog-proof", b"index 1"),
    "the key of the log": (f"log/{REGION}/key.txt", b"other"),
    "a timestamp": (f"log/{REGION}/timestamps/DAY.checkpoint", b"9"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_is_found_even_with_a_new_list_of_sums(
    ekyc: Ekyc, stamped: LoggedEvidence, authority: TimestampAuthority, tmp_path: Path, what: str
) -> None:
    assert stamped
    export(ekyc, tmp_path / "case.tar", "--since", "1h")
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    name, new = CHANGES[what]
    path = folder / name.replace("DAY", datetime.now(UTC).date().isoformat())
    body = path.read_bytes()
    match what:
        case "the manifest":
            body = body.replace(b'"overall_result":"PASS"', b'"overall_result":"FAIL"')
        case "the decision":
            body = body.replace(b'"approve"', b'"review"')
        case "the proof":
            body = body.replace(b"index 0", b"index 1")
        case "the key of the log":
            # A key of the forger's own, of the same name.
            private, _ = new_log_key(NAME)
            body = f"{LogKeys.parse(private).verifiers(REGION)[0]}\n".encode()
        case _:
            body = new or b""
    assert body != path.read_bytes()
    path.write_bytes(body)
    assert verify(folder, authority).returncode != 0
    # A person who changes a file can change the list of sums, too.
    resum(folder)
    ended = verify(folder, authority)
    assert ended.returncode != 0
    assert ended.stderr


def resum(folder: Path) -> None:
    shutil.rmtree(folder / "checked", ignore_errors=True)
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    )
    sums = subprocess.run(["sha256sum", "--", *names], cwd=folder, capture_output=True, check=True)
    (folder / "SHA256SUMS").write_bytes(sums.stdout)


def test_a_missing_and_an_added_file_are_found(ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path) -> None:
    assert world
    export(ekyc, tmp_path / "case.tar", SECOND)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    assert verify(folder).returncode == 0
    shutil.rmtree(folder / "checked")
    (folder / "extra").write_text("extra")
    assert verify(folder).returncode != 0
    (folder / "extra").unlink()
    (folder / REGION / SECOND / "front.jpg").unlink()
    assert verify(folder).returncode != 0


def test_an_encrypted_export_is_for_its_recipients_alone(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    assert world
    mine, theirs, other = (pyrage.x25519.Identity.generate() for _ in range(3))
    output = tmp_path / "case.tar.age"
    options = [f"--recipient={each.to_public()}" for each in (mine, theirs)]
    export(ekyc, output, *options, "--since", "1h")
    raw = output.read_bytes()
    assert raw.startswith(b"age-encryption.org/v1\n")
    assert PERSON.encode() not in raw
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    for identity in (mine, theirs):
        plain = pyrage.decrypt(raw, [identity])
        with tarfile.open(fileobj=BytesIO(plain)) as archive:
            assert f"{REGION}/{SECOND}/front.jpg" in archive.getnames()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(raw, [other])
    (tmp_path / "case.tar").write_bytes(plain)
    assert verify(unpacked(tmp_path / "case.tar", tmp_path / "case")).returncode == 0


def test_without_keys_and_log_the_archive_says_so_and_still_verifies(
    ekyc: Ekyc, redis: Redis, tmp_path: Path
) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    keep(world.evidence, REGION, SECOND, table="gone-12345678")
    plain = ekyc.with_env(EKYC_EVIDENCE_KEYS="", EKYC_LOG_KEY="")
    export(plain, tmp_path / "case.tar", SECOND)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    readme = (folder / "README.md").read_text()
    for text in ("A log: none was kept", "Encryption at rest", "the decision table gone-12345678"):
        assert text in readme
    ended = verify(folder)
    assert ended.returncode == 0, ended.stderr
    assert "0 proofs, 0 checkpoints" in ended.stdout


def test_a_table_that_no_setting_names_any_more_comes_from_the_store(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    text = 'name = "old"\notherwise = "reject"\n\n[[rules]]\ndecision = "review"\noverall_result = "PASS"\n'
    table = Source.parse("old", text).table()
    assert isinstance(table, Table)
    world.evidence.keep_table(table.version, text)
    world.evidence.keep_table("forged-12345678", text)
    keep(world.evidence, REGION, "old", table=table.version)
    keep(world.evidence, REGION, "forged", table="forged-12345678")
    export(ekyc, tmp_path / "case.tar", "old", "forged", SECOND)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    assert (folder / "tables" / f"{table.version}.toml").read_text() == text
    assert len(list((folder / "tables").iterdir())) == 2
    assert "The text of the decision table forged-12345678" in (folder / "README.md").read_text()


def test_what_is_not_in_the_log_yet_is_counted(ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path) -> None:
    keep(world.evidence, REGION, YOUNG)
    export(ekyc, tmp_path / "case.tar", YOUNG)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    assert f"Proofs of a verification of {REGION}" in (folder / "README.md").read_text()
    assert json.loads((folder / REGION / YOUNG / "export.json").read_text())["log_index"] is None
    assert verify(folder).returncode == 0


def test_erased_evidence_is_named_and_an_answer_about_others_stays(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    one = world.evidence.of(REGION, SECOND)
    one.keep_unreadable(b"about another person")
    gone = world.evidence.of(REGION, FIRST)
    raw = world.evidence.keys.read(gone.folder)
    assert raw
    tombstone = dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64))
    assert world.evidence.keys.replace(gone.folder, tombstone, expected=raw)
    told = export(ekyc, tmp_path / "case.tar", "--", FIRST, SECOND)
    assert (told["exported"], told["erased"]) == (1, 1)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    assert [path.name for path in (folder / REGION / FIRST).iterdir()] == ["export.json"]
    assert not list((folder / REGION / SECOND).glob("unreadable-*"))
    (left_out,) = json.loads((folder / REGION / SECOND / "export.json").read_text())["left_out"]
    assert left_out.startswith("unreadable-")
    readme = (folder / "README.md").read_text()
    assert "Files of a verification that was erased" in readme
    assert "Answers that were refused: 1" in readme
    assert verify(folder).returncode == 0


def test_an_erasure_is_proved_by_its_certificate(ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path) -> None:
    lifecycle, text = world.evidence.lifecycle(REGION, FIRST), "a signed certificate\n"
    lifecycle.entomb(Tombstone("2026-11-30T00:00:00Z", fingerprint(text)))
    for found in lifecycle.objects():
        lifecycle.remove(found)
    lifecycle.keep_certificate(text)
    world.queue.add(REGION, (FIRST,))
    assert world.sequencer().turn() == 1
    assert [each["state"] for each in listed(ekyc)] == ["erased", "archived"]
    export(ekyc, tmp_path / "case.tar", "--since", "1h")
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    one = folder / REGION / FIRST
    assert (one / "certificate.txt").read_text() == text
    assert json.loads((one / "entry.json").read_text())["type"] == "erased"
    ended = verify(folder)
    assert ended.returncode == 0, ended.stderr
    (one / "certificate.txt").write_text("another")
    resum(folder)
    ended = verify(folder)
    assert ended.returncode != 0
    assert "erased, with another certificate" in ended.stderr


def listed(ekyc: Ekyc) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ekyc("evidence", "list", "--json").out.splitlines()]


def test_damaged_evidence_does_not_stop_the_rest_and_is_an_error(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path
) -> None:
    damaged = world.root / REGION / FIRST / "front.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    ended = ekyc("evidence", "export", "--since", "1h", "--output", str(tmp_path / "case.tar"), "--why", WHY)
    assert ended.code == 1
    assert any(f"{REGION}/{FIRST}/front.jpg is damaged" in line for line in ended.err_lines)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    about = json.loads((folder / REGION / FIRST / "export.json").read_text())
    assert about["state"] == "damaged"
    assert about["damaged"] == [{"name": "front.jpg", "cause": "SEALED_BYTES"}]
    assert (folder / REGION / SECOND / "front.jpg").read_bytes() == IMAGE


def during_export(world: LoggedEvidence, act: Callable[[], object]) -> tuple[Export, list[str], bytes]:
    """Export one verification, and act when its first file was read. Returns the notes and the archive, too."""
    notes: list[str] = []
    built = Export(
        Lacks(keys=False, log=False),
        LogProofs(world.evidence, world.log.keys),
        lambda region, signature_id: world.evidence.lifecycle(region, signature_id).certificate(),
        lambda _: None,
        notes.append,
        world.evidence.check_answers,
    )
    archive, done = b"", False
    for piece in built.pieces(iter([world.evidence.of(REGION, SECOND)]), lambda _: None, lambda _: None):
        archive += piece
        if not done and f"{SECOND}/answer.json".encode() in piece:
            done = True
            act()
    assert done
    return built, notes, archive


@pytest.mark.parametrize("keys", [KEYS, ""], ids=["encrypted", "plain"])
def test_an_erasure_during_an_export_is_said(redis: Redis, tmp_path: Path, keys: str) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), keys)
    keep(world.evidence, REGION, SECOND)
    world.queue.add(REGION, (SECOND,))
    world.sequencer().turn()
    lifecycle = world.evidence.lifecycle(REGION, SECOND)

    def erase() -> None:
        lifecycle.entomb(Tombstone("2026-11-30T00:00:00Z", None))
        for found in lifecycle.objects():
            lifecycle.remove(found)
        lifecycle.keep_certificate("a signed certificate\n")

    built, notes, archive = during_export(world, erase)
    assert built.counts == {State.ERASED: 1}
    assert notes == [f"{REGION}/{SECOND} was erased during the export, which has 1 of its files"]
    (tmp_path / "case.tar").write_bytes(archive)
    folder = unpacked(tmp_path / "case.tar", tmp_path / "case")
    one = folder / REGION / SECOND
    assert {path.name for path in one.iterdir()} == {"answer.json", "certificate.txt", "export.json"}
    about = json.loads((one / "export.json").read_text())
    assert (about["state"], about["exported_before_erasure"]) == ("erased", ["answer.json"])
    assert "1 verifications that were erased during the export" in (folder / "README.md").read_text()
    ended = verify(folder)
    assert ended.returncode == 0, ended.stderr


def test_a_file_that_is_gone_is_damage(world: LoggedEvidence) -> None:
    lost = world.root / REGION / SECOND / "front.jpg"
    built, notes, archive = during_export(world, lost.unlink)
    assert built.counts == {State.DAMAGED: 1}
    assert len(notes) == 1
    assert f"{REGION}/{SECOND}/front.jpg is damaged and not exported" in notes[0]
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        file = tar.extractfile(f"{REGION}/{SECOND}/export.json")
        assert file
        about = json.load(file)
    assert about["damaged"] == [{"name": "front.jpg", "cause": "missing"}]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((SECOND, "unknown"), 2, "there is no evidence of unknown in ph or sg"),
        (("a/b",), 2, "id number 1: must be 1 to 64"),
        ((), 2, "give either signature ids, or --since or --until"),
        ((SECOND, "--since", "1h"), 2, "give either signature ids, or --since or --until"),
        (("--until", "2020-01-01"), 1, "no evidence in ph and sg until 2020-01-01T00:00:00Z at "),
        ((SECOND, "--recipient", "AGE-SECRET-KEY-1"), 2, "--recipient number 1: give the public key"),
    ],
)
def test_invalid_input_is_one_line_and_leaves_nothing(  # noqa: PLR0917 - the last three are one case
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert world
    folder = tmp_path / "out"
    folder.mkdir()
    ended = ekyc("evidence", "export", *arguments, "--output", str(folder / "case.tar"), "--why", WHY)
    assert ended.code == code
    assert says in ended.err_lines[0]
    assert "AGE-SECRET-KEY" not in ended.err
    assert leftovers(folder) == []


def test_a_file_that_exists_is_not_replaced(ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path) -> None:
    assert world
    output = tmp_path / "case.tar"
    output.write_text("mine")
    ended = ekyc("evidence", "export", SECOND, "--output", str(output), "--why", WHY)
    assert ended.code == 2
    assert ended.err_lines == [f"ekyc: {output} exists, and is not replaced: give another name"]
    assert output.read_text() == "mine"
    ended = ekyc("evidence", "export", SECOND, "--output", str(tmp_path / "no" / "case.tar"), "--why", WHY)
    assert ended.code == 2
    assert f"{tmp_path / 'no'} is not a folder" in ended.err


def test_nothing_is_exported_without_a_record(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path, unused_port: int
) -> None:
    assert world
    folder = tmp_path / "out"
    folder.mkdir()
    away = ekyc.with_env(REDIS_URL=f"redis://127.0.0.1:{unused_port}/0")
    ended = away("evidence", "export", SECOND, "--output", str(folder / "case.tar"), "--why", WHY)
    assert ended.code == 1
    assert len(ended.err_lines) == 1
    assert leftovers(folder) == []


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    ekyc: Ekyc, world: LoggedEvidence, tmp_path: Path, *, is_encrypted: bool
) -> None:
    """A limit of the file size is a full disk to a program that writes one file."""
    assert world
    folder = tmp_path / "out"
    folder.mkdir()
    options = ["--recipient", str(pyrage.x25519.Identity.generate().to_public())] if is_encrypted else []
    command = [sys.executable, "-m", "worker.cli", "evidence", "export", SECOND, *options]
    command += ["--output", str(folder / "case.tar"), "--why", WHY]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    ended = subprocess.run(
        command,
        env=ekyc.env | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.splitlines() == [f"ekyc: {folder}/case.tar: File too large"]
    assert leftovers(folder) == []


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_ctrl_c_leaves_nothing(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis, tmp_path: Path, *, is_encrypted: bool
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    # One of its files is a pipe, where the export waits.
    waits = world.root / REGION / SECOND / "front.jpg"
    waits.unlink()
    os.mkfifo(waits)
    options = ["--recipient", str(pyrage.x25519.Identity.generate().to_public())] if is_encrypted else []
    process = ekyc.start(
        "evidence", "export", SECOND, *options, "--output", str(folder / "case.tar"), "--why", WHY
    )
    try:
        until(lambda: acts(redis), "the export is on record")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert leftovers(folder) == []
