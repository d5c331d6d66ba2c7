"""Whether a model finds the sounds among others that it finds when each is alone.

    python benchmarks/in_context.py --model everyday recordings/
    python benchmarks/in_context.py --model everyday --model other.onnx recordings/

Recordings of at least half a second, in random order and cut to 3 s, are put into 8 s of noise at -64 dBFS, at a random
level from -32 to -22 dBFS. Those in which a model finds something are then put into scenes of ten with the same noise,
one every 6 s or every 12 s. A label is kept if a segment of it overlaps the recording in the scene. The same call takes
the same recordings, but each model those in which it finds something.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.discover import find_media
from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.rendering.signals import coloured, place, unit

ALONE_S, LONGEST_S, SHORTEST_S = 8.0, 3.0, 0.5
NOISE_DB, LEVELS_DB = -64.0, (-32.0, -22.0)
IN_A_SCENE = 10
APART_S = (6.0, 12.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="a name or an ONNX file; may be repeated")
    parser.add_argument("--sounds", type=int, default=150, help="number of recordings that are found alone")
    parser.add_argument("paths", nargs="+", help="recordings, folders or globs")
    options = parser.parse_args()
    paths = [path for path in find_media(options.paths) if isinstance(path, Path)]
    print("| model | one every | labels kept | recordings with a label kept |\n| --- | --- | --- | --- |")
    for name in options.model:
        model, found = load(name, threads=1), []
        for sound in recordings(paths, model.sample_rate):
            if labels := labels_of(model, [sound], ALONE_S)[0]:
                found.append((sound, labels))
            if len(found) == options.sounds:
                break
        for apart in APART_S:
            kept = []
            for first in range(0, len(found), IN_A_SCENE):
                ten = found[first : first + IN_A_SCENE]
                in_scene = labels_of(model, [sound for sound, _ in ten], apart)
                kept += [(len(before & now), len(before)) for (_, before), now in zip(ten, in_scene, strict=True)]
            labels, of = np.sum(kept, axis=0)
            share = np.mean([now > 0 for now, _ in kept])
            print(
                f"| {name} | {apart:g} s | {labels} of {of}, {labels / of:.0%} | {share:.0%} of {len(kept)} |",
                flush=True,
            )


def recordings(paths: list[Path], rate: int) -> Iterator[np.ndarray]:
    """The recordings, (samples,) each, in random order, cut and at random levels."""
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(paths)):
        level = rng.uniform(*LEVELS_DB)
        try:
            sound = decode.read(paths[number], rate)[: round(LONGEST_S * rate)]
        except AinextError:
            continue
        if len(sound) >= SHORTEST_S * rate and np.abs(sound).max() > 0.01:
            yield np.clip(unit(sound) * 10 ** (level / 20), -1, 1)


def labels_of(model: Recogniser, sounds: Sequence[np.ndarray], apart: float) -> list[set[str]]:
    """The labels that are found during each of these sounds, which lie ``apart`` seconds from one another in noise."""
    rate = model.sample_rate
    noise = coloured(np.random.default_rng(0), round(len(sounds) * apart * rate), 1)
    scene = unit(noise) * 10 ** (NOISE_DB / 20)
    starts = [(number + 0.3) * apart for number in range(len(sounds))]
    for sound, start in zip(sounds, starts, strict=True):
        place(scene, sound, round(start * rate))
    segments = model.predict(scene.astype(np.float32)).segments
    return [
        {one.label for one in segments if one.start < start + len(sound) / rate and one.end > start}
        for sound, start in zip(sounds, starts, strict=True)
    ]


if __name__ == "__main__":
    main()
