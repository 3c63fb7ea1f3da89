"""What a decision table makes of a result, a code and a reason, without further facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.paths import ROOT
from worker.decisions.facts import Facts

if TYPE_CHECKING:
    from worker.decisions.table import Table

#: The packaged table of the release before rules, in the older format.
ROWS_TABLE = ROOT / "tests" / "support" / "rows_table.toml"


def decided(
    table: Table, overall_result: str | None, error_code: str | None, reason: str | None = None
) -> str:
    codes = () if error_code is None else (error_code,)
    return table.decide(Facts(overall_result=overall_result, error_codes=codes, region="ph", reason=reason))
