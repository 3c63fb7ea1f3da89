"""The report of a month: what was decided, how fast, and what the vendor did wrong. From the evidence alone."""
