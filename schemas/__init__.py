"""Schemas of all data from and to other systems: the vendor's answers, enqueue requests and decisions."""
