"""The page with a model of hundreds of labels, in a real browser. The server's model and results are invented here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from audioinceptionnext.results.html import HtmlReport
from audioinceptionnext.results.types import Segment
from tests.browser import SCENE, SMALL, drop, opened, rows, until
from tests.command import ainext
from tests.served import serving
from tests.strategies import recognition

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]

# Forty labels occur, each for 3 s and longer the lower its number; the neighbours overlap.
OCCURRING = ["Dog", "Waves, surf", "Bark", "Speech", *(f"Sound {n}" for n in range(36))]
LABELS = [*OCCURRING, *(f"Silent {n}" for n in range(400))]
GROUPS = {"Animal": ["Dog", "Bark"], "Quiet things": LABELS[40:]}
SEGMENTS = [
    {"start": n / 2, "end": n / 2 + 5 - n / 20, "label": label, "score": 0.8} for n, label in enumerate(OCCURRING)
]
RESULT: dict[str, Any] = {
    **{"file": "street.wav", "duration": 25.0, "model": "many", "warnings": [], "segments": SEGMENTS},
    "clip": [{"label": label, "score": round(0.9 - n / 500, 4)} for n, label in enumerate(LABELS)],
}
MODEL = {"name": "many", "labels": LABELS, "groups": GROUPS, "default": True}
LANES = "[...document.querySelectorAll('.lane')].filter(lane => lane.offsetHeight).length"
COLOURS = "bars => bars.map(bar => bar.style.background)"
SEARCH = "Search for sounds"
# Collects what is added to lists that are on the page already, which screen readers read out.
READ_OUT = """window.readOut = [];
  new MutationObserver((changes) => changes.forEach(({ addedNodes }) =>
    addedNodes.forEach((node) => node.nodeName === "LI" && readOut.push(node.innerText))))
  .observe(document.getElementById("live"), { childList: true, subtree: true })"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL,)) as server:
        yield server.url


def many(browser: Any, url: str, listen: Callable[[Any], None] | None = None, **options: Any) -> Iterator[Any]:
    """The page, whose server has a model of 440 labels. listen: what takes the place of /v1/listen."""
    for page in opened(browser, "about:blank", **options):

        def add_model(route: Any) -> None:
            answer = route.fetch().json()
            others = [one | {"default": False} for one in answer["models"]]
            route.fulfill(json=answer | {"models": [MODEL, *others]})

        page.route("**/v1/models", add_model)
        page.route("**/v1/predict?*", lambda route: route.fulfill(json=RESULT))
        if listen:
            page.route_web_socket("**/v1/listen?*", listen)
        page.goto(url)
        until(page, "!document.getElementById('model').disabled")
        yield page


def test_sounds_that_are_typed_and_chosen_are_all_that_is_shown(browser: Any, url: str) -> None:
    for page in many(browser, url):
        drop(page, SCENE)
        assert len(rows(page)) == 40
        assert page.locator(".score .name").all_inner_texts() == OCCURRING[:5]
        dog, _, bark = page.eval_on_selector_all(".bar", COLOURS)[:3]
        search = page.get_by_role("combobox", name=SEARCH)
        search.press_sequentially("ani")
        assert page.locator("#offers li").all_inner_texts() == ["Animal group of 2, 2 segments"]
        page.locator("#offers li").click()
        assert [row[2] for row in rows(page)] == ["Dog", "Bark"]
        assert page.inner_text("#status") == "2 of 40 segments shown."
        assert page.eval_on_selector_all(".bar", COLOURS) == [dog, bark]  # labels keep their colours
        assert page.locator(".lane").count() == 2 and page.inner_text("summary") == "Sounds: 2 of 440"
        # Enter takes the first match, arrows another one; labels that contain commas are found like others.
        search.press_sequentially("surf")
        page.keyboard.press("Enter")
        page.get_by_label("What to do with").select_option("Leave out")
        search.press_sequentially("bar")
        page.keyboard.press("Enter")
        assert [row[2] for row in rows(page)] == ["Dog", "Waves, surf"]
        assert page.url == f"{url}/?labels=group:Animal,Waves,+surf&ignore=Bark"
        with page.expect_download() as saved:
            page.get_by_role("button", name="CSV").click()
        lines = Path(saved.value.path()).read_text().splitlines()[1:]
        assert lines == ["street.wav,0.000,5.000,Dog,0.8000", 'street.wav,0.500,5.450,"Waves, surf",0.8000']
        assert "Sound 1" not in page.inner_text(".beside") and "90\u00a0%" in page.inner_text(".beside")

        page.reload()  # the address keeps the choice
        until(page, "!document.getElementById('model').disabled")
        assert page.locator(".chip").all_inner_texts() == [
            *("Animal (group) ×", "Waves, surf ×", "without Bark ×"),
            "Show all sounds",
        ]
        assert page.locator(".unknown").is_hidden()
        page.select_option("#model", SMALL)  # which has none of them, and few enough sounds to list
        assert page.inner_text("summary") == "Sounds: all 20" and search.is_hidden()
        assert page.inner_text(".unknown") == "Not in this model: group:Animal, Waves, surf, Bark."
        page.select_option("#model", "many")
        drop(page, SCENE)
        assert len(rows(page)) == 2
        page.get_by_role("button", name="Show all sounds").click()
        assert len(rows(page)) == 40 and page.url == f"{url}/"

        # The search box counts the segments that are shown, and not those of a recording that is gone.
        page.route("**/v1/predict?*", lambda route: route.fulfill(status=422, json={"detail": "damaged"}))
        drop(page, SCENE)
        page.get_by_text("damaged").wait_for()
        search.press_sequentially("ani")
        assert page.locator("#offers li").all_inner_texts() == ["Animal group of 2, 2 segments"]
        page.get_by_role("button", name="Remove all").click()
        search.fill("ani")
        assert page.locator("#offers li").all_inner_texts() == ["Animal group of 2"]


def test_the_page_saves_what_the_command_gives_for_these_labels(browser: Any, url: str) -> None:
    labels, ignore = "*w*,blender", "wok,water*"
    (wanted,) = ainext("predict", SCENE, "--model", SMALL, "--labels", labels, "--ignore", "water*", "--json").json
    for page in opened(browser, f"{url}/?labels={labels}&ignore={ignore}"):  # the page passes over unknown names
        drop(page, SCENE)
        rows(page)
        with page.expect_download() as saved:
            page.get_by_role("button", name="JSON").click()
        found = json.loads(Path(saved.value.path()).read_text())
        assert found["segments"] == wanted["segments"] != []
        assert [one["label"] for one in found["clip"]] == [one["label"] for one in wanted["clip"]]
        scores = [[one["score"] for one in result["clip"]] for result in (found, wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=2e-4)


def test_the_keyboard_chooses_and_axe_finds_nothing_serious(browser: Any, url: str) -> None:
    for page in many(browser, url, viewport={"width": 400, "height": 850}, bypass_csp=True):
        drop(page, SCENE)
        rows(page)
        for _ in range(10):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.role") == "combobox":
                break
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        found = Axe().run(page).response["violations"]
        assert not [
            f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")
        ]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        active = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
        assert page.inner_text(f"#{active}").startswith("Dog")  # after the groups, what occurs comes first
        page.keyboard.press("Enter")
        assert [row[2] for row in rows(page)] == ["Dog"]
        page.keyboard.type("nothing like it")
        assert page.get_by_text("No sound matches “nothing like it”.").is_visible()
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.press("Backspace")  # in the empty box: the last sound that was chosen
        assert page.locator(".chip").count() == 0 and len(rows(page)) == 40


def test_only_so_many_sounds_have_a_lane_until_all_are_requested(browser: Any, url: str) -> None:
    for page in many(browser, url):
        drop(page, SCENE)
        rows(page)
        until(page, f"{LANES} === 20")
        lanes = page.locator(".lane:not([hidden]) .name").all_inner_texts()
        assert lanes == OCCURRING[:20]  # those with the most time
        page.get_by_role("button", name="Show all 40 sounds").click()
        assert page.evaluate(LANES) == 40 and page.get_by_role("button", name="Show all 40 sounds").is_hidden()


def test_live_several_sounds_go_on_at_a_time(browser: Any, url: str) -> None:
    scores = dict.fromkeys(LABELS, 0.001) | {"Speech": 0.9, "Dog": 0.3, "Sound 1": 0.5, "Bark": 0.2}
    going_on = [{"start": 0.0, "end": 1.0, "label": label, "score": 0.3} for label in ("Dog", "Speech")]
    step = {"start": 0.0, "end": 1.0, "delay": 1.0, "label": "Speech", "score": 0.9, "probabilities": scores}
    first, last = step | {"segments": [], "open": going_on}, step | {"end": 2.0, "segments": going_on, "open": []}
    ended = [[{"start": 0.0, "end": 0.5, "label": "Sound 1", "score": 0.5}]]  # which the first message reports

    def answer(socket: Any) -> None:
        def on_message(message: Any) -> None:
            over = isinstance(message, str)
            segments = {"segments": ended.pop()} if ended else {}
            socket.send(json.dumps(last if over else first | segments))
            if over:
                socket.close(code=1000)

        socket.on_message(on_message)

    now = "[...document.querySelectorAll('#live .score.now .name')].map(name => name.innerText).join()"
    shown = now.replace(".now", "")
    listed = "document.querySelectorAll('.ended li').length"
    for page in many(browser, url, answer):
        page.get_by_role("button", name="Use the microphone").click()
        until(page, f"{now} === 'Speech,Dog' && {shown} === 'Speech,Dog,Sound 1,Bark'")
        until(page, f"{listed} === 1")
        page.evaluate(READ_OUT)
        for wait_for in (f"{now} === 'Dog' && {shown} === 'Dog,Bark' && {listed} === 0", f"{listed} === 1"):
            page.get_by_role("combobox", name=SEARCH).fill("animal")
            page.keyboard.press("Enter")  # the second time, it is no longer chosen
            until(page, wait_for)
        assert page.evaluate("readOut") == []
        page.get_by_role("combobox", name=SEARCH).fill("animal")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Stop").click()
        assert [row[2] for row in rows(page)] == ["Dog"]
        page.get_by_role("button", name="Remove Animal (group)").click()
        assert sorted(row[2] for row in rows(page)) == ["Dog", "Sound 1", "Speech"]


def test_a_report_writes_labels_in_its_tables_as_the_page_does(browser: Any, tmp_path: Path) -> None:
    written = {
        "clean-dishes": "clean dishes",
        "snake_case": "snake case",
        "Hi-hat": "Hi-hat",
        "École-hiver": "École-hiver",
        "a-b c": "a-b c",
    }
    segments = [Segment(float(n), n + 1.0, label, 0.9) for n, label in enumerate(written)]
    with HtmlReport(tmp_path / "r.html", "none") as report:
        report.add(recognition(segments))
    for page in opened(browser, (tmp_path / "r.html").as_uri()):
        page.wait_for_selector("details[open] tbody tr")
        for cells in ("th.label", "details[open] tbody th"):  # made in Python, and by the page's script
            assert sorted(page.locator(cells).all_inner_texts()) == sorted(written.values())
