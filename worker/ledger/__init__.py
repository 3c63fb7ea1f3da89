"""The ledger: the record of every verification, in Redis. The only place where state lives.

`models` are what comes out of it, `transitions` what a batch may write into it, `lua/` the scripts that move a
verification, with the key schema at the head of ``lua/common.lua`` and the fields of a verification in `fields`.
"""

from worker.ledger.ledger import Ledger
from worker.ledger.quarantine import Quarantine
from worker.ledger.stats import Stats

__all__ = ["Ledger", "Quarantine", "Stats"]
