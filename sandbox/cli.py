"""`ekyc sandbox`: the stand-in for the vendor as a command."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

import click

from sandbox.callbacks import CallbackSettings
from sandbox.server import Sandbox
from sandbox.tokens import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from sandbox.app import Exchange


class _CannotListen(click.ClickException):
    exit_code = 2


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8099,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--access-key", default=ACCESS_KEY, show_default=True, help="The access key that gets a token.")
@click.option(
    "--secret-key", default=SECRET_KEY, show_default=True, help="The secret key that signs a token request."
)
@click.option(
    "--token-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="The lifetime of tokens, whatever the request asks for.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Varies plain ids and random faults.")
@click.option(
    "--fault-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of answers that are random faults.",
)
@click.option(
    "--callback-url",
    multiple=True,
    help="Send the vendor's callbacks to this URL, such as that of POST /v1/notifications; may be given again.",
)
@click.option(
    "--callback-lost",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of callbacks that are not sent.",
)
@click.option(
    "--callback-doubled",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of callbacks that are sent twice.",
)
@click.option("--json-log", is_flag=True, help="Print JSON, one object a line.")
@click.option("--quiet", is_flag=True, help="Do not print a line for each answer.")
def sandbox(  # noqa: PLR0913 - the options above
    *,
    host: str,
    port: int,
    access_key: str,
    secret_key: str,
    token_seconds: float | None,
    seed: int,
    fault_rate: float,
    callback_url: tuple[str, ...],
    callback_lost: float,
    callback_doubled: float,
    json_log: bool,
    quiet: bool,
) -> None:
    """Start a stand-in for the vendor: tokens, results and images.

    The answers for a signatureId follow from the id, which is split at its dashes. These words have a
    meaning, in any order; other words make the id unique:

    \b
      pass  fail  CARD_NOT_FOUND            the result: any errorCode of the vendor
      n3  t5s  sub2  forever                three nulls; null for 5 s; submitted after two nulls
      code-ERROR-x2  busy  retryafter10s    two answers with that envelope code; SERVICE_BUSY
      notexist  lag2  tokenexpired          the id is unknown, for ever or twice; the token expires
      http500x2  html  truncated  reset     the transport fails, twice or once
      latency2s  slowdrip  oversized        the answer is slow, or too large
      imgexpired  notimage  imgoversized    images fail

    \b
    For example, CARD_NOT_FOUND-http500-n2-0042 gets HTTP 500, two nulls, then INCOMPLETE with that code.
    An id without such words gets null for some seconds and then, mostly, PASS. All words: docs/sandbox.md.
    """  # noqa: D301 - click takes a backspace for "do not wrap"
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = Sandbox(
            host,
            port,
            access_key=access_key,
            secret_key=secret_key,
            token_s=token_seconds,
            seed=seed,
            fault_rate=fault_rate,
            callbacks=CallbackSettings(callback_url, callback_lost, callback_doubled, seed),
            log=_nothing if quiet else _json_line if json_log else _line,
        )
    except OSError as error:
        raise _CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}; try --port 0"
        ) from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--callback-url") from None
    with server:
        _introduce(server, json_log=json_log)
        ended.wait()


def _introduce(server: Sandbox, *, json_log: bool) -> None:
    environment = server.environment()
    if json_log:
        click.echo(json.dumps({"event": "listening", "url": server.url, "environment": environment}))
        return
    click.echo(f"The sandbox answers as the vendor would, at {server.url}. To use it:\n")
    for name, value in environment.items():
        click.echo(f"  export {name}={value}")
    click.echo("\nThe answers follow from the signatureId: see --help. Ctrl-C stops the sandbox.")


def _nothing(exchange: Exchange, took_s: float) -> None:
    del exchange, took_s


def _json_line(exchange: Exchange, took_s: float) -> None:
    fields = {
        "event": "answered",
        "at_ms": round(time.time() * 1000),
        "call": exchange.call,
        "signature_id": exchange.signature_id,
        "answer": exchange.reply.name,
        "status": exchange.reply.status,
        "took_ms": round(took_s * 1000, 1),
    }
    _print(json.dumps(fields))


def _line(exchange: Exchange, took_s: float) -> None:
    at = time.strftime("%H:%M:%S")
    call = exchange.call or "other"
    _print(f"{at}  {call:<6}  {exchange.reply.name:<20}  {took_s * 1000:7.1f} ms  {exchange.signature_id}")


def _print(line: str) -> None:
    # Continue to answer if the output's reader has gone.
    with suppress(OSError):
        click.echo(line)
