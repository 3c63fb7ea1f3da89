"""Decisions without I/O: the rules, the countdowns, and their simulation."""
