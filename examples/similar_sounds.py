"""Find the recordings in a folder that sound most like one that you have.

    python examples/similar_sounds.py doorbell.wav recordings

Each recording becomes one vector (`Recogniser.embed`); the nearest ones by the cosine of the angle between them come
first: 1 is the same, 0 nothing in common. The vectors of a large folder are worth keeping: `--cache vectors.npz`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import audioinceptionnext as ain
from audioinceptionnext.audio.discover import Missing, find_media


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query", type=Path, help="a recording")
    parser.add_argument("folder", type=Path, help="searched for recordings, and below it")
    parser.add_argument("--model", default="rendered", help="a shipped name, a file, or user/name on the hub")
    parser.add_argument("--count", type=int, default=10, help="how many to print")
    parser.add_argument("--cache", type=Path, help="an .npz file that keeps the folder's vectors")
    options = parser.parse_args()

    model = ain.load(options.model)
    (query,) = model.embed(options.query)
    files, vectors = vectors_of(model, options.folder, options.cache)
    nearness = cosine(vectors, query)

    print("similarity  file")
    shown = [i for i in np.argsort(-nearness, kind="stable") if Path(files[i]).resolve() != options.query.resolve()]
    for index in shown[: options.count]:
        print(f"{nearness[index]:10.3f}  {files[index]}")


def vectors_of(model: ain.Recogniser, folder: Path, cache: Path | None) -> tuple[list[str], np.ndarray]:
    """Every recording below the folder that can be heard, and its vector: (recordings, channels)."""
    kept: dict[str, np.ndarray] = {}
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            if str(stored["model"]) == model.name:
                kept = dict(zip(stored["files"].tolist(), stored["vectors"], strict=True))
    heard: dict[str, np.ndarray] = {}
    for found in find_media([folder]):
        if isinstance(found, Missing):
            raise ain.AinextError(f"{found.path}: {found.reason}")
        try:
            heard[str(found)] = kept[str(found)] if str(found) in kept else model.embed(found)[0]
        except ain.AinextError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not heard:
        raise ain.AinextError(f"{folder}: none of its recordings can be heard")
    files, vectors = list(heard), np.stack(list(heard.values()))
    if cache is not None:
        np.savez(cache, model=np.array(model.name), files=np.array(files), vectors=vectors)
    return files, vectors


def cosine(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(recordings, channels) and (channels,) to (recordings,). Digital silence, whose vector is 0, is like nothing."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return vectors @ query / np.maximum(lengths, 1e-12)


if __name__ == "__main__":
    try:
        main()
    except ain.AinextError as error:
        sys.exit(f"similar_sounds: {error}")
