"""What a broker's URL says of TLS counts; where it says nothing a server must prove who it is."""

from __future__ import annotations

import ssl

import pytest

from worker.errors import ConfigError
from worker.messaging.redis_transport import tls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host:6379/0", None),
        ("amqps://host//", None),
        ("rediss://host:6379/0", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("rediss://a/0;rediss://b/0?ssl_cert_reqs=none", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("rediss://host/0?ssl_cert_reqs=none", {"ssl_cert_reqs": ssl.CERT_NONE}),
        ("rediss://host/0?ssl_ca_certs=/ca", {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca"}),
    ],
)
def test_proof_is_asked_for_unless_the_url_says_otherwise(
    url: str, expected: dict[str, object] | None
) -> None:
    assert tls(url) == expected


def test_what_is_no_requirement_is_told() -> None:
    with pytest.raises(ConfigError, match="ssl_cert_reqs"):
        tls("rediss://host/0?ssl_cert_reqs=maybe")
