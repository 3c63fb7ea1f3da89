"""Prometheus metrics of the whole fleet, read from the ledger: every process returns the same figures.

`catalogue` lists the metrics, `label` limits label values to a few words, `collector` reads the ledger.
"""

from worker.observability.metrics.collector import Metrics

__all__ = ["Metrics"]
