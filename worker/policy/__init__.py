"""What is decided without any I/O: the rules, the countdowns, and their simulation."""
