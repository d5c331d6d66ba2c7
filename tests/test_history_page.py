"""The page of a server's history in a real browser: filters, clips, corrections, deletions, and what axe finds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext.history.clip_file import encode_clip, new_name
from audioinceptionnext.history.database import History
from tests.audio_files import sine
from tests.browser import SMALL, opened, until
from tests.served import serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]  # most of Playwright's calls have no limit

SERIOUS = ("serious", "critical")
ZONE = ZoneInfo("Europe/Berlin")
DAY = datetime(2026, 10, 25, tzinfo=ZONE)  # of 25 hours
A, B = (new_name("kitchen", DAY.timestamp() + seconds, "x", "flac") for seconds in (1, 2))
# An event's hours after midnight, source, label, score and clip.
EVENTS = [
    (-1.0, "kitchen", "chopping", 0.9, None),
    (1.5, "kitchen", "eat", 0.6, None),
    (8.1, "kitchen", "clean-dishes", 0.9, A),
    (8.2, "kitchen", "clean-dishes", 0.4, None),
    (8.3, "kitchen", "water-flowing", 0.8, B),
    (19.0, "yard", "chopping", 0.7, None),
]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    (clips := tmp_path / "clips").mkdir()
    for name in (A, B):
        samples = (9_000 * sine(440, 0.7, 16_000)).astype(np.int16)
        (clips / name).write_bytes(encode_clip(samples, 16_000, "flac", {}))
    with History(tmp_path / "history.db") as history:
        for hours, source, label, score, clip in EVENTS:
            start = (DAY.timestamp()) + 3600 * hours
            history.add(source, start, start + 4, label, score, SMALL, clip=clip, clip_start=clip and start - 1)
        yield history


@pytest.fixture
def url(history: History, tmp_path: Path) -> Iterator[str]:
    with serving(models=(SMALL,), history=tmp_path / "history.db", keep=tmp_path / "clips") as server:
        yield f"{server.url}/history.html?day=2026-10-25"


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from opened(browser, url, timezone_id="Europe/Berlin")


def listed(page: Any) -> list[list[str]]:
    """Time, label, score and input of each event in the list."""
    page.wait_for_selector(".event-table tbody tr, .empty:not([hidden])")
    cells = "rows => rows.map(row => [1, 3, 4, 5].map(at => row.cells[at].innerText.replaceAll('\\u00a0', ' ')))"
    return page.eval_on_selector_all(".event-table tbody tr", cells)  # type: ignore[no-any-return]


def bar(page: Any, name: str) -> Any:
    return page.locator(f".column[aria-label^='{name}']")


def test_a_day_is_filtered_and_played(page: Any, url: str) -> None:
    assert listed(page) == [
        ["18:00:00", "chopping", "70 %", "yard"],  # 19 hours after midnight: the clocks were set back
        ["07:18:00", "water flowing", "80 %", "kitchen"],
        ["07:12:00", "clean dishes", "40 %", "kitchen"],
        ["07:06:00", "clean dishes", "90 %", "kitchen"],
        ["01:30:00", "eat", "60 %", "kitchen"],
    ]
    assert page.inner_text("h2") == "Sunday 25 October 2026"
    assert page.locator(".column").count() == 31 + 25
    assert bar(page, "Sat 24 Oct: 1 event").count() == bar(page, "07:00: 3 events").count() == 1
    assert page.locator(".day-lane .lane-name").count() == 4

    clip = page.get_by_role("button", name="Play water flowing at 07:18:00")
    with page.expect_response("**/clip") as sent:
        clip.click()
    assert sent.value.status == 200
    page.get_by_role("button", name="Stop water flowing at 07:18:00").wait_for()
    clip.wait_for()  # at the end, it can be played again
    page.locator(".day-lane canvas").first.click(position={"x": 0, "y": 0})  # where nothing is
    box = page.locator(".day-lane canvas").first.bounding_box()
    page.locator(".day-lane canvas").first.click(position={"x": 8.1 / 25 * box["width"], "y": 9})
    until(page, "document.querySelector('tr[aria-current] th').innerText === 'clean dishes'")

    bar(page, "07:00").click()
    assert [row[1] for row in listed(page)] == ["water flowing", "clean dishes", "clean dishes"]
    page.get_by_role("button", name="Show the whole day").click()
    page.get_by_label("Score at least").fill("70")
    assert [row[1] for row in listed(page)] == ["chopping", "water flowing", "clean dishes"]
    page.get_by_label("Input").select_option("kitchen")
    until(page, "document.querySelector('.column[aria-label^=\"Sun 25 Oct\"]').title === 'Sun 25 Oct: 2 events'")
    page.locator("summary").click()
    page.get_by_role("combobox", name="Search for sounds").fill("water")
    page.keyboard.press("Enter")
    assert [row[1] for row in listed(page)] == ["water flowing"]
    assert page.inner_text("#status") == "1 of 5 events shown."

    page.reload()  # the address keeps all of it
    assert [row[1] for row in listed(page)] == ["water flowing"]
    page.get_by_label("Score at least").fill("90")
    page.get_by_role("button", name="Show all", exact=True).click()
    assert len(listed(page)) == 5
    page.get_by_role("button", name="Previous day").click()
    until(page, "document.querySelector('h2').textContent === 'Saturday 24 October 2026'")
    assert listed(page) == [["23:00:00", "chopping", "90 %", "kitchen"]]


def test_an_event_is_renamed_by_keyboard_and_deleted(page: Any, url: str, history: History, tmp_path: Path) -> None:
    listed(page)
    page.get_by_role("button", name="Rename clean dishes at 07:12:00").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("plate")
    page.keyboard.press("Enter")  # takes the model's label
    page.keyboard.press("Enter")
    until(page, "document.activeElement.getAttribute('aria-label') === 'Rename plates at 07:12:00'")
    assert page.locator("tr", has_text="plates").inner_text().count("corrected") == 1
    (changed,) = history.events(labels=["plates"])
    assert changed.corrected and changed.score == 0.4
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # leaves it as it was
    until(page, "document.activeElement.getAttribute('aria-label') === 'Rename plates at 07:12:00'")

    page.get_by_role("button", name="Delete water flowing").click()
    page.get_by_role("button", name="Delete plates").press("Enter")
    assert [row[1] for row in listed(page)] == ["chopping", "clean dishes", "eat"]
    assert page.inner_text(".undo span") == "2 events are deleted."
    page.keyboard.press("Control+z")
    assert len(listed(page)) == 5 and history.number() == len(EVENTS)

    page.get_by_role("button", name="Delete water flowing").click()
    page.get_by_role("link", name="Recognise").click()  # before the time for an undo is over
    page.wait_for_selector("#model:not([disabled])")
    for _ in range(200):
        if not history.events(labels=["water-flowing"]):
            break
        time.sleep(0.05)
    assert history.number() == len(EVENTS) - 1
    assert [path.name for path in (tmp_path / "clips").iterdir()] == [A]
    page.get_by_role("link", name="History").click()
    page.wait_for_url("**/history.html")


def test_what_happens_now_appears_by_itself(browser: Any, tmp_path: Path) -> None:
    with serving(models=(SMALL,), history=tmp_path / "history.db", api_key="s3cret") as server:
        for page in opened(browser, f"{server.url}/history.html"):
            page.fill("#key", "s3cret")
            page.keyboard.press("Enter")
            page.wait_for_selector(".empty:not([hidden])")
            assert "Nothing has been recorded yet" in page.inner_text("main")
            with History(tmp_path / "history.db") as history:  # as another program does
                now = datetime.now() - timedelta(milliseconds=1)
                history.add("kitchen", now.timestamp(), now.timestamp() + 1, "eat", 0.9, SMALL)
            page.wait_for_selector(".event-table tbody tr")
            assert [row[1:] for row in listed(page)] == [["eat", "90 %", "kitchen"]]
            assert page.locator(".live-mark").is_visible()


def test_a_server_without_a_history_says_how_to_get_one(browser: Any) -> None:
    with serving(models=(SMALL,)) as server:
        for page in opened(browser, f"{server.url}/history.html"):
            page.wait_for_selector(".empty")
            assert "when starting ainext serve" in page.inner_text("main")


@pytest.mark.parametrize(
    ("width", "scheme", "locale", "label"),
    [
        (1200, "light", "en-GB", "chopping"),
        (360, "dark", "de-AT", "schneiden, hacken"),
        (360, "light", "nl", "chopping"),
    ],
)
def test_axe_finds_nothing_serious(browser: Any, url: str, width: int, scheme: str, locale: str, label: str) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}, "timezone_id": "Europe/Berlin"}
    for page in opened(browser, url, bypass_csp=True, locale=locale, **options):
        assert listed(page)[0][1].casefold() == label  # in the browser's language, if there are names in it
        page.get_by_role("button", name="Rename").first.click()
        page.get_by_role("button", name="Delete").last.click()
        page.keyboard.press("Escape")
        found = Axe().run(page).response["violations"]
        assert not [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no sideways scrolling


def test_sounds_have_names_in_the_browsers_language(browser: Any, url: str) -> None:
    for page in opened(browser, url, timezone_id="Europe/Berlin", locale="fr-CA"):
        assert [row[1] for row in listed(page)][:2] == ["Hacher", "Eau qui coule"]
        assert page.locator(".day-lane .lane-name", has_text="Laver la vaisselle").count() == 1
        page.select_option("#language", "es")
        page.wait_for_selector(".event-table >> text=Picar")
        assert [row[1] for row in listed(page)][:2] == ["Picar", "Agua que corre"] and "day=2026-10-25" in page.url
