"""The keys of EKYC_EVIDENCE_KEYS: what is accepted, and what each fault says without a key in it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from worker.errors import ConfigError
from worker.keyring import MAX_KEYS, NamedKey, format_key, new_key, parse_keys
from worker.settings import Settings

ONE, TWO = (b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))


def test_the_first_key_is_the_current_one_and_the_ids_keep_their_order() -> None:
    keyring = parse_keys(f" new:{TWO},\n old:{ONE}\n")
    assert keyring is not None
    assert keyring.current == NamedKey("new", bytes([2]) * 32)
    assert keyring.keys[1] == NamedKey("old", bytes([1]) * 32)
    assert keyring.ids == "new, old"


@pytest.mark.parametrize("text", ["", " ", ",", "\n"])
def test_no_keys_are_no_keyring(text: str) -> None:
    assert parse_keys(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ONE, "give id:base64"),
        (f":{ONE}", "give id:base64"),
        (f"../x:{ONE}", "give id:base64"),
        (f"{'i' * 33}:{ONE}", "give id:base64"),
        (f"a:{ONE},b:{ONE[:-2]}", "entry 2: the key is not base64"),
        ("a:sesame!", "the key is not base64"),
        ("a:" + b64encode(b"sesame").decode(), "a key has 32 bytes, this one has 6"),
        ("a:" + b64encode(b"s" * 33).decode(), "a key has 32 bytes, this one has 33"),
        ("a:", "a key has 32 bytes, this one has 0"),
        (f"a:{ONE},a:{TWO}", "two entries have the same id"),
        (f"a:{ONE},b:{ONE}", "one key is given twice"),
        (",".join(format_key(new_key(f"k{n}")) for n in range(MAX_KEYS + 1)), "give 1 to 16 keys"),
    ],
)
def test_keys_that_cannot_be_used_are_one_line_that_shows_none(
    monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_KEYS", text)
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    (line,) = str(caught.value).splitlines()
    assert line.startswith("EKYC_EVIDENCE_KEYS: ")
    assert says in line
    assert caught.value.exit_code == 2
    for secret in (ONE, TWO, "sesame", b64encode(b"sesame").decode(), ONE[:-2]):
        assert secret not in line


def test_no_repr_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_KEYS", f"a:{ONE}")
    keyring = parse_keys(f"a:{ONE}")
    shown = f"{Settings.from_env()!r} {keyring!r} {new_key('b')!r}"
    assert ONE not in shown
    assert "\\x01" not in shown


def test_a_new_key_comes_back_from_its_text() -> None:
    key = new_key("2027-01")
    keyring = parse_keys(format_key(key))
    assert keyring is not None
    assert keyring.keys == (key,)
    assert new_key("2027-01") != key


def test_keys_for_two_purposes_differ_and_are_stable() -> None:
    key = NamedKey("a", bytes([1]) * 32)
    assert key.derive("one") == key.derive("one")
    assert key.derive("one") != key.derive("two")
    assert len(key.derive("one", 16)) == 16
    assert key.derive("one") != NamedKey("a", bytes([2]) * 32).derive("one")
