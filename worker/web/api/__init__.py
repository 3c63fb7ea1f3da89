"""The HTTP API: everything under `/v1`, its description at `/openapi.json`, and a page about it at `/docs`.

`application` makes the Flask application. A module per resource (`verifications`, `decisions`, `deliveries` with the
endpoints, `reconciliations`, `notifications`, `webhook_keys`) holds a blueprint of flask-smorest. What every
request goes through is in `admission` (tokens, rate limit, size and type of the body), `bodies` (JSON), `problems`
(errors as RFC 9457 has them) and `request_log`.
"""
