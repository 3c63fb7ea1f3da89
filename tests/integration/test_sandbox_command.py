"""`ekyc sandbox` as a process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
from click.testing import CliRunner

from sandbox.cli import sandbox
from sandbox.vendor import RESULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-m", "sandbox")


@contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    parsed: dict[str, Any] = json.loads(process.stdout.readline())
    return parsed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_exit_code_0_and_without_a_word(number: signal.Signals) -> None:
    with started("--port", "0", "--json-log") as process:
        line(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_free_port_is_taken_and_told_with_all_there_is_to_set() -> None:
    with started("--port", "0", "--json-log", "--access-key", "ours") as process:
        listening = line(process)
        url = listening["url"]
        assert listening["environment"] == {
            "ADVANCE_BASE_URL": url,
            "ADVANCE_ACCESS_KEY": "ours",
            "ADVANCE_SECRET_KEY": "samplesecretkey",
            "EKYC_IMAGE_ORIGINS": url,
        }
        with requests.post(url + RESULT_PATH, json={"signatureId": "pass-1"}, timeout=10) as answer:
            assert answer.json()["code"] == "ACCESS_DENIED"
        answered = line(process)
    assert (answered["call"], answered["signature_id"], answered["answer"]) == (
        "result",
        "pass-1",
        "ACCESS_DENIED",
    )


def test_people_are_told_what_to_set_and_see_every_answer() -> None:
    with started("--port", "0") as process:
        assert process.stdout
        intro = [process.stdout.readline() for _ in range(8)]
        url = intro[2].strip().removeprefix("export ADVANCE_BASE_URL=")
        requests.post(url + RESULT_PATH, json={"signatureId": "pass-1"}, timeout=10).close()
        answered = process.stdout.readline()
    assert url in intro[0]
    assert "Ctrl-C" in intro[7]
    assert "ACCESS_DENIED" in answered
    assert "pass-1" in answered


def test_quiet_prints_no_answers() -> None:
    with started("--port", "0", "--quiet") as process:
        assert process.stdout
        intro = [process.stdout.readline() for _ in range(8)]
        url = intro[2].strip().removeprefix("export ADVANCE_BASE_URL=")
        requests.post(url + RESULT_PATH, json={"signatureId": "pass-1"}, timeout=10).close()
        process.terminate()
        rest, _ = process.communicate(timeout=10)
    assert rest == ""


def test_an_occupied_port_is_one_clear_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=30, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; try --port 0"
    ]


def test_nobody_reading_the_log_stops_no_answer() -> None:
    with started("--port", "0", "--json-log") as process:
        url = line(process)["url"]
        assert process.stdout
        process.stdout.close()
        with requests.Session() as http:
            for _ in range(3):
                assert http.post(url + RESULT_PATH, json={"signatureId": "pass-1"}, timeout=10).ok


@pytest.mark.parametrize(
    "options", [("--port", "65536"), ("--fault-rate", "2"), ("--token-seconds", "0"), ("--seed", "x")]
)
def test_options_out_of_bounds_are_refused(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(sandbox, options)
    assert result.exit_code == 2
    assert options[0] in result.output


def test_help_explains_the_ids() -> None:
    text = CliRunner().invoke(sandbox, ["--help"]).output
    assert "CARD_NOT_FOUND-http500-n2-0042" in text
    assert "docs/sandbox.md" in text
