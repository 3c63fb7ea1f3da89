"""What people ask for at night: a list, one id without its region, the last minutes, and never in silence."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.paths import ROOT
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.decided import Decided
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc


def decided(ledger: Ledger, signature_id: str, name: str, context: str) -> None:
    ledger.enqueue([EnqueueRequest(signature_id, "ph", context)])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    heard = Heard("result")
    ledger.record(batch, [transitions.settle(one, heard, overall_result="PASS", error_code="SUCCESS")])
    batch = type(batch)(batch.id, "ph", Stage.ARCHIVING, batch.signature_ids)
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.archived(one, EvidenceState.COMPLETE)])
    batch = type(batch)(batch.id, "ph", Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(batch)
    text = json.dumps({"evidence": {"url": "file:///x"}, "context": json.loads(context)})
    ledger.record(batch, [transitions.decide(one, name=name, decision=text)])
    ledger.record(batch, [transitions.delivered(one, name=name)])


def quarantined(ledger: Ledger, signature_id: str, region: str = "ph") -> None:
    ledger.enqueue([EnqueueRequest(signature_id, region)])
    (batch,) = ledger.claim(region, limit=1).batches
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE") for one in ledger.load(batch)])


def listed(ekyc: Ekyc, *options: str) -> list[dict[str, Any]]:
    ended = ekyc("list", "--json", *options)
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)["verifications"]
    return found


def ids(ekyc: Ekyc, *options: str) -> set[str]:
    return {each["signature_id"] for each in listed(ekyc, *options)}


def test_a_list_by_stage_region_age_decision_and_context_key(
    ekyc: Ekyc, ledger: Ledger, redis: Redis
) -> None:
    decided(ledger, "done-1", "approve", '{"application":"A7"}')
    decided(ledger, "done-2", "review", '{"application":8}')
    quarantined(ledger, "bad")
    ledger.enqueue([EnqueueRequest("waits", "ph", '{"application":"A7"}'), EnqueueRequest("other", "sg")])
    assert ids(ekyc) == {"done-1", "done-2", "bad", "waits", "other"}
    assert ids(ekyc, "--stage", "polling") == {"waits", "other"}
    assert ids(ekyc, "--stage", "polling", "--region", "ph") == {"waits"}
    assert ids(ekyc, "--stage", "quarantined", "--stage", "done") == {"bad", "done-1", "done-2"}
    assert ids(ekyc, "--decision", "review") == {"done-2"}
    assert ids(ekyc, "--context", "application") == {"done-1", "done-2", "waits"}
    assert ids(ekyc, "--context", "application=A7") == {"done-1", "waits"}
    assert ids(ekyc, "--context", "application=8") == {"done-2"}
    assert ids(ekyc, "--older-than", "1h") == set()
    redis.hset("ekyc:{ph}:v:waits", "e", str(int(time.time() * 1000) - 7_200_000))
    assert ids(ekyc, "--older-than", "1h") == {"waits"}
    (row,) = listed(ekyc, "--context", "application=8")
    assert (row["decision"], row["stage"], row["context"]) == ("review", "done", {"application": 8})
    assert "context" not in listed(ekyc)[0]
    text = ekyc("list", "--stage", "quarantined").out.splitlines()
    assert text[0].split() == ["region", "id", "stage", "age", "polls", "decision", "why"]
    assert text[1].split()[:3] == ["ph", "bad", "quarantined"]
    assert "A7" not in ekyc("list").out


def test_what_a_batch_holds_is_listed_at_its_stage(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("held", "ph")])
    ledger.claim("ph", limit=1)
    assert ids(ekyc, "--stage", "polling") == {"held"}
    assert ids(ekyc, "--stage", "archiving") == set()


def test_a_list_ends_at_its_limit_and_says_that_there_are_more(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest(f"n{number}", "ph") for number in range(30)])
    found = json.loads(ekyc("list", "--json", "--limit", "7").out)
    assert (len(found["verifications"]), found["more"]) == (7, True)
    assert "there are more: pass --limit" in ekyc("list", "--limit", "7", "--stage", "polling").out
    assert json.loads(ekyc("list", "--json", "--limit", "30").out)["more"] is False


def test_a_list_of_many_asks_redis_in_small_slices(ekyc: Ekyc, ledger: Ledger, redis: Redis) -> None:
    """No command of it may take Redis long: none gets or reads more than a slice."""
    ledger.enqueue([EnqueueRequest(f"n{number}", "ph") for number in range(5000)])
    before = redis.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"] or "10000"
    redis.config_set("slowlog-log-slower-than", 10_000)
    redis.slowlog_reset()
    try:
        assert len(ids(ekyc, "--limit", "6000")) == 5000
        assert len(ids(ekyc, "--limit", "6000", "--stage", "polling")) == 5000
        slow = [entry for entry in redis.slowlog_get(100) if entry["duration"] > 20_000]
    finally:
        redis.config_set("slowlog-log-slower-than", before)
    assert slow == []


def test_status_and_quarantine_find_the_region_of_an_id_that_is_unique(ekyc: Ekyc, ledger: Ledger) -> None:
    quarantined(ledger, "one", "sg")
    quarantined(ledger, "two", "ph")
    quarantined(ledger, "three", "sg")
    assert json.loads(ekyc("status", "one", "--json").out)["region"] == "sg"
    assert json.loads(ekyc("quarantine", "show", "one", "--json").out)["region"] == "sg"
    done = ekyc("quarantine", "retry", "one", "two", "--yes", "--json")
    assert json.loads(done.out) == {"retried": 2, "not_in_quarantine": 0}
    done = ekyc("quarantine", "drop", "three", "--why", "x", "--yes", "--json")
    assert json.loads(done.out) == {"dropped": 1, "not_in_quarantine": 0}


@pytest.mark.parametrize(
    "command",
    [
        ["status", "both"],
        ["quarantine", "show", "both"],
        ["quarantine", "retry", "both", "--yes"],
        ["quarantine", "drop", "both", "--why", "x", "--yes"],
    ],
)
def test_an_id_that_several_regions_know_needs_its_region(
    ekyc: Ekyc, ledger: Ledger, command: list[str]
) -> None:
    ledger.enqueue([EnqueueRequest("both", "ph"), EnqueueRequest("both", "sg")])
    ended = ekyc(*command)
    assert (ended.code, ended.err_lines) == (2, ["ekyc: both is known in ph and sg: pass --region"])


def test_a_context_is_shown_only_where_it_is_asked_for(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("waits", "ph", '{"application":7}')])
    assert "application" not in ekyc("status", "waits", "--json").out
    assert json.loads(ekyc("status", "waits", "--json", "--with-context").out)["context"] == {
        "application": 7
    }
    assert ekyc("status", "waits", "--with-context").code == 2


def test_the_last_minutes_stand_beside_what_ever_happened(ekyc: Ekyc, ledger: Ledger, redis: Redis) -> None:
    for number in range(3):
        decided(ledger, f"old-{number}", "approve", "{}")
    # Six minutes ago a claim has copied these counters.
    counters: dict[Any, Any] = redis.hgetall("ekyc:{ph}:counts")
    for name in redis.scan_iter("ekyc:{ph}:counts:*"):
        redis.delete(name)
    now_ms = int(redis.time()[0]) * 1000
    copy = f"ekyc:{{ph}}:counts:{(now_ms - 330_000) // 60_000}"
    redis.hset(copy, mapping={**counters, b"at": str(now_ms - 330_000)})
    decided(ledger, "new", "review", "{}")
    stats = json.loads(ekyc("stats", "--json").out)
    assert stats["decisions"] == {"approve": 3, "review": 1}
    lately = stats["last_5_min"]
    assert (lately["decisions"], lately["enqueued"], lately["done"], lately["polls"]) == (
        {"review": 1},
        1,
        1,
        1,
    )
    assert 325 < lately["seconds"] < 345
    assert stats["regions"]["sg"]["last_5_min"]["enqueued"] == 0
    text = ekyc("stats").out
    assert "last 5 min" in text
    assert "ever" in text


def test_copies_of_the_counters_are_few_and_end(ledger: Ledger, redis: Redis) -> None:
    for _ in range(50):
        ledger.claim("ph", limit=1)
    copies = list(redis.scan_iter("ekyc:{ph}:counts:*"))
    assert 1 <= len(copies) <= 2
    assert all(0 < redis.pttl(name) <= 480_000 for name in copies)
    assert Stats(redis).lately("ph").enqueued == 0


@pytest.fixture
def hung() -> Any:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in taken:
        each.close()


@pytest.mark.parametrize(
    "command",
    [
        ["stats"],
        ["status", "a"],
        ["list"],
        ["enqueue", "a"],
        ["quarantine", "list"],
        ["resume", "ph"],
        ["watch"],
    ],
    ids=" ".join,
)
def test_no_command_is_silent_while_redis_hangs(ekyc: Ekyc, hung: int, command: list[str]) -> None:
    hanging = ekyc.with_env(REDIS_URL=f"redis://:secret@127.0.0.1:{hung}/0", ADVANCE_REGIONS="ph")
    with hanging.start(*command) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first == f"ekyc: waiting for Redis at 127.0.0.1:{hung}, which does not answer yet\n"
        rest = process.stderr.read()
        assert process.wait(60) == 1
    assert rest.count("\n") == 1
    assert "Redis does not answer (timed out)" in rest
    assert "secret" not in first + rest


def test_a_redis_that_answers_is_not_waited_for_aloud(ekyc: Ekyc) -> None:
    assert ekyc("stats").err == ""


def test_no_color_counts_for_every_command(redis_url: str) -> None:
    """On a terminal `ekyc doctor` has colours; with NO_COLOR it has none."""
    for value, coloured in (("", True), ("1", False)):
        code = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'worker.cli', 'doctor']) >> 8)"
        terminal = {"NO_COLOR": value, "TERM": "xterm", "PATH": os.defpath}
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            capture_output=True,
            cwd=ROOT,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=terminal | {"REDIS_URL": redis_url, "ADVANCE_REGIONS": "ph"},
        )
        assert b"settings" in done.stdout
        assert (b"\x1b[3" in done.stdout) is coloured


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(ekyc: Ekyc, shell: str) -> None:
    ended = ekyc.with_env(PATH=os.environ["PATH"])("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_EKYC_COMPLETE={shell}_complete" in ended.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    program = tmp_path / "ekyc"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker.cli "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(ekyc completion bash)"
        complete -p ekyc
        for words in "ekyc qua" "ekyc list --st" "ekyc quarantine dr"; do
          COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
          _ekyc_completion ekyc; echo "${COMPREPLY[@]}"
        done
    """
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["quarantine", "--stage", "drop"]


def test_ages_are_by_the_ledgers_clock(ekyc: Ekyc, ledger: Ledger, redis: Redis) -> None:
    """Redis's own clock has leaped three hours ahead, which the ledger knows."""
    three_hours_ms = 3 * 3_600_000
    redis.hset("ekyc:{ph}:clock", "ahead", str(-three_hours_ms))
    decided(ledger, "done-1", "approve", "{}")
    quarantined(ledger, "stuck-1")
    ledger.enqueue([EnqueueRequest("new-1", "ph")])
    assert "no verification found" in ekyc("list", "--older-than", "1h").out
    listed = json.loads(ekyc("list", "--json").out)["verifications"]
    assert max(each["age_s"] for each in listed) < 600
    (entry,) = json.loads(ekyc("quarantine", "list", "--json").out)["verifications"]
    assert entry["age_s"] < 600
    found = Decided(redis).since("ph", 600.0, None, lambda _: None, pytest.fail)
    assert found == ["done-1"]


def test_a_context_cannot_command_the_terminal(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("new-1", "ph", json.dumps({"note": "a\x1b[2J\nph  fake-1"}))])
    listed = ekyc("list", "--context", "note").out
    assert "\x1b" not in listed
    assert listed.count("\n") == 2


def test_help_promises_to_find_the_region_only_where_that_is_done(ekyc: Ekyc) -> None:
    for command in (["enqueue"], ["redeliver"], ["status"], ["quarantine", "show"]):
        asked = "which region?" in ekyc(*command, "id-1").err
        assert ("knows the id" in " ".join(ekyc(*command, "--help").out.split())) is not asked
