"""Flower's settings for this fleet, in the format of Flower's own configuration file; docs/flower.md explains each.

They hold unless a variable `FLOWER_…`, a configuration file of the operator or a flag says otherwise.
"""

import os

address = "127.0.0.1"

# PORT is set by platforms such as Heroku.
port = int(os.environ.get("PORT", "").strip() or 5555)

read_only = True

persistent = True
db = "var/flower/state"

# In milliseconds. Flower also saves when it ends; a killed one has lost a minute.
state_save_interval = 60_000

# Measured: 60 MB of memory, and a state of 3 MB that is saved in 0.7 s.
max_tasks = 10_000

# Our workers send events without being asked. To ask would make every worker on this broker describe its tasks,
# also those of a pipeline, with their arguments.
enable_events = False

# In seconds. The name of a worker may be that of a container, which does not come back.
purge_offline_workers = 86_400

tasks_columns = "name,args,state,received,runtime,worker,uuid"
