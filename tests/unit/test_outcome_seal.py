"""The MACs of the ledger: each covers one kind of thing, of one id, with these values, under a key of the workers."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ConfigError
from worker.keyring import format_key, new_key
from worker.ledger.models import Stage, Verification
from worker.policy.outcome_seal import MAC_BYTES, Outcome, Sealer
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SEALER = Sealer.from_secrets([b"s"])

texts = st.none() | st.text(max_size=8)
outcomes = st.builds(Outcome, texts, texts, texts, texts)


def recorded(
    outcome: Outcome, seal: str | None, signature_id: str = "one", region: str = "ph"
) -> Verification:
    return Verification(
        signature_id,
        region,
        Stage.ROUTING,
        1,
        overall_result=outcome.overall_result,
        error_code=outcome.error_code,
        reason=outcome.reason,
        facts=outcome.facts,
        outcome_seal=seal,
    )


@given(outcomes, outcomes)
def test_it_confirms_what_it_was_made_of_and_nothing_else(outcome: Outcome, other: Outcome) -> None:
    seal = SEALER.outcome("ph", "one", outcome)
    assert SEALER.confirms_outcome(recorded(outcome, seal))
    assert SEALER.confirms_outcome(recorded(other, seal)) == (other == outcome)


@given(st.lists(st.text(max_size=3), min_size=4, max_size=4))
def test_no_text_reaches_into_the_next(parts: list[str]) -> None:
    """Wherever the border between two texts is: other texts have another MAC."""
    joined = "".join(parts[:2])
    seal = SEALER.decision("ph", "one", *parts[:2])
    for at in range(len(joined) + 1):
        name, text = joined[:at], joined[at:]
        assert SEALER.confirms_text(seal, "ph", "one", name, text) == ([name, text] == parts[:2])


def test_none_is_no_empty_text() -> None:
    seal = SEALER.outcome("ph", "one", Outcome("PASS", "SUCCESS", None, "{}"))
    assert not SEALER.confirms_outcome(recorded(Outcome("PASS", "SUCCESS", "", "{}"), seal))


@pytest.mark.parametrize(("region", "signature_id"), [("sg", "one"), ("ph", "two"), ("pho", "ne")])
def test_it_is_bound_to_region_and_id(region: str, signature_id: str) -> None:
    outcome = Outcome("PASS", "SUCCESS", None, "{}")
    assert not SEALER.confirms_outcome(
        recorded(outcome, SEALER.outcome("ph", "one", outcome), signature_id, region)
    )


def test_kinds_do_not_stand_for_one_another() -> None:
    seal = SEALER.delivery("ph", "one", "approve", "{}")
    assert SEALER.confirms_delivery(seal, "ph", "one", "approve", "{}")
    assert not SEALER.confirms_text(seal, "ph", "one", "approve", "{}")


@pytest.mark.parametrize(
    "damage",
    [
        lambda seal: None,
        lambda seal: "",
        lambda seal: seal[:-1],
        lambda seal: seal[:6],
        lambda seal: seal + "A",
        lambda seal: seal + "=" * 9,
        lambda seal: "é" + seal,
        lambda seal: "\x00",
        lambda seal: seal * 10_000,
        lambda seal: " " + seal,
        lambda seal: base64.urlsafe_b64encode(bytes(MAC_BYTES)).decode(),
        lambda seal: base64.urlsafe_b64encode(base64.urlsafe_b64decode(seal + "==")[:1]).decode(),
    ],
)
def test_a_damaged_one_confirms_nothing(damage: Callable[[str], Any]) -> None:
    outcome = Outcome("PASS", "SUCCESS", None, "{}")
    seal = SEALER.outcome("ph", "one", outcome)
    assert len(seal) == 22
    assert not SEALER.confirms_outcome(recorded(outcome, damage(seal)))


def test_keys_of_before_confirm_during_a_rotation() -> None:
    outcome = Outcome("PASS", "SUCCESS", None, "{}")
    old, new = new_key("2026"), new_key("2027")
    alone = Settings(secret_key="vendor")
    first = replace(alone, evidence_keys=format_key(old))
    both = replace(alone, evidence_keys=f"{format_key(new)},{format_key(old)}")
    last = replace(alone, evidence_keys=format_key(new))
    seals = {
        name: Sealer.from_settings(each).outcome("ph", "one", outcome)
        for name, each in {"alone": alone, "first": first, "both": both, "last": last}.items()
    }
    assert seals["both"] == seals["last"]
    assert len(set(seals.values())) == 3
    confirmed = {
        name: Sealer.from_settings(both).confirms_outcome(recorded(outcome, seal))
        for name, seal in seals.items()
    }
    assert confirmed == dict.fromkeys(seals, True)
    assert not Sealer.from_settings(last).confirms_outcome(recorded(outcome, seals["first"]))
    assert not Sealer.from_settings(replace(alone, secret_key="other")).confirms_outcome(
        recorded(outcome, seals["alone"])
    )


def test_without_a_key_nothing_is_confirmed_and_nothing_sealed() -> None:
    sealer = Sealer.from_settings(Settings())
    outcome = Outcome("PASS", "SUCCESS", None, "{}")
    assert not sealer
    assert not sealer.confirms_outcome(recorded(outcome, SEALER.outcome("ph", "one", outcome)))
    with pytest.raises(ConfigError, match="ADVANCE_SECRET_KEY is not set"):
        sealer.outcome("ph", "one", outcome)


def test_its_repr_shows_no_key() -> None:
    assert repr(Sealer.from_secrets([b"secret"])) == "Sealer()"
