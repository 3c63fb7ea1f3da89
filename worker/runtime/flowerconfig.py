"""Flower's settings for this fleet, in the format of Flower's own configuration file; docs/flower.md explains each.

A variable `FLOWER_…`, the operator's configuration file or a flag overrides them.
"""

import os

address = "127.0.0.1"

# PORT is set by platforms such as Heroku.
port = int(os.environ.get("PORT", "").strip() or 5555)

read_only = True

persistent = True
db = "var/flower/state"

# In milliseconds. Flower also saves when it ends; a kill loses up to a minute.
state_save_interval = 60_000

# Measured: 60 MB of memory, and a state of 3 MB, saved in 0.7 s.
max_tasks = 10_000

# Our workers always send events. Enabling them would make every worker on this broker send its tasks with their
# arguments, also the pipeline's workers.
enable_events = False

# In seconds. A worker's name may be that of a container, which does not come back.
purge_offline_workers = 86_400

tasks_columns = "name,args,state,received,runtime,worker,uuid"
