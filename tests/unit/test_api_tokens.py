"""The file of the HTTP API's tokens: what it may hold, which token a secret is, and how it is read again."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from worker.errors import ConfigError
from worker.policy.api_tokens import MAX_TOKENS, Token, entry, find, new_secret, parse
from worker.web import watched_file
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def a_token(secret: str, name: str = "shop", **more: object) -> Token:
    scopes = frozenset({"read", "enqueue"})
    return Token(name, scopes, hashlib.sha256(secret.encode()).digest(), **more)  # type: ignore[arg-type]


HASH = "0" * 64
ENTRY = f'[[token]]\nname = "shop"\nscopes = ["read"]\nsha256 = "{HASH}"\n'


@pytest.mark.parametrize(
    "token",
    [
        a_token("x"),
        a_token("x", pipeline="till"),
        a_token("x", expires=datetime(2027, 1, 31, 12, tzinfo=UTC), rate=2.5),
    ],
)
def test_an_entry_is_read_as_it_was_written(token: Token) -> None:
    assert parse(entry(token)) == (token,)


def test_a_date_means_its_first_moment_in_utc() -> None:
    (token,) = parse(ENTRY + "expires = 2027-01-31\n")
    assert not token.is_expired(datetime(2027, 1, 30, 23, 59, 59, tzinfo=UTC))
    assert token.is_expired(datetime(2027, 1, 31, tzinfo=UTC))


def test_a_secret_finds_its_token_among_several_and_no_other_does() -> None:
    tokens = tuple(a_token(f"secret-{number}", f"name-{number}") for number in range(5))
    for number, token in enumerate(tokens):
        assert find(tokens, f"secret-{number}") is token
    for wrong in ("", "secret-5", "secret-0 ", "SECRET-0", "\udcff", "0" * 64):
        assert find(tokens, wrong) is None


def test_a_token_is_compared_with_every_entry_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """None ends the comparison early, also not the one that matches."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("worker.policy.api_tokens.hmac.compare_digest", compare)
    tokens = tuple(a_token(f"secret-{number}") for number in range(5))
    assert find(tokens, "secret-0") is tokens[0]
    assert len(compared) == 5


def test_new_secrets_are_long_and_different() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith("ekyc_") and len(one) == 48 for one in made)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = =", "is not TOML at line 1, column 8"),
        ('title = "x"', "there is no title: write each token as [[token]]"),
        ("token = 1", "give 0 to 1000 tokens, each as [[token]]"),
        ("token = [1]", "token 1: write it as [[token]]"),
        ("[[token]]\n", "token 1: name is missing"),
        (ENTRY.replace("shop", "sh op"), "token 1: name must be 1 to 64 of letters, digits, . _ -"),
        (
            ENTRY.replace('["read"]', "[]"),
            "token 1: scopes must be a list of enqueue, read, close, deliver, notify",
        ),
        (
            ENTRY.replace("read", "reed"),
            "token 1: scopes must be a list of enqueue, read, close, deliver, notify",
        ),
        (
            ENTRY.replace('["read"]', "[[]]"),
            "token 1: scopes must be a list of enqueue, read, close, deliver, notify",
        ),
        (ENTRY.replace(HASH, "secret"), "token 1: sha256 must be 64 hexadecimal digits in lower case"),
        (ENTRY + "rate = 0", "token 1: rate must be more than 0"),
        (ENTRY + "rate = true", "token 1: rate must be more than 0"),
        (ENTRY + "rate = inf", "token 1: rate must be more than 0"),
        (ENTRY + "rate = nan", "token 1: rate must be more than 0"),
        (
            ENTRY + "expires = 2027-01-31T00:00:00",
            "token 1: expires must be a date, or a time with its offset",
        ),
        (ENTRY + "expires = 12:00:00", "token 1: expires must be a date, or a time with its offset"),
        (ENTRY + "pipline = 'x'", "token 1: there is no key pipline"),
        (ENTRY + "pipeline = 'Shop'", "token 1: pipeline must be 1 to 32 of a-z, digits, - and _"),
        (ENTRY + "pipeline = ''", "token 1: pipeline must be 1 to 32 of a-z, digits, - and _"),
        (ENTRY + "pipeline = 1", "token 1: pipeline must be 1 to 32 of a-z, digits, - and _"),
        (ENTRY + "'a\\nb' = 'x'", "token 1: it has a key that does not exist"),
        (ENTRY + ENTRY, "two tokens have the same sha256"),
    ],
)
def test_each_fault_is_a_line_that_quotes_no_value(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"EKYC_API_TOKENS_FILE: {fault}") for line in lines), lines
    assert "secret" not in str(caught.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ENTRY.replace("read", "reed") + "rate = 0\n" + ENTRY.replace("shop", ""))
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_may_have_a_thousand_tokens_and_no_more() -> None:
    """Each request is compared with all of them."""
    entries = [ENTRY.replace(HASH, f"{number:064x}") for number in range(MAX_TOKENS + 1)]
    assert len(parse("".join(entries[:-1]))) == 1000
    with pytest.raises(ConfigError, match="give 0 to 1000 tokens"):
        parse("".join(entries))


def test_several_tokens_may_have_one_name_so_that_one_can_replace_another() -> None:
    assert len(parse(ENTRY + ENTRY.replace(HASH, "1" * 64))) == 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens.toml"
    found.write_text(entry(a_token("old")))
    return found


@pytest.fixture
def each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at for each request."""
    monkeypatch.setattr(watched_file, "CHECK_S", 0.0)


def replace(path: Path, text: str) -> None:
    """As an editor or Kubernetes replaces a file."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_file_that_changes_is_read_again(path: Path, each_time: None) -> None:
    file = TokenFile(path)
    assert file.is_configured
    with capture_logs() as logs:
        replace(path, entry(a_token("old")) + "\n" + entry(a_token("new")))
        assert find(file.tokens(), "new")
        assert find(file.tokens(), "old")
        path.write_text(entry(a_token("new")))
        assert not find(file.tokens(), "old")
        assert find(file.tokens(), "new")
    assert [(line["event"], line["count"]) for line in logs] == [
        ("api_tokens_loaded", 2),
        ("api_tokens_loaded", 1),
    ]


def test_a_new_file_of_the_same_size_and_time_is_read(path: Path, each_time: None) -> None:
    file, before = TokenFile(path), path.stat()
    replace(path, entry(a_token("new")))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert find(file.tokens(), "new")


@pytest.mark.parametrize("fault", ["not TOML", "gone", "not text", "too large", "no permission"])
def test_a_file_that_becomes_unusable_is_one_line_and_changes_nothing(
    path: Path, each_time: None, fault: str
) -> None:
    file = TokenFile(path)
    match fault:
        case "not TOML":
            replace(path, "[[token")
        case "gone":
            path.unlink()
        case "not text":
            path.write_bytes(b"\xff")
        case "too large":
            path.write_bytes(b"#" * (watched_file.MAX_BYTES + 1))
        case _:
            path.unlink()
            path.mkdir()
    with capture_logs() as logs:
        for _ in range(3):
            assert find(file.tokens(), "old")
    assert [line["event"] for line in logs] == ["api_tokens_unusable"]
    assert logs[0]["why"].startswith("EKYC_API_TOKENS_FILE: ")
    if path.is_dir():
        path.rmdir()
    replace(path, entry(a_token("new")))
    assert find(file.tokens(), "new")


@contextmanager
def no_more_files() -> Iterator[None]:
    """As where idle connections take every file descriptor of the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_token_that_was_removed_while_no_file_could_be_opened_ends_once_one_can(
    path: Path, each_time: None
) -> None:
    file = TokenFile(path)
    with capture_logs() as logs:
        for name in ("second", "third"):
            replace(path, entry(a_token(name)))
            with no_more_files():
                for _ in range(3):
                    assert find(file.tokens(), "old") or find(file.tokens(), "second")
            assert find(file.tokens(), name)
            assert not find(file.tokens(), "old")
    assert [line["event"] for line in logs] == ["api_tokens_unusable", "api_tokens_loaded"] * 2
    assert "Too many open files" in logs[0]["why"]


def test_a_file_that_is_away_and_comes_back_is_one_line_each_time(path: Path, each_time: None) -> None:
    file, away = TokenFile(path), path.with_suffix(".away")
    with capture_logs() as logs:
        for _ in range(2):
            path.rename(away)
            for _ in range(3):
                assert find(file.tokens(), "old")
            away.rename(path)
            assert find(file.tokens(), "old")
    assert [line["event"] for line in logs] == ["api_tokens_unusable", "api_tokens_loaded"] * 2


def test_the_file_is_looked_at_once_a_second_at_most(path: Path) -> None:
    file = TokenFile(path)
    replace(path, entry(a_token("new")))
    assert find(file.tokens(), "old")
    file._file._check_at = time.monotonic()
    assert find(file.tokens(), "new")


def test_at_the_start_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EKYC_API_TOKENS_FILE: the file cannot be read"):
        TokenFile(tmp_path / "missing")


def test_without_a_file_there_is_no_token() -> None:
    file = TokenFile(None)
    assert not file.is_configured
    assert file.tokens() == ()
