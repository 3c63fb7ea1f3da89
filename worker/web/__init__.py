"""The process `web`, under gunicorn (`gunicorn -c python:worker.web.gunicorn_conf`).

It serves its own health, the fleet's readiness, the metrics, and the HTTP API.
"""
