"""The console in a real browser, with a fleet at work: each screen and each act, and what goes wrong meanwhile."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.acceptance.console_world import ENDPOINT, world_at
from tests.support.browser import DARK, LIGHT, NARROW, WIDE, chromium
from tests.support.console import AUDITOR, EVERYTHING, OPERATOR, REVIEWER, VIEWER, password, person
from tests.support.receiver import Answer
from tests.support.tables import HEAD, PASS_RULE
from tests.support.waiting import until
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.console_world import World
    from tests.support.browser import Chromium, Tab
    from worker.ledger import Ledger

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect
# A busy machine answers late.
expect.set_options(timeout=30_000)

pytestmark = pytest.mark.timeout(240)


class Open(Protocol):
    """Opens a tab with a session of a user; None: without a session."""

    def __call__(self, name: str | None = EVERYTHING, path: str = "/console/", **options: Any) -> Tab: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    # The first, so that nothing else starts where there is none.
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def world(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_at(tmp_path_factory.mktemp("world")) as running:
        running.enqueue(
            "pass-1", "CARD_NOT_FOUND-n2-2", "ID_FORGERY_DETECTED-3", "nodata-4", "wrongid-always-5"
        )
        running.enqueue("pass-n3-6", "unknownresult-7", region="sg")
        running.fleet.await_done(3)
        running.await_quarantined(2)
        running.await_quarantined(1, "sg")
        yield running


@pytest.fixture
def open_tab(world: World, browser: Chromium) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_one(name: str | None = EVERYTHING, path: str = "/console/", **options: Any) -> Tab:
            cookies = world.cookies(name) if name else {}
            tab = opened.enter_context(browser.tab(world.origin, cookies=cookies, **options))
            tab.go(path)
            return tab

        yield open_one


def test_a_person_logs_in_and_out_with_the_keyboard_alone(open_tab: Open) -> None:
    tab = open_tab(None)
    keyboard = tab.page.keyboard
    expect(tab.page).to_have_title(re.compile("^Log in"))
    assert tab.focused() == "input Name"
    keyboard.type(OPERATOR)
    keyboard.press("Tab")
    assert tab.focused() == "input Password"
    keyboard.type(password(OPERATOR))
    keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Now")

    keyboard.press("Tab")
    assert tab.focused() == "a Skip to the content"
    keyboard.press("Enter")
    assert tab.focused().startswith("main")

    tab.page.get_by_role("button", name="Log out").focus()
    keyboard.press("Enter")
    expect(tab.page).to_have_title(re.compile("^Log in"))


def test_a_wrong_password_is_told_and_read_aloud(open_tab: Open) -> None:
    tab = open_tab(None)
    with tab.faulty("403"):
        tab.page.get_by_label("Name").fill(OPERATOR)
        tab.page.get_by_label("Password").fill("wrong")
        tab.page.get_by_role("button", name="Log in").click()
        expect(tab.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    assert tab.context.cookies() == []


def test_a_page_that_is_open_shows_what_happens_without_being_loaded_again(
    world: World, open_tab: Open
) -> None:
    tab = open_tab(VIEWER)
    tab.page.evaluate("() => { window.loaded = 'once' }")
    before = tab.page.locator("[data-live]").inner_text()
    world.enqueue("nodata-live-1")
    world.await_quarantined(3)
    expect(tab.page.locator("[data-live]")).not_to_have_text(before, use_inner_text=True)
    assert tab.page.evaluate("() => window.loaded") == "once"


def test_a_hidden_tab_asks_for_nothing(open_tab: Open) -> None:
    """The clock of the page is the test's, so that nobody waits."""
    tab = open_tab(VIEWER, "/console/login")
    tab.page.clock.install()
    tab.go("/console/")
    tab.page.wait_for_load_state("networkidle")
    # An installed clock goes on with the real time. From here on it stands still: its interval comes due once.
    with tab.page.expect_response("**/console/now"):
        tab.page.clock.pause_at(tab.page.evaluate("() => Date.now() / 1000") + 60)
    tab.requests.clear()
    tab.hide()
    tab.page.clock.run_for(60_000)
    assert tab.requests == []
    with tab.page.expect_response("**/console/now"):
        tab.hide(hidden=False)
    with tab.page.expect_response("**/console/now"):
        tab.page.clock.run_for(2_000)
    assert tab.requests == ["/console/now"] * 2


def test_the_focus_stays_with_its_row_when_a_refresh_sorts_the_rows(open_tab: Open) -> None:
    """The next answers have another row above the one with the focus, and then that one alone."""
    tab = open_tab(VIEWER, "/console/quarantine")
    links = tab.page.locator("[data-live] .needs li strong a")
    expect(links).to_have_text(["UNREADABLE"])
    above, alone = tab.page.evaluate(
        """() => {
            const part = document.querySelector("[data-live]").cloneNode(true);
            const row = part.querySelector(".needs li");
            const other = row.cloneNode(true);
            other.id = row.id.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
            other.querySelector("strong a").textContent = "OTHER";
            row.before(other);
            const above = part.innerHTML;
            row.remove();
            return [above, part.innerHTML];
        }"""
    )
    links.first.focus()
    answers = [above]
    tab.page.route(
        "**/console/quarantine/live",
        lambda route: route.fulfill(body=answers[-1], content_type="text/html"),
    )
    expect(links).to_have_text(["OTHER", "UNREADABLE"])
    assert tab.focused() == "a UNREADABLE"
    answers.append(alone)
    expect(links).to_have_text(["OTHER"])
    assert tab.focused() != "a OTHER"


def test_without_redis_a_page_says_so_and_recovers_by_itself(world: World, open_tab: Open) -> None:
    looking, listing, loading = (
        open_tab(VIEWER, path) for path in ("/console/", "/console/quarantine", "/console/")
    )
    # A page that has figures says how old they are; one that has none says that it cannot show them.
    words = re.compile("Redis does not|The server cannot show")
    told = [tab.page.get_by_text(words).filter(visible=True) for tab in (looking, listing)]
    with looking.faulty("503", least=0), listing.faulty("503", least=0), loading.faulty("503"):
        world.server.stop()
        try:
            loading.go("/console/verifications?stage=done")
            expect(loading.page.get_by_role("heading", level=1)).to_have_text(re.compile("^Redis"))
            for each in told:
                expect(each.first).to_be_visible()
        finally:
            world.server.start()
        for each in told:
            expect(each).to_have_count(0)
        expect(loading.page.get_by_role("heading", level=1)).to_have_text("Verifications")


def test_after_log_out_the_back_button_shows_nothing(world: World, open_tab: Open) -> None:
    tab = open_tab(None, "/console/login")
    tab.page.get_by_label("Name").fill(VIEWER)
    tab.page.get_by_label("Password").fill(password(VIEWER))
    tab.page.get_by_role("button", name="Log in").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Now")
    tab.page.get_by_role("button", name="Log out").click()
    expect(tab.page).to_have_title(re.compile("^Log in"))
    tab.page.go_back()
    expect(tab.page).to_have_title(re.compile("^Log in"))
    assert tab.page.locator("[data-live]").count() == 0


def test_a_verification_is_found_by_its_id_and_explained(open_tab: Open) -> None:
    tab = open_tab(VIEWER, "/console/verifications")
    page = tab.page
    page.get_by_label("Signature id").fill("CARD_NOT_FOUND-n2-2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("CARD_NOT_FOUND-n2-2 in ph")
    expect(page.get_by_role("img", name="Timeline of CARD_NOT_FOUND-n2-2")).to_be_visible()
    expect(page.get_by_role("region", name="Timeline as a table")).to_contain_text("decided")
    why = page.get_by_text("Why: the facts")
    why.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details[open]")).to_contain_text("CARD_NOT_FOUND")
    page.get_by_role("button", name="Check the evidence").click()
    expect(page.get_by_role("status").filter(has_text="Unchanged")).to_be_visible()


def test_an_id_that_is_none_is_shown_as_it_is(open_tab: Open) -> None:
    """Script, a letter that turns the direction of a text, and one that cannot be seen."""
    tab = open_tab(VIEWER, "/console/verifications")
    with tab.faulty("422"):
        tab.page.get_by_label("Signature id").fill("<script>alert(1)</script>\u202epass\u200b")
        tab.page.keyboard.press("Enter")
        expect(tab.page.get_by_role("status").filter(has_text="This is not an id")).to_contain_text(
            "<script>"
        )
    shown = tab.page.locator("main").inner_text()
    assert "\u202e" not in shown
    assert "\u200b" not in shown


def test_a_filter_is_an_address_that_can_be_shared(open_tab: Open) -> None:
    tab = open_tab(VIEWER, "/console/verifications")
    tab.page.locator("summary", has_text="Filter").click()
    tab.page.get_by_label("Stage").select_option("quarantined")
    tab.page.get_by_role("button", name="List").click()
    found = tab.page.get_by_role("region", name="Verifications found")
    expect(found).to_contain_text("nodata-4")
    expect(found).to_contain_text("unknownresult-7")
    shared = open_tab(OPERATOR, tab.page.url.removeprefix(tab.origin))
    assert shared.page.get_by_role("region", name="Verifications found").inner_text() == found.inner_text()


def test_a_context_is_searched_for_and_never_shown(world: World, open_tab: Open) -> None:
    world.enqueue("pass-of-context", context='{"application":"A-77"}')
    tab = open_tab(VIEWER, "/console/verifications")
    tab.page.locator("summary", has_text="context").click()
    form = tab.page.get_by_role("form", name="context")
    form.get_by_label("Key").fill("application")
    form.get_by_label("Value").fill("A-77")
    form.get_by_role("button", name="Find").click()
    found = tab.page.get_by_role("region", name="Verifications found")
    expect(found).to_contain_text("pass-of-context")
    expect(found).not_to_contain_text("A-77")
    assert "A-77" not in tab.page.url


def test_a_verification_that_waits_is_polled_at_once(world: World, open_tab: Open) -> None:
    world.enqueue("forever-1")
    tab = open_tab(OPERATOR, "/console/verifications/ph/forever-1")

    def is_polled_next() -> bool:
        with tab.page.expect_navigation():
            tab.page.get_by_role("button", name="Poll now").click()
        return tab.page.get_by_role("status").filter(has_text="It is polled next").is_visible()

    # While a worker polls it, it does not wait to be polled, and the page says so.
    until(is_polled_next, "it is polled next")
    assert (
        open_tab(VIEWER, "/console/verifications/ph/forever-1")
        .page.get_by_role("button", name="Poll now")
        .count()
        == 0
    )


def quarantined(world: World, *signature_ids: str) -> None:
    """Enqueue what the vendor's stand-in answers badly, and wait until all of it is in quarantine."""
    world.enqueue(*signature_ids)
    ledger = world.fleet.ledger()
    for each in signature_ids:
        until(partial(is_quarantined, ledger, each), f"{each} is in quarantine")


def is_quarantined(ledger: Ledger, signature_id: str) -> bool:
    return stage(ledger, signature_id) is Stage.QUARANTINED


def stage(ledger: Ledger, signature_id: str) -> Stage | None:
    found = ledger.status("ph", signature_id)
    return found.verification.stage if found else None


def select(tab: Tab, *signature_ids: str) -> None:
    for each in signature_ids:
        tab.page.get_by_role("checkbox", name=f"Select {each} in ph").check()


def said(tab: Tab, text: str) -> None:
    """The page says something about the act that was asked for, so that a screen reader reads it."""
    expect(tab.page.get_by_role("status").filter(has_text=text)).to_be_visible()


def test_a_selected_verification_is_retried(world: World, open_tab: Open) -> None:
    quarantined(world, "nodata-again-1")
    tab = open_tab(OPERATOR, "/console/quarantine?reason=UNREADABLE&region=ph")
    select(tab, "nodata-again-1")
    tab.page.get_by_role("button", name="Retry the selected ones").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Retry 1 verification?")
    tab.page.get_by_role("button", name="Retry 1").click()
    said(tab, "1 of 1 retried.")
    assert "reason=UNREADABLE" in tab.page.url


def test_two_operators_drop_the_same_verification(world: World, open_tab: Open) -> None:
    """The second reads that it was not in quarantine any more. Without a reason nothing is dropped."""
    quarantined(world, "nodata-both-1", "nodata-both-2")
    first, second = open_tab(OPERATOR, "/console/quarantine"), open_tab(EVERYTHING, "/console/quarantine")
    for tab in (first, second):
        select(tab, "nodata-both-1", *(["nodata-both-2"] if tab is second else []))
        tab.page.get_by_role("button", name="Drop the selected ones").click()
        tab.page.get_by_label("Reason").fill("ticket 4711")
    first.page.get_by_role("button", name="Drop 1").click()
    said(first, "1 of 1 dropped.")
    second.page.get_by_role("button", name="Drop 2").click()
    said(second, "Not all was done. 1 of 2 dropped.")
    said(second, "ph/nodata-both-1: was not in quarantine any more")
    assert stage(world.fleet.ledger(), "nodata-both-2") is Stage.DROPPED


def test_all_that_match_are_counted_then_dropped(world: World, open_tab: Open) -> None:
    quarantined(world, *(f"code-CLIENT_ERROR-always-{number}" for number in range(3)))
    tab = open_tab(OPERATOR, "/console/quarantine?reason=CLIENT_ERROR")
    tab.page.get_by_role("button", name="Drop all that match").click()
    expect(tab.page.get_by_text("3 verifications, in quarantine since")).to_be_visible()
    expect(tab.page.get_by_role("region", name="By region")).to_contain_text("ph")
    # One more comes while the person reads: it is not part of what was asked.
    quarantined(world, "code-CLIENT_ERROR-always-late")
    tab.page.get_by_role("textbox", name="Reason").fill("ticket 4712")
    tab.page.get_by_role("button", name="Drop 3").click()
    said(tab, "finished")
    expect(tab.page.get_by_text("3 of 3")).to_be_visible()
    assert stage(world.fleet.ledger(), "code-CLIENT_ERROR-always-late") is Stage.QUARANTINED


def test_a_session_that_ended_while_a_confirmation_was_open_changes_nothing(
    world: World, browser: Chromium
) -> None:
    quarantined(world, "nodata-ended-1")
    one = person(world.web, OPERATOR)
    with browser.tab(world.origin, cookies=one.cookies) as tab:
        tab.go("/console/quarantine")
        select(tab, "nodata-ended-1")
        tab.page.get_by_role("button", name="Retry the selected ones").click()
        one.post("/console/logout")
        with tab.faulty("401"):
            tab.page.get_by_role("button", name="Retry 1").click()
            expect(tab.page.get_by_text("Your session has ended")).to_be_visible()
    assert stage(world.fleet.ledger(), "nodata-ended-1") is Stage.QUARANTINED


def test_a_page_that_is_open_when_its_session_ends_leads_to_the_form(world: World, browser: Chromium) -> None:
    one = person(world.web, VIEWER)
    with browser.tab(world.origin, cookies=one.cookies) as tab:
        tab.go("/console/")
        with tab.faulty("401"):
            one.post("/console/logout")
            expect(tab.page).to_have_title(re.compile("^Log in"))


def test_an_endpoint_is_paused_and_resumed(world: World, open_tab: Open) -> None:
    tab = open_tab(OPERATOR, f"/console/deliveries/endpoints/{ENDPOINT}")
    tab.page.get_by_label("Reason for a pause").fill("they move house")
    tab.page.get_by_role("button", name="Pause in every region").click()
    said(tab, f"{ENDPOINT} is paused.")
    live = tab.page.locator("[data-live]")
    expect(live.get_by_text("paused").first).to_be_visible()
    before = len(world.receiver.received)
    world.enqueue("CARD_NOT_FOUND-paused-1")
    expect(live).to_contain_text("1, of which")
    assert len(world.receiver.received) == before
    tab.page.get_by_role("button", name="Resume").click()
    said(tab, f"{ENDPOINT} is resumed: 1 delivery is due.")
    until(lambda: len(world.receiver.received) == before + 1, "it is delivered")


def test_deliveries_are_sent_again(world: World, open_tab: Open) -> None:
    """One, those that are selected, and all that an endpoint has lost."""
    tab = open_tab(OPERATOR, f"/console/deliveries?to={ENDPOINT}&state=acknowledged&region=ph")
    rows = tab.page.get_by_role("region", name="Deliveries", exact=True)
    first = rows.get_by_role("checkbox").first
    sent = str(first.get_attribute("value"))

    def came() -> int:
        return world.receiver.ids.count(sent)

    before = came()
    first.check()
    tab.page.get_by_role("button", name="Send the selected ones again").click()
    said(tab, "1 delivery")
    until(lambda: came() == before + 1, "it comes again")

    tab.go(f"/console/deliveries/{sent}")
    until(lambda: (tab.page.reload(), tab.page.get_by_text("acknowledged").count())[1], "it is acknowledged")
    tab.page.get_by_role("button", name="Send it again").click()
    said(tab, "1 delivery")
    until(lambda: came() == before + 2, "it comes once more")

    tab.go("/console/deliveries")
    tab.page.get_by_label("Also what was acknowledged").check()
    tab.page.get_by_role("button", name="Count them").click()
    expect(tab.page.get_by_role("region", name="What would be sent again")).to_contain_text("acknowledged")
    tab.page.get_by_role("button", name=re.compile("^Send .* again$")).click()
    said(tab, "will be sent again")
    until(lambda: came() == before + 3, "it comes with the others")


def test_an_auditor_finds_what_a_person_did_and_exports_it(world: World, open_tab: Open) -> None:
    with world.fleet.redis() as redis:
        for who, why in (("ann", "they move house"), ("bob", "another reason")):
            AuditLog(redis).record("endpoint_pause", who=who, via="cli", subject=ENDPOINT, detail=why)
    tab = open_tab(AUDITOR, "/console/audit")
    tab.page.get_by_label("Person").fill("ann")
    tab.page.get_by_label("Act").select_option("endpoint_pause")
    tab.page.get_by_role("button", name="Show").click()
    entries = tab.page.get_by_role("region", name="Entries")
    expect(entries).to_contain_text("they move house")
    expect(entries).not_to_contain_text("bob")
    for name, first in (("Export CSV", '"at",'), ("Export JSON", "{")):
        with tab.page.expect_download() as download:
            tab.page.get_by_role("button", name=name).click()
        text = download.value.path().read_text()
        assert text.startswith(first)
        assert "they move house" in text
        assert "bob" not in text


def test_a_reviewer_looks_at_evidence_and_judges_the_decision(world: World, open_tab: Open) -> None:
    tab = open_tab(REVIEWER, "/console/evidence")
    tab.page.get_by_label("Id").fill("CARD_NOT_FOUND-n2-2")
    tab.page.get_by_label("Region").select_option("ph")
    tab.page.get_by_role("button", name="Open").click()
    expect(tab.page.locator("img")).to_have_count(0)
    tab.page.get_by_label("Reason").fill("complaint 4711")
    tab.page.get_by_role("button", name="Record this look").click()
    said(tab, "This look was recorded")
    image = tab.page.locator("img").first
    image.scroll_into_view_if_needed()
    until(lambda: image.evaluate("(it) => it.complete && it.naturalWidth > 0"), "an image is shown")
    expect(tab.page.get_by_role("region", name="Fields of the answer")).to_be_visible()
    # Another person has the address, and sees nothing.
    other = open_tab(EVERYTHING, "/console/")
    with other.faulty("403"):
        other.go(tab.page.url.removeprefix(tab.origin))
        expect(other.page.get_by_text("This look belongs to another user")).to_be_visible()

    tab.page.get_by_label("false alarm").check()
    tab.page.get_by_label("Note").fill("passport P1234567A")
    with tab.faulty("422"):
        tab.page.get_by_role("button", name="Store the verdict").click()
        expect(tab.page.get_by_role("alert")).to_be_visible()
    tab.page.get_by_label("Note").fill("the card is in the picture")
    tab.page.get_by_role("button", name="Store the verdict").click()
    said(tab, "is stored beside the decision")
    expect(tab.page.get_by_role("region", name="Verdicts")).to_contain_text("false alarm (counts)")
    with world.fleet.redis() as redis:
        acts = [each.act for each in AuditLog(redis).page(Wanted(who=REVIEWER)).entries]
    assert {"verdict", "evidence_view"} <= set(acts)


def test_a_table_is_uploaded_and_compared(open_tab: Open) -> None:
    """A file that is too large is refused before it is sent; one with an error is not compared."""
    tab = open_tab(OPERATOR, "/console/decisions")
    tab.page.get_by_role("link", name="Compare another table").click()
    field, button = (
        tab.page.get_by_label("File of the table"),
        tab.page.get_by_role("button", name="Check and"),
    )

    def upload(content: str) -> None:
        field.set_input_files({"name": "mine.toml", "mimeType": "text/plain", "buffer": content.encode()})
        button.click()

    upload("#" * 2_000_000)
    assert "at most" in field.evaluate("(it) => it.validationMessage")
    expect(tab.page.locator("#comparison")).to_have_count(0)
    upload(HEAD + '[[rules]]\ndecision = "approve"\n')
    said(tab, "The table has errors")
    upload(HEAD + PASS_RULE)
    said(tab, "decisions would change")
    changes = tab.page.get_by_role("region", name="Decisions that would change")
    row = changes.get_by_role("row").filter(has_text="recapture")
    row.locator("summary").click()
    expect(row.get_by_role("link", name="CARD_NOT_FOUND-n2-2")).to_be_visible()


def test_what_a_person_has_opened_stays_open_while_the_page_is_refreshed(
    world: World, open_tab: Open
) -> None:
    """And what has the focus keeps it."""
    world.receiver.answer = lambda _: Answer(503)
    world.enqueue("CARD_NOT_FOUND-n1-open")
    try:
        tab = open_tab(OPERATOR, "/console/verifications/ph/CARD_NOT_FOUND-n1-open")
        summary = tab.page.locator("summary", has_text="Why: the facts")
        summary.click()
        tab.page.evaluate(
            "() => { window.swaps = 0; addEventListener('htmx:after:swap', () => window.swaps++) }"
        )
    finally:
        world.receiver.answer = lambda _: Answer()
    world.person(OPERATOR).post(f"/console/deliveries/endpoints/{ENDPOINT}/resume")
    until(lambda: tab.page.evaluate("() => window.swaps > 0"), "the page is refreshed")
    expect(tab.page.get_by_role("region", name="Deliveries of the decision and of events")).to_contain_text(
        "acknowledged 2"
    )
    assert tab.page.locator("details[open]").count() == 1
    assert tab.focused().startswith("summary Why")


#: Each page that a person meets: its path.
PAGES = (
    "/console/login",
    "/console/",
    "/console/there-is-no-such-page",
    "/console/verifications",
    "/console/verifications?stage=quarantined",
    "/console/verifications/ph/CARD_NOT_FOUND-n2-2",
    "/console/quarantine",
    "/console/quarantine/all?act=drop",
    "/console/deliveries?state=acknowledged",
    f"/console/deliveries/endpoints/{ENDPOINT}",
    f"/console/deliveries/recover?to={ENDPOINT}&acknowledged=yes",
    "/console/decisions",
    "/console/decisions/diff",
    "/console/audit",
    "/console/evidence",
    "/console/evidence/ph/CARD_NOT_FOUND-n2-2",
)

#: What a page looks like: together each width, each scheme, and what axe-core says about both.
LOOKS = ((WIDE, LIGHT), (NARROW, DARK))


@pytest.fixture(scope="module")
def reader(world: World, browser: Chromium) -> Iterator[Tab]:
    """One tab for all pages with a session: to open and close a tab costs as much as to look at a page."""
    with browser.tab(world.origin, cookies=world.cookies(EVERYTHING)) as tab:
        yield tab


@pytest.mark.parametrize("path", PAGES)
def test_anyone_can_use_each_page(open_tab: Open, reader: Tab, path: str) -> None:
    """With the keyboard, with a screen reader, on a telephone, in the dark."""
    tab = open_tab(None, "/console/login") if path.endswith("login") else reader
    tab.look(WIDE, LIGHT)
    if path.endswith("no-such-page"):
        with tab.faulty("404"):
            tab.go(path)
    else:
        tab.go(path)
    for width, scheme in LOOKS:
        tab.look(width, scheme)
        assert tab.violations() == []
        assert tab.sideways() == 0
        assert tab.unreachable() == []
    assert tab.faults == []
