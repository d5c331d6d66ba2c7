"""Takes the pictures of the page that the documentation shows, with Chromium (Debian's ``chromium``) and Playwright.

    python tools/sample_history.py sample
    ainext serve --port 8123 --history sample/history.db --keep sample/clips &
    python tools/page_pictures.py http://127.0.0.1:8123 docs

Writes page.png and page-phone.png (the page's example, playing), page-live.png (the example as the microphone) and
page-history.png (the last day of the sample), or those of them that are named after the folder.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from audioinceptionnext.audio import decode
from audioinceptionnext.data.writing import write_wav

SCENE = Path(__file__).parents[1] / "examples" / "everyday-scene.flac"
PLAYED_S = 3.4
LIVE_S = 23.5
COLOURS = 256  # of the palettes of the files, in which the rare colours of segments have to be, too


def predicted(page: Any) -> None:
    page.get_by_role("button", name="Try an example").click()
    page.wait_for_selector("#result tbody tr")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(1000 * PLAYED_S)
    page.evaluate("scrollTo(0, 0)")


def live(page: Any) -> None:
    page.get_by_role("button", name="Use the microphone").click()
    page.wait_for_timeout(1000 * LIVE_S)


def history(page: Any) -> None:
    page.goto(page.url + "history.html?day=2026-11-28")
    page.locator(".event-table .clip").nth(2).click()
    page.wait_for_selector(".clip.playing")


PICTURES = {
    "page": (predicted, {"viewport": {"width": 1100, "height": 1140}}),
    "page-phone": (predicted, {"viewport": {"width": 390, "height": 1400}, "device_scale_factor": 1.5}),
    "page-live": (live, {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"}),
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
