"""The console in a real browser: long words, a telephone, and forms that are refused."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from schemas.enqueue import EnqueueRequest
from tests.support.browser import DARK, LIGHT, NARROW, WIDE, chromium
from tests.support.console import EVERYTHING, OPERATOR, console_process, person
from tests.support.servers import VALKEY, running_server
from worker.ledger import Ledger, transitions
from worker.ledger.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.browser import Chromium, Tab
    from tests.support.web_process import Web

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect
# A busy machine answers late.
expect.set_options(timeout=30_000)

pytestmark = pytest.mark.timeout(180)

#: As long as each of them can be, without a place to break the line.
LONG_ID = "M" * 64
LONG_WHY = "w" * 200
LONG_USER = "m" * 64

#: The paths of pages that show them.
PAGES = (
    "/console/",
    "/console/verifications?stage=quarantined",
    f"/console/verifications/ph/{LONG_ID}",
    "/console/quarantine",
    "/console/deliveries",
    "/console/deliveries/endpoints/shop",
    "/console/audit",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def web(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A `web` without a fleet, with three verifications in quarantine and an endpoint that is paused."""
    folder = tmp_path_factory.mktemp("layout")
    endpoints = folder / "endpoints.toml"
    endpoints.write_text(
        '[endpoints.shop]\nurl = "https://shop.example/hook"\nsecrets = [{ file = "/nowhere/secret" }]\n'
    )
    with running_server(VALKEY, folder / "valkey") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with Redis(port=server.port) as redis:
            ledger = Ledger(redis)
            ledger.enqueue([EnqueueRequest(each, "ph") for each in (LONG_ID, "one", "two")])
            for batch in ledger.claim("ph", limit=512).batches:
                loaded = ledger.load(batch)
                ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in loaded])
            Webhooks(redis).pause("ph", "shop", why=LONG_WHY, who=LONG_USER)
        with console_process(folder, url, EKYC_ENDPOINTS_FILE=str(endpoints)) as running:
            yield running


@contextmanager
def opened(browser: Chromium, web: Web, path: str, name: str = EVERYTHING) -> Iterator[Tab]:
    origin = f"http://127.0.0.1:{web.port}"
    with browser.tab(origin, cookies=person(web, name).cookies) as tab:
        tab.go(path)
        yield tab


@pytest.mark.parametrize("path", PAGES)
def test_a_word_without_an_end_does_not_widen_a_page(browser: Chromium, web: Web, path: str) -> None:
    with opened(browser, web, path) as tab:
        for width in (WIDE, NARROW):
            tab.look(width, LIGHT)
            assert tab.sideways() == 0


def test_a_telephone_shows_each_screen_in_the_navigation(browser: Chromium, web: Web) -> None:
    with opened(browser, web, "/console/audit") as tab:
        tab.look(NARROW, DARK)
        links = tab.page.get_by_role("navigation", name="Screens").get_by_role("link")
        assert links.count() == 6
        for link in links.all():
            box = link.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= NARROW


def test_a_long_name_of_a_user_leaves_room_to_log_out(browser: Chromium, web: Web) -> None:
    with opened(browser, web, "/console/") as tab:
        tab.page.locator(".account span").evaluate("(it, name) => { it.textContent = name }", LONG_USER)
        tab.look(NARROW, LIGHT)
        assert tab.sideways() == 0
        box = tab.page.get_by_role("button", name="Log out").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= NARROW


def test_a_selection_is_counted_and_read_aloud(browser: Chromium, web: Web) -> None:
    with opened(browser, web, "/console/quarantine", OPERATOR) as tab:
        said = tab.page.get_by_role("status").filter(has_text="selected")
        expect(said).to_have_count(0)
        tab.page.get_by_role("checkbox", name="Select one in ph").check()
        expect(said).to_have_text("1 of 3 selected")
        tab.page.get_by_role("button", name="Select all on this page").click()
        expect(said).to_have_text("3 of 3 selected")
        expect(tab.page.get_by_role("checkbox", checked=True)).to_have_count(3)
        tab.page.get_by_role("button", name="Select none").click()
        expect(said).to_have_count(0)
        expect(tab.page.get_by_role("checkbox", checked=True)).to_have_count(0)


def test_a_refused_reason_stands_beside_its_field(browser: Chromium, web: Web) -> None:
    """On the page of an endpoint, and on the page that asks before a drop. Nothing else was typed in vain."""
    with opened(browser, web, "/console/deliveries/endpoints/shop", OPERATOR) as tab:
        tab.page.get_by_label("Reason for a pause").fill("passport P1234567A")
        with tab.faulty("422"):
            tab.page.get_by_role("button", name="Pause in every region").click()
            expect(tab.page.get_by_role("alert")).to_contain_text("Nothing was paused.")
        refused_in_sight(tab)
        tab.go("/console/quarantine")
        tab.page.get_by_role("button", name="Select all on this page").click()
        tab.page.get_by_role("button", name="Drop the selected ones").click()
        tab.page.get_by_label("Reason").fill("passport P1234567A")
        with tab.faulty("422"):
            tab.page.get_by_role("button", name="Drop 3").click()
            expect(tab.page.get_by_role("alert")).to_be_visible()
        refused_in_sight(tab)


def refused_in_sight(tab: Tab) -> None:
    """The field has the focus and what was typed, the fault is right above it, and the two are connected."""
    assert tab.focused().startswith("input Reason")
    field, fault = tab.page.locator("input[name=why]"), tab.page.get_by_role("alert")
    expect(field).to_have_value("passport P1234567A")
    expect(field).to_have_accessible_description(fault.inner_text())
    below, above = field.bounding_box(), fault.bounding_box()
    assert below is not None
    assert above is not None
    assert 0 < below["y"] - above["y"] < 150
    assert tab.violations() == []
