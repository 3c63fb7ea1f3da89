"""`ekyc quarantine`: what the person who is called sees, and what that person may do."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Ekyc, Terminal
from tests.support.ports import free_port
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.models import Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from worker.ledger.models import Counts, Status

SECRET = "Juan dela Cruz"
CONTEXT = json.dumps({"name": SECRET})

#: Who is in quarantine, and why, in the order in which they came there.
THERE = {
    "ph": {"one": "UNREADABLE", "two": "UNKNOWN_CODE", "three": "UNREADABLE"},
    "sg": {"four": "UNREADABLE", "-five": "CRASHES_WORKERS"},
}


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    return ekyc.with_env(EKYC_EVIDENCE_URL=(tmp_path / "evidence").as_uri(), LOGNAME="maria")


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Beside those in quarantine, `waits` in ph waits."""
    for region, there in THERE.items():
        for name, reason in there.items():
            quarantined(ledger, region, name, reason)
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    return ledger


def quarantined(ledger: Ledger, region: str, name: str, reason: str) -> None:
    ledger.enqueue([EnqueueRequest(name, region, CONTEXT)])
    (batch,) = ledger.claim(region, limit=1).batches
    (one,) = ledger.load(batch)
    write = transitions.quarantine(one, reason=reason, detail="data: no", heard=Heard("unreadable", "t-1"))
    assert all(how.written for how in ledger.record(batch, [write]))
    # Who comes in the same millisecond comes in no order.
    time.sleep(0.002)


def counts(redis: Redis, region: str = "ph") -> Counts:
    return Stats(redis).counts(region)


def status(ledger: Ledger, region: str, name: str) -> Status:
    found = ledger.status(region, name)
    assert found is not None
    return found


def acts(ledger: Ledger, region: str, name: str) -> list[tuple[str, str, str]]:
    """What people did to it: what, why, who."""
    events = status(ledger, region, name).timeline
    return [(one.name, one.detail, one.worker) for one in events if one.name in {"retried", "dropped"}]


# list


def test_the_list_begins_with_the_reasons_and_the_oldest_stand_first(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc("quarantine", "list")
    assert (ended.code, ended.err) == (0, "")
    summary, listed, _hint = ended.out.split("\n\n")
    rows = [line.split() for line in summary.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [
        ("UNREADABLE", "3"),
        ("CRASHES_WORKERS", "1"),
        ("UNKNOWN_CODE", "1"),
    ]
    assert rows[0][-4:] == ["ph", "2,", "sg", "1"]
    assert [tuple(line.split()[:3]) for line in listed.splitlines()[1:]] == [
        (region, name, reason) for region, there in THERE.items() for name, reason in there.items()
    ]


def test_the_list_for_machines_has_every_figure(ekyc: Ekyc, ledger: Ledger) -> None:
    found = json.loads(ekyc("quarantine", "list", "--json").out)
    assert (found["quarantined"], found["regions"]) == (5, {"ph": 3, "sg": 2})
    assert found["reasons"] == {"UNREADABLE": 3, "CRASHES_WORKERS": 1, "UNKNOWN_CODE": 1}
    first = found["verifications"][0]
    assert (first["signature_id"], first["region"], first["reason"], first["polls"]) == (
        "one",
        "ph",
        "UNREADABLE",
        1,
    )
    assert first["since"] >= first["enqueued_at"]
    assert 0 < first["age_s"] < 120


def test_the_list_can_be_narrowed_to_a_region_and_to_a_reason(ekyc: Ekyc, ledger: Ledger) -> None:
    def names(*options: str) -> list[str]:
        found = json.loads(ekyc("quarantine", "list", "--json", *options).out)
        assert found["quarantined"] == sum(found["reasons"].values())
        return [one["signature_id"] for one in found["verifications"]]

    assert names("--region", "sg") == ["four", "-five"]
    assert names("--reason", "unreadable") == ["one", "three", "four"]
    assert names("--reason", "UNREADABLE", "--region", "ph") == ["one", "three"]


def test_a_limit_cuts_the_list_and_not_the_counts(ekyc: Ekyc, ledger: Ledger) -> None:
    found = json.loads(ekyc("quarantine", "list", "--json", "--limit", "2").out)
    assert (found["quarantined"], len(found["verifications"])) == (5, 2)
    shown = ekyc("quarantine", "list", "--limit", "2").out
    assert "and 3 that came later: pass --limit 5 to see all" in shown
    assert "three" not in shown


def test_people_see_fifty_unless_they_ask_for_more(ekyc: Ekyc, redis: Redis) -> None:
    ledger = Ledger(redis)
    for number in range(51):
        quarantined(ledger, "ph", f"id-{number:02}", "UNREADABLE")
    shown = ekyc("quarantine", "list").out
    assert "id-49" in shown
    assert "id-50" not in shown
    assert len(json.loads(ekyc("quarantine", "list", "--json").out)["verifications"]) == 51


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing is in quarantine in ph or sg"),
        (["--region", "sg"], "nothing is in quarantine in sg"),
        (["--reason", "UNFORESEEN"], "nothing is in quarantine for UNFORESEEN in ph or sg"),
    ],
)
def test_an_empty_quarantine_says_so(ekyc: Ekyc, options: list[str], said: str) -> None:
    ended = ekyc("quarantine", "list", *options)
    assert (ended.code, ended.out, ended.err) == (0, f"{said}\n", "")
    assert json.loads(ekyc("quarantine", "list", "--json", *options).out) == {
        "quarantined": 0,
        "reasons": {},
        "regions": {},
        "verifications": [],
    }


# show


def test_show_tells_the_story_where_the_answer_lies_and_what_can_be_done(
    ekyc: Ekyc, ledger: Ledger, tmp_path: Path
) -> None:
    place = (tmp_path / "evidence").as_uri()
    name = Evidence(place).of("ph", "one").keep_unreadable(SECRET.encode())

    ended = ekyc("quarantine", "show", "one", "--region", "ph")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("ph/one: in quarantine (UNREADABLE): a person must look at it\n")
    for told in (
        "refused        data: no",
        "transaction id  t-1",
        f"  {place}/ph/one/{name}",
        "UNREADABLE: the vendor answered with success",
        "ekyc quarantine retry --region ph -- one",
        "ekyc quarantine drop --why TEXT --region ph -- one",
    ):
        assert told in ended.out
    assert SECRET not in ended.out


def test_show_for_machines_is_the_status_and_more(ekyc: Ekyc, ledger: Ledger, tmp_path: Path) -> None:
    place = (tmp_path / "evidence").as_uri()
    name = Evidence(place).of("ph", "one").keep_unreadable(SECRET.encode())
    shown = json.loads(ekyc("quarantine", "show", "one", "--region", "ph", "--json").out)
    told = json.loads(ekyc("status", "one", "--region", "ph", "--json").out)
    assert set(shown) - set(told) == {"files", "means", "todo", "commands"}
    assert set(told) <= set(shown)
    assert shown["files"] == [f"{place}/ph/one/{name}"]
    assert set(shown["commands"]) == {"retry", "drop"}
    assert SECRET not in json.dumps(shown)


def test_the_commands_that_show_names_can_be_given_as_they_stand(ekyc: Ekyc, ledger: Ledger) -> None:
    """Also for an id that begins with a dash."""
    ended = ekyc("quarantine", "show", "--region", "sg", "--json", "--", "-five")
    _, *arguments = json.loads(ended.out)["commands"]["retry"].split()
    assert ekyc(*arguments[:2], "--yes", *arguments[2:]).out == "retried 1, not in quarantine 0\n"


def test_show_says_that_nothing_is_kept_or_that_nobody_knows_where(
    ekyc: Ekyc, ledger: Ledger, tmp_path: Path
) -> None:
    arguments = ("quarantine", "show", "one", "--region", "ph")
    assert "its folder is not on this machine" in ekyc(*arguments).out
    assert not (tmp_path / "evidence").exists(), (
        "whoever looks makes no folder that the workers could not write to"
    )
    (tmp_path / "evidence").mkdir()
    assert "its folder is not on this machine or is empty" in ekyc(*arguments).out
    (tmp_path / "evidence" / "ledger").mkdir()
    assert "The evidence store has no answer of the vendor for it." in ekyc(*arguments).out
    elsewhere = ekyc.with_env(EKYC_EVIDENCE_URL="")
    ended = elsewhere(*arguments)
    assert ended.code == 0
    assert "EKYC_EVIDENCE_URL is not set here" in ended.out
    assert json.loads(elsewhere(*arguments, "--json").out)["files"] is None


def test_evidence_that_cannot_be_read_hides_nothing_else(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc.with_env(EKYC_EVIDENCE_URL="file:///dev/null/evidence")(
        "quarantine", "show", "one", "--region", "ph"
    )
    assert ended.code == 1
    assert "in quarantine (UNREADABLE)" in ended.out
    assert "ekyc quarantine retry" in ended.out
    assert len(ended.err_lines) == 1
    assert "evidence cannot be" in ended.err


def test_what_is_not_in_quarantine_can_be_shown_and_nothing_is_offered(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc("quarantine", "show", "waits", "--region", "ph")
    assert ended.code == 0
    assert "It is not in quarantine" in ended.out
    shown = json.loads(ekyc("quarantine", "show", "waits", "--region", "ph", "--json").out)
    assert (shown["commands"], shown["means"], shown["todo"]) == ({}, None, None)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody", "--region", "ph"], 1, "the ledger does not know this id in ph"),
        (["../etc", "--region", "ph"], 2, "must be 1 to 64 of letters, digits, - and _"),
        (["caf\udce9", "--region", "ph"], 2, "must be 1 to 64 of letters, digits, - and _"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    ekyc: Ekyc, ledger: Ledger, arguments: list[str], code: int, said: str
) -> None:
    for command in (["quarantine", "show"], ["status"]):
        ended = ekyc(*command, *arguments)
        assert (ended.code, ended.out, len(ended.err_lines)) == (code, "", 1)
        assert said in ended.err


# retry


def test_a_retry_by_id_names_who_did_it_and_counts_who_was_not_there(
    ekyc: Ekyc, redis: Redis, ledger: Ledger
) -> None:
    ended = ekyc("quarantine", "retry", "one", "waits", "one", "two", "--region", "ph", "--yes")
    assert (ended.code, ended.out, ended.err) == (1, "retried 2, not in quarantine 1\n", "")
    assert acts(ledger, "ph", "one") == [("retried", "UNREADABLE", "maria")]
    assert acts(ledger, "ph", "waits") == []
    assert (counts(redis).quarantined, counts(redis).waiting) == (1, 3)


def test_what_left_quarantine_keeps_its_history(ekyc: Ekyc, ledger: Ledger) -> None:
    assert ekyc("quarantine", "retry", "one", "--region", "ph", "--yes", "--who", "juan  of\tnight").code == 0
    ended = ekyc("status", "one", "--region", "ph")
    told = [line.split()[3:] for line in ended.out.splitlines() if line.startswith("  20")]
    assert [words[0] for words in told] == ["enqueued", "refused", "quarantined", "retried"]
    assert told[-1] == ["retried", "UNREADABLE", "juan", "of", "night"]
    assert "ago, when its deadline started over" in ended.out


def test_a_retry_by_reason_means_all_regions_or_the_one_that_is_given(
    ekyc: Ekyc, redis: Redis, ledger: Ledger
) -> None:
    ended = ekyc("quarantine", "retry", "--reason", "unreadable", "--region", "ph", "--yes", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"retried": 2, "not_in_quarantine": 0})
    assert counts(redis, "sg").quarantine == {"CRASHES_WORKERS": 1, "UNREADABLE": 1}
    assert ekyc("quarantine", "retry", "--reason", "UNREADABLE", "--yes").out == (
        "retried 1, not in quarantine 0\n"
    )
    assert counts(redis, "ph").quarantine == {"UNKNOWN_CODE": 1}


def test_a_retry_of_all_is_said_explicitly(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    assert ekyc("quarantine", "retry", "--yes").code == 2
    assert counts(redis).quarantined == 3
    ended = ekyc("quarantine", "retry", "--all", "--yes")
    assert (ended.code, ended.out) == (0, "retried 5, not in quarantine 0\n")
    assert counts(redis).quarantined + counts(redis, "sg").quarantined == 0


def test_more_than_one_round_trip_is_retried(ekyc: Ekyc, redis: Redis) -> None:
    ledger = Ledger(redis)
    for number in range(450):
        quarantined(ledger, "ph", f"id-{number}", "UNREADABLE")
    assert ekyc("quarantine", "retry", "--all", "--yes").out == "retried 450, not in quarantine 0\n"


def test_where_nobody_is_there_is_nothing_to_ask(ekyc: Ekyc, ledger: Ledger) -> None:
    for act in (["retry"], ["drop", "--why", "tested"]):
        ended = ekyc("quarantine", *act, "--reason", "UNFORESEEN")
        assert (ended.code, ended.out) == (0, "nothing is in quarantine for UNFORESEEN in ph or sg\n")
    ended = ekyc("quarantine", "retry", "--reason", "UNFORESEEN", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"retried": 0, "not_in_quarantine": 0})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry"], "give either signature ids, or --reason, or --all"),
        (["retry", "one", "--all"], "give either signature ids, or --reason, or --all"),
        (["retry", "--all", "--reason", "UNREADABLE"], "give either signature ids, or --reason, or --all"),
        (["retry", "--reason", "not a word"], "must be one word, such as UNREADABLE"),
        (
            ["retry", "--all", "--region", "th"],
            "ADVANCE_REGIONS names only ph, sg, so no worker would poll it",
        ),
        (["retry", "one", "--region", "ph", "--who", " "], "must be 1 to 200 characters of plain text"),
        (
            ["retry", "one", "--region", "ph", "--who", "caf\udce9"],
            "must be 1 to 200 characters of plain text",
        ),
        (["drop", "one", "--region", "ph"], "Missing option '--why'"),
        (["drop", "--why", "tested"], "give either signature ids or --reason"),
        (
            ["drop", "--why", "tested", "one", "--reason", "UNREADABLE"],
            "give either signature ids or --reason",
        ),
        (["drop", "one", "--region", "ph", "--why", ""], "must be 1 to 200 characters of plain text"),
        (["drop", "one", "--region", "ph", "--why", "x" * 201], "must be 1 to 200 characters of plain text"),
        (
            ["drop", "one", "--region", "ph", "--why", "\x1b[31mred"],
            "must be 1 to 200 characters of plain text",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_changes_nothing(
    ekyc: Ekyc, redis: Redis, ledger: Ledger, arguments: list[str], said: str
) -> None:
    ended = ekyc("quarantine", *arguments, "--yes")
    assert (ended.code, ended.out, len(ended.err_lines)) == (2, "", 1)
    assert said in ended.err
    assert counts(redis).quarantined + counts(redis, "sg").quarantined == 5


def test_one_malformed_id_refuses_all_and_is_named_by_its_position(
    ekyc: Ekyc, redis: Redis, ledger: Ledger
) -> None:
    ended = ekyc("quarantine", "retry", "one", "../etc", "--region", "ph", "--yes")
    assert ended.code == 2
    assert ended.err_lines == [
        "ekyc: id number 2: must be 1 to 64 of letters, digits, - and _",
        "ekyc: nothing was changed",
    ]
    assert counts(redis).quarantined == 3


# drop


def test_a_drop_is_recorded_with_name_and_reason(
    ekyc: Ekyc, redis: Redis, ledger: Ledger, tmp_path: Path
) -> None:
    ended = ekyc(
        "quarantine", "drop", "one", "waits", "--region", "ph", "--why", "test | data", "--yes", "--json"
    )
    assert (ended.code, json.loads(ended.out)) == (1, {"dropped": 1, "not_in_quarantine": 1})
    assert acts(ledger, "ph", "one") == [("dropped", "test / data", "maria")]
    assert status(ledger, "ph", "one").verification.stage is Stage.DROPPED
    assert ekyc("status", "one", "--region", "ph").out.startswith("ph/one: dropped by maria: test / data\n")
    assert json.loads(ekyc("status", "one", "--region", "ph", "--json").out)["stage"] == "dropped"
    assert (counts(redis).dropped, counts(redis).quarantined) == (1, 2)
    assert redis.exists("ekyc:{ph}:v:one")


def test_what_is_dropped_is_remembered_for_the_retention(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    short = ekyc.with_env(EKYC_RETENTION="3600")
    assert short("quarantine", "drop", "one", "--region", "ph", "--why", "tested", "--yes").code == 0
    assert 3_500_000 < redis.pttl("ekyc:{ph}:v:one") <= 3_600_000


def test_a_drop_by_reason_leaves_the_others(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    ended = ekyc("quarantine", "drop", "--reason", "UNREADABLE", "--why", "tested", "--yes")
    assert (ended.code, ended.out) == (0, "dropped 3, not in quarantine 0\n")
    assert counts(redis).quarantine == {"UNKNOWN_CODE": 1}
    assert counts(redis, "sg").quarantine == {"CRASHES_WORKERS": 1}


def test_a_reason_in_any_language_is_shown_where_there_is_only_ascii(ekyc: Ekyc, ledger: Ledger) -> None:
    why = "zurückgezogen — 取消"
    assert ekyc("quarantine", "drop", "one", "--region", "ph", "--why", why, "--yes").code == 0
    assert why in ekyc("status", "one", "--region", "ph").out
    assert ekyc.with_env(PYTHONIOENCODING="ascii")("status", "one", "--region", "ph").code == 0


def test_who_is_by_default_the_name_that_the_system_knows(ekyc: Ekyc, ledger: Ledger) -> None:
    nameless = Ekyc({name: value for name, value in ekyc.env.items() if name != "LOGNAME"})
    assert nameless("quarantine", "retry", "one", "--region", "ph", "--yes").code == 0
    assert acts(ledger, "ph", "one") == [("retried", "UNREADABLE", pwd.getpwuid(os.getuid()).pw_name)]


# The question


@pytest.mark.parametrize("act", [["retry"], ["drop", "--why", "tested"]])
def test_without_a_terminal_nothing_is_done_before_somebody_says_yes(
    ekyc: Ekyc, redis: Redis, ledger: Ledger, act: list[str]
) -> None:
    ended = ekyc("quarantine", *act, "--reason", "UNREADABLE", stdin="y\n")
    assert (ended.code, ended.out, len(ended.err_lines)) == (2, "", 1)
    assert "3 in quarantine: UNREADABLE 3 (ph 2, sg 1); stdin is not a terminal" in ended.err
    assert "pass --yes" in ended.err
    assert counts(redis).quarantined == 3


class Asked:
    """A command at a terminal, up to its question."""

    def __init__(self, ekyc: Ekyc, *arguments: str) -> None:
        self._ekyc = ekyc
        self._arguments = arguments
        self.seen = ""
        self.out = ""

    def answered(self, answer: str | signal.Signals) -> int:
        """What it ends with after that answer, or that signal."""
        with Terminal() as terminal:
            with self._ekyc.start(
                "quarantine", *self._arguments, stdin=terminal.end, stderr=terminal.end
            ) as process:
                terminal.wait_for("[y/N]")
                if isinstance(answer, str):
                    terminal.type(answer)
                else:
                    process.interrupt(answer)
                self.out, _ = process.communicate(timeout=60)
            self.seen = terminal.seen
        assert "Traceback" not in self.seen
        return process.wait()


def test_the_question_says_how_many_and_yes_does_it(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    asked = Asked(ekyc, "retry", "--all", "--json")
    assert asked.answered("y\n") == 0
    assert (
        "5 in quarantine: UNREADABLE 3, CRASHES_WORKERS 1, UNKNOWN_CODE 1 (ph 3, sg 2)\r\nretry them?"
        in asked.seen
    )
    assert json.loads(asked.out) == {"retried": 5, "not_in_quarantine": 0}
    assert counts(redis).quarantined == 0


@pytest.mark.parametrize(
    "answer", [("n\n", 1), ("\n", 1), ("\x04", 130), (signal.SIGINT, 130)], ids=["no", "enter", "^D", "^C"]
)
@pytest.mark.parametrize("act", [["retry"], ["drop", "--why", "tested"]], ids=["retry", "drop"])
def test_any_other_answer_does_nothing(
    ekyc: Ekyc, redis: Redis, ledger: Ledger, act: list[str], answer: tuple[str | signal.Signals, int]
) -> None:
    given, code = answer
    asked = Asked(ekyc, *act, "one", "two", "--region", "ph")
    assert asked.answered(given) == code
    assert "2 given by id, of ph" in asked.seen
    assert "nothing was changed" in asked.seen
    assert asked.out == ""
    assert (counts(redis).quarantined, counts(redis).dropped) == (3, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "one", "--region", "ph"],
        ["retry", "one", "--region", "ph", "--yes"],
        ["retry", "--all", "--yes"],
        ["drop", "--reason", "UNREADABLE", "--why", "tested", "--yes"],
    ],
)
def test_a_redis_that_is_down_is_one_line_and_status_1(ekyc: Ekyc, arguments: list[str]) -> None:
    gone = ekyc.with_env(REDIS_URL=f"redis://:hush@127.0.0.1:{free_port()}/0")
    ended = gone("quarantine", *arguments)
    assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1)
    assert "Redis does not answer" in ended.err
    assert "hush" not in ended.err


def test_without_a_command_the_help_is_shown(ekyc: Ekyc) -> None:
    ended = ekyc("quarantine")
    assert ended.code == 2
    for name in ("list", "show", "retry", "drop"):
        assert f"\n  {name} " in ended.err
