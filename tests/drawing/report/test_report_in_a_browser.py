"""The page in a real browser: no request, no error, and its marks answer to pointer and keyboard.

Skipped without playwright, and without a browser that it has installed or that is called chromium.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_work_dir import CANDIDATES

from opanas_cli.commands import run
from opanas_cli.formats.text import line_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BEST = line_of(CANDIDATES[3].genotype)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        path = own if own.exists() else shutil.which("chromium")
        if path is None:
            pytest.skip("no Chromium is installed")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, work_dir: Path) -> Iterator[Any]:
    """The report; at the end the page must have been silent, and have asked for nothing but itself."""
    said: list[str] = []
    assert run(["report", str(work_dir), "-q"]) == 0
    address = (work_dir / "report.html").as_uri()
    page = browser.new_page(color_scheme="dark")
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url != address else None)
    page.goto(address)
    yield page
    assert [text for text in said if not text.startswith("data:")] == []
    page.close()


def test_a_candidate_says_its_genotype_on_hover(page: Any) -> None:
    assert page.locator("#tip").is_hidden()
    page.locator('#candidates .mark[data-row="candidate-3"]').hover()
    assert page.locator("#tip").inner_text().startswith(f"{BEST}: AP 0.3750, 10G MACs, candidate 3")
    page.locator("h1").hover()
    assert page.locator("#tip").is_hidden()


def test_a_click_leads_to_the_row_of_the_table(page: Any) -> None:
    row = page.locator("#candidate-3")
    assert row.is_hidden()
    page.locator('#candidates .mark[data-row="candidate-3"]').click()
    assert row.is_visible()
    assert BEST in row.inner_text()
    assert row.evaluate("row => row.matches(':target')")


def test_the_keyboard_reaches_every_candidate(page: Any) -> None:
    page.locator("#candidates .chart").focus()
    page.keyboard.press("End")
    assert page.locator("#tip").inner_text().startswith(BEST)
    seen = set()
    for _ in CANDIDATES:
        seen.add(page.locator("#tip").inner_text().partition(":")[0])
        page.keyboard.press("ArrowLeft")
    assert seen == {line_of(one.genotype) for one in CANDIDATES}
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.locator("#candidates tr:target").is_visible()


def test_the_tables_are_opened_by_keyboard(page: Any) -> None:
    page.locator("#candidates summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#candidates table").is_visible()


def test_nothing_is_wider_than_a_telephone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_and_print(page: Any) -> None:
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
