"""The tasks: `enqueue`, one for each stage of a verification, and `deliver` for webhooks. Read them in this order:

`enqueue` → `get_result` → `archive_images` → `route_decision` → `deliver`
"""

from tasks.archive_images import archive_images
from tasks.deliver import deliver
from tasks.enqueue import enqueue
from tasks.get_result import get_result
from tasks.route_decision import route_decision

__all__ = ["archive_images", "deliver", "enqueue", "get_result", "route_decision"]
