"""Evidence in S3, as moto's server answers it over HTTP: conditions, checksums, encryption, locks, credentials."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.http_thread import serving
from tests.support.moto_s3 import ACCESS, SECRET, MotoS3, enforced, refused
from worker.errors import ConfigError, EvidenceConflict, EvidenceUnavailable, EvidenceUnsuitable
from worker.evidence.breaker import Breaker, State
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.storage.s3 import ObjectLock, S3Options
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"
URL, BUCKET = "s3://evidence/ekyc", "evidence"
ANSWER = f"ekyc/{REGION}/{ID}/answer.json"
KMS_KEY = "arn:aws:kms:ap-southeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

#: Variables that would lead to other credentials than those of a test.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoS3]:
    with MotoS3().running() as server:
        server.use(monkeypatch)
        server.bucket(BUCKET)
        yield server


@pytest.fixture
def locked(s3: MotoS3) -> MotoS3:
    s3.bucket("locked", locked=True)
    return s3


def puts(s3: MotoS3) -> list[dict[str, str]]:
    return [dict(seen.headers) for seen in s3.seen if seen.method == "PUT"]


def test_the_probe_of_a_start_proves_conditional_writes_and_leaves_nothing(s3: MotoS3) -> None:
    Evidence(URL).check()
    assert s3.keys(BUCKET) == []
    assert all(headers["if-none-match"] == "*" for headers in puts(s3))
    assert len(puts(s3)) == 5, "four at once, and one later"


def test_evidence_is_written_once_and_read_back(s3: MotoS3) -> None:
    one = Evidence(URL).of(REGION, ID)
    assert one.answer() is None
    assert one.keep_answer(b"first") == b"first"
    assert one.keep_answer(b"second") == b"first"
    one.keep("front.jpg", b"image")
    with pytest.raises(EvidenceConflict):
        one.keep("front.jpg", b"another image")
    assert [file.name for file in one.files()] == ["answer.json", "front.jpg"]
    assert s3.keys(BUCKET) == [ANSWER, f"ekyc/{REGION}/{ID}/front.jpg"]


def test_every_object_is_sent_with_its_checksum_under_the_signature(s3: MotoS3) -> None:
    one = Evidence(URL).of(REGION, ID)
    one.keep_answer(b"first")
    one.keep("front.jpg", b"image")
    Evidence(URL).keep_ledger(REGION, "ledger-1")
    bodies = [b"first", b"image", b"ledger-1"]
    sums = [b64encode(sha256(body).digest()).decode() for body in bodies]
    assert [headers["x-amz-checksum-sha256"] for headers in puts(s3)] == sums
    assert all("x-amz-checksum-sha256" in seen.signed for seen in s3.seen if seen.method == "PUT")


def test_objects_are_encrypted_with_the_key_of_the_settings(s3: MotoS3) -> None:
    evidence = Evidence(URL, s3=S3Options("aws:kms", KMS_KEY))
    evidence.check()
    evidence.of(REGION, ID).keep_answer(b"{}")
    head = s3.head(BUCKET, ANSWER)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)
    assert "SSEKMSKeyId" not in s3.head(BUCKET, plain(s3))


def plain(s3: MotoS3) -> str:
    """An object that is written without the settings, to compare."""
    Evidence(URL).of(REGION, "plain").keep_answer(b"{}")
    assert f"ekyc/{REGION}/plain/answer.json" in s3.keys(BUCKET)
    return f"ekyc/{REGION}/plain/answer.json"


@pytest.mark.parametrize("encryption", ["aws:kms", "aws:kms:dsse", "AES256"])
def test_each_encryption_of_s3_is_asked_for_without_a_key(s3: MotoS3, encryption: str) -> None:
    Evidence(URL, s3=S3Options(encryption)).of(REGION, ID).keep_answer(b"{}")
    (headers,) = puts(s3)
    assert headers["x-amz-server-side-encryption"] == encryption
    assert "x-amz-server-side-encryption-aws-kms-key-id" not in headers


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_object_lock_keeps_every_object_until_its_day(locked: MotoS3, mode: str) -> None:
    evidence = Evidence("s3://locked/ekyc", s3=S3Options(lock=ObjectLock(mode, 1827)))
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    one.keep("front.jpg", b"image")
    for name in ("answer.json", "front.jpg"):
        head = locked.head("locked", f"ekyc/{REGION}/{ID}/{name}")
        assert head["ObjectLockMode"] == mode
        left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=1827) <= left <= timedelta(days=1828)
    with pytest.raises(refused(), match="AccessDenied"):
        remove_version(locked, ANSWER, head_of(locked, ANSWER)["VersionId"])
    (put, *_) = [seen for seen in locked.seen if seen.method == "PUT"]
    assert {"x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"} <= set(put.signed)
    reads = [seen for seen in locked.seen if seen.method != "PUT"]
    assert not any("x-amz-object-lock-mode" in seen.headers for seen in reads)


def test_only_governance_is_lifted_by_a_right_of_its_own(locked: MotoS3) -> None:
    for mode in ("GOVERNANCE", "COMPLIANCE"):
        lock = ObjectLock(mode, 1)
        Evidence(f"s3://locked/{mode}", s3=S3Options(lock=lock)).of(REGION, ID).keep_answer(b"{}")
    paths = {mode: f"{mode}/{REGION}/{ID}/answer.json" for mode in ("GOVERNANCE", "COMPLIANCE")}
    remove_version(locked, paths["GOVERNANCE"], head_of(locked, paths["GOVERNANCE"])["VersionId"], lift=True)
    with pytest.raises(refused(), match="AccessDenied"):
        remove_version(
            locked, paths["COMPLIANCE"], head_of(locked, paths["COMPLIANCE"])["VersionId"], lift=True
        )


def head_of(s3: MotoS3, key: str) -> dict[str, object]:
    return s3.head("locked", key)


def remove_version(s3: MotoS3, key: str, version: object, *, lift: bool = False) -> None:
    # moto takes any value of this option for a yes.
    right = {"BypassGovernanceRetention": True} if lift else {}
    s3.client("s3").delete_object(Bucket="locked", Key=key, VersionId=version, **right)


def test_a_probe_is_locked_for_minutes_only(locked: MotoS3) -> None:
    Evidence("s3://locked/ekyc", s3=S3Options(lock=ObjectLock("COMPLIANCE", 1827))).check()
    assert locked.keys("locked") == []
    assert {headers["x-amz-object-lock-mode"] for headers in puts(locked)} == {"COMPLIANCE"}
    untils = {
        datetime.fromisoformat(headers["x-amz-object-lock-retain-until-date"]) for headers in puts(locked)
    }
    assert max(untils) < datetime.now(UTC) + timedelta(minutes=21)


@pytest.mark.parametrize(
    ("path", "until"),
    [
        ("ph/x/answer.json", datetime(2026, 12, 1, tzinfo=UTC)),
        ("ph/x/decision.json", datetime(2026, 12, 1, tzinfo=UTC)),
        ("ledger/ph/000001", datetime(2026, 12, 1, tzinfo=UTC)),
        ("log/ph/commits/000000000001", datetime(2026, 12, 1, tzinfo=UTC)),
        ("ph/key.json.x/answer.json", datetime(2026, 12, 1, tzinfo=UTC)),
        ("ph/probe-0123456789abcdef/answer.json", datetime(2026, 12, 1, tzinfo=UTC)),
        ("probe-0123456789abcdef", datetime(2026, 11, 29, 23, 40, tzinfo=UTC)),
        ("ph/x/key.json", None),
        ("ph/x/hold.json", None),
        ("ph/x/closed.json", None),
    ],
)
def test_a_lock_ends_at_midnight_and_what_is_replaced_or_removed_later_has_none(
    path: str, until: datetime | None
) -> None:
    lock = ObjectLock("COMPLIANCE", 1)
    assert lock.until(path, datetime(2026, 11, 29, 23, 20, 30, tzinfo=UTC)) == until
    assert until is None or lock.headers(until)["x-amz-object-lock-retain-until-date"] == f"{until:%FT%T}Z"


def test_a_bucket_without_object_lock_says_so_in_one_line(s3: MotoS3) -> None:
    evidence = Evidence(URL, s3=S3Options(lock=ObjectLock("COMPLIANCE", 1)))
    uses: list[Callable[[], object]] = [evidence.check, lambda: evidence.of(REGION, ID).keep_answer(b"{}")]
    for use in uses:
        with pytest.raises(
            EvidenceUnavailable, match=r"the bucket was created without Object Lock"
        ) as caught:
            use()
        assert "\n" not in str(caught.value)
    assert s3.keys(BUCKET) == []


KEYS = format_key(new_key("first"))


def test_encrypted_evidence_is_locked_and_its_key_in_another_bucket_is_not(locked: MotoS3) -> None:
    locked.bucket("keys")
    lock = S3Options("aws:kms", KMS_KEY, ObjectLock("COMPLIANCE", 1827))
    evidence = Evidence("s3://locked/ekyc", keys=KEYS, keys_url="s3://keys/ekyc", s3=lock)
    evidence.check()
    one = evidence.of(REGION, ID)
    one.keep_answer(b"{}")
    assert one.answer() == b"{}"
    assert locked.head("locked", ANSWER)["ObjectLockMode"] == "COMPLIANCE"
    key = locked.head("keys", f"ekyc/{REGION}/{ID}/key.json")
    assert "ObjectLockMode" not in key
    assert key["SSEKMSKeyId"] == KMS_KEY
    data_key = evidence.keys.stored(f"{REGION}/{ID}")
    assert data_key is not None
    raw = evidence.keys.read(f"{REGION}/{ID}")
    tombstone = dump_key(Tombstone("2027-01-01T00:00:00Z", None))
    assert evidence.keys.replace(f"{REGION}/{ID}", tombstone, expected=raw or b"")
    assert evidence.keys.read(f"{REGION}/{ID}") == tombstone
    assert puts(locked)[-1]["if-match"] == key["ETag"]
    assert "if-none-match" not in puts(locked)[-1]


def test_a_place_of_keys_that_keeps_versions_is_refused(s3: MotoS3) -> None:
    s3.bucket("keys")
    evidence = Evidence(URL, keys=KEYS, keys_url="s3://keys/ekyc")
    evidence.check()
    s3.client("s3").put_bucket_versioning(Bucket="keys", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(EvidenceUnsuitable, match=r"s3://keys/ekyc keeps old versions") as caught:
        Evidence(URL, keys=KEYS, keys_url="s3://keys/ekyc").check()
    assert "\n" not in str(caught.value)
    s3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    Evidence(URL).check()
    with pytest.raises(EvidenceUnsuitable, match=r"s3://evidence/ekyc keeps old versions"):
        Evidence(URL, keys=KEYS).check()


IDS = ("a", "a-b", "a_b", "ab", "-a", "b", "B", "0")


def walked(evidence: Evidence, after: str = "") -> list[tuple[str, list[tuple[str, int]]]]:
    return [
        (one.signature_id, [(file.name, file.size_bytes) for file in files])
        for one, files in evidence.walk(REGION, after)
    ]


def test_a_bucket_and_a_folder_are_walked_in_one_order_from_any_id(s3: MotoS3, tmp_path: Path) -> None:
    assert s3.keys(BUCKET) == []
    stores = [Evidence(URL), Evidence(tmp_path.as_uri())]
    for evidence in stores:
        assert walked(evidence) == []
        for signature_id in IDS:
            evidence.of(REGION, signature_id).keep("front.jpg", b"image")
            evidence.of(REGION, signature_id).keep_answer(b"{}")
        evidence.of("sg", "elsewhere").keep_answer(b"{}")
    in_bucket, in_folder = map(walked, stores)
    assert in_bucket == in_folder
    assert sorted(signature_id for signature_id, _ in in_bucket) == sorted(IDS)
    assert in_bucket[0][1] == [("answer.json", 2), ("front.jpg", 5)]
    for number, (signature_id, _) in enumerate(in_bucket, start=1):
        for evidence in stores:
            assert walked(evidence, signature_id) == in_bucket[number:]


@pytest.mark.parametrize("url", ["gs://bucket/ekyc", "file:///nowhere/ekyc"])
@pytest.mark.parametrize("options", [S3Options("aws:kms"), S3Options(lock=ObjectLock("COMPLIANCE", 1))])
def test_other_stores_refuse_the_settings_of_s3(url: str, options: S3Options) -> None:
    with pytest.raises(ConfigError, match=r"need an s3:// URL"):
        Evidence(url, s3=options)


def test_a_short_slow_down_is_repeated_within_the_call(s3: MotoS3) -> None:
    one = Evidence(URL).of(REGION, ID)
    s3.slow_down = 2
    assert one.keep_answer(b"{}") == b"{}"
    assert len(puts(s3)) == 3


def test_a_command_of_a_person_waits_for_a_slow_bucket(s3: MotoS3) -> None:
    s3.slow_down = 4
    with pytest.raises(EvidenceUnavailable, match=r"it answers HTTP 503"):
        Evidence(URL).of(REGION, ID).answer()
    s3.slow_down = 4
    assert Evidence(URL, is_patient=True).of(REGION, ID).answer() is None


def test_a_long_slow_down_opens_the_breaker_of_the_store_and_its_end_closes_it(s3: MotoS3) -> None:
    evidence = Evidence(URL)
    now = [0.0]
    breaker = Breaker(evidence.check, lambda: now[0])
    s3.slow_down, s3.headers_of_503 = 1_000, [("Retry-After", "1")]
    with pytest.raises(EvidenceUnavailable, match=r"it answers HTTP 503"), breaker.use():
        evidence.of(REGION, ID).keep_answer(b"{}")
    assert breaker.state.value == State.OPEN.value
    asked = len(s3.seen)
    with pytest.raises(EvidenceUnavailable), breaker.use():
        pytest.fail("an open breaker lets no caller through")
    assert len(s3.seen) == asked, "an open breaker leaves the store alone"
    s3.slow_down, now[0] = 0, 60.0
    for number in range(4):
        with breaker.use():
            evidence.of(REGION, f"{ID}-{number}").keep_answer(b"{}")
    assert breaker.state.value == State.CLOSED.value


# --- credentials


@pytest.fixture
def user(s3: MotoS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """A user that may use the bucket, and an environment without its keys."""
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    keys = s3.user("worker", json.dumps({"Version": "2012-10-17", "Statement": allowed}))
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return keys


def shared_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def is_accepted() -> bool:
    with enforced():
        try:
            Evidence(URL).of(REGION, ID).keep_answer(b"{}")
        except EvidenceUnavailable:
            return False
        return True


def test_keys_of_the_environment_are_used(user: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert not is_accepted()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", user[1])
    assert is_accepted()


def test_keys_of_the_shared_file_are_used(
    user: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    default = f"[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n"
    theirs = f"[ekyc]\naws_access_key_id = {user[0]}\naws_secret_access_key = {user[1]}\n"
    shared_file(tmp_path / ".aws" / "credentials", default + theirs)
    assert not is_accepted()
    monkeypatch.setenv("AWS_PROFILE", "ekyc")
    assert is_accepted()
    shared_file(tmp_path / "elsewhere", theirs.replace("[ekyc]", "[default]"))
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "elsewhere"))
    assert is_accepted()


@pytest.mark.parametrize(
    "text", ["", "[other]\n", "[ekyc]\naws_access_key_id = x\n", "no file", "[ekyc\n", "\xff"]
)
def test_a_profile_without_keys_is_one_line(
    s3: MotoS3, user: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    assert s3
    assert user
    shared_file(tmp_path / ".aws" / "credentials", "")
    (tmp_path / ".aws" / "credentials").write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("AWS_PROFILE", "ekyc")
    with pytest.raises(ConfigError, match=r"no access key can be read for the profile ekyc: .*") as caught:
        Evidence(URL)
    assert "\n" not in str(caught.value)


class Metadata(BaseHTTPRequestHandler):
    """The metadata services of EC2 and ECS, which give short-lived keys."""

    answers: dict[str, str] = {}  # noqa: RUF012 - set by a test

    def do_GET(self) -> None:
        body = self.answers.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"token")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata(s3: MotoS3, user: tuple[str, str]) -> Iterator[Callable[[str], str]]:
    """A metadata service that gives out a role's keys at a path. Returns a function from the path to its URL."""
    assert user
    iam, sts = s3.client("iam"), s3.client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="worker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    iam.put_role_policy(RoleName="worker", PolicyName="all", PolicyDocument=policy)
    keys = sts.assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="ekyc")["Credentials"]
    text = json.dumps(
        {
            "Code": "Success",
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "Token": keys["SessionToken"],
            "Expiration": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    with serving(server):

        def at(path: str) -> str:
            Metadata.answers = {path: text}
            return f"http://127.0.0.1:{server.server_port}{path}"

        yield at


def test_keys_of_a_container_are_used(
    metadata: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", metadata("/v2/credentials"))
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    assert is_accepted()


def test_keys_of_an_instance_are_used(
    metadata: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = "/latest/meta-data/iam/security-credentials/"
    url = metadata(f"{roles}worker")
    Metadata.answers[roles] = "worker"
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", url.partition("/latest")[0])
    assert is_accepted()
