"""A model taught in the browser, on the page without a server, beside one that `ainext teach` makes of the same clips.

    cd web && npm ci && cd ..
    python benchmarks/teach_in_browser.py --root ESC-10

Ten clips of each class are drawn, two of each fold. The browser gets their files on the page, as people add them, and
its model is downloaded. Both models then recognise all other clips. Differences come from the decoders of Ogg Vorbis
alone.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import sync_playwright

import audioinceptionnext as ain
from audioinceptionnext.data import Clip, Dataset, load_dataset

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.browser import chromium, program  # noqa: E402
from tests.teaching_page import TeachView  # noqa: E402


class Taught(NamedTuple):
    """A model, its cross-validated accuracy in percent, and the seconds from the button or the command on."""

    model: Path
    top1: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the folder of ESC-10")
    parser.add_argument("--model", default="everyday", help="whose features are used")
    parser.add_argument("--clips", type=int, default=10, help="of each class")
    parser.add_argument("--draws", type=int, default=1, help="of these clips")
    options = parser.parse_args()

    dataset = load_dataset("esc10", options.root)
    with tempfile.TemporaryDirectory() as name, built_page(Path(name, "site")) as address:
        for draw in range(options.draws):
            folder = Path(name, str(draw))
            taught, others = divide(dataset, options.clips, draw)
            for clip in taught:
                link = folder / "sounds" / dataset.labels[clip.label] / clip.path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(clip.path.absolute())
            models = {"Python": by_python(folder, options.model), "browser": by_browser(folder, options.model, address)}
            report(models, others, dataset.labels, draw)


def divide(dataset: Dataset, count: int, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Some clips of each class, evenly from all folds, and all others."""
    clips = list(dataset.clips)
    np.random.default_rng(seed).shuffle(clips)  # type: ignore[arg-type]
    taught: list[Clip] = []
    for label in range(len(dataset.labels)):
        own = [clip for clip in clips if clip.label == label]
        turn = {id(clip): sum(other.fold == clip.fold for other in own[:place]) for place, clip in enumerate(own)}
        taught += sorted(own, key=lambda clip: turn[id(clip)])[:count]
    return taught, [clip for clip in clips if clip not in taught]


def by_python(folder: Path, model: str) -> Taught:
    found = ain.teach(folder / "sounds", folder / "python.onnx", model=model)
    return Taught(found.model, found.top1, found.seconds)


def by_browser(folder: Path, model: str, address: str) -> Taught:
    with sync_playwright() as api, api.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]) as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(address)
        view = TeachView(page, model)
        began = perf_counter()
        for place, sound in enumerate(sorted((folder / "sounds").iterdir())):
            if place:
                page.get_by_role("button", name="Add a sound").click()
            view.name(sound.name)
            view.add(sound.name, *sorted(sound.iterdir()))
        added = perf_counter()
        view.teach()
        taught = perf_counter()
        print(f"browser: files added in {added - began:.1f} s", file=sys.stderr)
        model_file = view.download(folder)
    info = json.loads(ain.load(model_file).metadata["info"])
    return Taught(model_file, info["top1"], taught - added)


def report(models: dict[str, Taught], others: Sequence[Clip], labels: Sequence[str], draw: int) -> None:
    scores = {}
    print(f"\ndraw {draw}   cross-validated   {len(others)} other clips   seconds")
    for name, (file, top1, seconds) in models.items():
        model = ain.load(file)
        found = [model.predict(clip.path, top_k=len(labels)).clip for clip in others]
        right = [one[0].label == labels[clip.label] for one, clip in zip(found, others, strict=True)]
        shares = [{score.label: score.score for score in one} for one in found]
        scores[name] = np.array([[one[label] for label in labels] for one in shares])
        print(f"{name:8}   {top1:13.1f} %   {100 * np.mean(right):14.1f} %   {seconds:7.1f}")
    one, other = scores.values()
    same = (one.argmax(axis=1) == other.argmax(axis=1)).mean()
    print(f"the same label for {100 * same:.1f} %; scores differ by at most {np.abs(one - other).max():.4f}")


@contextmanager
def built_page(folder: Path) -> Iterator[str]:
    """The address of the page without a server."""
    node = program("node")
    if node is None:
        sys.exit("teach_in_browser: node is not found; see web/README.md")
    path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
    command = [node, "node_modules/vite/bin/vite.js", "build", "--outDir", str(folder), "--emptyOutDir"]
    subprocess.run(command, cwd=ROOT / "web", check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PATH": path})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    main()
