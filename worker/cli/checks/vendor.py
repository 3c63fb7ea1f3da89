"""Checks of the vendor: whether each region answers, issues a token, and has the same time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from worker.advance.client import Client
from worker.cli.checks.finding import Finding, Level
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.advance.client import Probe
    from worker.settings import Settings

#: The vendor recommends that the timestamp of a token request is within 300 s of its clock.
SKEW_ERROR_S: Final = 300.0
SKEW_WARNING_S: Final = 60.0

#: Variables that `requests` and curl read.
_UNREAD: Final = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)

#: What to do when the vendor issues no token, by the answer's kind.
_NO_TOKEN: Final = {
    "busy": "the vendor is busy; try again in a while",
    "unauthorised": "check ADVANCE_ACCESS_KEY and ADVANCE_SECRET_KEY, and that the account may use this region",
    "account_fault": "check ADVANCE_ACCESS_KEY and ADVANCE_SECRET_KEY, and the account in the vendor's console",
}


def check_address(settings: Settings) -> Iterator[Finding]:
    """Warn if calls go to an origin other than the vendor's, which is for sandboxes."""
    if settings.base_url:
        said = f"ADVANCE_BASE_URL is {settings.base_url}: calls for every region go there, not to the vendor"
        yield Finding("vendor address", Level.WARNING, said, "unset it in production")


def check_way_out(settings: Settings) -> Iterator[Finding]:
    """Warn about proxies and CA bundles that other programs read from the environment and this one does not."""
    unread = [name for name in _UNREAD if os.environ.get(name)]
    ours = {"proxy": settings.proxy, "CA bundle": settings.ca_bundle}
    for kind, names, setting in (
        ("proxy", [name for name in unread if name.upper().endswith("_PROXY")], "EKYC_PROXY"),
        ("CA bundle", [name for name in unread if not name.upper().endswith("_PROXY")], "EKYC_CA_BUNDLE"),
    ):
        if names:
            level = Level.OK if ours[kind] else Level.WARNING
            said = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set and not read"
            todo = (
                "" if ours[kind] else f"set {setting} if the vendor and images can only be reached that way"
            )
            yield Finding(kind, level, said, todo)
    if settings.proxy:
        said = "the vendor and images are called through EKYC_PROXY"
        yield Finding("proxy", Level.OK, said)


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Check that the vendor keys are set. Raises ``ConfigError`` if one is missing."""
    settings.require_vendor()
    yield Finding("vendor keys", Level.OK, "set")


def check_vendor(settings: Settings) -> Iterator[Finding]:
    """Request a token from each region, all at once. Without keys no request is made."""
    if not (settings.access_key and settings.secret_key):
        return
    client = Client(settings, connect(settings.redis_url))
    with ThreadPoolExecutor(len(settings.regions)) as pool:
        for region, probe in zip(settings.regions, pool.map(client.probe, settings.regions), strict=True):
            yield _access(region, probe)
            if probe.clock_skew_s is not None:
                yield _clock(region, probe.clock_skew_s)


def _access(region: str, probe: Probe) -> Finding:
    name, refusal = f"vendor {region}", probe.refusal
    if refusal is None:
        return Finding(name, Level.OK, "answers, and issues a token")
    if not probe.reachable:
        return Finding(
            name,
            Level.ERROR,
            f"does not answer ({refusal.detail})",
            "check the network of this machine, or remove the region from ADVANCE_REGIONS",
        )
    todo = _NO_TOKEN.get(refusal.kind, "try again; if it still fails, ask the vendor's support")
    if refusal.transaction_id:
        todo += f" (for the vendor's support: transaction {refusal.transaction_id})"
    level = Level.WARNING if refusal.kind == "busy" else Level.ERROR
    return Finding(name, level, f"issues no token ({refusal.kind} {refusal.detail})", todo)


def _clock(region: str, skew_s: float) -> Finding:
    name = f"vendor clock {region}"
    if abs(skew_s) <= SKEW_WARNING_S:
        return Finding(name, Level.OK, f"agrees with this machine's within {max(abs(skew_s), 1):.0f} s")
    side = "ahead of" if skew_s > 0 else "behind"
    beyond = abs(skew_s) > SKEW_ERROR_S
    said = (
        f"this machine is {abs(skew_s):.0f} s {side} the vendor: "
        f"beyond {SKEW_ERROR_S:.0f} s it may refuse our keys, and then all verifications of {region} wait"
    )
    return Finding(name, Level.ERROR if beyond else Level.WARNING, said, "synchronise this machine with NTP")
