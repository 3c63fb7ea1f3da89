"""The process `web`, under gunicorn (`gunicorn -c python:worker.web.gunicorn_conf`).

It answers whether it lives and whether the fleet can work, and serves the metrics.
"""
