"""The endpoints that ask for events of what people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.decisions.endpoints import load
from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.decisions.endpoints import Endpoint
    from worker.settings import Settings


def listeners(settings: Settings) -> Mapping[str, Endpoint]:
    """The endpoints of the file. One that cannot be used keeps no person from acting: then no event is sent."""
    try:
        return load(settings.endpoints_file, with_secrets=False)
    except ConfigError:
        click.echo("ekyc: no event is sent: EKYC_ENDPOINTS_FILE cannot be used; run `ekyc doctor`", err=True)
        return {}
