"""The ledger: the record of every verification, in Redis. The only place where state lives."""
