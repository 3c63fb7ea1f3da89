"""What `ekyc quarantine` says beside figures, and how it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from worker import errors
from worker.advance.answers import TransientFault
from worker.advance.answers.classify import _OURS_TO_FIX, _SAYS_ALL
from worker.cli import options
from worker.cli.quarantine.act import Act, Chosen
from worker.errors import EkycError, LedgerUnavailable, LogDamaged, SignatureRefused
from worker.ledger.quarantine import PAGE
from worker.policy.quarantine_reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Written where a verification is quarantined: in `worker.policy.rules`, `worker.runtime.batch_runner` and
#: `lua/claim.lua`.
BY_NAME = {
    "UNREADABLE",
    "UNKNOWN_CODE",
    "CRASHES_WORKERS",
    "UNFORESEEN",
    "EVIDENCE_UNAVAILABLE",
    "EVIDENCE_KEY_UNKNOWN",
}

OPERATORS = ROOT / "docs" / "operators.md"


def kinds(of: type[EkycError]) -> Iterator[type[EkycError]]:
    yield of
    for kind in of.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)


def test_what_our_own_faults_and_the_vendors_words_can_bring_there_is_explained() -> None:
    # A receiver raises `SignatureRefused`, never the fleet. `LogDamaged` is about a region's log, not a verification.
    fleets = [kind for kind in kinds(EkycError) if not issubclass(kind, (SignatureRefused, LogDamaged))]
    by_fault = {kind.cause for kind in fleets if kind.quarantine or not kind.retry}
    refused = {code for code, kind in _SAYS_ALL.items() if kind is not TransientFault}
    by_status = {"HTTP_401", "HTTP_403"}
    assert set(REASONS) == BY_NAME | by_fault | _OURS_TO_FIX | refused | by_status


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_told_in_a_sentence_and_explained_in_the_docs(reason: str) -> None:
    advice = REASONS[reason]
    assert advice.means[0].islower()
    assert not (advice.means + advice.todo).endswith(".")
    assert f"`{reason}`" in OPERATORS.read_text()


@pytest.mark.parametrize("end", [KeyboardInterrupt, LedgerUnavailable])
def test_an_act_that_is_cut_short_says_how_far_it_came(
    end: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """More may have been done: nobody saw the answer to what was sent last."""
    left = iter([PAGE, PAGE - 1])

    def do(_region: str, signature_ids: Sequence[str]) -> list[bool]:
        there = next(left, None)
        if there is None:
            raise end
        return [True] * there + [False] * (len(signature_ids) - there)

    chosen = Chosen({"ph": [f"id-{number}" for number in range(3 * PAGE)]}, "many")
    with pytest.raises(end):
        Act("retry", "retried", do).on(chosen, yes=True, as_json=True)
    said = capsys.readouterr()
    assert said.err == f"ekyc: so far, at least: retried {2 * PAGE - 1}, not in quarantine 1\n"
    assert said.out == ""


def test_somebody_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that belongs to nobody."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert options.login_name() == "unknown"
