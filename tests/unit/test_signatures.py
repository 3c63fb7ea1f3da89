"""Signatures of deliveries, against the reference library for `v1` and published vectors for `v1a`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.paths import ROOT
from worker import signatures
from worker.errors import SignatureRefused
from worker.signatures import ID, SIGNATURE, TIMESTAMP, Signer, Verifier

SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

#: The vector of the asymmetric scheme in the tests of Svix's server. The specification shows its signature.
PRIVATE: Final = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC: Final = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
VECTOR_ID: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_AT: Final = 1614265330
VECTOR_BODY: Final = b'{"test": 2432232314}'
VECTOR_SIGNATURE: Final = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

BODY: Final = '{"type":"decision","größe":"×"}'.encode()


def signer(*texts: str) -> Signer:
    return Signer(
        secrets=[signatures.parse_secret(text) for text in texts if text.startswith("whsec_")],
        private_keys=[signatures.parse_private_key(text) for text in texts if text.startswith("whsk_")],
    )


def verifier(*texts: str, tolerance_s: float = 300) -> Verifier:
    return Verifier(
        secrets=[signatures.parse_secret(text) for text in texts if text.startswith("whsec_")],
        public_keys=[signatures.parse_public_key(text) for text in texts if text.startswith("whpk_")],
        tolerance_s=tolerance_s,
    )


def now() -> int:
    return int(time.time())


def refused(verifier: Verifier, headers: dict[str, str], body: bytes = BODY, at: float | None = None) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verifier.verify(headers, body, at)
    return caught.value.reason


# --- v1, against the reference library


def test_the_reference_library_verifies_our_v1() -> None:
    headers = signer(SECRET, PRIVATE).headers("msg_1", now(), BODY)
    assert Webhook(SECRET).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signatures.format_secret(signatures.new_secret())).verify(BODY, headers)


def test_we_verify_the_v1_of_the_reference_library() -> None:
    at = now()
    made = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(at, UTC), BODY.decode())
    headers = {ID: "msg_1", TIMESTAMP: str(at), SIGNATURE: made}
    assert verifier(SECRET).verify(headers, BODY) == "msg_1"
    assert refused(verifier(SECRET), headers, BODY + b" ") == "WRONG_SIGNATURE"


# --- v1a, against published vectors and cryptography


def test_v1a_is_the_published_signature() -> None:
    headers = signer(PRIVATE).headers(VECTOR_ID, VECTOR_AT, VECTOR_BODY)
    assert headers == {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": str(VECTOR_AT),
        "webhook-signature": VECTOR_SIGNATURE,
    }
    assert verifier(PUBLIC).verify(headers, VECTOR_BODY, VECTOR_AT) == VECTOR_ID


def test_v1a_signs_id_timestamp_and_body() -> None:
    key = Ed25519PrivateKey.generate()
    headers = Signer(private_keys=[key]).headers("msg_1", 1_700_000_000, BODY)
    signature = base64.b64decode(headers[SIGNATURE].removeprefix("v1a,"))
    key.public_key().verify(signature, b"msg_1.1700000000." + BODY)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, b"msg_2.1700000000." + BODY)


# --- rotation


def test_each_secret_and_key_signs_in_its_order() -> None:
    secrets = [signatures.new_secret() for _ in range(2)]
    keys = [signatures.new_private_key() for _ in range(2)]
    at = now()
    signed = Signer(secrets=secrets, private_keys=keys).headers("msg_1", at, BODY)
    alone = [
        *(Signer(secrets=[secret]).headers("msg_1", at, BODY)[SIGNATURE] for secret in secrets),
        *(Signer(private_keys=[key]).headers("msg_1", at, BODY)[SIGNATURE] for key in keys),
    ]
    assert signed[SIGNATURE] == " ".join(alone)
    for secret in secrets:
        assert Verifier(secrets=[signatures.new_secret(), secret]).verify(signed, BODY) == "msg_1"
    for key in keys:
        others = [signatures.new_private_key().public_key(), key.public_key()]
        assert Verifier(public_keys=others).verify(signed, BODY) == "msg_1"


# --- what is refused


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_header(name: str, value: str | None) -> None:
    headers = signer(SECRET).headers("msg_1", now(), BODY)
    del headers[name]
    if value is not None:
        headers[name] = value
    assert refused(verifier(SECRET), headers) == "MISSING_HEADER"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ID, "msg.1"),
        (ID, "msg 1"),
        (ID, "x" * 256),
        (ID, "größe"),
        (TIMESTAMP, "now"),
        (TIMESTAMP, "-1700000000"),
        (TIMESTAMP, "1700000000.5"),
        (TIMESTAMP, "\u0661" * 10),
        (TIMESTAMP, "1" * 13),
        (SIGNATURE, "v1"),
        (SIGNATURE, "v1,AAAA"),
        (SIGNATURE, "v2,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        (SIGNATURE, "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN_H_pI4="),
        (SIGNATURE, "x" * 2049),
    ],
)
def test_a_malformed_header(name: str, value: str) -> None:
    headers = signer(SECRET).headers("msg_1", now(), BODY) | {name: value}
    assert refused(verifier(SECRET), headers) == "MALFORMED_HEADER"


def test_more_signatures_than_any_sender_makes() -> None:
    """The work for a header is bounded, even if a signature in it is right."""
    headers = signer(SECRET).headers("msg_1", now(), BODY)
    foreign = Signer(secrets=[signatures.new_secret()]).headers("msg_1", now(), BODY)[SIGNATURE]
    several = " ".join([*[foreign] * 15, headers[SIGNATURE]])
    assert verifier(SECRET).verify(headers | {SIGNATURE: several}, BODY) == "msg_1"
    many = " ".join([*[foreign] * 50, headers[SIGNATURE]])
    assert refused(verifier(SECRET), headers | {SIGNATURE: many}) == "MALFORMED_HEADER"


@pytest.mark.parametrize("seconds", [-302, 302])
def test_a_stale_timestamp(seconds: int) -> None:
    headers = signer(SECRET).headers("msg_1", 1_700_000_000, BODY)
    assert refused(verifier(SECRET), headers, at=1_700_000_000 + seconds) == "STALE_TIMESTAMP"


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_a_timestamp_within_the_tolerance(seconds: int) -> None:
    headers = signer(SECRET).headers("msg_1", 1_700_000_000, BODY)
    assert verifier(SECRET).verify(headers, BODY, 1_700_000_000 + seconds) == "msg_1"


def test_a_longer_tolerance_counts_for_the_past_only() -> None:
    headers = signer(SECRET).headers("msg_1", 1_700_000_000, BODY)
    patient = verifier(SECRET, tolerance_s=86_400)
    assert patient.verify(headers, BODY, 1_700_000_000 + 80_000) == "msg_1"
    assert refused(patient, headers, at=1_700_000_000 + 90_000) == "STALE_TIMESTAMP"
    assert refused(patient, headers, at=1_700_000_000 - 302) == "STALE_TIMESTAMP"


@pytest.mark.parametrize("key", [SECRET, PRIVATE])
@pytest.mark.parametrize("change", ["id", "timestamp", "body", "key"])
def test_a_wrong_signature(key: str, change: str) -> None:
    made = signer(key).headers("msg_1", 1_700_000_000, BODY)
    body = BODY
    if change == "id":
        made[ID] = "msg_2"
    elif change == "timestamp":
        made[TIMESTAMP] = "1700000001"
    elif change == "body":
        body = json.dumps(json.loads(BODY)).encode()
    elif key == SECRET:
        made = Signer(secrets=[signatures.new_secret()]).headers("msg_1", 1_700_000_000, BODY)
    else:
        made = Signer(private_keys=[signatures.new_private_key()]).headers("msg_1", 1_700_000_000, BODY)
    assert refused(verifier(SECRET, PUBLIC), made, body, 1_700_000_000) == "WRONG_SIGNATURE"


def test_a_signature_counts_under_its_own_scheme_only() -> None:
    """A public key is no secret: nobody may sign with it as if it was one."""
    public = signatures.parse_public_key(PUBLIC)
    forged = Signer(secrets=[public.public_bytes_raw()]).headers("msg_1", now(), BODY)
    assert refused(verifier(PUBLIC), forged) == "WRONG_SIGNATURE"
    renamed = forged | {SIGNATURE: forged[SIGNATURE].replace("v1,", "v1a,")}
    assert refused(verifier(PUBLIC), renamed) == "MALFORMED_HEADER"


def test_names_of_headers_in_any_case() -> None:
    headers = {name.title(): value for name, value in signer(SECRET).headers("msg_1", now(), BODY).items()}
    assert verifier(SECRET).verify(headers, BODY) == "msg_1"


@given(st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE, "x"]), st.text()), st.binary())
def test_any_headers_get_one_of_the_reasons(headers: dict[str, str], body: bytes) -> None:
    assert refused(verifier(SECRET, PUBLIC), headers, body) in {
        "MISSING_HEADER",
        "MALFORMED_HEADER",
        "STALE_TIMESTAMP",
        "WRONG_SIGNATURE",
    }


def test_a_signer_needs_a_key_and_a_plain_id() -> None:
    for make in (Signer, Verifier):
        with pytest.raises(ValueError, match="at least one secret or key"):
            make()
    for message_id in ("", "a.b", "a b", "ä", "x" * 256):
        with pytest.raises(ValueError, match="printable ASCII"):
            signer(SECRET).headers(message_id, 1, b"")


def test_nothing_shows_a_secret() -> None:
    for shown in (
        repr(signer(SECRET, PRIVATE)),
        str(signer(SECRET, PRIVATE)),
        repr(verifier(SECRET, PUBLIC)),
    ):
        assert "secrets" not in shown
        assert "keys" not in shown


# --- secrets and keys as text


def test_each_text_is_read_and_written_alike() -> None:
    assert signatures.format_secret(signatures.parse_secret(SECRET)) == SECRET
    assert signatures.format_private_key(signatures.parse_private_key(PRIVATE)) == PRIVATE
    assert signatures.format_public_key(signatures.parse_public_key(PUBLIC)) == PUBLIC
    assert signatures.parse_secret(SECRET) == signatures.parse_secret(f" {SECRET}\n")
    secret = signatures.new_secret()
    text = signatures.format_secret(secret)
    assert len(secret) == 32
    assert signatures.parse_secret(text.rstrip("=")) == secret
    assert Webhook(text)._whsecret == secret


def test_a_private_key_may_be_its_seed_alone() -> None:
    seed = base64.b64encode(signatures.parse_private_key(PRIVATE).private_bytes_raw()).decode()
    assert signatures.format_private_key(signatures.parse_private_key(f"whsk_{seed}")) == PRIVATE


@pytest.mark.parametrize(
    ("parse", "text", "fault"),
    [
        ("secret", PRIVATE, "a secret begins with whsec_, this one with whsk_"),
        ("secret", "sesame", "a secret begins with whsec_"),
        ("secret", "whsec_c2VzYW1l", "a secret has 24 to 64 bytes, this one has 6"),
        ("secret", "whsec_" + "A" * 88, "a secret has 24 to 64 bytes, this one has 66"),
        ("secret", "whsec_sesame!!", "a secret is base64 after whsec_: copy all of it"),
        ("secret", "whsec_größe", "a secret is base64 after whsec_: copy all of it"),
        ("private_key", PUBLIC, "a private key begins with whsk_, this one with whpk_"),
        ("private_key", "whsk_c2VzYW1l", "a private key has 32 or 64 bytes, this one has 6"),
        ("private_key", PRIVATE[:-3] + "A==", "the second half of the private key is not its public key"),
        ("public_key", PRIVATE, "a public key begins with whpk_, this one with whsk_"),
        ("public_key", "whpk_c2VzYW1l", "a public key has 32 bytes, this one has 6"),
        ("secrets", f"{SECRET}\nsesame", "entry 2: a secret begins with whsec_"),
        ("secrets", f"{SECRET},{SECRET}", "one of them is given twice"),
        ("secrets", " ,\n", "give 1 to 8, separated by commas or line ends"),
        ("private_keys", f"{PRIVATE}\n{PRIVATE}", "one of them is given twice"),
        ("public_keys", "\n".join([PUBLIC] * 9), "give 1 to 8, separated by commas or line ends"),
    ],
)
def test_a_fault_names_the_cure_and_never_the_text(parse: str, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="^" + fault.replace("(", r"\(")) as caught:
        getattr(signatures, f"parse_{parse}")(text)
    assert "sesame" not in str(caught.value)
    assert text[8:] not in str(caught.value) or len(text) < 9
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_several_keys_by_comma_or_line() -> None:
    other = signatures.format_private_key(signatures.new_private_key())
    for separator in (",", "\n", " ,\r\n\n"):
        keys = signatures.parse_private_keys(f"{other}{separator}{PRIVATE}\n")
        assert [signatures.format_private_key(key) for key in keys] == [other, PRIVATE]


def test_a_key_id_is_short_and_of_the_key() -> None:
    public = signatures.parse_public_key(PUBLIC)
    assert signatures.key_id(public) == signatures.key_id(signatures.parse_public_key(PUBLIC))
    assert len(signatures.key_id(public)) == 16
    assert signatures.key_id(public) != signatures.key_id(signatures.new_private_key().public_key())
    assert isinstance(public, Ed25519PublicKey)


# --- the body of a task

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_the_body_of_a_task_does_not_depend_on_how_its_json_was_written(payload: dict[str, object]) -> None:
    body = signatures.task_body("onboarding.approve", payload)
    for options in ({"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}):
        again = json.loads(json.dumps(payload, **options))
        turned = dict(reversed(list(again.items())))
        assert signatures.task_body("onboarding.approve", turned) == body


def test_the_body_of_a_task_has_its_name() -> None:
    assert signatures.task_body("onboarding.approve", {"b": "×", "a": 1.0}) == (
        rb'{"payload":{"a":1.0,"b":"\u00d7"},"task":"onboarding.approve"}'
    )


def test_the_module_needs_the_standard_library_only() -> None:
    program = """
import sys
sys.modules["cryptography"] = None
from worker import signatures
from worker.errors import ConfigError
secret = signatures.new_secret()
made = signatures.Signer(secrets=[secret]).headers("msg_1", 1, b"")
print(signatures.Verifier(secrets=[secret]).verify(made, b"", 1))
try:
    signatures.new_private_key()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "msg_1",
        "ed25519 needs the package cryptography: pip install 'cryptography>=46,<51'",
    ]
