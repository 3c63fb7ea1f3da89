"""`ekyc demo`: everything that the product is made of, on this machine, in processes of its own.

`plan` says what is enqueued and what should become of it, `parts` starts the processes, `journey` watches, `gather`
finds out what became of it all, `checks` judges that, and `tally` and `page` tell it. `pipeline` is what a stranger
would write.
"""
