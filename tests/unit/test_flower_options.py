"""What Flower is told where nobody says otherwise, who counts before whom, and what is refused."""

from __future__ import annotations

import os
import shelve
from typing import TYPE_CHECKING, Any

import pytest
from tornado.options import options

from tests.support.paths import ROOT
from tests.unit.flower_defaults import flower_defaults
from worker.errors import ConfigError
from worker.runtime.flower import EXAMPLE, configure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULTS = flower_defaults()


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty environment, a folder of our own, and Flower's options as they were afterwards."""
    for name in list(os.environ):
        if name == "PORT" or name.startswith("FLOWER_"):
            monkeypatch.delenv(name)
    # What `configure` adds to the environment goes with this, too.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    before, umask = options.as_dict(), os.umask(0o022)
    yield
    os.umask(umask)
    for name, value in before.items():
        options[name] = value


def configured(*argv: str, **environment: str) -> Any:
    os.environ |= {"FLOWER_BASIC_AUTH": "ops:sesame"} | environment
    configure(argv)
    return options


def test_where_nobody_says_otherwise_it_is_closed_read_only_and_remembers(tmp_path: Path) -> None:
    told = configured()
    assert len(DEFAULTS) == 9
    assert {name: told[name] for name in DEFAULTS} == DEFAULTS
    assert (told.address, told.port, told.read_only, told.persistent) == ("127.0.0.1", 5555, True, True)
    assert told.basic_auth == ["ops:sesame"]
    assert (tmp_path / "var/flower").stat().st_mode & 0o777 == 0o700


def test_the_environment_counts_before_our_defaults_a_file_before_it_and_a_flag_before_all(
    tmp_path: Path,
) -> None:
    (tmp_path / "flowerconfig.py").write_text("max_tasks = 30\nmax_workers = 30\n")
    told = configured(
        "--max_tasks=40", FLOWER_MAX_TASKS="20", FLOWER_MAX_WORKERS="20", FLOWER_READ_ONLY="false"
    )
    assert (told.max_tasks, told.max_workers, told.read_only) == (40, 30, False)


def test_a_platforms_port_is_taken_unless_flower_has_one_of_its_own() -> None:
    assert configured(PORT="7001").port == 7001
    assert configured(PORT="7001", FLOWER_PORT="7002").port == 7002


def test_a_password_in_a_file_counts_before_the_variable(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("boss:from a file\n")
    assert configured(FLOWER_BASIC_AUTH_FILE=str(tmp_path / "password")).basic_auth == ["boss:from a file"]


@pytest.mark.parametrize(
    "pairs", ["sesame", "ops:", ":sesame", "ops:sesame,more", "ops:sésame", "ops:a, two:b"]
)
def test_what_is_no_name_and_password_is_refused_and_not_repeated(pairs: str) -> None:
    with pytest.raises(ConfigError, match="FLOWER_BASIC_AUTH: use name:password") as caught:
        configured(FLOWER_BASIC_AUTH=pairs)
    assert "sesame" not in str(caught.value)


def test_a_file_of_flowers_that_takes_the_password_away_is_refused(tmp_path: Path) -> None:
    """Wherever an option comes from: what counts is what has come of all of them."""
    (tmp_path / "open.py").write_text("basic_auth = []\n")
    with pytest.raises(ConfigError, match="starts only with a password"):
        configured("--conf=open.py")


@pytest.mark.parametrize("nothing", ["", " "])
def test_a_variable_that_is_empty_is_as_good_as_none(nothing: str) -> None:
    """Of Flower's own an empty address is all of them, and an empty secret of its cookies is one that all know."""
    secret = options.cookie_secret
    names = (*DEFAULTS, "port", "cookie_secret", "auth", "unix_socket")
    told = configured(**{f"FLOWER_{name.upper()}": nothing for name in names}, PORT="")
    assert {name: told[name] for name in DEFAULTS} == DEFAULTS
    assert (told.port, told.cookie_secret, told.unix_socket) == (5555, secret, "")
    assert [name for name in os.environ if name.startswith("FLOWER_")] == ["FLOWER_BASIC_AUTH"]


@pytest.mark.parametrize("nothing", ["", " "])
def test_an_empty_password_is_none(nothing: str) -> None:
    with pytest.raises(ConfigError, match="starts only with a password"):
        configured(FLOWER_BASIC_AUTH=nothing)


def test_an_empty_address_in_a_flag_or_a_file_is_refused(tmp_path: Path) -> None:
    """Such as `--address=$ADDRESS`: nobody has said that all are meant."""
    (tmp_path / "open.py").write_text("address = ''\n")
    for argv in ("--address=", "--conf=open.py"):
        with pytest.raises(ConfigError, match="would listen on all addresses"):
            configured(argv)
    assert configured("--address=", "--unix_socket=flower.sock").unix_socket == "flower.sock"
    assert configured("--address=0.0.0.0", "--unix_socket=").address == "0.0.0.0"


def test_the_examples_password_is_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"\nFLOWER_BASIC_AUTH={EXAMPLE}\n" in (ROOT / ".env.example").read_text()
    assert configured(FLOWER_BASIC_AUTH=EXAMPLE).basic_auth == [EXAMPLE]
    for address in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(ConfigError, match="which is public"):
            configured(f"--address={address}", FLOWER_BASIC_AUTH=f"ops:sesame,{EXAMPLE}")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FLOWER_PORT", "many", "invalid literal for int"),
        ("PORT", "many", "invalid literal for int"),
        ("FLOWER_READ_ONLY", "perhaps", "perhaps"),
        (
            "FLOWER_BASIC_AUTH_FILE",
            "/nowhere/password",
            "FLOWER_BASIC_AUTH_FILE: the file that it names does not exist",
        ),
        ("FLOWER_CONF", "/nowhere/conf.py", "/nowhere/conf.py"),
        ("FLOWER_DB", "/proc/nowhere/state", "FLOWER_DB: Flower's state cannot be kept in /proc/nowhere"),
    ],
)
def test_a_variable_that_cannot_be_used_is_one_line(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        configured(**{name: value})
    assert "\n" not in str(caught.value)


def test_a_flower_that_need_not_remember_needs_no_folder(tmp_path: Path) -> None:
    assert not configured(FLOWER_PERSISTENT="false", FLOWER_DB="/proc/nowhere/state").persistent
    assert not (tmp_path / "var").exists()


def test_its_state_is_for_its_own_account_alone(tmp_path: Path) -> None:
    """Also one that an older release wrote, and what the library beneath writes beside it."""
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in ("state", "state.dir", "other"):
        (folder / name).touch()
        (folder / name).chmod(0o644)
    configured(FLOWER_DB=str(folder / "state"))
    with shelve.open(str(folder / "state.new"), flag="n") as state:
        state["tasks"] = []
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes.pop("other") == 0o644
    assert set(modes.values()) == {0o600}
    assert any(name.startswith("state.new") for name in modes)
