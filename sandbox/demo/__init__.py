"""`ekyc demo`: all parts of the product on this machine, each in a process of its own.

`plan` has the verifications and their expected outcomes, `parts` starts the processes, `handover` enqueues, `journey`
watches, `gather` collects the findings, `checks` checks them, and `tally` and `page` make the report. `pipeline` is an
example of a pipeline that uses none of our code, `api` one that has HTTP alone, and `receiver` gets webhooks.
"""
