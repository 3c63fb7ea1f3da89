"""The vendor's stand-in: its token API, its Get Result API and its image links over HTTP, with faults on demand.

For programs::

    with Sandbox() as vendor:
        requests.post(f"{vendor.url}/intl/openapi/…")

Start reading at ``sandbox.scenario``: what is answered for an id follows from the id.
"""
