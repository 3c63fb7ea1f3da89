"""`ekyc enqueue`: ids, files and standard input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.cli_process import Ekyc, Terminal
from tests.support.paths import ROOT
from tests.support.servers import VALKEY, running_server
from tests.support.waiting import until
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

HEADER = "signature_id,region,context\n"


@pytest.fixture
def ekyc(redis_url: str) -> Ekyc:
    return Ekyc({"REDIS_URL": redis_url})


def enqueued(redis: Redis, region: str = "ph") -> int:
    return Stats(redis).counts(region).enqueued


def context_of(redis: Redis, signature_id: str, region: str = "ph") -> str | None:
    status = Ledger(redis).status(region, signature_id)
    assert status is not None
    return status.verification.context


def many(count: int, start: int = 0) -> str:
    return "".join(f"id-{number},ph,\n" for number in range(start, start + count))


def test_ids_are_in_the_ledger_when_the_command_is_done_and_known_ones_change_nothing(
    ekyc: Ekyc, redis: Redis
) -> None:
    first = ekyc("enqueue", "one", "two", "--region", "ph", "--context", '{"application": 42}')
    again = ekyc("enqueue", "two", "three", "three", "--region", "ph")

    assert (first.code, first.out) == (0, "enqueued 2, already known 0, skipped 0\n")
    assert (again.code, again.out) == (0, "enqueued 1, already known 2, skipped 0\n")
    assert enqueued(redis) == 3
    assert context_of(redis, "two") == '{"application":42}'
    assert first.err + again.err == ""


def test_the_region_may_be_left_out_where_there_is_only_one(ekyc: Ekyc, redis: Redis) -> None:
    assert ekyc.with_env(ADVANCE_REGIONS="id")("enqueue", "one").code == 0
    assert enqueued(redis, "global") == 1

    ended = ekyc("enqueue", "one")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert "which region? Pass --region, one of sg, ph, th, my, vn, global" in ended.err


def test_a_region_that_nobody_polls_is_refused(ekyc: Ekyc, redis: Redis) -> None:
    ended = ekyc.with_env(ADVANCE_REGIONS="sg,my")("enqueue", "one", "--region", "ph")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert "ADVANCE_REGIONS names only sg, my, so no worker would poll it" in ended.err
    assert enqueued(redis) == 0


def test_one_malformed_id_refuses_all_and_is_named_by_its_position(ekyc: Ekyc, redis: Redis) -> None:
    ended = ekyc("enqueue", "good", "../../etc", "fine", "x" * 65, "--region", "ph")
    assert ended.code == 2
    assert ended.err_lines == [
        "ekyc: id number 2: must be 1 to 64 of letters, digits, - and _",
        "ekyc: id number 4: must be 1 to 64 of letters, digits, - and _",
        "ekyc: nothing was enqueued",
    ]
    assert enqueued(redis) == 0


def test_an_id_that_begins_with_a_dash_comes_after_two(ekyc: Ekyc, redis: Redis) -> None:
    assert ekyc("enqueue", "--region", "ph", "--", "-a", "--b").code == 0
    assert enqueued(redis) == 2


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ("{", "--context must be JSON"),
        ("Juan dela Cruz", "--context must be JSON"),
        (json.dumps("x" * 4096), "--context must be at most 4096 bytes of JSON, is 4098"),
        ("[" * 10_000, "--context must be JSON"),
    ],
)
def test_a_context_that_cannot_be_kept_is_one_line_without_the_context(
    ekyc: Ekyc, redis: Redis, context: str, problem: str
) -> None:
    ended = ekyc("enqueue", "one", "--region", "ph", "--context", context)
    assert (ended.code, ended.err) == (2, f"ekyc: {problem}\n")
    assert enqueued(redis) == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give either signature ids or --from FILE"),
        (["one", "--from", "-"], "give either signature ids or --from FILE"),
        (["one", "--strict"], "--strict needs --from"),
    ],
)
def test_ids_and_a_file_exclude_each_other(ekyc: Ekyc, arguments: list[str], problem: str) -> None:
    ended = ekyc("enqueue", "--region", "ph", *arguments)
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert problem in ended.err


def test_a_file_is_enqueued_and_its_bad_rows_are_named_and_skipped(
    ekyc: Ekyc, redis: Redis, tmp_path: Path
) -> None:
    source = tmp_path / "today.csv"
    source.write_text(f'{HEADER}one,ph,"{{""n"": 1}}"\nnot an id,ph,\ntwo,mars,\nthree,sg,\none,ph,\n')

    ended = ekyc("enqueue", "--from", str(source))

    assert (ended.code, ended.out) == (1, "enqueued 2, already known 1, skipped 2\n")
    assert ended.err_lines == [
        "ekyc: line 3: signature_id: must be 1 to 64 of letters, digits, - and _",
        "ekyc: line 4: region: unknown region, use one of sg, ph, th, my, vn, global",
    ]
    assert (enqueued(redis), enqueued(redis, "sg")) == (1, 1)
    assert context_of(redis, "one") == '{"n":1}'


def test_options_fill_what_rows_leave_empty(ekyc: Ekyc, redis: Redis) -> None:
    text = "signature_id,region\none,\ntwo,sg\n"
    ended = ekyc("enqueue", "--from", "-", "--region", "ph", "--context", "7", "--json", stdin=text)
    assert (ended.code, json.loads(ended.out)) == (0, {"enqueued": 2, "known": 0, "skipped": 0})
    assert (context_of(redis, "one"), context_of(redis, "two", "sg")) == ("7", "7")


def test_more_rows_than_fit_into_a_chunk_all_arrive(ekyc: Ekyc, redis: Redis) -> None:
    assert ekyc("enqueue", "--from", "-", stdin=HEADER + many(2345)).out.startswith("enqueued 2345,")
    assert enqueued(redis) == 2345


@pytest.mark.parametrize("by_pipe", [True, False], ids=["pipe", "file"])
def test_strict_names_every_bad_row_and_enqueues_nothing(
    ekyc: Ekyc, redis: Redis, tmp_path: Path, *, by_pipe: bool
) -> None:
    text = f"{HEADER}{many(1500)}bad one,ph,\nlast,ph,\nlast-but-bad,mars,\n"
    source = tmp_path / "today.csv"
    source.write_text(text)

    ended = ekyc("enqueue", "--strict", "--from", "-" if by_pipe else str(source), stdin=text)

    assert (ended.code, ended.out) == (2, "")
    assert [line.partition(":")[2].split(":")[0] for line in ended.err_lines] == [
        " line 1502",
        " line 1504",
        " nothing was enqueued",
    ]
    assert "2 of 1503 rows cannot be used" in ended.err
    assert enqueued(redis) == 0


@pytest.mark.parametrize("by_pipe", [True, False], ids=["pipe", "file"])
def test_strict_enqueues_a_file_in_which_every_row_is_good(
    ekyc: Ekyc, redis: Redis, tmp_path: Path, *, by_pipe: bool
) -> None:
    source = tmp_path / "today.csv"
    source.write_text(HEADER + many(1500))
    stdin = source.read_bytes() if by_pipe else b""
    ended = ekyc("enqueue", "--strict", "--from", "-" if by_pipe else str(source), stdin=stdin)
    assert (ended.code, ended.err) == (0, "")
    assert enqueued(redis) == 1500


@pytest.mark.parametrize("strict", [[], ["--strict"]], ids=["", "strict"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "line 1 must be the header"),
        (b"id;region\n1;ph\n", "line 1 must be the header"),
        (b"f302f5d2454a85c2,ph\n", "line 1 must be the header"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "this is not a CSV file in UTF-8"),
        (b"\0" * 2_000_000, "line 1 is longer than"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    ekyc: Ekyc, redis: Redis, content: bytes, problem: str, strict: list[str]
) -> None:
    ended = ekyc("enqueue", "--region", "ph", "--from", "-", *strict, stdin=content)
    assert (ended.code, len(ended.err_lines), ended.out) == (2, 1, "")
    assert ended.err.startswith(f"ekyc: {problem}")
    assert "f302f5d2454a85c2" not in ended.err
    assert enqueued(redis) == 0


def test_a_file_that_cannot_be_opened_is_one_line(ekyc: Ekyc, tmp_path: Path) -> None:
    missing = ekyc("enqueue", "--region", "ph", "--from", str(tmp_path / "nothing.csv"))
    folder = ekyc("enqueue", "--region", "ph", "--from", str(tmp_path))
    assert (missing.code, folder.code) == (2, 2)
    assert missing.err == f"ekyc: --from {tmp_path / 'nothing.csv'}: No such file or directory\n"
    assert folder.err == f"ekyc: --from {tmp_path}: Is a directory\n"


def test_a_standard_input_that_is_closed_is_one_line(ekyc: Ekyc) -> None:
    command = f"'{sys.executable}' -m worker.cli enqueue --region ph --from - <&-"
    done = subprocess.run(
        ["sh", "-c", command], env=ekyc.env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "ekyc: --from -: standard input is closed\n")


def test_ctrl_c_says_how_far_it_came_and_that_the_same_again_is_safe(ekyc: Ekyc, redis: Redis) -> None:
    with ekyc.start("enqueue", "--from", "-") as process:
        assert process.stdin is not None
        process.stdin.write(HEADER + many(1500))
        process.stdin.flush()
        until(lambda: enqueued(redis) == 1000, "1,000 are in the ledger")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    so_far, again = (line for line in err.splitlines() if line)
    # Redis may have had its answer under way.
    assert so_far in {
        "ekyc: so far: enqueued 1000, already known 0, skipped 0",
        "ekyc: so far: enqueued 0, already known 0, skipped 0, and 1000 sent without an answer",
    }
    assert again == "ekyc: to continue, enqueue the same input again: known ids change nothing"
    assert ekyc("enqueue", "--from", "-", stdin=HEADER + many(1500)).out == (
        "enqueued 500, already known 1000, skipped 0\n"
    )


def test_ctrl_c_while_redis_has_not_answered_tells_of_what_was_sent(ekyc: Ekyc, redis: Redis) -> None:
    redis.client_pause(60_000, all=False)
    try:
        with ekyc.start("enqueue", "one", "two", "--region", "ph") as process:
            # As Redis sees it, whoever waits for the end of the pause is blocked.
            until(
                lambda: any("b" in client["flags"] for client in redis.client_list()), "a client is blocked"
            )
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    finally:
        redis.client_unpause()
    assert process.returncode == 130
    assert "enqueued 0, already known 0, skipped 0, and 2 sent without an answer" in err


def test_ctrl_c_before_anything_was_sent_is_quiet(ekyc: Ekyc) -> None:
    with ekyc.start("enqueue", "--from", "-", "--region", "ph") as process:
        assert process.stdin is not None
        # More than a pipe holds: it is written once somebody reads.
        process.stdin.write("signature_id\n" + "\n" * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_a_redis_that_goes_away_in_the_middle_says_how_far_it_came(tmp_path: Path) -> None:
    from redis import Redis as Client  # noqa: PLC0415 - the name above is a type

    with running_server(VALKEY, tmp_path) as server:
        ekyc = Ekyc({"REDIS_URL": f"redis://127.0.0.1:{server.port}/0"})
        with ekyc.start("enqueue", "--from", "/dev/stdin") as process, Client(port=server.port) as client:
            assert process.stdin is not None
            process.stdin.write(HEADER + many(1500))
            process.stdin.flush()
            until(lambda: enqueued(client) == 1000, "1,000 are in the ledger")
            server.stop()
            _, err = process.communicate(many(1500, start=1500), timeout=60)
    assert process.returncode == 1
    so_far, again, fault = err.splitlines()
    assert so_far.startswith("ekyc: so far: enqueued 1000, already known 0, skipped 0")
    assert again.startswith("ekyc: to continue, enqueue the same input")
    assert fault.startswith("ekyc: Redis does not answer")


@pytest.mark.parametrize(("rows", "shown"), [(3000, True), (500, False)], ids=["long", "short"])
def test_a_long_input_has_a_bar_on_a_terminal_and_standard_output_stays_clean(
    ekyc: Ekyc, rows: int, tmp_path: Path, *, shown: bool
) -> None:
    source = tmp_path / "today.csv"
    source.write_text(f"{HEADER}{many(rows)}not an id,ph,\n")
    terminal_ekyc = ekyc.with_env(TERM="xterm", COLUMNS="100")
    with Terminal() as terminal:
        with terminal_ekyc.start("enqueue", "--from", str(source), stderr=terminal.end) as process:
            out, _ = process.communicate(timeout=60)
        terminal.wait_for(f"line {rows + 2}: signature_id")
        assert ("enqueueing" in terminal.seen) is shown
    assert (process.returncode, out) == (1, f"enqueued {rows}, already known 0, skipped 1\n")
