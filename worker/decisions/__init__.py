"""Decisions: the table that maps the vendor's results to decisions, and their delivery to the pipeline."""
