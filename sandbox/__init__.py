"""A stand-in for the vendor: its token API, its Get Result API and its image links over HTTP, with faults on demand.

In a program::

    with Sandbox() as vendor:
        requests.post(f"{vendor.url}/intl/openapi/…")

Start reading at ``sandbox.scenario``: the answers for an id follow from the id.
"""
