"""What evidence stands on is proved, not believed: that a file is written once, whatever the store is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket_stub import S3, SECRET
from worker.errors import EvidenceUnavailable, EvidenceUnsuitable
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        yield stub


@pytest.fixture
def evidence(s3: S3) -> Evidence:
    return Evidence("s3://bucket/ekyc")


def test_a_store_that_keeps_what_it_should_is_taken_and_nothing_is_left(s3: S3, evidence: Evidence) -> None:
    evidence.check()
    assert s3.objects == {}


@pytest.mark.parametrize("fault", ["overwrites", "races"])
def test_a_bucket_that_replaces_files_is_refused(s3: S3, evidence: Evidence, fault: str) -> None:
    setattr(s3, fault, True)
    with pytest.raises(
        EvidenceUnsuitable, match=r"s3://bucket/ekyc are not written once: .* another store"
    ) as caught:
        evidence.check()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_bucket_that_knows_no_conditional_writes_is_refused(s3: S3, evidence: Evidence) -> None:
    s3.refuses = (501, "NotImplemented")
    with pytest.raises(EvidenceUnsuitable, match="the bucket does not support conditional writes"):
        evidence.check()


def test_a_bucket_with_object_lock_is_given_checksums(s3: S3, evidence: Evidence) -> None:
    s3.locked = True
    evidence.check()
    evidence.of(REGION, ID).keep_answer(b"{}")
    assert s3.objects[f"/bucket/ekyc/ph/{ID}/answer.json"] == b"{}"


@pytest.mark.parametrize(
    ("refuses", "extra", "says"),
    [
        ((404, "NoSuchBucket"), "", "there is no such bucket (NoSuchBucket)"),
        ((301, "PermanentRedirect"), "", "the bucket is in another region than AWS_REGION says"),
        (
            (400, "AuthorizationHeaderMalformed"),
            "<Region>eu-west-1</Region>",
            "the bucket is in another region than AWS_REGION says (AuthorizationHeaderMalformed, it is eu-west-1)",
        ),
        ((403, "AccessDenied"), "", "permission denied (AccessDenied)"),
        ((403, "SignatureDoesNotMatch"), "", "the credentials are not accepted (SignatureDoesNotMatch)"),
        ((403, "RequestTimeTooSkewed"), "", "the clock of this machine differs too much from the server's"),
        ((400, "InvalidRequest"), "", "it answers HTTP 400 (InvalidRequest)"),
        ((503, "SlowDown"), "", "it answers HTTP 503 (SlowDown)"),
        ((500, f"<i>{SECRET}</i>"), "", "it answers HTTP 500;"),
    ],
)
def test_what_the_server_said_is_named_in_one_line_without_its_words(
    s3: S3, evidence: Evidence, refuses: tuple[int, str], extra: str, says: str
) -> None:
    s3.refuses, s3.extra = refuses, extra
    uses: list[Callable[[], object]] = [evidence.check, lambda: evidence.of(REGION, ID).read("answer.json")]
    for use in uses:
        with pytest.raises(EvidenceUnavailable) as caught:
            use()
        assert says in str(caught.value)
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_bucket_that_is_gone_is_no_bucket_without_the_file(s3: S3, evidence: Evidence) -> None:
    assert evidence.of(REGION, ID).answer() is None
    s3.refuses = (404, "NoSuchBucket")
    with pytest.raises(EvidenceUnavailable):
        evidence.of(REGION, ID).answer()
    with pytest.raises(EvidenceUnavailable):
        evidence.of(REGION, ID).files()


def test_a_folder_whose_root_is_gone_is_no_folder_without_the_file(tmp_path: Path) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri())
    assert (evidence.of(REGION, ID).answer(), evidence.of(REGION, ID).files()) == (None, ())
    (tmp_path / "evidence").rmdir()
    with pytest.raises(EvidenceUnavailable, match="no such file or directory"):
        evidence.of(REGION, ID).answer()
    with pytest.raises(EvidenceUnavailable, match="no such file or directory"):
        evidence.of(REGION, ID).files()


#: System calls that a filter of the kernel (seccomp) refuses in a child, as a file system without them does.
CALLS = {"x86_64": {"linkat": 265, "renameat2": 316}, "aarch64": {"linkat": 37, "renameat2": 276}}

PRELUDE = """
    import ctypes, struct, sys
    from worker.evidence.storage import local
    local._NAMELESS = 0  # vfat and its like know no files without a name
    from worker.errors import EkycError
    from worker.evidence.store import Evidence

    def refuse(calls):
        # BPF: load the call's number; for each refused one return its error; else allow.
        code = [(0x20, 0, 0, 0)]
        for number, error in calls:
            code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error)]
        code += [(0x06, 0, 0, 0x7FFF0000)]
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
        class Fprog(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
        libc = ctypes.CDLL(None, use_errno=True)
        fprog = Fprog(len(code), ctypes.addressof(program))
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0, ctypes.get_errno()

    refuse(eval(sys.argv[2]))
    evidence = Evidence(sys.argv[1])
"""


def child(script: str, root: Path, *refused: tuple[int, int]) -> subprocess.CompletedProcess[str]:
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    command = [sys.executable, "-c", text, root.as_uri(), repr(refused)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)


CHECK = """
    try:
        evidence.check()
    except EkycError as error:
        print(type(error).__name__, error)
        raise SystemExit(1)
    assert evidence.of("ph", "pass-1").keep_answer(b"first") == b"first"
    assert evidence.of("ph", "pass-1").keep_answer(b"second") == b"first"
"""

machine = pytest.mark.skipif(
    platform.machine() not in CALLS, reason="the numbers of system calls are not known here"
)


@machine
def test_a_file_system_without_hard_links_works_all_the_same(tmp_path: Path) -> None:
    calls = CALLS[platform.machine()]
    ended = child(CHECK, tmp_path / "evidence", (calls["linkat"], 1))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (kept,) = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
    assert (kept.name, kept.read_bytes()) == ("answer.json", b"first")


@machine
def test_a_file_system_on_which_nothing_can_be_written_once_is_refused(tmp_path: Path) -> None:
    """Without hard links, and without a rename that replaces nothing: some in user space, such as an older sshfs."""
    calls = CALLS[platform.machine()]
    ended = child(CHECK, tmp_path / "evidence", (calls["linkat"], 1), (calls["renameat2"], 22))
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("EvidenceUnsuitable EKYC_EVIDENCE_URL: ")
    assert "neither hard links nor a rename that never replaces a file" in ended.stdout
