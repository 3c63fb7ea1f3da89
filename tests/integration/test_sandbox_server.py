"""The sandbox over real sockets."""

from __future__ import annotations

import hashlib
import json
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.documents import PERSON
from sandbox.faults import Faults, Mode
from sandbox.scenario import catalogue
from sandbox.server import Sandbox
from sandbox.vendor import RESULT_PATH, TOKEN_PATH
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client:
    """A client of the vendor's that takes every answer as it comes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = sandbox.url
        self.http = requests.Session()
        self.http.trust_env = False
        self.token = self.generate_token()["data"]["token"]

    def generate_token(self, **fields: Any) -> dict[str, Any]:
        timestamp = str(round(time.time() * 1000))
        signature = hashlib.sha256(f"sampleaccesskeysamplesecretkey{timestamp}".encode()).hexdigest()
        body = {"accessKey": "sampleaccesskey", "timestamp": timestamp, "signature": signature} | fields
        answer: dict[str, Any] = self.http.post(self.url + TOKEN_PATH, json=body, timeout=10).json()
        return answer

    def ask(self, signature_id: str) -> requests.Response:
        return self.http.post(
            self.url + RESULT_PATH,
            json={"signatureId": signature_id},
            headers={"X-ACCESS-TOKEN": self.token},
            timeout=10,
        )

    def data(self, signature_id: str) -> dict[str, Any]:
        data: dict[str, Any] = self.ask(signature_id).json()["data"]
        return data

    def code(self, signature_id: str) -> str:
        code: str = self.ask(signature_id).json()["code"]
        return code

    def image(self, signature_id: str) -> requests.Response:
        """The front, by the link of an answer."""
        link = self.data(signature_id)["docDetail"]["docFrontImage"]
        return self.http.get(link, timeout=10, allow_redirects=False)

    def get(self, path: str) -> Any:
        return self.http.get(self.url + path, timeout=10).json()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    client = Client(sandbox)
    yield client
    client.http.close()


def raw(sandbox: Sandbox, request: bytes) -> socket.socket:
    """A connection on which `request` was just sent."""
    connection = socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=10)
    connection.sendall(request)
    return connection


def post(client: Client, signature_id: str) -> bytes:
    body = json.dumps({"signatureId": signature_id})
    return (
        f"POST {RESULT_PATH} HTTP/1.1\r\nHost: here\r\nX-ACCESS-TOKEN: {client.token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def test_a_verification_is_null_and_then_has_a_result_with_images(client: Client) -> None:
    assert client.data("pass-n1-0001")["overallResult"] is None
    assert client.data("pass-n1-0001")["overallResult"] == "PASS"
    image = client.image("pass-n1-0001")
    assert (image.status_code, image.headers["Content-Type"]) == (200, "image/jpeg")
    assert image.content.startswith(b"\xff\xd8")
    assert PERSON.encode() in image.content


def test_a_wait_in_time_ends_with_it(client: Client) -> None:
    assert client.data("t300ms-0001")["overallResult"] is None
    time.sleep(0.35)
    assert client.data("t300ms-0001")["overallResult"] == "PASS"


@pytest.mark.parametrize("token", ["", "made-up"])
def test_without_a_token_access_is_denied_with_http_200(client: Client, token: str) -> None:
    client.token = token
    answer = client.ask("pass-0001")
    assert (answer.status_code, answer.json()["code"]) == (200, "ACCESS_DENIED")


def test_a_token_that_has_ended_is_denied() -> None:
    with Sandbox(token_s=0.2) as sandbox:
        client = Client(sandbox)
        until(lambda: client.code("pass-0001") == "ACCESS_DENIED", "its time is over")
        client.http.close()


def test_a_token_that_ends_early_is_revoked_and_a_fresh_one_works(client: Client) -> None:
    codes = [client.code("tokenexpired-0001"), client.code("pass-0002")]
    client.token = client.generate_token()["data"]["token"]
    assert [*codes, client.code("tokenexpired-0001")] == ["IAM_FAILED", "ACCESS_DENIED", "SUCCESS"]


def test_a_wrong_signature_is_a_parameter_error(client: Client) -> None:
    answer = client.generate_token(signature="0" * 64)
    assert (answer["code"], answer["data"]) == ("PARAMETER_ERROR", None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "CLIENT_ERROR"),
        ("{", "CLIENT_ERROR"),
        ("[" * 50_000, "CLIENT_ERROR"),
        ("[]", "CLIENT_ERROR"),
        ("{}", "EMPTY_PARAMETER_ERROR"),
        ('{"signatureId": ""}', "EMPTY_PARAMETER_ERROR"),
        ('{"signatureId": 7}', "EMPTY_PARAMETER_ERROR"),
        ('{"signatureId": "../etc"}', "SIGNATURE_NOT_EXIST"),
    ],
)
def test_a_request_that_is_not_right_is_told_so(client: Client, body: str, code: str) -> None:
    answer = client.http.post(
        client.url + RESULT_PATH, data=body, headers={"X-ACCESS-TOKEN": client.token}, timeout=10
    )
    assert answer.json()["code"] == code


def test_retry_after_is_sent_with_its_unit(client: Client) -> None:
    answer = client.ask("retryafter10s-0001")
    assert (answer.json()["code"], answer.headers["Retry-After"]) == ("SERVICE_BUSY", "10s")
    assert client.data("retryafter10s-0001")["overallResult"] == "PASS"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
def test_http_faults_are_pages_for_people(client: Client, status: int) -> None:
    answer = client.ask(f"http{status}-0001")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html;charset=UTF-8")
    assert client.code(f"http{status}-0001") == "SUCCESS"


def test_bodies_that_are_no_json(client: Client) -> None:
    assert client.ask("html-0001").text.startswith("<!DOCTYPE html>")
    assert client.ask("empty-0001").content == b""
    with pytest.raises(ValueError, match="Expecting value"):
        client.ask("garbage-0001").json()


def test_a_truncated_body_breaks_off(client: Client) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.ask("truncated-0001")
    assert client.code("truncated-0001") == "SUCCESS"


def test_a_reset_is_a_reset(sandbox: Sandbox, client: Client) -> None:
    with raw(sandbox, post(client, "reset-0001")) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1024)


def test_a_dripping_answer_comes_byte_by_byte(sandbox: Sandbox, client: Client) -> None:
    with raw(sandbox, post(client, "slowdrip-0001")) as connection:
        head = connection.recv(4096).partition(b"\r\n\r\n")
        assert b"200 OK" in head[0]
        assert len(head[2] + connection.recv(4096)) <= 2


def test_an_oversized_answer_announces_no_length_and_could_be_read_by_the_careless(client: Client) -> None:
    answer = client.ask("oversized-0001")
    assert "Content-Length" not in answer.headers
    assert len(answer.content) > 16 * 1024 * 1024
    assert answer.json()["data"]["overallResult"] == "PASS"


def test_a_wrong_id_is_a_pass_of_somebody_else(client: Client) -> None:
    data = client.data("CARD_NOT_FOUND-wrongid-0001")
    assert data["signatureId"] != "CARD_NOT_FOUND-wrongid-0001"


def test_latency_delays_the_answer_and_not_the_script(client: Client) -> None:
    began = time.monotonic()
    assert client.data("latency300ms-n1-0001")["overallResult"] is None
    assert time.monotonic() - began >= 0.3
    assert client.data("latency300ms-n1-0001")["overallResult"] == "PASS"


def test_an_expired_link_is_forbidden_and_a_fresh_one_works(client: Client) -> None:
    assert [client.image("imgexpired-0001").status_code for _ in range(2)] == [403, 200]


def test_a_forged_link_is_forbidden(client: Client) -> None:
    link = client.data("pass-0001")["docDetail"]["docFrontImage"]
    assert client.http.get(link.replace("pass-0001", "pass-0002"), timeout=10).status_code == 403


def test_an_image_host_may_be_down_for_a_while(client: Client) -> None:
    assert [client.image("img503x2-0001").status_code for _ in range(3)] == [503, 503, 200]


def test_what_calls_itself_a_jpeg_may_be_none(client: Client) -> None:
    image = client.image("notimage-0001")
    assert image.headers["Content-Type"] == "image/jpeg"
    assert image.content.startswith(b"<!DOCTYPE html>")


def test_an_oversized_image_begins_as_one_and_announces_no_length(client: Client) -> None:
    image = client.image("imgoversized-0001")
    assert image.content.startswith(b"\xff\xd8")
    assert "Content-Length" not in image.headers
    assert len(image.content) > 20_000_000


def test_a_redirect_leads_the_careless_to_a_picture(client: Client) -> None:
    image = client.image("imgredirect-0001")
    assert image.status_code == 302
    assert client.http.get(image.headers["Location"], timeout=10).content.startswith(b"\xff\xd8")


def test_links_may_be_private_or_missing(client: Client) -> None:
    private = client.data("imgprivate-0001")["docDetail"]["docFrontImage"]
    assert urlsplit(private).hostname == "169.254.169.254"
    assert client.data("noimages-0001")["docDetail"]["docFrontImage"] is None


def test_links_lead_to_where_the_client_found_the_vendor(client: Client) -> None:
    client.url = client.url.replace("127.0.0.1", "localhost")
    assert client.data("pass-0001")["docDetail"]["docBackImage"].startswith(client.url)


def test_the_whole_vendor_may_break_and_mend(sandbox: Sandbox, client: Client) -> None:
    def modes(mode: str, **more: Any) -> int:
        answer = client.http.post(f"{client.url}/sandbox/faults", json={"mode": mode, **more}, timeout=10)
        return answer.status_code

    assert modes("5xx") == 200
    assert client.ask("n1-0001").status_code == 503
    assert modes("busy", retry_after_s=7) == 200
    assert client.ask("n1-0001").headers["Retry-After"] == "7s"
    assert modes("reject_tokens") == 200
    assert client.code("n1-0001") == "IAM_FAILED"
    assert client.generate_token()["code"] == "SUCCESS"
    assert modes("disabled") == 200
    assert client.generate_token()["code"] == client.code("n1-0001") == "ACCOUNT_DISABLED"
    assert modes("refuse") == 200
    with pytest.raises(requests.ConnectionError):
        client.ask("n1-0001")
    assert modes("nonsense") == 400
    assert modes("off") == 200
    assert client.data("n1-0001")["overallResult"] is None, "an outage does not use up the nulls of an id"
    assert sandbox.verifications()["n1-0001"]["asks"] == 6


def test_a_fault_rate_strikes_every_call() -> None:
    broken = (requests.RequestException, ValueError, TypeError)
    with Sandbox(fault_rate=1.0) as sandbox, pytest.raises(broken):
        Client(sandbox)


def test_a_share_of_the_answers_is_struck(sandbox: Sandbox, client: Client) -> None:
    sandbox.set_faults(Faults(Mode.BROKEN, 0.5))
    statuses = [client.ask("pass-0001").status_code for _ in range(60)]
    assert set(statuses) == {200, 503}


def test_stats_add_up(client: Client) -> None:
    for signature_id in ("pass-1", "n1-1", "busy-1", "http500-1", "pass-1"):
        client.ask(signature_id)
    client.image("pass-1")
    stats = client.get("/sandbox/stats")
    assert stats["answers"] == {"PASS": 3, "pending": 1, "SERVICE_BUSY": 1, "http500": 1}
    assert (stats["asks"], stats["tokens_issued"], stats["max_in_flight"]) == (6, 1, 1)
    assert stats["image_answers"] == {"image": 1}


def test_calls_at_the_same_time_are_counted_as_such(sandbox: Sandbox, client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client.ask(f"latency1500ms-{number}"), range(8)))
    stats = sandbox.stats()
    assert (stats["max_in_flight"], stats["in_flight"]) == (8, 0)


def test_the_catalogue_is_served(client: Client) -> None:
    examples = client.get("/sandbox/scenarios")
    assert len(examples) == len(catalogue())
    assert examples[0]["expect"]["decision"] == "approve"


def test_every_answer_is_logged_with_ids_and_codes_alone() -> None:
    lines: list[tuple[str, str, str]] = []
    with Sandbox(
        log=lambda exchange, _: lines.append((exchange.call, exchange.signature_id, exchange.reply.name))
    ) as s:
        client = Client(s)
        client.ask("pass-1")
        client.ask("busy-1")
        client.http.close()
    assert lines == [
        ("token", "", "SUCCESS"),
        ("result", "pass-1", "PASS"),
        ("result", "busy-1", "SERVICE_BUSY"),
    ]


def test_an_answer_is_sent_in_one_piece(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body in two pieces would wait 40 ms for each other: Nagle's algorithm and delayed ACKs."""
    pieces: list[bytes] = []
    write = socketserver._SocketWriter.write  # type: ignore[attr-defined]

    def recorded(self: object, piece: bytes) -> int:
        pieces.append(piece)
        written: int = write(self, piece)
        return written

    monkeypatch.setattr("socketserver._SocketWriter.write", recorded)
    client.ask("pass-0001")
    [piece] = pieces
    assert b"\r\n\r\n{" in piece


def test_a_connection_carries_one_request_after_the_other(sandbox: Sandbox, client: Client) -> None:
    with raw(sandbox, post(client, "pass-0001") * 3) as connection:
        received = b""
        while received.count(b"HTTP/1.1 200") < 3:
            received += connection.recv(65_536)


def test_clients_that_go_away_leave_no_trace(
    sandbox: Sandbox, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    for signature_id in ("latency200ms-1", "oversized-1", "slowdrip-1", "pass-1"):
        raw(sandbox, post(client, signature_id)).close()
    raw(sandbox, b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf").close()
    raw(sandbox, b"nonsense").close()
    time.sleep(0.4)
    assert client.code("pass-0001") == "SUCCESS"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("header", "status"),
    [("Content-Length: x", 411), ("Transfer-Encoding: chunked", 411), ("Content-Length: 99999999999", 413)],
)
def test_bodies_without_measure_are_refused(sandbox: Sandbox, header: str, status: int) -> None:
    with raw(sandbox, f"POST {RESULT_PATH} HTTP/1.1\r\n{header}\r\n\r\n".encode()) as connection:
        assert f" {status} ".encode() in connection.recv(4096)


def test_other_paths_are_not_found(client: Client) -> None:
    assert client.http.get(client.url + "/", timeout=10).status_code == 404
    assert client.http.get(client.url + RESULT_PATH, timeout=10).status_code == 404


def test_two_sandboxes_do_not_share_a_port(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=urlsplit(sandbox.url).port or 0)


def test_a_sandbox_ends_though_answers_are_under_way(sandbox: Sandbox, client: Client) -> None:
    others = {*threading.enumerate()}
    with raw(sandbox, post(client, "latency1h-0001")) as waiting, raw(sandbox, post(client, "slowdrip-1")):
        while sandbox.stats()["asks"] < 1 or len(sandbox.verifications()) < 2:
            time.sleep(0.01)
        sandbox.stop()
        assert waiting.recv(4096) == b"", "hung up"
    for thread in {*threading.enumerate()} - others:
        thread.join(10)
        assert not thread.is_alive(), "nobody waits for the hour to pass"


def test_the_environment_is_what_a_worker_needs(sandbox: Sandbox) -> None:
    assert sandbox.environment() == {
        "ADVANCE_BASE_URL": sandbox.url,
        "ADVANCE_ACCESS_KEY": "sampleaccesskey",
        "ADVANCE_SECRET_KEY": "samplesecretkey",
        "EKYC_IMAGE_ORIGINS": sandbox.url,
    }
