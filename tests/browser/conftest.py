"""A real browser, and all that goes wrong on the pages it opens.

`SCREENSHOTS=docs/images pytest tests/browser` keeps the pictures that the docs show; with
`WHOLE_PAGES=1`, those of whole pages, to look at.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from tests.factories import PASSWORD

CHROMIUM = "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
SCREENSHOTS = os.environ.get("SCREENSHOTS")
WHOLE_PAGES = bool(os.environ.get("WHOLE_PAGES"))
DESK, PHONE = 1280, 390

# What axe-core holds against the markup of others: by rule, inside of what. Swagger UI paints its
# words, puts buttons inside of buttons, and its page names no language: none of it is ours.
EXCUSED = {
    "color-contrast": "#swagger-ui",
    "nested-interactive": "#swagger-ui",
    "html-has-lang": "html:has(#swagger-ui)",
}


@dataclass
class Watched:
    """A page and all that went wrong on it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self._note(m.type == "error", f"console: {m.text}"))
        self.page.on("pageerror", lambda error: self._note(True, f"script: {error}"))
        self.page.on("request", lambda r: self._note(self._outside(r.url), f"outside: {r.url}"))
        self.page.on("requestfailed", lambda r: self._note(True, f"failed: {r.url} {r.failure}"))
        self.page.on("response", lambda r: self._note(r.status >= 400, f"{r.status}: {r.url}"))

    def _note(self, wrong: bool, fault: str) -> None:
        if wrong:
            self.faults.append(fault)

    def _outside(self, url: str) -> bool:
        return not url.startswith((self.base, "data:", "blob:"))

    def sign_in(self, username: str) -> None:
        self.page.goto(f"{self.base}/admin/")
        self.page.fill("[name=username]", username)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("[type=submit]")
        self.page.wait_for_load_state("networkidle")

    def open(self, path: str, name: str) -> None:
        """The page as it is at this width, its picture taken, its faults noted."""
        self.page.goto(self.base + path, wait_until="networkidle")
        self.look(name)

    def open_at_both_widths(self, path: str, name: str) -> None:
        """On a desk by day, on a phone by night; for the administration, which has both."""
        self.open(path, name)
        self.look_at_the_other_width(name)

    def look_at_the_other_width(self, name: str) -> None:
        self.page.add_style_tag(content="* { transition: none !important }")
        self.page.set_viewport_size({"width": PHONE, "height": 720})
        self._paint("dark")
        self.look(f"{name}-sombre")
        self._paint("light")
        self.picture(name)
        self.page.set_viewport_size({"width": DESK, "height": 720})

    def _paint(self, theme: str) -> None:
        self.page.evaluate(
            "it => { Alpine.$data(document.documentElement).adminTheme = it }", theme
        )

    def look(self, name: str) -> None:
        self.picture(name)
        self.faults += [f"too wide, {name}: {element}" for element in self._too_wide()]
        self.faults += [f"axe, {name}: {violation}" for violation in self._violations()]

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            width = self.page.viewport_size["width"]
            target = Path(SCREENSHOTS) / f"{name}-{width}.png"
            self.page.screenshot(path=str(target), full_page=WHOLE_PAGES)

    def _too_wide(self) -> list[str]:
        """What makes the page scroll sideways: elements that end beyond the window."""
        return list(
            self.page.evaluate(
                """() => document.documentElement.scrollWidth <= window.innerWidth + 1 ? [] :
                [...document.querySelectorAll("body *")]
                    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
                    .map(e => e.outerHTML.slice(0, 160))"""
            )
        )

    def _violations(self) -> list[str]:
        """What axe-core finds that keeps somebody from reading or using the page."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']} {node['target']} {node['html'][:200]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"]
            if not self._is_excused(one["id"], node["target"][-1])
        ]

    def _is_excused(self, rule: str, target: str) -> bool:
        within = EXCUSED.get(rule)
        return within is not None and bool(
            self.page.evaluate(
                "([target, within]) => Boolean(document.querySelector(target)?.closest(within))",
                [target, within],
            )
        )


@pytest.fixture
def open_browser(live_server, monkeypatch) -> Iterator[Callable[[int], Watched]]:
    # Playwright runs an event loop in this thread; cleaning the database up around it is ours.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))

        def opened(width: int) -> Watched:
            page = browser.new_page(
                viewport={"width": width, "height": 720}, locale="fr-FR", color_scheme="light"
            )
            return Watched(page, live_server.url)

        yield opened
        browser.close()


@pytest.fixture(params=[DESK, PHONE])
def watched(request, open_browser) -> Watched:
    """For what is clicked through, once at each width."""
    return open_browser(request.param)


@pytest.fixture
def desk(open_browser) -> Watched:
    return open_browser(DESK)
