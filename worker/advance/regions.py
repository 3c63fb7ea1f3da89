"""The vendor's URLs: its hosts and three paths, as its own pages name them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

#: By region, as `worker.enqueue_request.REGIONS` names them. The vendor's tabs label `api` Indonesia; `global` uses it.
HOSTS: Final = MappingProxyType(
    {
        "sg": "sg-api.advance.ai",
        "ph": "ph-api.advance.ai",
        "th": "th-api.advance.ai",
        "my": "my-api.advance.ai",
        "vn": "vn-api.advance.ai",
        "global": "api.advance.ai",
    }
)

TOKEN_PATH: Final = "/openapi/auth/ticket/v1/generate-token"  # noqa: S105 - a path
RESULT_PATH: Final = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/get-result"
CLEAR_PATH: Final = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/clear-data"


def token_url(region: str, base_url: str = "") -> str:
    """Return the URL for a token of `region`. `base_url` is one origin instead of all hosts."""
    return _origin(region, base_url) + TOKEN_PATH


def get_result_url(region: str, base_url: str = "") -> str:
    """Return the URL for a result of `region`. `base_url` is one origin instead of all hosts."""
    return _origin(region, base_url) + RESULT_PATH


def clear_data_url(region: str, base_url: str = "") -> str:
    """Return the URL that deletes data of `region`. `base_url` is one origin instead of all hosts."""
    return _origin(region, base_url) + CLEAR_PATH


def _origin(region: str, base_url: str) -> str:
    return base_url.rstrip("/") or f"https://{HOSTS[region]}"
