"""Decisions: the table that maps what the vendor says to what the pipeline receives, and its delivery."""
