"""What corrected label tracks of a few recordings teach: predict, correct, train, evaluate.

    python benchmarks/round_trip.py --model runs/mean-folds/fold-5/model.safetensors --root Kitchen20 --fold 5

Scenes of the other folds' clips stand for your recordings, and their known times for the corrections that you would
make to the Audacity labels that the model gives of them. The models before and after are scored on scenes of the fold's
clips whose sources are in no other fold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from audioinceptionnext.data import load_dataset

FIGURES = ("segment_f1", "event_f1", "onset_median", "onset_bias", "offset_median", "psds1")


def ainext(*arguments: object) -> str:
    command = [sys.executable, "-m", "audioinceptionnext", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def correct(folder: Path) -> None:
    """Put the true times into each scene's label track, and print how far the tracks were from them."""
    times, kept, true = load_dataset("csv", folder), 0, 0
    tracks: dict[str, list[tuple[float, float, str]]] = {path.stem: [] for path in folder.glob("*.flac")}
    for clip in times.clips:
        tracks[clip.path.stem].append((clip.start, float(clip.end or 0), times.labels[clip.label]))
    for name, rows in tracks.items():
        path = folder / f"{name}.txt"
        found = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.count("\t") == 2]
        near = [
            max(abs(float(a) - start), abs(float(b) - end)) for a, b, c in found for start, end, d in rows if c == d
        ]
        kept, true = kept + sum(distance <= 0.2 for distance in near), true + len(rows)
        path.write_text("".join(f"{start}\t{end}\t{label}\n" for start, end, label in rows), encoding="utf-8")
    print(f"{true} sounds, of which {kept} had a label with both times right to 0.2 s before they were corrected")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="start from this .safetensors file")
    parser.add_argument("--data", default="kitchen20", help="set the kind of data set")
    parser.add_argument("--root", type=Path, required=True, help="set its folder")
    parser.add_argument("--fold", type=int, required=True, help="score on clips of this fold, which MODEL has not seen")
    parser.add_argument("--recordings", type=int, default=20, help="correct so many")
    options = parser.parse_args()
    folds = load_dataset(options.data, options.root).folds
    others = ",".join(fold for fold in map(str, folds) if fold != str(options.fold))
    with tempfile.TemporaryDirectory() as place:
        mine, test, run, before = (Path(place, name) for name in ("mine", "test", "run", "before.onnx"))
        clips = ("--data", options.data, "--root", options.root, "--set", "events_per_minute=20")
        ainext("data", "render", mine, "--scenes", options.recordings, "--set", "seconds=30", "--folds", others, *clips)
        rest = ("--scenes", 20, "--seed", 1, "--folds", options.fold, "--unseen-sources")
        ainext("data", "render", test, *rest, *clips)
        ainext("export", options.model, before)
        ainext("predict", mine, "--model", before, "--format", "audacity", "--out", mine)
        correct(mine)
        start = time.monotonic()
        taught = ("train", "--data", "labels", "--root", mine, "--hold-out", 0, "--from", options.model, "--out", run)
        ainext(*taught)
        print(f"taught in {time.monotonic() - start:.0f} s")
        for name, model in (("before", before), ("after", run / "model.onnx")):
            score = ("evaluate", "--timeline", "--data", "csv", "--root", test, "--model", model, "--json")
            figures: dict[str, Any] = json.loads(ainext(*score))
            print(name, {key: figures[key] for key in FIGURES}, figures["intervals"].get("event_f1"))


if __name__ == "__main__":
    main()
