"""The file of the console's users: what it may hold, how a command changes it, and how `web` reads it."""

from __future__ import annotations

import os
import time
from threading import Thread
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from worker.cli.console import users_file
from worker.cli.console.editing import UsersText
from worker.cli.console.users_file import edit, read
from worker.errors import ConfigError, InvalidInput
from worker.policy.console_users import MAX_USERS, ROLES, Role, User, entry, parse
from worker.web import watched_file
from worker.web.console.user_file import UserFile

if TYPE_CHECKING:
    from pathlib import Path

HASH: Final = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
OTHER: Final = HASH.replace("c29t", "b3Ro")

ANN: Final = User("ann", frozenset({Role.VIEWER, Role.OPERATOR}), HASH)
BOB: Final = User("bob@example.com", frozenset({Role.AUDITOR}))
EVE: Final = User("eve", frozenset({Role.REVIEWER}), HASH)

#: As a person may write it.
TEXT: Final = f"""\
# Users of the console.

[[user]]
name = "ann"  # on call
roles = ["viewer", "operator"]
password = "{HASH}"

# Through the proxy.
[[ user ]]   # no password
name = "bob@example.com"
roles = ["auditor"]

[[user]]
roles = ["reviewer"]
name = "eve"
password = "{HASH}"
# the end"""


@pytest.mark.parametrize("user", [ANN, BOB, User("a" * 64, frozenset(Role), HASH)])
def test_an_entry_is_read_as_it_was_written(user: User) -> None:
    assert parse(entry(user)) == (user,)


def test_every_role_is_explained_and_includes_what_a_viewer_sees() -> None:
    assert set(ROLES) == set(Role)
    for role in Role:
        assert User("x", frozenset({role})).may(Role.VIEWER)
        assert [other for other in Role if User("x", frozenset({role})).may(other)] == sorted(
            {Role.VIEWER, role}, key=list(Role).index
        )


def test_a_user_shows_no_hash() -> None:
    assert HASH not in repr(ANN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[user]", "not TOML at line 1, column"),
        (f'[[user]]\nname = "ann"\nroles = ["viewer"]\npassword = "{HASH}', "not TOML"),
        ('title = "x"', "write each user as [[user]], and nothing else"),
        ("user = 3", "give 0 to"),
        ("user = [3]", "user 1: write it as [[user]]"),
        ("[[user]]", "user 1: name is missing"),
        ('[[user]]\nname = "ann"\nroles = []', "user 1 (ann): roles must be a list of viewer, operator"),
        ('[[user]]\nname = "ann"\nroles = ["root"]', "user 1 (ann): roles must be"),
        (
            '[[user]]\nname = "ann"\nroles = ["viewer", "operater"]',
            "reviewer, auditor: did you mean operator?",
        ),
        ('[[user]]\nname = "ann"\nroles = "viewer"', "user 1 (ann): roles must be"),
        ('[[user]]\nname = "ann"\nroles = [["viewer"]]', "user 1 (ann): roles must be"),
        ('[[user]]\nname = "a b"\nroles = ["viewer"]', "user 1: name must be"),
        ('[[user]]\nname = "ann\\n"\nroles = ["viewer"]', "user 1: name must be"),
        (
            '[[user]]\nname = "ann"\nroles = ["viewer"]\npassword = "plain"',
            "user 1 (ann): password must be an argon2id",
        ),
        (
            '[[user]]\nname = "ann"\nroles = ["viewer"]\npassword = ""',
            "user 1 (ann): password must be an argon2id",
        ),
        (
            '[[user]]\nname = "ann"\nroles = ["viewer"]\nrole = 1',
            "user 1 (ann): it has a key that does not exist",
        ),
        (2 * '[[user]]\nname = "ann"\nroles = ["viewer"]\n', "two users have the same name"),
    ],
)
def test_a_fault_is_named_without_a_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert said in str(raised.value)
    for secret in (HASH, "plain", "root", "operater"):
        assert secret not in str(raised.value)


def test_too_many_users_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"give 0 to {MAX_USERS} users"):
        parse("[[user]]\n" * (MAX_USERS + 1))


def test_a_user_is_added_below_the_others_and_nothing_else_changes() -> None:
    new = User("new", frozenset({Role.VIEWER}), OTHER)
    after = UsersText.of(TEXT).add(new)
    assert after.users == (ANN, BOB, EVE, new)
    assert after.text == f"{TEXT}\n\n{entry(new)}\n"
    assert UsersText.of("").add(new).text == f"{entry(new)}\n"


def test_a_removed_user_takes_no_comment_of_another_along() -> None:
    after = UsersText.of(TEXT).remove("ann")
    assert after.users == (BOB, EVE)
    assert after.text.startswith("# Users of the console.\n\n\n# Through the proxy.\n[[ user ]]")
    assert "on call" not in after.text
    assert UsersText.of(TEXT).remove("eve").text.endswith('roles = ["auditor"]\n\n# the end\n')


@pytest.mark.parametrize("name", ["ann", "eve"])
def test_a_new_password_changes_one_line(name: str) -> None:
    before = UsersText.of(TEXT)
    after = before.change(name, password=OTHER)
    assert after.find(name) == User(name, before.find(name).roles, OTHER)
    changed = [
        (old, new)
        for old, new in zip(before.text.splitlines(), after.text.splitlines(), strict=True)
        if old != new
    ]
    assert changed == [(f'password = "{HASH}"', f'password = "{OTHER}"')]


def test_a_user_without_a_password_gets_one() -> None:
    after = UsersText.of(TEXT).change(BOB.name, password=OTHER)
    assert after.users == (ANN, User(BOB.name, BOB.roles, OTHER), EVE)


def test_new_roles_replace_those_before() -> None:
    after = UsersText.of(TEXT).change("eve", roles=frozenset({Role.AUDITOR, Role.VIEWER}))
    assert after.find("eve") == User("eve", frozenset({Role.AUDITOR, Role.VIEWER}), HASH)
    assert 'roles = ["viewer", "auditor"]\nname = "eve"' in after.text


@pytest.mark.parametrize(
    "text",
    [
        f'user = [{{name = "ann", roles = ["viewer"], password = "{HASH}"}}]',
        f'[[user]]\nname = "ann"\nroles = [\n  "viewer",\n]\npassword = "{HASH}"',
        f'[[user]]\nname = "ann"\nroles = ["viewer"]\n"password" = "{HASH}"',
        f'[[user]]\nname = "ann"\nroles = ["viewer"]\npassword = """\\\n  {HASH}"""',
    ],
)
def test_a_form_that_the_command_does_not_know_is_left_alone(text: str) -> None:
    before = UsersText.of(text)
    with pytest.raises(InvalidInput, match="edit it by hand"):
        before.change("ann", password=OTHER, roles=frozenset({Role.AUDITOR}))


def test_a_name_is_added_once_and_only_known_ones_are_changed() -> None:
    users = UsersText.of(TEXT)
    with pytest.raises(InvalidInput, match="there is a user ann already"):
        users.add(ANN)
    for change in (users.remove, users.find, lambda name: users.change(name, password=OTHER)):
        with pytest.raises(InvalidInput, match="there is no user nobody"):
            change("nobody")


def test_the_file_is_replaced_as_a_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    edit(path, lambda users: users.add(ANN))
    assert path.stat().st_mode & 0o7777 == 0o600
    before = path.stat().st_ino
    path.chmod(0o644)
    edit(path, lambda users: users.add(BOB))
    assert path.stat().st_ino != before
    # Its group may have to read it, others never.
    assert path.stat().st_mode & 0o7777 == 0o640
    assert read(path).users == (ANN, BOB)
    assert [each.name for each in tmp_path.iterdir()] == ["users.toml"]


def test_two_commands_at_once_lose_no_user(tmp_path: Path) -> None:
    """The second one waits before it reads."""
    path = tmp_path / "users.toml"
    second = Thread(target=edit, args=(path, lambda users: users.add(BOB)), daemon=True)
    with users_file._locked(tmp_path):
        second.start()
        second.join(0.3)
        assert second.is_alive()
        path.write_text(entry(ANN))
    second.join(30)
    assert read(path).users == (ANN, BOB)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "users.toml"
    path.symlink_to(tmp_path / "real" / "users.toml")
    edit(path, lambda users: users.add(ANN))
    assert path.is_symlink()
    assert read(tmp_path / "real" / "users.toml").users == (ANN,)


def test_a_change_that_fails_leaves_the_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.toml"
    path.write_text(TEXT)

    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(InvalidInput, match=r"users\.toml: cannot be written: No space left on device"):
        edit(path, lambda users: users.remove("ann"))
    assert path.read_text() == TEXT
    assert [each.name for each in tmp_path.iterdir()] == ["users.toml"]


def test_what_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "users.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not text of UTF-8"):
        read(tmp_path / "users.toml")
    with pytest.raises(InvalidInput, match="cannot be written: No such file"):
        edit(tmp_path / "nowhere" / "users.toml", lambda users: users)


def test_web_reads_a_changed_file_and_keeps_the_users_of_one_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "CHECK_S", 0.0)
    path = tmp_path / "users.toml"
    path.write_text(entry(ANN))
    users = UserFile(path)
    time.sleep(0.01)
    assert users.find("ann") == ANN
    assert users.find("bob@example.com") is None
    with capture_logs() as lines:
        edit(path, lambda text: text.add(BOB).change("ann", roles=frozenset({Role.VIEWER})))
        assert users.find("bob@example.com") == BOB
        assert users.find("ann") == User("ann", frozenset({Role.VIEWER}), HASH)
        path.write_text("[[user]")
        assert users.find("ann") is not None
        path.write_text("# all gone\n")
        assert not users.is_open
    assert [line["event"] for line in lines] == [
        "console_users_loaded",
        "console_users_unusable",
        "console_users_loaded",
    ]
    assert HASH not in str(lines)


def test_without_a_file_or_without_users_there_is_no_console(tmp_path: Path) -> None:
    assert not UserFile(None).is_open
    path = tmp_path / "users.toml"
    path.write_text("")
    assert not UserFile(path).is_open
