"""The page of the packaged decision table, from `worker/decisions/default.toml` and the comments in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tools.docs.page import ROOT, code, generated, table
from worker.decisions.rules import OneOf
from worker.decisions.table import Table

if TYPE_CHECKING:
    from worker.decisions.rules import Rule

_SOURCE: Final = (ROOT / "worker" / "decisions" / "default.toml").read_text()

#: A name in the table, and the comment after it.
_COMMENT: Final = re.compile(r'^\s*(?:error_code = )?"?([A-Z_]+)"?(?: = "\w+"|,)?\s+# (.+)$', re.MULTILINE)

_INTRO = """
Which decision follows from `overallResult` and `errorCode` by the packaged table. What a pipeline may do about each
decision: [connecting a pipeline](../pipelines.md#what-each-decision-means). How to use a table of your own: [decision
tables](../decisions.md).

With the Document API, `INCOMPLETE` is called `FAIL`.
"""


def page() -> str:
    packaged = Table.load(None)
    meanings: dict[str, str] = dict(_COMMENT.findall(_SOURCE))
    rows, reasons = list[list[str]](), list[list[str]]()
    for rule in packaged.rules:
        for error_code in _named(rule, "error_code"):
            results = " ".join(map(code, _named(rule, "overall_result")))
            rows.append([code(error_code), results, code(rule.decision), meanings.get(error_code, "")])
        for reason in _named(rule, "reason"):
            reasons.append([code(reason), code(rule.decision), meanings.get(reason, "")])
    rest = (
        f"Every other pair is decided {code(packaged.otherwise)}: results that contradict their code, answers "
        "without an `errorCode`, and undocumented codes."
    )
    return generated(
        "The packaged decision table",
        _INTRO,
        "## By errorCode\n\n"
        + table(["errorCode", "overallResult", "decision", "meaning"], rows)
        + f"\n\n{rest}",
        "## By reason\n\nWithout a result, or for an answer that contradicts itself:\n\n"
        + table(["reason", "decision", "meaning"], reasons),
        source="`worker/decisions/default.toml`",
    )


def _named(rule: Rule, name: str) -> list[str]:
    """The values of a condition, in the order of the file."""
    condition = rule.condition(name)
    if not isinstance(condition, OneOf):
        return []
    return sorted(condition.values, key=lambda value: _SOURCE.rindex(f'"{value}"'))
