"""Teaching on the page: sounds for its microphone and for its files, and what people do there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.audio_files import write_wav
from tests.browser import chromium, until

RATE = 24_000
BEEPS = [0.6 + 1.2 * number for number in range(5)]  # seconds at which the microphone has them


def write_sounds(folder: Path) -> Path:
    """Six sirens, a minute of noise, and files that teach nothing."""
    random = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    siren = np.sin(2 * np.pi * np.cumsum(900 + 300 * np.sin(2 * np.pi * 3 * time)) / RATE)
    for number in range(6):
        sound = 0.05 * (number + 1) * siren + 0.003 * random.standard_normal(len(siren))
        write_wav(folder / f"siren {number}.wav", sound, RATE)
    write_wav(folder / "room.wav", 0.003 * random.standard_normal(61 * RATE), RATE)
    write_wav(folder / "silence.wav", np.zeros(2 * RATE), RATE)
    write_wav(folder / "clipped.wav", np.clip(3 * siren, -1, 1), RATE)
    (folder / "notes.txt").write_text("Dear diary")
    return folder


@contextmanager
def browser_that_records_beeps(browser: Any, folder: Path) -> Iterator[Any]:
    """Another browser, whose microphone has five beeps over soft noise in 8 s, again and again."""
    sound = 0.003 * np.random.default_rng(1).standard_normal(8 * RATE)
    beep = 0.4 * np.sin(2 * np.pi * 1500 * np.arange(0.3 * RATE) / RATE)
    for start in BEEPS:
        sound[round(start * RATE) :][: len(beep)] += beep
    microphone = write_wav(folder / "microphone.wav", sound, RATE)
    arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    arguments.append(f"--use-file-for-fake-audio-capture={microphone}")
    with browser.browser_type.launch(executable_path=chromium(), args=arguments) as found:
        yield found


class TeachView:
    """The view of a page, as people use it."""

    def __init__(self, page: Any, model: str) -> None:
        self.page = page
        page.get_by_role("link", name="Teach").click()
        page.locator(".teach-card").first.wait_for()
        until(page, "document.querySelector('.teach-panel select').options.length")
        if page.get_by_label("Learns from").is_visible():
            page.get_by_label("Learns from").select_option(model)

    def card(self, name: str) -> Any:
        return self.page.get_by_role("region", name=name, exact=True)

    def name(self, name: str) -> None:
        """Give the sound that has none yet a name."""
        self.page.locator("input.teach-name").last.fill(name)

    def add(self, name: str, *files: Path) -> None:
        """Add files, and wait until each of them is an example or has a line."""
        self.card(name).locator("input[type=file]").set_input_files(files)
        self.card(name).locator(".teach-working").wait_for(state="hidden")

    def record(self, name: str, seconds: float) -> None:
        self.card(name).get_by_role("button", name="Record").click()
        stop = self.card(name).get_by_role("button", name="Stop")
        shown = "parseFloat(document.querySelector('.teach-recording .time').textContent.slice(2))"  # after "0:"
        until(self.page, f"{shown} >= {seconds}")
        stop.click()
        self.card(name).locator(".teach-working").wait_for(state="hidden")

    def examples(self, name: str) -> int:
        return int(self.card(name).locator(".examples li").count())

    def wanted(self) -> str:
        """What is still wanted."""
        return str(self.page.locator(".teach-panel p").inner_text())

    def teach(self) -> str:
        """What it has learnt, in words."""
        self.page.get_by_role("button", name="Teach", exact=True).click()
        self.page.get_by_role("button", name="Use it now").wait_for()
        return str(self.page.get_by_role("region", name="What it has learnt").inner_text()).replace("\u00a0", " ")

    def download(self, folder: Path) -> Path:
        with self.page.expect_download() as saved:
            self.page.get_by_role("button", name="Download the model").click()
        saved.value.save_as(path := folder / saved.value.suggested_filename)
        return path
