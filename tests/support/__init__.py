"""Helpers for the tests of more than one folder.

- Servers: `servers` (Valkey and Redis), `rabbitmq`, `faketime`, `tls_front`, and the stubs of the vendor, image hosts,
  buckets and name servers.
- Helpers: `ports`, `waiting`, `paths`, `certificates`, `cli_process`, `docs_pages`, `http_thread`, `promql`,
  `redis_states`; tables of cases: `odd_answers`.
- `fixtures` is a pytest plugin: every test may use its fixtures without an import.

A helper for only one folder is in that folder; its fixtures are in the `conftest.py` there.
"""
