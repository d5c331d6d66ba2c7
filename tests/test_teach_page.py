"""Sounds taught on the page of a server: from files, used at once, downloaded, deleted; and what axe finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import audioinceptionnext as ain
from tests.audio_files import write_wav
from tests.browser import SMALL, drop, opened, rows
from tests.served import serving
from tests.taught_sounds import RATE, knocks, room
from tests.teaching_page import TeachView, write_sounds

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(models=(SMALL,), teach=True) as server:
        yield server.url


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sounds(tmp_path_factory.mktemp("sounds"))
    for number in range(5):
        write_wav(folder / f"knocks {number}.wav", knocks(number), RATE)
    write_wav(folder / "room.wav", room(0, 61), RATE)
    return folder


def filled(page: Any, sounds: Path) -> TeachView:
    view = TeachView(page, SMALL)
    view.name("Siren")
    view.add("Siren", *sorted(sounds.glob("siren *.wav")))
    page.get_by_role("button", name="Add a sound").click()
    view.name("Knocks")
    view.add("Knocks", *sorted(sounds.glob("knocks *.wav")), sounds / "notes.txt")
    return view


def test_sounds_are_taught_used_downloaded_and_deleted(browser: Any, url: str, sounds: Path, tmp_path: Path) -> None:
    scene = np.concatenate([room(1, 5), knocks(9, 4), room(2, 5)])
    write_wav(tmp_path / "scene.wav", scene, RATE)
    for page in opened(browser, url):
        view = filled(page, sounds)
        assert "notes.txt: not an audio or video file" in view.card("Knocks").get_by_role("alert").inner_text()
        view.add("Nothing", sounds / "room.wav")
        assert view.wanted() == ""
        said = view.teach()
        assert "my-sounds has learnt 2 sounds" in said and "100 %\n\nof 24 examples" in said
        model = ain.load(view.download(tmp_path))
        assert model.labels == ("Siren", "Knocks")
        assert [one.label for one in model.predict(scene).segments] == ["Knocks"]
        page.get_by_role("button", name="Use it now").click()
        drop(page, tmp_path / "scene.wav", "audio/wav")
        assert [row[2] for row in rows(page)] == ["Knocks"]

        page.get_by_role("link", name="Teach").click()
        page.get_by_role("button", name="Play example 2 of Siren").click()
        page.locator(".tile.playing").wait_for()
        page.locator(".tile.playing").wait_for(state="detached")  # its two seconds are over
        page.get_by_label("Name of the sound").last.fill("Knocking")
        page.get_by_text("The examples have changed since").wait_for()
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete my-sounds").click()
        page.get_by_text("my-sounds deleted.").wait_for()
        assert page.locator("#model option").all_inner_texts() == [SMALL]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_axe_finds_nothing_serious(browser: Any, url: str, sounds: Path, scheme: str, width: int) -> None:
    for page in opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True):
        view = filled(page, sounds)
        view.add("Knocks", sounds / "clipped.wav")
        view.teach()
        found = Axe().run(page).response["violations"]
        assert not [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no sideways scrolling
