"""What happens to evidence after the decision: reports, exports, retention, erasure."""
