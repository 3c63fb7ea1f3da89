"""Debian's Chromium, without a window, driven by Playwright: what a person does with a page, and what goes wrong there.

Each tab has a profile of its own. A line in the console of the browser, a violation of the Content-Security-Policy, a
script that raises, a request that fails or leaves this machine: each of them fails the test that does not expect it.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

#: As root it needs the first, in a container the third; most others keep it from speaking to other machines.
QUIET: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

#: The width of the window of a desktop, and of a small telephone, in CSS pixels.
WIDE: Final = 1280
NARROW: Final = 380

LIGHT: Final = "light"
DARK: Final = "dark"

#: Milliseconds that Playwright waits for an element or a page.
_PATIENCE_MS: Final = 30_000

_AXE: Final = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"

#: How severe a violation is that no page may have.
_SEVERE: Final = frozenset({"serious", "critical"})


def program() -> str:
    """Chromium. Skips the test where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return found


@dataclass
class Tab:
    """A page in a profile of its own, and what went wrong there."""

    page: Page
    context: BrowserContext
    origin: str
    faults: list[str] = field(default_factory=list)
    #: The path of each request, in order.
    requests: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a page, and wait until its scripts have run."""
        self.page.goto(self.origin + path)

    @contextmanager
    def faulty(self, pattern: str, *, least: int = 1) -> Iterator[None]:
        """A block in which faults that match the pattern happen: at least so many."""
        before, self.faults = self.faults, []
        yield
        expected = [fault for fault in self.faults if re.search(pattern, fault)]
        assert len(expected) >= least, f"no fault matches {pattern}: {self.faults}"
        self.faults = before + [fault for fault in self.faults if fault not in expected]

    def hide(self, *, hidden: bool = True) -> None:
        """Make the page believe that another tab is in front of it, or no other any more."""
        self.page.evaluate(
            """(hidden) => {
                Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
                Object.defineProperty(document, "visibilityState", {
                    configurable: true, get: () => (hidden ? "hidden" : "visible"),
                });
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    def look(self, width: int, scheme: str, height: int = 900) -> None:
        """Give the window another width, and the system another scheme of colours."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if scheme == DARK else "light")

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical on the page, with where it is."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(_axe())
        found = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{each['id']} ({each['impact']}): {each['help']}: {node['html']}: {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in _SEVERE
            for node in each["nodes"]
        ]

    def sideways(self) -> int:
        """How many pixels of the page can only be seen by scrolling sideways."""
        return int(
            self.page.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def focused(self) -> str:
        """What has the focus: the name of the element and its text, label or name."""
        return str(
            self.page.evaluate(
                """() => {
                    const it = document.activeElement;
                    const label = it.labels && it.labels.length ? it.labels[0].textContent : "";
                    const words = it.getAttribute("aria-label") || label || it.textContent || it.name || "";
                    return `${it.tagName.toLowerCase()} ${words.trim().split(/\\s+/).join(" ")}`;
                }"""
            )
        )

    def unreachable(self) -> list[str]:
        """The controls of the page that the key Tab does not reach, from the top of the page."""
        self.page.evaluate(
            """() => {
                document.activeElement.blur();
                window.reached = new Set();
                document.addEventListener("focusin", (event) => window.reached.add(event.target));
            }"""
        )
        # A field for a time has a stop for each of its parts.
        stops = self.page.locator(_CONTROLS).count() + 8 * self.page.locator("[type=datetime-local]").count()
        for _ in range(stops + 3):
            self.page.keyboard.press("Tab")
        missed: list[str] = self.page.evaluate(
            """(controls) => {
                const reached = [...window.reached];
                // Of the radio buttons of a group, one has a place in the order.
                const group = (each) => each.type === "radio" && reached.some((one) => one.name === each.name);
                return [...document.querySelectorAll(controls)]
                    .filter((each) => each.checkVisibility() && !reached.includes(each) && !group(each))
                    .map((each) => each.outerHTML);
            }""",
            _CONTROLS,
        )
        return missed

    def _watch(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"a script raised: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.requests.append(parts.path)
        if f"{parts.scheme}://{parts.netloc}" != self.origin and parts.scheme not in {"data", "blob"}:
            self.faults.append(f"a request to another host: {parts.netloc}")

    def _failed(self, request: Request) -> None:
        # A page that is left ends what it has asked for.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"a request failed: {urlsplit(request.url).path}: {request.failure}")


#: What a person operates.
_CONTROLS: Final = (
    "a[href], button:not([disabled]), input:not([disabled]):not([type=hidden]), select:not([disabled]), "
    "textarea:not([disabled]), summary, [tabindex='0']"
)


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser that runs."""

    browser: Browser

    @contextmanager
    def tab(
        self,
        origin: str,
        *,
        cookies: Mapping[str, str] | None = None,
        width: int = WIDE,
        height: int = 900,
        scheme: str = LIGHT,
        javascript: bool = True,
    ) -> Iterator[Tab]:
        """A new tab that shows nothing yet. Fails at its end if something went wrong in it."""
        settings: dict[str, Any] = {"color_scheme": scheme, "java_script_enabled": javascript}
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **settings
        )
        try:
            context.set_default_timeout(_PATIENCE_MS)
            given = cookies or {}
            context.add_cookies([{"name": name, "value": given[name], "url": origin} for name in given])
            tab = Tab(context.new_page(), context, origin)
            tab._watch()
            yield tab
            assert not tab.faults, "\n".join(tab.faults)
        finally:
            context.close()


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Run the browser until the block ends. Skips the test where Chromium or Playwright is missing."""
    path = program()
    try:
        from playwright._impl._driver import compute_driver_executable  # noqa: PLC0415 - slow, and may be missing
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 - as above
    except ImportError:
        pytest.skip("Playwright is not installed: it is in requirements/dev.lock")
    try:
        compute_driver_executable()
    except Error as error:
        pytest.skip(f"Playwright cannot run: {error}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(QUIET))
        try:
            yield Chromium(browser)
        finally:
            browser.close()


@cache
def _axe() -> str:
    return _AXE.read_text()
