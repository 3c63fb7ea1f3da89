"""What a user would write instead: the same job on other queues, each as its own documentation teaches.

Each module is a whole worker, and has an `enqueue` for the pipeline's side. What they share is in `job` (values and
files), `vendor` (the calls, with requests) and `vendor_async` (the same with aiohttp).
"""
