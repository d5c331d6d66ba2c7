"""The page in a real browser: files, results and downloads, the microphone, the keyboard, and what axe finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext.audio import decode
from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.results.html import HtmlReport
from audioinceptionnext.results.types import Score, Segment
from tests.browser import SCENE, SMALL, drop, opened, rows, until
from tests.command import ainext
from tests.served import serving
from tests.strategies import recognition

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]  # most of Playwright's calls have no limit

SERIOUS = ("serious", "critical")

# The runs of coloured columns in the lanes of a strip.
VISIBLE_BARS = """canvas => {
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let bars = 0;
  for (const y of [0.25, 0.75].map((part) => Math.round(part * height)))
    for (let x = 0, before = 0; x < width; x++) {
      const alpha = data[4 * (y * width + x) + 3];
      if (alpha > 100 && before <= 100) bars++;
      before = alpha;
    }
  return bars;
}"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL,)) as server:
        yield server.url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from opened(browser, url)


def test_a_dropped_file_is_recognised_played_and_saved(page: Any, tmp_path: Path) -> None:
    wanted = ainext("predict", SCENE, "--model", SMALL, "--json").json[0]["segments"]
    drop(page, SCENE)
    table = rows(page)
    assert [row[2] for row in table] == [one["label"].replace("-", " ") for one in wanted]
    assert [row[0] for row in table] == [f"{int(one['start'] // 60)}:{one['start'] % 60:04.1f}" for one in wanted]
    assert page.locator(".bar").count() == len(wanted)

    # A click on a segment in the timeline plays it from its start to its end.
    page.locator(".bar").nth(1).click()
    until(page, "!document.querySelector('audio').paused")
    start = page.eval_on_selector("audio", "a => a.currentTime")
    starts = sorted(one["start"] for one in wanted)
    assert min(abs(start - one) for one in starts) < 1.0
    until(page, "document.querySelector('audio').paused")
    end = page.eval_on_selector("audio", "a => a.currentTime")
    assert min(abs(end - one["end"]) for one in wanted) < 0.3

    for title, suffix in (("CSV", "csv"), ("Audacity", "audacity"), ("SRT", "srt")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=title, exact=True).click()
        by_page = Path(saved.value.path()).read_text()
        by_command = ainext("predict", SCENE, "--model", SMALL, "--format", suffix).out.replace(str(SCENE), SCENE.name)
        assert by_page == by_command
        assert saved.value.suggested_filename.startswith("kitchen-scene.")
    with page.expect_download() as saved:
        page.get_by_role("button", name="JSON").click()
    assert json.loads(Path(saved.value.path()).read_text())["segments"] == wanted


@pytest.mark.timeout(600)
def test_the_microphone_is_recognised_live(page: Any) -> None:
    page.get_by_role("button", name="Use the microphone").click()
    # Its first segment has ended, or something went wrong. The fake microphone plays the scene again and again, so that
    # a busy computer, which gives the browser the sound in pieces, has more than one chance.
    page.wait_for_selector("#live .ended li:has-text('water flowing'), #problem:not([hidden])", timeout=240_000)
    assert page.locator("#problem").is_hidden(), page.locator("#problem").inner_text()
    delay = Stream(load(SMALL)).delay
    assert f"{delay:.1f}\u00a0s behind the sound" in page.locator("#live").inner_text()
    assert 1 <= page.locator("#live .score").count() <= 5  # none that is hardly probable
    colours = page.eval_on_selector(
        "#live canvas",
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size",
    )
    assert colours > 50
    page.get_by_role("button", name="Stop").click()
    assert "water flowing" in [row[2] for row in rows(page)]
    page.locator("#result tbody button").first.click()  # the recording from the microphone plays
    until(page, "document.querySelector('audio').currentTime > 0.3")
    page.get_by_role("button", name="Recognise again", exact=True).click()  # as a file is, with all that it gives
    page.get_by_label("Onset threshold").wait_for()
    assert page.locator(".entry").count() == 2


def test_the_keyboard_is_enough(page: Any) -> None:
    until(page, "!document.getElementById('model').disabled")

    def focused() -> str:
        return str(page.evaluate("document.activeElement.textContent"))

    for _ in range(10):
        page.keyboard.press("Tab")
        if focused() == "Try an example":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#result tbody tr")
    assert focused() == "everyday-scene.mp3"  # the result's title, so that a screen reader continues there
    page.keyboard.press("Space")
    until(page, "!document.querySelector('audio').paused")
    page.keyboard.press("Space")
    until(page, "document.querySelector('audio').paused")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('audio').currentTime >= 2")
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''").startswith("Play "):
            break
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('audio').paused")
    assert page.locator("#status").text_content() == "everyday-scene.mp3: 5 segments." or rows(page)


def test_the_page_shows_what_is_wrong_with_a_file(page: Any, tmp_path: Path) -> None:
    (notes := tmp_path / "notes.mp4").write_text("Dear diary")
    drop(page, notes, "video/mp4")
    page.wait_for_selector(".entry[data-state=failed]")
    assert page.locator(".entry .state").inner_text().startswith("notes.mp4: not an audio or video file")
    assert page.locator("#result").is_hidden()
    write_wav(tmp_path / "silence.wav", np.zeros(48_000), 16_000)
    drop(page, tmp_path / "silence.wav", "audio/wav")
    page.wait_for_selector("#result:not([hidden])")
    assert "No segments" in page.inner_text("#result")
    assert page.locator(".entry").count() == 2 and page.locator("#problem").is_hidden()


def test_the_page_asks_for_the_key_of_a_server(browser: Any) -> None:
    with serving(models=(SMALL,), api_key="s3cret") as server:
        for page in opened(browser, server.url):
            page.wait_for_selector("dialog[open]")
            page.fill("#key", "s3cret")
            page.keyboard.press("Enter")
            drop(page, SCENE)
            assert rows(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing_serious(browser: Any, url: str, scheme: str, width: int) -> None:
    for page in opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True):
        for _ in range(2):
            found = Axe().run(page).response["violations"]
            assert not [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no sideways scrolling
            if page.locator("#result").is_hidden():
                drop(page, SCENE)
                rows(page)


@pytest.mark.parametrize("width", [1280, 400])
def test_a_report_of_a_long_recording_has_an_overview(browser: Any, tmp_path: Path, width: int) -> None:
    """No column is cut, each segment is visible in the strip, and a drag over the strip shows that stretch."""
    segments = [Segment(60.0 * n, 60.0 * n + 1, ("clean-dishes", "wok")[n % 2], 0.9) for n in range(60)]
    name = "an-evening-in-the-kitchen-whose-name-has-no-space-at-which-a-line-could-break.wav"
    long = recognition(segments, file=name, duration=3600.0, clip=[Score("wok", 0.5), Score("tap", 0.0)])
    with HtmlReport(tmp_path / "r.html", "none") as report:
        report.add(long)
        report.fail("gone.wav", "no such file or folder")
    for page in opened(browser, (tmp_path / "r.html").as_uri(), viewport={"width": width, "height": 900}):
        page.wait_for_selector(".overview canvas")
        cut = "e => e.scrollWidth > e.clientWidth + 1"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not any(page.eval_on_selector_all(".wide, .wide td, .wide th", f"all => all.map({cut})"))
        assert page.eval_on_selector(".overview canvas", VISIBLE_BARS) == 60
        assert "tap" not in page.inner_text(".beside") and "50\u00a0%" in page.inner_text(".beside")
        assert "3.3\u00a0%" not in page.inner_text("main") and "0.8\u00a0%" in page.inner_text("main")  # 30 of 3600 s
        box = page.locator(".overview").bounding_box()
        page.locator(".overview").scroll_into_view_if_needed()
        box = page.locator(".overview").bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.5, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=3)
        page.mouse.up()
        shown = page.eval_on_selector(
            ".timeline", "t => [t.scrollLeft, t.scrollLeft + t.clientWidth].map(x => x / t.scrollWidth * 3600)"
        )
        assert shown == pytest.approx([1800, 2160], abs=20)


def test_a_long_recording_of_many_labels_on_a_phone(browser: Any, tmp_path: Path) -> None:
    """The player is on the first screen, every label is drawn where it occurs, and the strip says what a mark is."""
    segments = [Segment(36.0 * n, 36.0 * n + 4, f"sound-{n}", 0.9) for n in range(20)]
    with HtmlReport(tmp_path / "r.html", "none") as report:
        report.add(recognition(segments, file="evening.wav", duration=720.0))
    shown = "[...document.querySelectorAll('.lane')].filter(lane => lane.offsetHeight).length"
    for page in opened(browser, (tmp_path / "r.html").as_uri(), viewport={"width": 400, "height": 850}, has_touch=True):
        page.wait_for_selector(".bar")
        assert page.locator(".play").bounding_box()["y"] < 400
        assert max(page.eval_on_selector_all(".wide tbody tr", "all => all.map(row => row.offsetHeight)")) < 70
        assert page.evaluate(shown) == 1  # of the first 30 s
        box = page.locator(".overview").bounding_box()
        page.touchscreen.tap(box["x"] + 362 / 720 * box["width"], box["y"] + 10.5 / 20 * box["height"])
        assert page.inner_text(".caption") == "sound 10 90\u00a0%, 6:00.0 to 6:04.0"
        until(page, "document.querySelector('.bar').title.startsWith('sound 10 ')")
        page.get_by_role("button", name="Show the whole recording").click()
        until(page, f"{shown} === 20 && document.querySelectorAll('.bar').length === 20")


def test_a_report_is_one_page_that_plays_without_a_server(browser: Any, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>.wav"
    name = evil.replace("/", "")  # the part that a file's name can hold
    write_wav(tmp_path / name, decode.read(SCENE, 24_000)[: 24_000 * 6], 24_000)
    (tmp_path / "notes.mp4").write_text("Dear diary")
    done = ainext("report", SCENE, tmp_path / name, tmp_path / "notes.mp4", "-m", SMALL, "-o", tmp_path / "r.html")
    assert done.code == 1 and "notes.mp4: not an audio or video file" in done.err
    wanted = ainext("predict", SCENE, "--model", SMALL, "--json").json[0]["segments"]

    for page in opened(browser, (tmp_path / "r.html").as_uri()):
        page.wait_for_selector("details[open] tbody tr")
        labels = page.eval_on_selector_all("details[open] tbody th", "cells => cells.map(c => c.innerText)")
        assert labels == [one["label"].replace("-", " ") for one in wanted]
        page.locator("details[open] tbody button").nth(1).click()
        until(page, "!document.querySelector('audio').paused && document.querySelector('audio').currentTime > 0")
        assert page.eval_on_selector("audio", "a => a.currentTime") == pytest.approx(wanted[1]["start"], abs=1.0)
        assert page.eval_on_selector("audio", "a => a.duration") == pytest.approx(29.0, abs=0.1)
        assert name in page.inner_text("main") and page.locator("img").count() == 0
        page.get_by_role("link", name=name).click()
        page.wait_for_selector("#r1 .viewer")
        assert "not an audio or video file" in page.inner_text("td.problem")

    for sound, script_type in (("link", "text/link"), ("none", "text/none")):
        assert ainext("report", SCENE, "-m", SMALL, "-o", tmp_path / "s.html", "--sound", sound).code == 0
        page_text = (tmp_path / "s.html").read_text()
        assert script_type in page_text and len(page_text) < 700_000
