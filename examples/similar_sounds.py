"""Find the recordings in a folder that sound most like one of yours.

    python examples/similar_sounds.py doorbell.wav recordings

Each recording becomes one vector (`Recogniser.embed`). The recordings are sorted by the cosine similarity of their
vectors to yours: 1 means the same direction, 0 nothing in common. `--cache vectors.npz` keeps the vectors of a large
folder for the next time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import audioinceptionnext as ain
from audioinceptionnext.audio.discover import MissingPath, find_media
from audioinceptionnext.errors import FileError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query", type=Path, help="a recording")
    parser.add_argument("folder", type=Path, help="searched for recordings, with its subfolders")
    parser.add_argument("--model", default="rendered", help="the name of a model, a file, or user/name on the hub")
    parser.add_argument("--count", type=int, default=10, help="how many to print")
    parser.add_argument("--cache", type=Path, help="an .npz file that keeps the folder's vectors")
    options = parser.parse_args()

    model = ain.load(options.model)
    (query,) = model.embed(options.query)
    files, vectors = embed_folder(model, options.folder, options.cache)
    similarity = cosine_similarity(vectors, query)

    print("similarity  file")
    order = [i for i in np.argsort(-similarity, kind="stable") if Path(files[i]).resolve() != options.query.resolve()]
    for index in order[: options.count]:
        print(f"{similarity[index]:10.3f}  {files[index]}")


def embed_folder(model: ain.Recogniser, folder: Path, cache: Path | None) -> tuple[list[str], np.ndarray]:
    """The recordings in a folder and its subfolders, and their vectors (recordings, channels)."""
    cached: dict[str, np.ndarray] = {}
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            if str(stored["model"]) == model.name:
                cached = dict(zip(stored["files"].tolist(), stored["vectors"], strict=True))
    by_file: dict[str, np.ndarray] = {}
    for path in find_media([folder]):
        if isinstance(path, MissingPath):
            raise FileError(path.path, path.reason)
        try:
            by_file[str(path)] = cached[str(path)] if str(path) in cached else model.embed(path)[0]
        except ain.AinextError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not by_file:
        raise FileError(folder, "none of its recordings can be read")
    files, vectors = list(by_file), np.stack(list(by_file.values()))
    if cache is not None:
        np.savez(cache, model=np.array(model.name), files=np.array(files), vectors=vectors)
    return files, vectors


def cosine_similarity(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(recordings, channels) and (channels,) to (recordings,). It is 0 for digital silence, whose vector is 0."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return vectors @ query / np.maximum(lengths, 1e-12)


if __name__ == "__main__":
    try:
        main()
    except ain.AinextError as error:
        sys.exit(f"similar_sounds: {error}")
