"""The ledger: the record of every verification, in Redis. The only place where state lives.

`models` has the values that it returns, `transitions` what a batch may write, and `lua/` the scripts that move a
verification. The key schema is at the head of ``lua/common.lua``, the fields of a verification are in `fields`.
"""

from worker.ledger.ledger import Ledger
from worker.ledger.quarantine import Quarantine
from worker.ledger.stats import Stats

__all__ = ["Ledger", "Quarantine", "Stats"]
