"""The log of all evidence: a Merkle tree for each region, as static files in the evidence store."""
