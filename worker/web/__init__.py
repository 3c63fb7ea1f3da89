"""What machines hold in their hands: the process `web`, under gunicorn (`gunicorn -c python:worker.web.gunicorn_conf`).

Today it says whether it lives, whether the fleet can work, and its figures. What pipelines and people will be given
over HTTP joins the pages of `Face`.
"""
