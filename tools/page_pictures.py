"""Takes the pictures of the page that the documentation shows, with Chromium (Debian's ``chromium``) and Playwright.

    python tools/sample_history.py sample
    ainext serve --port 8123 --history sample/history.db --keep sample/clips --teach &
    python tools/page_pictures.py http://127.0.0.1:8123 docs

Writes page.png and page-phone.png (the page's example, playing), page-queue.png (a long recording among others that are
not recognised yet, which takes a minute), page-correct.png (a segment of it, corrected),
page-live.png (the example as the microphone), page-history.png (the last day of the sample) and page-teach.png
(rendered sounds), or those of them that are named after the folder.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from audioinceptionnext.audio import decode
from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.rendering.families import beep, call, chop, hiss

SCENE = Path(__file__).parents[1] / "examples" / "everyday-scene.flac"
PLAYED_S = 3.4
LIVE_S = 23.5
# Of each sound how it is rendered, and how many examples it has.
TAUGHT = {"Oven timer": (beep, (1, 1), 7), "Budgerigar": (call, (1, 0, 0), 8), "Chopping board": (chop, (1, 1), 6)}
RATE = 24_000
COLOURS = 256  # of the palettes of the files, in which the rare colours of segments have to be, too


def predicted(page: Any) -> None:
    page.get_by_role("button", name="Try an example").click()
    page.wait_for_selector("#result tbody tr")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(1000 * PLAYED_S)
    page.evaluate("scrollTo(0, 0)")


def corrected(page: Any) -> None:
    predicted(page)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Correct", exact=True).click()
    bar = page.locator(".bar").nth(2)
    page.evaluate("document.querySelector('.viewer').scrollIntoView({ behavior: 'instant' })")
    page.evaluate("scrollBy(0, -72)")  # with the controls above it
    box = bar.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, y, steps=3)  # it ends earlier
    page.mouse.up()
    page.wait_for_timeout(300)


def queued(page: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = ("an evening in the kitchen.wav", "a night.wav", "the morning after.wav", "notes.wav")
        for seed, (name, minutes) in enumerate(zip(names, (40, 120, 1, 0), strict=True)):
            write_wav(Path(folder) / name, scenes(np.random.default_rng(seed), 60 * minutes), RATE)
        (Path(folder) / names[-1]).write_bytes(b"Dear diary")
        page.set_input_files("#file", [Path(folder) / name for name in (names[0], names[-1], *names[1:-1])])
        page.get_by_role("heading", name=names[0]).wait_for(timeout=300_000)
        page.get_by_text("left").wait_for(timeout=300_000)
    page.evaluate("scrollTo(0, 0)")


def scenes(draw: np.random.Generator, seconds: int) -> np.ndarray:
    """Parts of the example scenes, (samples,) at `RATE`, with pauses of all lengths over quiet noise."""
    found = draw.normal(0, 0.001, seconds * RATE).astype(np.float32)
    sources = [decode.read(SCENE.with_name(f"{name}-scene.flac"), RATE) for name in ("everyday", "kitchen")]
    at = 0.0
    while (at := at + draw.exponential(20)) < seconds - 20:
        source = sources[draw.integers(2)]
        first = draw.integers(len(source) // 2)
        part = source[first : first + RATE * draw.integers(3, 12)] * draw.uniform(0.3, 1)
        found[int(at * RATE) :][: len(part)] += part
        at += len(part) / RATE
    return found


def live(page: Any) -> None:
    page.get_by_role("button", name="Use the microphone").click()
    page.wait_for_timeout(1000 * LIVE_S)


def history(page: Any) -> None:
    page.goto(page.url + "history.html?day=2026-11-28")
    page.locator(".event-table .clip").nth(2).click()
    page.wait_for_selector(".clip.playing")


def taught(page: Any) -> None:
    page.get_by_role("link", name="Teach").click()
    with tempfile.TemporaryDirectory() as folder:
        for place, (name, (family, choice, count)) in enumerate(TAUGHT.items()):
            if place:
                page.get_by_role("button", name="Add a sound").click()
            page.get_by_label("Name of the sound").last.fill(name)
            sounds = [family(np.random.default_rng(seed), round(2.4 * RATE), RATE, *choice) for seed in range(count)]
            add_examples(page, name, Path(folder), sounds)
        room = [0.02 * hiss(np.random.default_rng(seed), 40 * RATE, RATE, 0, 0) for seed in range(2)]
        add_examples(page, "Nothing", Path(folder), room)
    page.get_by_role("button", name="Teach", exact=True).click()
    page.get_by_role("button", name="Use it now").wait_for()
    page.wait_for_timeout(8000)  # until the note on the latest examples is gone
    page.evaluate("scrollTo(0, 0)")


def add_examples(page: Any, name: str, folder: Path, sounds: list[np.ndarray]) -> None:
    card = page.get_by_role("region", name=name, exact=True)
    files = [folder / f"{name} {number}.wav" for number in range(len(sounds))]
    for file, sound in zip(files, sounds, strict=True):
        write_wav(file, 0.5 * sound / np.abs(sound).max(), RATE)
    card.locator("input[type=file]").set_input_files(files)
    card.locator(".teach-working").wait_for(state="hidden")


PICTURES = {
    "page": (predicted, {"viewport": {"width": 1100, "height": 1140}}),
    "page-phone": (predicted, {"viewport": {"width": 390, "height": 1400}, "device_scale_factor": 1.5}),
    "page-queue": (queued, {"viewport": {"width": 1100, "height": 1060}}),
    "page-correct": (corrected, {"viewport": {"width": 1100, "height": 915}}),
    "page-live": (live, {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"}),
    "page-teach": (taught, {"viewport": {"width": 1100, "height": 1716}}),
    "page-history": (history, {"viewport": {"width": 1100, "height": 1010}}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(PICTURES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        write_wav(scene := Path(folder) / "scene.wav", decode.read(SCENE, 48_000), 48_000)
        arguments = [
            "--no-sandbox",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={scene}",
        ]
        browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name in options.names:
            prepare, context = PICTURES[name]
            page = browser.new_page(**context)
            page.goto(options.url)
            page.wait_for_selector("#model:not([disabled])")
            prepare(page)
            page.screenshot(path=(path := options.folder / f"{name}.png"))
            page.close()
            picture = Image.open(path).convert("RGB")
            picture = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
            picture.save(path, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
