"""`ekyc console`: users in a file, and the end of their sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.cli_process import Terminal
from tests.support.paths import ROOT
from worker.ledger.audit import AuditLog
from worker.ledger.console_sessions import ConsoleSessions
from worker.policy.console_users import parse
from worker.policy.passwords import matches

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc

PASSWORD: Final = "correct horse battery"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.toml"


@pytest.fixture
def console(ekyc: Ekyc, path: Path) -> Ekyc:
    return ekyc.with_env(EKYC_CONSOLE_USERS_FILE=str(path))


def add(console: Ekyc, name: str, *more: str) -> None:
    ended = console(
        "console", "user", "add", name, "--role", "viewer", "--password-file", "-", *more, stdin=PASSWORD
    )
    assert (ended.code, ended.err) == (0, "")


def test_users_are_added_listed_changed_and_removed(console: Ekyc, path: Path, redis: Redis) -> None:
    add(console, "ann", "--role", "operator", "--who", "root")
    without = console("console", "user", "add", "bob", "--role", "auditor", "--no-password", "--json")
    assert json.loads(without.out) == {
        "name": "bob",
        "roles": ["auditor"],
        "has_password": False,
        "file": str(path),
    }
    ann, bob = parse(path.read_text())
    assert matches(ann.password, PASSWORD)
    assert (ann.name, bob.password) == ("ann", "")
    assert PASSWORD not in path.read_text()
    listed = console("console", "user", "list")
    assert listed.out == "ann  operator, viewer\nbob  auditor  (through a proxy alone)\n"
    assert json.loads(console("console", "user", "list", "--json").out)[0] == {
        "name": "ann",
        "roles": ["operator", "viewer"],
        "has_password": True,
    }
    other = "a train at half past nine"
    assert console("console", "user", "password", "ann", "--password-file", "-", stdin=f"{other}\n").code == 0
    assert matches(parse(path.read_text())[0].password, other)
    assert console("console", "user", "roles", "ann", "--role", "reviewer").out == (
        f"ann has the roles reviewer, in {path}\n"
    )
    assert console("console", "user", "remove", "ann").out == f"ann removed, in {path}\n"
    assert [user.name for user in parse(path.read_text())] == ["bob"]
    entries = AuditLog(redis).page().entries
    assert [(entry.act, entry.subject, entry.detail) for entry in reversed(entries)] == [
        ("user_change", "ann", "added"),
        ("user_change", "bob", "added"),
        ("user_change", "ann", "has a new password"),
        ("user_change", "ann", "has the roles reviewer"),
        ("user_change", "ann", "removed"),
    ]
    assert (entries[-1].who, entries[-1].via) == ("root", "cli")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("add", "ann", "--role", "viewer", "--no-password"), "", "there is a user ann already"),
        (("add", "a b", "--role", "viewer"), "", "must be 1 to 64 of letters"),
        (("add", "new"), "", "Missing option '--role'"),
        (("add", "new", "--role", "root"), "", "'root' is not one of 'viewer', 'operator'"),
        (("add", "new", "--role", "viewer"), "", "stdin is not a terminal: pass --password-file"),
        (("add", "new", "--role", "viewer", "--password-file", "-"), "short", "too short"),
        (("add", "new", "--role", "viewer", "--password-file", "-"), "", "too short"),
        (("add", "new", "--role", "viewer", "--password-file", "-"), b"\xff\xff", "not text of UTF-8"),
        (
            ("add", "new", "--role", "viewer", "--password-file", "-", "--no-password"),
            PASSWORD,
            "give one of them",
        ),
        (("add", "new", "--role", "viewer", "--password-file", "/nowhere"), "", "No such file"),
        (("remove", "nobody"), "", "there is no user nobody"),
        (("password", "nobody", "--password-file", "-"), PASSWORD, "there is no user nobody"),
        (("roles", "nobody", "--role", "viewer"), "", "there is no user nobody"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    console: Ekyc, path: Path, arguments: tuple[str, ...], stdin: str | bytes, said: str
) -> None:
    path.write_text('[[user]]\nname = "ann"\nroles = ["viewer"]\n')
    before = path.read_text()
    ended = console("console", "user", *arguments, stdin=stdin)
    assert ended.code == 2
    (line,) = ended.err_lines
    assert said in line
    assert path.read_text() == before


def test_a_broken_or_missing_file_is_said(console: Ekyc, ekyc: Ekyc, path: Path) -> None:
    ended = ekyc("console", "user", "list")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert "EKYC_CONSOLE_USERS_FILE is not set" in ended.err
    ended = console("console", "user", "list")
    assert (ended.code, ended.out) == (0, "")
    assert "there is no console" in ended.err
    path.write_text("[[user]]\npassword = 3\n")
    ended = console("console", "user", "add", "new", "--role", "viewer", "--no-password")
    assert ended.code == 2
    assert "EKYC_CONSOLE_USERS_FILE: user 1: name is missing" in ended.err


@pytest.mark.parametrize(
    "change",
    [
        ("add", "new", "--role", "viewer", "--no-password"),
        ("remove", "ann"),
        ("roles", "ann", "--role", "auditor"),
        ("password", "ann", "--password-file", "-"),
    ],
)
def test_without_redis_nothing_is_changed_unless_a_person_says_so(
    console: Ekyc, path: Path, unused_port: int, change: tuple[str, ...]
) -> None:
    path.write_text('[[user]]\nname = "ann"\nroles = ["viewer"]\n')
    before = path.read_text()
    alone = console.with_env(REDIS_URL=f"redis://127.0.0.1:{unused_port}/0")
    ended = alone("console", "user", *change, stdin=PASSWORD)
    (line,) = ended.err_lines
    assert (ended.code, ended.out, path.read_text()) == (1, "", before)
    assert line.endswith(
        "nothing was changed: --unrecorded changes the file without an entry of the audit log"
    )
    assert [each.name for each in path.parent.iterdir()] == [path.name], "no draft is left"
    ended = alone("console", "user", *change, "--unrecorded", stdin=PASSWORD)
    assert ended.code == 0
    assert "warning: the audit log does not have this change" in ended.err
    assert path.read_text() != before


def test_what_cannot_be_recorded_or_written_is_not_half_done(console: Ekyc, path: Path, redis: Redis) -> None:
    redis.set("ekyc:audit", "junk")
    ended = console("console", "user", "add", "ann", "--role", "viewer", "--no-password")
    assert (ended.code, path.exists()) == (1, False)
    redis.delete("ekyc:audit")
    lost = console.with_env(EKYC_CONSOLE_USERS_FILE=str(path.parent / "missing" / "users.toml"))
    assert lost("console", "user", "add", "ann", "--role", "viewer", "--no-password").code == 2
    assert AuditLog(redis).page().entries == ()
    add(console, "ann", "--unrecorded")
    assert [entry.subject for entry in AuditLog(redis).page().entries] == ["ann"]


def test_sessions_are_revoked_and_recorded(console: Ekyc, redis: Redis, unused_port: int) -> None:
    known = ConsoleSessions(redis)
    began_s = known.begin("ann", "one")
    known.begin("bob", "two")
    ended = console("console", "sessions", "revoke", "ann", "--who", "root")
    assert (ended.code, ended.out, ended.err) == (0, "every session of ann has ended\n", "")
    assert not known.goes_on("ann", "one", began_s, by_person=True)
    assert known.goes_on("bob", "two", began_s, by_person=True)
    (entry,) = AuditLog(redis).page().entries
    assert (entry.act, entry.who, entry.via, entry.subject) == ("sessions_revoke", "root", "cli", "ann")
    assert json.loads(console("console", "sessions", "revoke", "ann", "--json").out) == {"name": "ann"}
    gone = console.with_env(REDIS_URL=f"redis://127.0.0.1:{unused_port}/0")(
        "console", "sessions", "revoke", "ann"
    )
    assert gone.code == 1
    assert len(gone.err_lines) == 1


def test_a_password_is_asked_for_twice_and_not_shown(console: Ekyc, path: Path) -> None:
    command = [sys.executable, "-m", "worker.cli", "console", "user", "add", "ann", "--role", "viewer"]
    with Terminal() as terminal:
        process = subprocess.Popen(
            command,
            env=console.env,
            cwd=ROOT,
            stdin=terminal.end,
            stdout=subprocess.PIPE,
            stderr=terminal.end,
            # Without a terminal of its own, the password is read from stdin.
            start_new_session=True,
        )
        try:
            terminal.wait_for("at least 12 characters")
            terminal.type(f"{PASSWORD}\n")
            terminal.wait_for("again")
            terminal.type(f"{PASSWORD}\n")
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        seen = terminal.seen
    assert (process.returncode, out) == (0, f"ann added, in {path}\n".encode())
    assert PASSWORD not in seen
    assert matches(parse(path.read_text())[0].password, PASSWORD)
