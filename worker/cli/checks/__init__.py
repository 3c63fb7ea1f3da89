"""The checks of `ekyc doctor`. Each runs independently, so that one fault does not hide another."""
