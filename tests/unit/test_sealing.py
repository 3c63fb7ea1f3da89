"""Sealed objects: they open as they were, in their place and under their key, and in no other way."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import EvidenceConflict, EvidenceKeyUnknown
from worker.evidence.keys import LocalWrapper, Tombstone, WrappedKey, dump_key, load_key
from worker.evidence.sealing import MAGIC, OVERHEAD, DataKey, NotOpened, Sealer
from worker.keyring import Keyring, NamedKey

REGION, ID, NAME = "ph", "f302f5d2454a85c2", "answer.json"
KEY = DataKey("0123456789abcdef", b"k" * 32, REGION, ID)


@given(st.binary(max_size=300))
def test_a_sealed_object_opens_as_it_was_and_does_not_show_it(body: bytes) -> None:
    raw = KEY.seal(NAME, body)
    assert KEY.open(NAME, raw) == body
    assert raw.startswith(MAGIC)
    assert len(raw) == len(body) + OVERHEAD
    if len(body) > 8:
        assert body not in raw
        assert raw != KEY.seal(NAME, body)


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    raw = KEY.seal(NAME, b"answer")
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            with pytest.raises(NotOpened):
                KEY.open(NAME, bytes(changed))
    for length in range(len(raw)):
        with pytest.raises(NotOpened):
            KEY.open(NAME, raw[:length])
    with pytest.raises(NotOpened):
        KEY.open(NAME, raw + b"\0")


@pytest.mark.parametrize(
    "other",
    [
        (DataKey(KEY.id, b"k" * 32, "sg", ID), NAME),
        (DataKey(KEY.id, b"k" * 32, REGION, "another"), NAME),
        (DataKey("f" * 16, b"k" * 32, REGION, ID), NAME),
        (DataKey(KEY.id, b"l" * 32, REGION, ID), NAME),
        (KEY, "manifest.json"),
        # The same letters, divided in another way.
        (DataKey(KEY.id, b"k" * 32, REGION + ID[0], ID[1:]), NAME),
    ],
)
def test_an_object_opens_nowhere_else(other: tuple[DataKey, str]) -> None:
    key, name = other
    with pytest.raises(NotOpened):
        key.open(name, KEY.seal(NAME, b"answer"))


def times(one: int, other: int) -> int:
    """Multiply in the field of GCM: NIST SP 800-38D, 6.3."""
    product = 0
    for bit in range(127, -1, -1):
        if other >> bit & 1:
            product ^= one
        one = one >> 1 ^ (0xE1 << 120 if one & 1 else 0)
    return product


def inverse(one: int) -> int:
    """One to the power of 2 ** 128 - 2."""
    found, square = 1 << 127, one
    for _ in range(127):
        square = times(square, square)
        found = times(found, square)
    return found


def encrypted(key: bytes, block: bytes) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return int.from_bytes(encryptor.update(block), "big")


def valid_under_both(one: bytes, other: bytes, nonce: bytes) -> bytes:
    """Return two blocks of ciphertext and a tag that AES-GCM accepts under two keys."""
    (h, e), (k, f) = (
        (encrypted(key, bytes(16)), encrypted(key, nonce + b"\0\0\0\1")) for key in (one, other)
    )
    first, length = 1 << 64, 256
    h2, k2 = times(h, h), times(k, k)
    wanted = times(first, times(h2, h) ^ times(k2, k)) ^ times(length, h ^ k) ^ e ^ f
    second = times(wanted, inverse(h2 ^ k2))
    tag = times(first, times(h2, h)) ^ times(second, h2) ^ times(length, h) ^ e
    return b"".join(number.to_bytes(16, "big") for number in (first, second, tag))


def test_no_object_opens_under_two_keys() -> None:
    """AES-GCM itself opens this ciphertext under both: only the commitment tells them apart."""
    secrets_ = (b"1" * 32, b"2" * 32)
    one, other = (Sealer(secret, NAME) for secret in secrets_)
    keys = [
        HKDF(SHA256(), 64, None, b"ekyc object v1\0" + NAME.encode()).derive(each)[:32] for each in secrets_
    ]
    nonce = b"n" * 12
    forged = valid_under_both(keys[0], keys[1], nonce)
    plain = [AESGCM(key).decrypt(nonce, forged, b"") for key in keys]
    assert plain[0] != plain[1]

    head = len(MAGIC) + 32
    ours, others = (sealer.seal(b"", b"")[:head] + nonce + forged for sealer in (one, other))
    assert one.open(ours, b"") == plain[0]
    assert other.open(others, b"") == plain[1]
    for sealer, raw in ((one, others), (other, ours)):
        with pytest.raises(NotOpened) as caught:
            sealer.open(raw, b"")
        assert caught.value.wrong_key


def test_no_repr_shows_the_key() -> None:
    key = DataKey("0123456789abcdef", b"SESAME" * 5 + b"SE", REGION, ID)
    assert repr(key) == "DataKey('0123456789abcdef')"
    wrapper = LocalWrapper(Keyring((NamedKey("a", b"SESAME" * 5 + b"SE"),)))
    shown = f"{wrapper!r} {wrapper.wrap(key)!r}"
    assert "SESAME" not in shown
    assert "wrapped" not in shown


def ring(*ids: str) -> LocalWrapper:
    return LocalWrapper(Keyring(tuple(NamedKey(key_id, key_id[0].encode() * 32) for key_id in ids)))


def test_a_wrapped_key_comes_back_under_each_key_that_is_there() -> None:
    record = load_key(dump_key(ring("old").wrap(KEY)))
    assert isinstance(record, WrappedKey)
    found = ring("new", "old").unwrap(record, REGION, ID)
    assert found.open(NAME, KEY.seal(NAME, b"answer")) == b"answer"
    assert not found.plain
    assert not ring("new", "old").is_current(record)
    assert ring("old", "new").is_current(record)


def test_a_wrapped_key_without_its_named_key_can_be_read_by_another_worker() -> None:
    with pytest.raises(
        EvidenceKeyUnknown, match="under the key old, and EKYC_EVIDENCE_KEYS has only new"
    ) as caught:
        ring("new").unwrap(ring("old").wrap(KEY), REGION, ID)
    assert caught.value.retry
    assert not caught.value.quarantine


def test_another_key_under_the_same_id_is_said() -> None:
    wrapper = LocalWrapper(Keyring((NamedKey("old", b"x" * 32),)))
    with pytest.raises(EvidenceConflict, match="another key under the same id") as caught:
        wrapper.unwrap(ring("old").wrap(KEY), REGION, ID)
    assert caught.value.reason == EvidenceConflict.WRONG_KEY


WRAPPED = ring("old").wrap(KEY)


@pytest.mark.parametrize(
    ("record", "region", "signature_id"),
    [
        (WRAPPED, "sg", ID),
        (WRAPPED, REGION, "another"),
        (replace(WRAPPED, data_key_id="f" * 16), REGION, ID),
        (replace(WRAPPED, plain=True), REGION, ID),
    ],
)
def test_a_wrapped_key_opens_only_as_it_was_written(
    record: WrappedKey, region: str, signature_id: str
) -> None:
    with pytest.raises(EvidenceConflict) as caught:
        ring("old").unwrap(record, region, signature_id)
    assert caught.value.reason == EvidenceConflict.SEALED_BYTES


def test_a_tombstone_comes_back() -> None:
    tombstone = Tombstone("2027-01-02T03:04:05.006Z", "c" * 64)
    assert load_key(dump_key(tombstone)) == tombstone


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 4000,
        b"x" * 5000,
        b'{"version":2}',
        b'{"version":1}',
        b'{"version":1,"erased":[]}',
        b'{"version":1,"erased":{"at":"now","certificate":"short"}}',
        b'{"version":1,"erased":{"at":7,"certificate":"' + b"c" * 64 + b'"}}',
        b'{"version":1,"id":"0123456789abcdef","key":"../a","wrapped":"' + b64encode(b"SESAME") + b'"}',
        b'{"version":1,"id":"0123","key":"a","wrapped":"' + b64encode(b"SESAME") + b'"}',
        b'{"version":1,"id":"0123456789abcdef","key":"a","wrapped":"SESAME?"}',
        b'{"version":1,"id":"0123456789abcdef","key":"a","wrapped":7}',
        b'{"version":1,"id":"0123456789abcdef","key":"a","wrapped":"","plain":1}',
    ],
)
def test_what_is_no_key_json_is_refused_without_its_content(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load_key(raw)
    assert "SESAME" not in str(caught.value)
