"""The ledger: the record of every verification, in Redis. The only place where state lives.

`values` are what comes out of it, `writes` what a batch may write into it, `lua/` the scripts that move a
verification, with the key schema at the head of ``lua/common.lua``.
"""

from worker.ledger.ledger import Ledger
from worker.ledger.quarantine import Quarantine
from worker.ledger.stats import Stats

__all__ = ["Ledger", "Quarantine", "Stats"]
