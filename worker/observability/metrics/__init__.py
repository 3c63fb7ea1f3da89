"""The fleet in Prometheus's terms, read from the ledger: whichever process is asked, the figures are those of all.

`catalogue` says what there is, `label` limits label values to a few words, `collector` reads it.
"""

from worker.observability.metrics.collector import Metrics

__all__ = ["Metrics"]
