"""Decisions: the table that maps what the vendor says to what the pipeline is told, and its delivery."""
