"""The mutations of the chaos suite still find the safeguards that they take away."""

from __future__ import annotations

import pytest

from tests.chaos.mutations import MUTATIONS, Mutation
from tests.support.paths import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_mutation_still_applies_to_the_tree(mutation: Mutation) -> None:
    """Whoever rewrites a safeguard rewrites its mutation too."""
    text = (ROOT / mutation.file).read_text()
    assert mutation.mutated(text) != text


def test_a_mutation_that_no_longer_applies_says_so() -> None:
    with pytest.raises(ValueError, match=r"fence: worker/ledger/lua/record.lua no longer reads"):
        MUTATIONS["fence"].mutated("")
