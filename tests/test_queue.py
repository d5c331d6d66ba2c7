"""The page with several recordings: the queue, links to results, what is saved, the threshold, and what axe finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.models.load import load
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.recognition import Recognition
from tests.browser import SCENE, SMALL, drop, opened, rows, until
from tests.command import ainext
from tests.served import serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]  # most of Playwright's calls have no limit

SERIOUS = ("serious", "critical")
OTHER = SCENE.with_name("everyday-scene.flac")
TITLES = {"json": "JSON", "csv": "CSV", "audacity": "Audacity", "srt": "SRT", "elan": "ELAN", "raven": "Raven"}
DONE = ".entry[data-state=done]"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL, "esc10"), workers=1) as server:
        yield server.url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    for page in opened(browser, url, permissions=["clipboard-read", "clipboard-write"]):
        page.wait_for_selector("#model:not([disabled])")
        yield page


def entry(page: Any, name: str) -> Any:
    return page.locator(".entry", has=page.locator(".name", has_text=name))


def state(page: Any, name: str) -> str:
    return str(entry(page, name).first.get_attribute("data-state"))


def saved(page: Any, title: str, group: str = "Save as") -> str:
    with page.expect_download() as download:
        page.get_by_role("group", name=group).get_by_role("button", name=title, exact=True).click()
    return Path(download.value.path()).read_bytes().decode()


def serious(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]


def test_three_files_are_queued_and_one_is_cancelled(browser: Any, url: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 8_000 * 60)
    write_wav(long := tmp_path / "long.wav", np.tile(noise, 90), 8_000)
    # Nothing is half-way when axe looks.
    phone = {"viewport": {"width": 390, "height": 844}, "reduced_motion": "reduce"}
    for page in opened(browser, url, bypass_csp=True, **phone):
        page.wait_for_selector("#model:not([disabled])")
        page.set_input_files("#file", [long, SCENE, OTHER])
        entry(page, "long.wav").get_by_text(
            re.compile(r"Recognising, \d+\s%, (about .+|a few seconds) left")
        ).wait_for()
        assert [state(page, name) for name in ("long.wav", SCENE.name, OTHER.name)] == ["running", "waiting", "waiting"]
        page.get_by_role("button", name=f"Cancel {OTHER.name}").click()
        assert not serious(page)
        page.get_by_role("button", name="Cancel long.wav").click()
        page.get_by_role("heading", name=SCENE.name).wait_for()  # the first result of the three is shown
        states = [state(page, name) for name in ("long.wav", SCENE.name, OTHER.name)]
        assert states == ["cancelled", "done", "cancelled"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert not serious(page)

        # One that was cancelled can be tried again, and does not take the place of what is shown.
        page.get_by_role("button", name=f"Try {OTHER.name} again").click()
        until(page, f"document.querySelectorAll('{DONE}').length === 2")
        assert page.locator("#result h2").inner_text() == SCENE.name
        entry(page, OTHER.name).locator(".name").click()
        assert page.locator("#result h2").inner_text() == OTHER.name
        page.get_by_role("button", name=f"Remove {OTHER.name}").click()
        assert page.locator("#result").is_hidden() and page.locator(".entry").count() == 2


def test_the_keyboard_leads_through_the_queue(page: Any, tmp_path: Path) -> None:
    (notes := tmp_path / "notes.mp4").write_text("Dear diary")
    page.set_input_files("#file", [notes, SCENE])
    rows(page)
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    assert page.evaluate(focused) == SCENE.name  # the title of the result
    names = []
    while "notes" not in (names or [""])[-1]:
        page.keyboard.press("Shift+Tab")
        names.append(page.evaluate(focused))
    assert {f"Remove {SCENE.name}", f"Copy the link to {SCENE.name}", "Remove notes.mp4"} <= set(names)
    page.keyboard.press("Enter")  # removes it, and the focus goes on to the other one
    until(page, "document.querySelectorAll('.entry').length === 1")
    assert page.evaluate("document.activeElement.closest('.entry') !== null")
    page.get_by_label("Onset threshold").focus()
    page.keyboard.press("End")
    count = len(load(SMALL).predict(SCENE, threshold=0.99).segments)
    until(page, f"document.querySelectorAll('.bar').length === {count}")
    assert page.get_by_label("Onset threshold").get_attribute("aria-valuetext") == "0.99"


def test_a_link_opens_the_result_in_another_tab(page: Any, url: str) -> None:
    drop(page, SCENE)
    wanted = rows(page)
    page.get_by_role("button", name=f"Copy the link to {SCENE.name}").click()
    page.get_by_text(re.compile("The link to kitchen-scene.flac is copied. It leads to the result until")).wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url and re.fullmatch(rf"{url}/#result=[\w-]{{20,}}", link)
    for tab in opened(page.context.browser, link):
        assert rows(tab) == wanted
        assert tab.get_by_role("button", name="Play", exact=True).is_disabled()
        assert "cannot be played" in tab.locator("#result").inner_text()
        assert saved(tab, "CSV") == saved(page, "CSV")
        tab.goto(f"{url}/#result=nothing")  # in the same tab, which shows what is wrong and keeps the rest
        tab.wait_for_selector("#problem:not([hidden])")
        assert "not kept any more" in tab.locator("#problem").inner_text() and rows(tab) == wanted


def by_command(format: str, *options: str) -> str:
    """What the command writes for the scene, where its path is not known."""
    out = ainext("predict", SCENE, "--model", SMALL, "--format", format, *options).out
    return out.replace(str(SCENE), SCENE.name)


def test_all_formats_are_those_of_python(page: Any) -> None:
    drop(page, SCENE)
    rows(page)
    result = load(SMALL).predict(SCENE)
    result.file = SCENE.name
    differing = re.compile(r' (DATE|MIME_TYPE)="[^"]+"')  # the second depends on what this computer knows of types
    for format in FORMATS:
        wanted, found = result.to(format), saved(page, TITLES[format])
        assert differing.sub("", found) == differing.sub("", wanted), format
        if format not in ("elan", "json"):  # with the path, ELAN has it in another form
            assert found == by_command(format)
    assert re.search(r'DATE="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"', saved(page, "ELAN"))


def test_the_threshold_acts_at_once_as_that_of_the_command(page: Any) -> None:
    predictions: list[str] = []
    drop(page, SCENE)
    own = rows(page)
    page.on("request", lambda request: predictions.append(request.url))
    slider = page.get_by_label("Onset threshold")
    counts = set()
    for threshold in ("0.05", "0.2", "0.6", "0.93"):
        slider.fill(threshold)
        until(page, f"document.querySelector('.threshold output').textContent === '{float(threshold):.2f}'")
        page.wait_for_timeout(100)
        found = saved(page, "CSV")
        assert found == by_command("csv", "--threshold", threshold)
        counts.add(len(found.splitlines()))
    assert len(counts) > 2 and not [one for one in predictions if "/v1/" in one]
    page.get_by_role("button", name="The model’s own").click()
    assert rows(page) == own


def test_several_results_are_saved_together_and_another_model_is_offered(page: Any, tmp_path: Path) -> None:
    write_wav(silence := tmp_path / "silence.wav", np.zeros(48_000), 16_000)
    page.set_input_files("#file", [SCENE, silence, OTHER])
    until(page, f"document.querySelectorAll('{DONE}').length === 3")
    results: list[Recognition] = [load(SMALL).predict(path) for path in (SCENE, silence, OTHER)]
    for result in results:
        result.file = Path(result.file).name
    for format in ("csv", "raven"):
        assert saved(page, TITLES[format], "Save all as") == FORMATS[format].text(*results)
    names = (str(path) for path in (SCENE, silence, OTHER))
    wanted = ainext("predict", *names, "--model", SMALL, "--format", "json").out
    for path in (SCENE, silence, OTHER):
        wanted = wanted.replace(str(path), path.name)
    assert saved(page, "JSON", "Save all as") == wanted

    assert page.locator("#result .hint").is_hidden()
    page.select_option("#model", "esc10")
    again = page.get_by_role("button", name="Recognise again with esc10")
    again.click()
    page.get_by_text("recognised by esc10").wait_for()
    assert (
        page.locator(".entry .state").nth(1).inner_text().endswith("by esc10")
    )  # beside the first result, which stays
    assert page.locator(".entry").count() == 4 and again.is_hidden()


def test_a_folder_is_dropped(page: Any, tmp_path: Path) -> None:
    """Its recordings are added, also those in its folders, and what was left out is said."""
    (folder := tmp_path / "evening" / "kitchen").mkdir(parents=True)
    for number in (10, 2):
        write_wav(folder / f"take {number}.wav", np.zeros(16_000), 16_000)
    (tmp_path / "evening" / "notes.txt").write_text("Dear diary")
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "evening")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 200, "data": data})
    until(page, f"document.querySelectorAll('{DONE}').length === 2")
    assert page.locator(".entry .name").all_inner_texts() == ["take 2.wav", "take 10.wav"]
    assert page.locator("#problem").inner_text() == "1 file of the folder is no recording by name."
