"""What leaves a task when something fails in it."""

from __future__ import annotations

import traceback
from subprocess import CalledProcessError
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from worker.errors import LedgerUnavailable
from worker.messaging.redaction import Wordless

PERSON = "JUAN DELA CRUZ"


@pytest.fixture
def app() -> Celery:
    return Celery("tested", task_cls="worker.messaging.redaction:Task", set_as_current=False)


class WithNeeds(Exception):
    """It cannot be made of nothing."""

    def __init__(self, said: str, *, beside: str) -> None:
        super().__init__(f"{said} {beside}")


@pytest.mark.parametrize(
    "error",
    [
        LookupError(PERSON),
        KeyError(PERSON),
        WithNeeds(PERSON, beside="x"),
        UnicodeDecodeError("utf-8", PERSON.encode(), 0, 1, PERSON),
        ExceptionGroup(PERSON, [ValueError(PERSON)]),
        CalledProcessError(1, PERSON, PERSON),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_others_keeps_its_kind_and_place_and_loses_its_words(
    app: Celery, error: Exception
) -> None:
    """Promise 6: Celery logs it, with what it followed from, and tells Flower."""

    @app.task
    def failing() -> None:
        try:
            int(PERSON)
        except ValueError as quoting:
            raise error from quoting

    with pytest.raises((type(error), Wordless)) as caught:
        failing()
    told = "".join(traceback.format_exception(caught.value))
    assert PERSON not in told + repr(caught.value) + str(caught.value)
    assert type(error).__name__ in told.splitlines()[-1]
    assert "in failing" in told
    result: Any = failing.apply()
    assert PERSON not in str(result.traceback) + repr(result.result)


@pytest.mark.parametrize(
    "error", [LedgerUnavailable("Redis is away"), Reject("later", requeue=True)], ids=repr
)
def test_what_we_say_ourselves_is_said(app: Celery, error: Exception) -> None:
    @app.task
    def failing() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        failing()
    assert caught.value is error
