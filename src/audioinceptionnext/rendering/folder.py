"""Writes rendered clips to a folder with one subfolder per label, as the data set ``folder`` expects it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.errors import FileError
from audioinceptionnext.rendering import draw, render

_TASK_SIZE = 64  # clips per task of a process


def render_folder(
    folder: Path,
    clips: int,
    *,
    clip_seconds: float = 3.28,
    sample_rate: int = 24_000,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the clips ``seed`` to ``seed + clips - 1`` of `render` as mono WAV files of 16 bits.

    Files that exist are kept, so that an interrupted run can be continued. Each file is written under another name and
    then renamed, so that no file is incomplete.

    Args:
        folder: is made if it does not exist.
        clips: number of clips.
        clip_seconds: duration of each clip.
        sample_rate: in Hz.
        seed: number of the first clip.
        jobs: processes to render with. Their number does not change the files.
        progress: called with the number of clips that are done so far.

    Returns:
        The number of clips that did not exist before.

    Raises:
        FileError: the folder cannot be written.
    """
    numbers = range(seed, seed + clips)
    tasks = [numbers[i : i + _TASK_SIZE] for i in range(0, clips, _TASK_SIZE)]
    write = partial(_write_clips, folder=folder, clip_seconds=clip_seconds, sample_rate=sample_rate)
    new = done = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            map_tasks: Callable[..., Iterable[int]] = map
            if jobs > 1:
                map_tasks = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))).map
            for task, written in zip(tasks, map_tasks(write, tasks), strict=True):
                new, done = new + written, done + len(task)
                progress(done)
    except OSError as error:
        reason = f"cannot write rendered clips: {error.strerror}; {done} of {clips} done"
        raise FileError(folder, reason) from None
    return new


def _write_clips(numbers: range, folder: Path, clip_seconds: float, sample_rate: int) -> int:
    """Write those of these clips that do not exist, and return their number."""
    new = 0
    for number in numbers:
        path = folder / draw(np.random.default_rng(number))[2] / f"{number:07}.wav"
        if path.exists():
            continue
        waveform, _ = render(number, clip_seconds, sample_rate)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".part")
        write_wav(temporary, waveform, sample_rate)
        temporary.replace(path)
        new += 1
    return new
