"""Segments corrected on the page: by mouse, by touch, by keyboard; what is saved then, and what axe finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext.data.track_formats import read_track
from tests.browser import SCENE, SMALL, drop, opened, rows, until
from tests.served import serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]  # most of Playwright's calls have no limit

SERIOUS = ("serious", "critical")
SAID = ".corrections > [role=status]"
FOCUSED = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL,)) as server:
        yield server.url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    for page in opened(browser, url):
        correct(page)
        yield page


def correct(page: Any) -> None:
    """Open the scene of four segments, and begin to correct it."""
    drop(page, SCENE)
    assert len(rows(page)) == 4
    page.get_by_role("button", name="Correct", exact=True).click()


def saved(page: Any, title: str) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=title, exact=True).click()
    return Path(download.value.path())


def segments(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(saved(page, "JSON").read_text())["segments"]
    return found


def box_of(locator: Any) -> Any:
    """Where an element is, in the middle of the window: below what sticks to its top, and at rest."""
    for _ in range(100):
        before = locator.bounding_box()
        locator.evaluate("element => element.scrollIntoView({ block: 'center', behavior: 'instant' })")
        locator.page.wait_for_timeout(50)
        if (box := locator.bounding_box()) == before:
            return box
    pytest.fail("the page does not come to rest")


def drag(page: Any, x: float, y: float, by: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by / 2, y, steps=3)
    page.mouse.move(x + by, y, steps=3)
    page.mouse.up()


def test_segments_are_corrected_by_mouse(page: Any) -> None:
    before = segments(page)
    seconds = page.eval_on_selector(".inner", "inner => 29 / inner.clientWidth")  # of a CSS pixel
    bar = page.locator(".lane", has_text="blender").locator(".bar")
    box = box_of(bar)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    drag(page, *middle, -2 / seconds)  # moves it
    box = box_of(bar)
    page.mouse.move(*middle)
    drag(page, box["x"] + box["width"] - 2, middle[1], 1 / seconds)  # its end resizes it
    moved = next(one for one in segments(page) if one["label"] == "blender")
    was = next(one for one in before if one["label"] == "blender")
    assert moved["start"] == pytest.approx(was["start"] - 2, abs=2 * seconds)
    assert moved["end"] == pytest.approx(was["end"] - 1, abs=2 * seconds)
    assert moved["score"] is None and page.inner_text(".edited-mark") == "Edited: 1 changed"

    grip = box_of(page.locator(".grip.start"))
    drag(page, grip["x"] + grip["width"] / 2, grip["y"] + 50, 20 / seconds)  # beyond the end: as short as it may be
    short = next(one for one in segments(page) if one["label"] == "blender")
    assert short["end"] - short["start"] == pytest.approx(0.05)
    page.get_by_role("button", name="Undo").click()

    lane = box_of(page.locator(".lane", has_text="water flowing").locator(".bars"))
    drag(page, lane["x"] + 10 / seconds, lane["y"] + 8, 1.5 / seconds)  # an empty part of a lane: one more of its label
    picture = box_of(page.locator("#result .log-mel"))
    drag(page, picture["x"] + 6 / seconds, picture["y"] + 60, 4 / seconds)  # the picture: the label is asked for
    assert page.evaluate("document.activeElement.getAttribute('role')") == "combobox"
    page.keyboard.type("knif")
    page.get_by_role("option", name="“knif” a label of your own").click()
    page.get_by_role("button", name="Add", exact=True).click()
    assert page.inner_text(".edited-mark") == "Edited: 1 changed, 2 added"
    page.get_by_role("button", name="Delete the chosen segment").click()
    assert "Deleted knif edited, 0:06.0 to 0:10." in page.inner_text(SAID)
    page.keyboard.press("Control+z")

    table = [row[2] for row in rows(page)]
    assert table == ["water flowing", "knif", "blender", "water flowing", "clean dishes", "microwave"]
    found = segments(page)
    assert [one["label"].replace("-", " ") for one in found] == table
    assert [one["score"] for one in found].count(None) == 3
    track = read_track(saved(page, "Audacity"), SCENE.name)
    assert not track.problems
    assert track.segments == [(one["start"], one["end"], one["label"]) for one in found]
    assert f"{SCENE.name},{found[1]['start']:.3f},{found[1]['end']:.3f},knif,\n" in saved(page, "CSV").read_text()
    assert "\nknif\n" in saved(page, "SRT").read_text()

    page.get_by_role("button", name="Edit water flowing, 0:10").click()
    page.get_by_label("Rename or delete all 2 segments of water flowing").check()
    page.get_by_role("combobox", name="Sound").fill("chop")
    page.get_by_role("option", name="chopping").click()
    page.get_by_role("button", name="Save", exact=True).click()
    assert page.inner_text(SAID) == "Renamed 2 segments of water flowing to chopping."
    assert [row[2] for row in rows(page)] == [label.replace("water flowing", "chopping") for label in table]
    page.get_by_role("button", name="Undo").click()
    assert segments(page) == found

    page.get_by_role("button", name="Back to the model’s segments").click()
    assert segments(page) == before and page.locator(".edited-mark").is_hidden()
    page.get_by_role("button", name="Undo").click()
    assert segments(page) == found


def test_segments_are_corrected_by_keyboard(page: Any) -> None:
    before = segments(page)

    def tab_to(name: str) -> None:
        for _ in range(60):
            if page.evaluate(FOCUSED).startswith(name):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"Tab does not lead to {name}: {page.evaluate(FOCUSED)}")

    page.locator("#result h2").focus()
    tab_to("Edit water flowing")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED).startswith("Edit blender")
    page.keyboard.press("Enter")
    page.keyboard.type("burn")
    page.keyboard.press("Enter")  # takes the label that the list begins with
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("0:99")
    page.keyboard.press("Enter")
    assert (
        page.locator(".corrections, #result table").get_by_role("alert").first.inner_text()
        == "The recording ends at 0:29.00."
    )
    page.keyboard.press("Control+a")
    page.keyboard.type("15,5")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.inner_text(SAID) == "Renamed blender to stove burner, 0:11.40 to 0:15.55."
    assert page.evaluate(FOCUSED).startswith("Edit stove burner, 0:11.40 to 0:15.55")  # where the focus was

    for key in ["Shift+ArrowRight"] * 3 + ["Alt+ArrowLeft"] * 3:  # two edits
        page.keyboard.press(key)
    page.keyboard.press("Shift+Alt+ArrowRight")
    now = next(one for one in segments(page) if one["label"] == "stove-burner")
    assert (now["start"], now["end"]) == (11.6, 15.45)
    page.get_by_role("button", name="Edit stove burner").focus()
    page.evaluate("document.querySelector('audio').currentTime = 12")
    page.keyboard.press("[")
    page.evaluate("document.querySelector('audio').currentTime = 3")
    page.keyboard.press("]")
    assert page.inner_text(SAID) == "The playhead is before the start of the chosen segment."
    assert page.evaluate(FOCUSED).startswith("Edit stove burner, 0:12.00 to 0:15.45")

    page.keyboard.press("Delete")
    assert page.evaluate(FOCUSED).startswith("Edit clean dishes")  # the next row
    page.keyboard.press("n")
    page.keyboard.type("Tom's whistle")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.inner_text(SAID) == "Added Tom's whistle, 0:03.00 to 0:04.00."
    labels = ["water flowing", "Tom's whistle", "clean dishes", "microwave"]
    assert [row[2] for row in rows(page)] == labels

    for _ in range(7):
        page.keyboard.press("Control+z")
    assert segments(page) == before
    page.keyboard.press("Control+Shift+Z")
    page.keyboard.press("Control+y")
    assert "stove burner" in page.inner_text("tr[aria-current]")
    page.keyboard.press("p")
    until(page, "!document.querySelector('audio').paused")
    page.keyboard.press("Escape")
    page.locator("#result h2").focus()
    page.keyboard.press("Space")  # keys of the page mean what they meant
    until(page, "document.querySelector('audio').paused")


def test_a_page_with_unsaved_corrections_asks_before_it_closes(page: Any) -> None:
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("button", name="Edit water flowing").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.evaluate("setTimeout(() => location.reload())")
    for _ in range(600):
        if asked:
            break
        page.wait_for_timeout(50)
    assert asked == ["beforeunload"] and len(rows(page)) == 3
    segments(page)  # which saves them
    page.evaluate("setTimeout(() => location.reload())")
    page.wait_for_selector("#result", state="hidden")
    assert asked == ["beforeunload"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_segments_are_corrected_by_touch(browser: Any, url: str, scheme: str) -> None:
    """And axe finds nothing serious on a phone, with a form open."""
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": scheme, "bypass_csp": True}
    for page in opened(browser, url, **options):
        correct(page)
        bar = page.locator(".lane", has_text="clean dishes").locator(".bar")
        bar.tap()
        until(page, "!document.querySelector('audio').paused")
        assert page.locator(".bar.selected").count() == 1
        grip = box_of(page.locator(".grip.end"))
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + 60
        touch = page.context.new_cdp_session(page)
        for kind, at in (("Start", x), ("Move", x + 10), ("Move", x + 30), ("End", None)):
            points = [] if at is None else [{"x": at, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        assert "clean dishes now ends at" in page.inner_text(SAID)
        assert page.inner_text(".edited-mark") == "Edited: 1 changed"
        page.get_by_text("Keys", exact=True).click()
        page.get_by_role("button", name="Edit blender").click()
        page.keyboard.type("w")
        found = Axe().run(page).response["violations"]
        assert not [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no sideways scrolling


def test_corrected_recordings_are_kept_by_a_server_that_offers_it(browser: Any, tmp_path: Path) -> None:
    with serving(models=(SMALL,), corrections=tmp_path) as server:
        for page in opened(browser, server.url):
            correct(page)
            page.get_by_role("button", name="Edit microwave").click()
            page.keyboard.type("Tom's hob")
            page.keyboard.press("Enter")
            page.keyboard.press("Enter")
            page.get_by_role("button", name="Save corrections").click()
            saying = "Saved 4 segments of kitchen-scene.flac. 1 corrected recording; about 19 more make a training set"
            until(page, f"document.querySelector('.training').innerText.includes({saying!r})")
            track = read_track(next(tmp_path.glob("kitchen-scene-*.txt")), SCENE.name)
            assert [label for *_, label in track.segments][-1] == "Tom's hob"
            page.evaluate("setTimeout(() => location.reload())")  # what has been saved is not asked about
            page.wait_for_selector("#result", state="hidden")


def test_corrections_stay_whatever_threshold_and_sounds_are_chosen(page: Any) -> None:
    page.get_by_role("button", name="Edit blender").click()
    page.keyboard.type("Tom's drill")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Edit microwave").click()
    page.get_by_role("button", name="Delete", exact=True).click()

    page.locator("#threshold").focus()
    page.keyboard.press("Home")  # the lowest: the model's segments are more, and longer
    until(page, "document.querySelectorAll('#result tbody tr').length > 3")
    found = [row[2] for row in rows(page)]
    assert "Tom's drill" in found and "blender" not in found and "microwave" not in found
    page.keyboard.press("End")  # the highest: its segments are shorter and fewer
    until(page, "document.querySelector('#result tbody').innerText.includes('0:21.80')")  # another segment is shorter
    assert "Tom's drill" in [row[2] for row in rows(page)]
    page.get_by_role("button", name="The model’s own").click()
    assert [row[2] for row in rows(page)] == ["water flowing", "Tom's drill", "clean dishes"]

    page.locator("#sounds summary").click()
    page.get_by_role("combobox", name="Search for sounds").fill("drill")
    page.keyboard.press("Enter")
    assert [row[2] for row in rows(page)] == ["Tom's drill"]
    page.get_by_role("button", name="Edit Tom's drill").click()
    page.keyboard.type("chop")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    hidden = "It is hidden: chopping is not among the sounds that are shown."
    assert page.inner_text(SAID) == f"Renamed Tom's drill to chopping. {hidden}"
    page.keyboard.press("Control+z")
    assert [row[2] for row in rows(page)] == ["Tom's drill"]
