"""The file of endpoints: what it may say, and one clear line for each fault."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from worker.decisions import endpoints
from worker.decisions.table import Source, Table
from worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY: Final = b"k" * 32
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def load(tmp_path: Path, text: str) -> dict[str, endpoints.Endpoint]:
    path = tmp_path / "endpoints.toml"
    path.write_text(text)
    return dict(endpoints.load(path))


def fault(tmp_path: Path, text: str) -> str:
    """The one line about the file, without its path."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    (line,) = str(raised.value).splitlines()
    return line.removeprefix(str(tmp_path / "endpoints.toml"))


def test_no_file_means_no_endpoint() -> None:
    assert endpoints.load(None) == {}


def test_an_endpoint_has_what_its_file_says(tmp_path: Path, secret: Path) -> None:
    found = load(
        tmp_path,
        'origins = ["http://127.0.0.1:9000/"]\n'
        f'[endpoints.shop]\nurl = "https://shop.example.com/ekyc"\nsecrets = [{{ file = "{secret}" }}]\n'
        'events = ["verification.quarantined"]\nrate = 50\ncontext = true\n'
        f'[endpoints.local]\nurl = "http://127.0.0.1:9000/hook?t=1"\nsecrets = [{{ file = "{secret}" }}]\n',
    )
    assert found["shop"] == endpoints.Endpoint(
        "shop",
        "https://shop.example.com/ekyc",
        (endpoints.Secret(KEY),),
        is_trusted=False,
        events=frozenset({"verification.quarantined"}),
        rate=50.0,
        context=True,
    )
    assert found["local"].is_trusted
    assert found["local"].origin == "http://127.0.0.1:9000"


def test_a_secret_may_end(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", SECRET.replace("a2", "a3"))
    found = load(
        tmp_path,
        f'[endpoints.a]\nurl = "https://a.example/"\nsecrets = [{{ file = "{secret}" }}, '
        '{ env = "OLD", until = 2030-01-01T00:00:00Z }]',
    )["a"]
    assert len(found.signing(datetime(2029, 12, 31, tzinfo=UTC))) == 2
    assert found.signing(datetime(2030, 1, 1, tzinfo=UTC)) == (KEY,)


def test_nothing_shows_a_secret_or_a_url(tmp_path: Path, secret: Path) -> None:
    found = load(
        tmp_path, f'[endpoints.a]\nurl = "https://a.example/?token=x"\nsecrets = [{{ file = "{secret}" }}]'
    )
    assert "kkk" not in repr(found)
    assert "token" not in repr(found)


def test_a_process_that_sends_nothing_reads_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text('[endpoints.a]\nurl = "https://a.example/"\nsecrets = [{ file = "/nowhere/secret" }]')
    assert list(endpoints.load(path, with_secrets=False)) == ["a"]
    with pytest.raises(ConfigError, match="a secret is missing"):
        endpoints.load(path)


HEAD: Final = '[endpoints.a]\nurl = "https://a.example/"\n'
GOOD: Final = 'secrets = [{ env = "GOOD" }]\n'

FAULTS: Final = [
    ("x = 1\n", ":1: x is unknown: known are origins, endpoints"),
    ("[endpoints]\na = 1\n", ":1: endpoints: write each under a line [endpoints.NAME]"),
    ('[endpoints."A b"]\n', ":1: the name of an endpoint is not usable: write 1 to 48 of a-z"),
    ("[endpoints.a]\n" + GOOD, ":1: endpoint a: url is missing: write url ="),
    ("[endpoints.a]\nurl = 3\n" + GOOD, ":2: endpoint a: url is no text"),
    (
        '[endpoints.a]\nurl = "https://user:hidden@a.example/"\n' + GOOD,
        ":2: endpoint a: url is not usable: write a web address without user and password",
    ),
    ('[endpoints.a]\nurl = "ftp://a.example/"\n' + GOOD, ":2: endpoint a: url is not usable"),
    ('[endpoints.a]\nurl = "https://a.example:0/"\n' + GOOD, ":2: endpoint a: url is not usable"),
    ('[endpoints.a]\nurl = "https://ä.example/"\n' + GOOD, ":2: endpoint a: url is not usable"),
    (
        '[endpoints.a]\nurl = "https://a.example/#x"\n' + GOOD,
        ":2: endpoint a: url is not usable: write up to",
    ),
    ('[endpoints.a]\nurl = "http://a.example/"\n' + GOOD, ":2: endpoint a: url is not https"),
    ('[endpoints.a]\nurl = "https://10.1.2.3/"\n' + GOOD, ":2: endpoint a: url has a private address"),
    ('[endpoints.a]\nurl = "https://0x7f.1/"\n' + GOOD, ":2: endpoint a: url has a private address"),
    ('[endpoints.a]\nurl = "https://[::1]/"\n' + GOOD, ":2: endpoint a: url has a private address"),
    (HEAD, ":1: endpoint a: secrets are missing: write secrets = "),
    (HEAD + "secrets = []", ":3: endpoint a: secrets is no list"),
    (HEAD + 'secrets = ["x"]', ":3: endpoint a: a secret is not usable: write {"),
    (HEAD + 'secrets = [{ file = "a", env = "B" }]', ":3: endpoint a: a secret is not usable"),
    (
        HEAD + 'secrets = [{ env = "NONE" }]',
        ":3: endpoint a: a secret is missing: set the environment variable",
    ),
    (HEAD + 'secrets = [{ file = "/nowhere/x" }]', ":3: endpoint a: a secret is missing: create the file"),
    (
        HEAD + 'secrets = [{ env = "SHORT" }]',
        ":3: endpoint a: the secret in env is not usable: put whsec_ and 24",
    ),
    (HEAD + 'secrets = [{ env = "GOOD", until = "x" }]', ":3: endpoint a: until: write a date"),
    (
        HEAD + 'secrets = [{ env = "GOOD", until = 2020-01-01 }]',
        ":3: endpoint a: every secret has ended: add one without until",
    ),
    (
        HEAD + GOOD + 'events = ["x"]',
        ":4: endpoint a: an event is unknown: known are verification.quarantined",
    ),
    (
        HEAD + GOOD + 'events = [["x"]]',
        ":4: endpoint a: an event is unknown: known are verification.quarantined",
    ),
    (HEAD + GOOD + 'events = "x"', ":4: endpoint a: events is no list"),
    (HEAD + GOOD + "rate = 0", ":4: endpoint a: rate: write more than 0"),
    (HEAD + GOOD + "rate = true", ":4: endpoint a: rate: write more than 0"),
    (HEAD + GOOD + "context = 1", ":4: endpoint a: context: write true or false"),
    (HEAD + GOOD + "ur = 1", ":4: endpoint a: ur is unknown: known are url, secrets, events, rate, context"),
    ('origins = ["https://a.example/path"]', ":1: origins: write an origin"),
    ("[endpoints.a\nurl = 1", ": is not TOML at line 1, column 13"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS, ids=[said[:60] for _, said in FAULTS])
def test_a_fault_is_one_line_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("GOOD", SECRET)
    monkeypatch.setenv("SHORT", "whsec_" + base64.b64encode(b"short").decode())
    line = fault(tmp_path, text)
    assert line.startswith(said)
    assert "hidden" not in line


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        endpoints.load(tmp_path / "none.toml")


def test_there_are_not_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOD", SECRET)
    text = "".join(HEAD.replace(".a]", f".a{number}]") + GOOD for number in range(33))
    assert "there are 33: name up to 32" in fault(tmp_path, text)


TABLE: Final = (
    'name = "t"\notherwise = "review"\n[deliveries]\nreview = ["celery", "webhook:shop"]\n'
    '[[rules]]\ndecision = "review"\nregion = "ph"\n'
)


def test_a_table_may_name_only_endpoints_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(TABLE)
    assert Table.load(path, {"shop": 1}).webhooks("review") == ("shop",)
    with pytest.raises(ConfigError) as raised:
        Table.load(path, {"bank": 1})
    assert str(raised.value) == (
        f"{path}:4: deliveries: review goes to the endpoint shop, which does not exist: "
        "add [endpoints.shop] to the file in EKYC_ENDPOINTS_FILE; known are bank"
    )
    with pytest.raises(ConfigError, match="there is none"):
        Table.load(path, ())
    assert isinstance(Source.read(path).table(), Table)


def test_the_packaged_table_has_no_webhook() -> None:
    table = Table.load(None, ())
    assert all(table.by_celery(name) and not table.webhooks(name) for name in table.decisions)
