"""Where each region is asked."""

from __future__ import annotations

import pytest

from sandbox import scenario
from worker.advance.regions import HOSTS, clear_data_url, get_result_url, token_url
from worker.enqueue_request import REGIONS
from worker.policy.retention import SOURCES

RESULT = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/get-result"
CLEAR = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/clear-data"
TOKEN = "/openapi/auth/ticket/v1/generate-token"

DOCUMENTED = {
    "sg": "https://sg-api.advance.ai",
    "ph": "https://ph-api.advance.ai",
    "th": "https://th-api.advance.ai",
    "my": "https://my-api.advance.ai",
    "vn": "https://vn-api.advance.ai",
    "global": "https://api.advance.ai",
}


def test_every_region_has_a_host() -> None:
    assert set(HOSTS) == set(REGIONS) == set(DOCUMENTED)


def test_every_region_has_a_law_and_documents_in_the_sandbox() -> None:
    """The sandbox names the host `global` after its country, Indonesia."""
    assert set(SOURCES) == set(REGIONS)
    assert {"global" if country == "id" else country for country in scenario.REGIONS} == set(REGIONS)


@pytest.mark.parametrize(("region", "origin"), DOCUMENTED.items())
def test_urls_are_the_documented_ones(region: str, origin: str) -> None:
    assert get_result_url(region) == origin + RESULT
    assert token_url(region) == origin + TOKEN
    assert clear_data_url(region) == origin + CLEAR


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"])
def test_a_base_url_takes_the_place_of_every_host(region: str, base_url: str) -> None:
    assert get_result_url(region, base_url) == f"http://127.0.0.1:8080{RESULT}"
    assert token_url(region, base_url) == f"http://127.0.0.1:8080{TOKEN}"


def test_a_token_is_minted_on_the_host_that_is_queried() -> None:
    """Whether a token of one regional host works on another, nobody says."""
    for region in REGIONS:
        assert token_url(region).removesuffix(TOKEN) == get_result_url(region).removesuffix(RESULT)
