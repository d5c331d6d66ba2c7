"""Lessons: mixtures as the student sees them, and what teachers say of them. Each is made once, and kept on disk.

Lessons are numbered. As many as a batch holds are a part, which is made as a whole and is one file, so that a lesson
does not depend on the order in which they are made, nor on how often a run was interrupted. Files are written under
another name and then renamed, so several processes may write the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from audioinceptionnext.data.sampling import Draw, EpochOrder
from audioinceptionnext.errors import replacing
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.training.mixtures import Mixer
from audioinceptionnext.training.onnx_teacher import Teachers, resampled

VERSION = 1  # of the mixtures; a cache of another version is not read
LARGEST = 65_504.0  # of float16


class LessonBatch(NamedTuple):
    """A batch of lessons.

    Attributes:
        log_mel: (batch, 1, frames, bands) float32.
        logits: (batch, classes), those of the teacher.
        features: (batch, channels), those of all teachers.
        indices: (batch,) numbers of the lessons.
        labels: the same; there are no labels.
        failures: empty: recordings that cannot be read are found before the first lesson.
    """

    log_mel: Tensor
    logits: Tensor
    features: Tensor
    indices: Tensor
    labels: Tensor
    failures: list[tuple[int, str]]


class Lessons:
    """The lessons of a run.

    Args:
        mixer: makes the mixtures, at its rate.
        teachers: say something of them.
        front: the student's front end.
        folder: for the files. It is made with the first one.
        crops: lengths of mixtures in seconds. The parts of a global batch have one of them, the next ones the next.
        size: of a part, in lessons.
        parts: their number.
        together: parts in a global batch, one for each process.
    """

    def __init__(
        self,
        mixer: Mixer,
        teachers: Teachers,
        front: LogMel,
        folder: Path,
        crops: Sequence[float],
        size: int,
        parts: int,
        together: int = 1,
    ) -> None:
        self.mixer, self.teachers, self.front, self.crops = mixer, teachers, front, tuple(crops)
        self.front.exact = False
        self.folder, self.size, self.parts, self.together = folder, size, parts, together

    def __len__(self) -> int:
        return self.parts * self.size

    def crop(self, part: int) -> int:
        """The number of the length of a part's mixtures among the crops."""
        return part // self.together % len(self.crops)

    def waveforms(self, part: int) -> np.ndarray:
        """The mixtures of a part: (size, samples) float32 at the rate of the mixer."""
        samples = round(self.crops[self.crop(part)] * self.mixer.rate)
        return np.stack([self.mixer(part * self.size + place, samples) for place in range(self.size)])

    def part(self, number: int) -> np.ndarray:
        """A part as an array of records with ``log_mel``, ``logits`` and ``features`` in float16, mapped from its file.

        If there is no such file yet, it is made.

        Raises:
            FileError: it cannot be written.
        """
        path = self.folder / f"{number:06d}.npy"
        found = self._read(path)
        if found is None:
            made = self._made(number)
            with replacing(path) as new:
                path.parent.mkdir(parents=True, exist_ok=True)
                with new.open("wb") as file:
                    np.save(file, made)
            found = made
        return found

    def _read(self, path: Path) -> np.ndarray | None:
        """The content of a file; None if there is none, or it is damaged."""
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == (self.size,) else None

    @torch.no_grad()
    def _made(self, number: int) -> np.ndarray:
        waveforms, rate = self.waveforms(number), self.front.sample_rate
        own = torch.from_numpy(np.ascontiguousarray(resampled(waveforms, self.mixer.rate, rate)))
        # As in training on clips, a frame that is centred on the very end does not count.
        log_mel = self.front(own)[:, 0, : self.front.frames(own.shape[1] - 1)].numpy()
        said = self.teachers(waveforms, self.mixer.rate)
        columns = {"log_mel": log_mel, "logits": said.logits, "features": said.features}
        kinds = np.dtype([(name, np.float16, values.shape[1:]) for name, values in columns.items()])
        made = np.empty(self.size, kinds)
        for name, values in columns.items():
            made[name] = np.clip(values, -LARGEST, LARGEST)
        return made

    def batch(self, indices: Sequence[int]) -> LessonBatch:
        """The lessons with these numbers, whose mixtures have one length."""
        parts = {number: self.part(number) for number in sorted({index // self.size for index in indices})}
        rows = [parts[index // self.size][index % self.size] for index in indices]
        log_mel, logits, features = (
            torch.from_numpy(np.stack([row[name] for row in rows]).astype(np.float32))
            for name in ("log_mel", "logits", "features")
        )
        numbers = torch.tensor(indices)
        return LessonBatch(log_mel[:, None], logits, features, numbers, numbers, [])


class LessonOrder(EpochOrder):
    """The order of the lessons of an epoch. All lessons of a global batch have mixtures of the same length.

    The first epoch takes them as they are numbered, so that each part is made for one step. Later ones shuffle them.

    Args:
        lessons: to put in order.
        seed, rank: see `EpochOrder`.
    """

    def __init__(self, lessons: Lessons, seed: int, rank: int = 0) -> None:
        super().__init__(len(lessons), lessons.size, seed, rank=rank, world_size=lessons.together)
        self.lessons = lessons

    def _draws(self) -> list[Draw]:
        numbers = torch.arange(self.size)
        if self.epoch:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
            whole = self.batch_size * self.world_size
            crops = numbers // whole % len(self.lessons.crops)
            batches: list[Tensor] = []
            for crop in range(len(self.lessons.crops)):
                own = numbers[crops == crop]
                batches += own[torch.randperm(len(own), generator=generator)].split(whole)
            numbers = torch.cat([batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()])
        return [Draw(self.epoch, index) for index in numbers.tolist()]


class LessonLoader:
    """Batches of lessons, which threads make or read ahead of time.

    Args:
        lessons: to hand out.
        order: of the lessons, as `EpochOrder` gives it.
        threads: number of threads.
    """

    def __init__(self, lessons: Lessons, order: Iterable[Draw], threads: int) -> None:
        self.lessons, self.threads = lessons, threads
        # By this name Lightning finds the order, whose epoch it sets. PyTorch's types know numbers alone.
        self.batch_sampler = BatchSampler(cast(Any, order), lessons.size, drop_last=False)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[LessonBatch]:
        pool = ThreadPoolExecutor(self.threads, "lessons")
        waiting: deque[Future[LessonBatch]] = deque()
        try:
            for draws in cast(Iterable[list[Draw]], self.batch_sampler):
                waiting.append(pool.submit(self.lessons.batch, [draw.index for draw in draws]))
                if len(waiting) > self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def cache_name(**determined_by: Any) -> str:
    """The name of a folder of lessons: a digest of everything that determines them; JSON values."""
    text = json.dumps({"version": VERSION, **determined_by}, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
