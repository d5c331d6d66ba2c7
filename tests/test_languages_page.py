"""Names of sounds on the page: in the browser's language, or the one that is chosen, and found by either name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext import list_languages, load
from tests.browser import SCENE, SMALL, drop, opened, rows, until
from tests.served import serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]
PAGE = Path(__file__).parents[1] / "src" / "audioinceptionnext" / "page"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL,)) as server:
        yield server.url


def test_the_page_names_sounds_in_the_browsers_language(browser: Any, url: str, tmp_path: Path) -> None:
    model = load(SMALL)
    german, japanese = model.label_names("de"), model.label_names("ja")
    for page in opened(browser, url, locale="de-AT"):
        drop(page, SCENE)
        names = [row[2] for row in rows(page)]
        labels = [label for name in names for label in german if german[label] == name]
        assert len(labels) == len(names) and "Fließendes Wasser" in names
        assert page.input_value("#language") == "de" and page.get_attribute("html", "lang") == "en"
        assert page.locator("#result tbody th").first.get_attribute("lang") == "de"
        assert "Standmixer" in page.inner_text("#labels")
        lanes = page.eval_on_selector_all(".lane .name", "all => all.map((one) => one.textContent)")
        assert set(lanes) == set(names)
        # The search finds both names, and what is chosen is still a label in the page's address.
        page.locator("#sounds details").evaluate("(one) => (one.open = true)")
        for query in ("fließend", "Water flow", "water-flowing"):
            page.fill("#sounds input[type=search]", query)
            assert page.inner_text("#offers li").strip().startswith("Fließendes Wasser")
        page.keyboard.press("Enter")
        assert "?labels=water-flowing" in page.url and {row[2] for row in rows(page)} == {"Fließendes Wasser"}
        assert not [
            one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")
        ]

        page.select_option("#language", "ja")
        until(page, "document.querySelector('#result tbody th').lang === 'ja'")
        assert {row[2] for row in rows(page)} == {japanese["water-flowing"]}
        assert page.evaluate("document.activeElement.id") != "result" and page.input_value("#language") == "ja"
        with page.expect_download() as saved:
            page.click("text=SRT")
        assert japanese["water-flowing"] in Path(saved.value.path()).read_text(encoding="utf-8")
        with page.expect_download() as saved:
            page.click("#result .downloads >> text=JSON")
        found = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
        assert {one["label"] for one in found["segments"]} == {"water-flowing"}
        page.goto(url)  # remembers what was chosen
        until(page, "!document.getElementById('model').disabled")
        assert page.input_value("#language") == "ja" and japanese["book"] in page.inner_text("#labels")
        page.select_option("#language", "en")
        until(page, "document.getElementById('labels').textContent.includes('clean dishes')")


def test_other_languages_begin_in_english_and_a_server_without_names_does_not_stop_the_page(
    browser: Any, url: str
) -> None:
    for page in opened(browser, url, locale="sv-SE"):
        until(page, "!document.getElementById('model').disabled")
        assert page.input_value("#language") == "en" and "clean dishes" in page.inner_text("#labels")
        page.route(re.compile("language="), lambda route: route.fulfill(status=500, body="{}"))
        page.select_option("#language", "fr")
        until(page, "document.getElementById('language').value === 'en'")
        assert "clean dishes" in page.inner_text("#labels")


def test_a_report_names_sounds_in_its_own_language(browser: Any, tmp_path: Path) -> None:
    from audioinceptionnext.results.html import HtmlReport

    result = load(SMALL).in_language("pt").predict(SCENE)
    with HtmlReport(tmp_path / "report.html", sound="none") as report:
        report.add(result)
    for page in opened(browser, (tmp_path / "report.html").as_uri(), locale="de-DE"):
        page.wait_for_selector("details tbody tr")
        table = page.eval_on_selector_all("details tbody th", "all => all.map((one) => one.textContent)")
        totals = page.eval_on_selector_all("main > section tbody th", "all => all.map((one) => one.textContent)")
        assert set(table) == set(totals) == {result.names[one.label] for one in result.segments}


def test_the_page_knows_all_languages() -> None:
    text = (PAGE / "languages.js").read_text(encoding="utf-8")
    found = re.search(r"LANGUAGES = \{(.*)\};", text)
    assert found and sorted(re.findall(r"(\w+): ", found[1])) == list_languages()
