"""What `ekyc doctor` looks at: each check by itself, so that one fault does not hide another."""
