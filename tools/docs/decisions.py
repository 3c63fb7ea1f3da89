"""The page of the packaged decision table, from `worker/decisions/default.toml` and the comments in it."""

from __future__ import annotations

import re
from typing import Final

from tools.docs.page import ROOT, code, generated, table
from worker.decisions.table import Table

_SOURCE: Final = (ROOT / "worker" / "decisions" / "default.toml").read_text()

#: A name in the table, and the comment after it.
_COMMENT: Final = re.compile(r'^\s*(?:error_code = )?"?([A-Z_]+)"?(?: = "\w+"|,)?\s+# (.+)$', re.MULTILINE)

_INTRO = """
Which decision follows from `overallResult` and `errorCode` by the packaged table. What a pipeline may do about each
decision: [connecting a pipeline](../pipelines.md#what-each-decision-means). How to use a table of your own: [deciding
by errorCode](../decisions.md).

With the Document API, `INCOMPLETE` is called `FAIL`.
"""


def page() -> str:
    packaged = Table.load(None)
    meanings: dict[str, str] = dict(_COMMENT.findall(_SOURCE))
    by_code: dict[tuple[str, str], list[str]] = {}
    for (result, error_code), decision in packaged.rows.items():
        by_code.setdefault((error_code, decision), []).append(result)
    rows = [
        [code(error_code), " ".join(map(code, results)), code(decision), meanings.get(error_code, "")]
        for (error_code, decision), results in by_code.items()
    ]
    reasons = [
        [code(reason), code(decision), meanings.get(reason, "")]
        for reason, decision in packaged.reasons.items()
    ]
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
