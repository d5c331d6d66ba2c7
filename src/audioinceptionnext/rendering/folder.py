"""Rendered clips as a folder of WAV files, a sub-folder a label, as the dataset ``folder`` takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.errors import AinextError
from audioinceptionnext.rendering import draw, render

_AT_ONCE = 64  # clips a task of a process


def render_folder(
    folder: Path,
    clips: int,
    seconds: float = 3.28,
    rate: int = 24_000,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the clips ``seed`` to ``seed + clips - 1`` of `render` into ``folder``: mono, 16 bits.

    Files that are there are kept, so that a run that was stopped goes on. A file appears whole or not at all.

    Args:
        workers: processes; the files are the same whatever their number.
        progress: called with the number of clips that are there so far.

    Returns:
        How many were rendered now.

    Raises:
        AinextError: the folder cannot be written.
    """
    numbers = range(seed, seed + clips)
    parts = [numbers[i : i + _AT_ONCE] for i in range(0, clips, _AT_ONCE)]
    write = partial(_write, folder=folder, seconds=seconds, rate=rate)
    new = done = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            spread: Callable[..., Iterable[int]] = map
            if workers > 1:
                spread = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn"))).map
            for part, written in zip(parts, spread(write, parts), strict=True):
                new, done = new + written, done + len(part)
                progress(done)
    except OSError as error:
        raise AinextError(f"{folder}: cannot write rendered clips: {error.strerror}; {done} of {clips} done") from None
    return new


def _write(numbers: range, folder: Path, seconds: float, rate: int) -> int:
    new = 0
    for number in numbers:
        path = folder / draw(np.random.default_rng(number))[2] / f"{number:07}.wav"
        if path.exists():
            continue
        sound, _ = render(number, seconds, rate)
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        write_wav(part, sound, rate)
        part.replace(path)
        new += 1
    return new
