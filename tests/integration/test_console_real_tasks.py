"""The screen Verifications on what real tasks left, with answers of the vendor's stand-in and its evidence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_console_verifications import page_of, read
from tests.support.console import OPERATOR, console_process, person
from worker.client import enqueue
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.web_process import Web


@pytest.fixture
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph,sg"}) as fleet:
        yield fleet


@pytest.fixture
def web(fleet: LocalFleet, tmp_path: Path) -> Iterator[Web]:
    with console_process(tmp_path, fleet.redis_url, EKYC_EVIDENCE_URL=fleet.evidence.as_uri()) as web:
        yield web


def personal(found: Any) -> set[str]:
    """Texts of an answer that are no codes: names, addresses, numbers of documents, links of images."""
    if isinstance(found, dict):
        return {text for each in found.values() for text in personal(each)}
    if isinstance(found, list):
        return {text for each in found for text in personal(each)}
    is_text = isinstance(found, str) and (" " in found or "/" in found or sum(map(str.isdigit, found)) > 5)
    return {found} if is_text else set()


def test_what_a_fleet_did_is_shown_explained_and_proved(fleet: LocalFleet, web: Web) -> None:
    ids = {
        "CARD_NOT_FOUND-n2-1": "recapture",
        "pass-http500-2": "approve",
        "ID_FORGERY_DETECTED-3": "reject",
        "pass-unsubmitted-4": "review",
    }
    for name in ids:
        enqueue(name, "ph", context={"application": "A-77"})
    fleet.drain()
    enqueue("pass-n50-5", "ph")
    fleet.drain(for_s=5)
    someone = person(web, OPERATOR)
    for name, decision in ids.items():
        answer = someone.get(page_of(name))
        text = read(answer).text
        assert f"it is {decision}" in text, text
        assert "that decision stays" not in text
        assert "delivered" in text
        checked = someone.post(f"{page_of(name)}/evidence")
        said = read(checked).text
        assert "✓ Unchanged." in said, said
        assert "The stored answer says what the ledger says" in said
        kept = json.loads((fleet.evidence / "ph" / name / "answer.json").read_bytes())
        shown = (answer.raw + checked.raw).decode()
        secret = personal(kept) - {name, kept.get("transactionId")}
        assert secret
        assert [each for each in secret if each in shown] == []
        assert "A-77" not in shown
    text = read(someone.get(page_of("pass-http500-2"))).text
    assert "HTTP_500" in text
    text = read(someone.get(page_of("pass-n50-5"))).text
    assert "waits to be polled, due in" in text
    assert "without a result" in text
