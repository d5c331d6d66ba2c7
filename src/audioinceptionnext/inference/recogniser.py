"""The main job on one page: media -> blocks -> network -> timeline -> Recognition."""

from __future__ import annotations

import copy
import json
import math
import warnings as noticed
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.backends import open_session
from audioinceptionnext.inference.prefetch import prefetch
from audioinceptionnext.inference.windows import Listener
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import TimelineSettings, find_segments
from audioinceptionnext.results.thumbnail import Overview
from audioinceptionnext.results.types import Score

TOP_K = 5
Source = str | Path | np.ndarray  # a file, or a waveform (samples,)


class Recogniser:
    """A model, ready to listen. Use `load` to get one.

    Attributes:
        name, labels, sample_rate: of the model; the rate in Hz.
        run: how it hears long audio: as its file says, ``dense`` or ``windows``, or as `load` was told.
        window, step: seconds that an answer hears, and from one answer to the next.
        thresholds: how sure it has to be for a segment of each class, where its file says so; otherwise empty.
        facts: all that the file says of itself.
    """

    def __init__(
        self,
        content: bytes,
        source: str,
        name: str | None = None,
        threads: int | None = None,
        backend: str = "auto",
        run: str | None = None,
    ) -> None:
        self._session = open_session(content, source, backend, threads)
        self.facts: dict[str, str] = dict(self._session.facts)
        if self.facts.get("input") != "waveform" or "labels" not in self.facts:
            raise AinextError(f"{source}: takes no waveform or names no labels; `ainext export` makes files that do")
        try:
            self.labels: tuple[str, ...] = tuple(json.loads(self.facts["labels"]))
            self.name = name or self.facts["name"]
            self.run = run or self.facts["run"]
            if self.run not in ("clips", self.facts["run"]):
                raise AinextError(f"--run {self.run}: {source} is for {self.facts['run']}, or for clips")
            self.sample_rate = int(self.facts["sample_rate"])
            self.thresholds = tuple(float(value) for value in json.loads(self.facts.get("thresholds", "[]")))
            if len(self.thresholds) not in (0, len(self.labels)):
                raise ValueError("thresholds")
            self._listener = Listener(self._session, self.facts, self.run)
            # A clip is the most samples that make its frames, one short of a whole number of them.
            self.window = (int(self.facts["clip_samples"]) + 1) / self.sample_rate
        except (KeyError, ValueError) as error:
            raise AinextError(f"{source}: its metadata lacks or garbles {error}; export it again") from error
        self.step = self._listener.grid.step / self.sample_rate

    def predict(
        self,
        source: Source,
        top_k: int = TOP_K,
        settings: TimelineSettings | None = None,
        hop: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Recognition:
        """What is heard in a recording, however long: memory stays that of a block.

        Digital silence gets no label: its probabilities are all 0, and it does not count for the recording as a whole.

        Args:
            source: an audio or video file, or a waveform (samples,), mono, -1…1, at ``sample_rate``.
            top_k: how many labels to give for the recording as a whole.
            settings: how probabilities become segments; by the model's own thresholds unless given.
            hop: seconds from one answer to the next: ``step``, a multiple of it, or a half, a quarter and so on, as far
                as the file goes.
            progress: called with the seconds heard so far.

        Raises:
            AinextError: no such file, nothing in it that can be heard, a hop that is none of these.
        """
        settings = settings or TimelineSettings(by_class=self.thresholds)
        step = self.check_hop(hop)
        warnings: list[str] = []
        blocks = self._blocks(source, warnings.append)
        samples, overview = 0, Overview()
        parts: list[np.ndarray] = []

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                yield block
                samples += len(block)
                if progress is not None:
                    progress(samples / self.sample_rate)

        for heard in self._listener.listen(counted(), step):
            parts.append(heard.probabilities)
            overview.add(heard.log_mel)
        probabilities = np.concatenate(parts)
        duration, seconds = samples / self.sample_rate, step / self.sample_rate
        mean = overall(probabilities)
        best = np.argsort(-mean, kind="stable")[: max(0, top_k)]
        return Recognition(
            file="" if isinstance(source, np.ndarray) else str(source),
            duration=duration,
            model=self.name,
            clip=[Score(self.labels[i], float(mean[i])) for i in best],
            segments=find_segments(probabilities, seconds, self.window, duration, self.labels, settings),
            labels=self.labels,
            probabilities=probabilities,
            hop=seconds,
            window=self.window,
            log_mel=overview.picture(),
            sample_rate=self.sample_rate,
            warnings=warnings,
            threshold=min(settings.by_class, default=settings.upper),
        )

    def embed(self, sources: Source | Iterable[Source]) -> np.ndarray:
        """What recordings sound like to the network, as vectors: for a classifier, a search, a map of one's own.

        A vector is the mean of what the network's last layer reads, over the steps that are not digital silence; of
        nothing but silence it is 0. Memory stays that of a block, however long a recording. It can stand in a pipeline
        of scikit-learn: ``FunctionTransformer(model.embed)``.

        Args:
            sources: files or waveforms, as `predict` takes them, or a single one; (n, samples) are n waveforms.

        Returns:
            (n, channels) float32, a row a recording. What `predict` would note of a damaged file is a Python warning.

        Raises:
            AinextError: a file that cannot be heard, named; a model whose file does not give features.
        """
        channels = self._channels()
        rows: list[np.ndarray] = []
        for source in _each(sources):
            total, loud_steps = np.zeros(channels), 0
            for features, loud in self._features(source):
                total += features[loud].sum(axis=0, dtype=np.float64)
                loud_steps += int(loud.sum())
            rows.append(total / max(1, loud_steps))
        return np.array(rows, np.float32).reshape(-1, channels)

    def embed_steps(self, source: Source, hop: float | None = None) -> np.ndarray:
        """The vectors of all steps of one recording, to search within it.

        Args:
            source: as `predict` takes it.
            hop: as `predict` takes it.

        Returns:
            (steps, channels) float32; step i hears ``window`` seconds from ``i * hop`` on. In digital silence it is 0.

        Raises:
            AinextError: as `embed`; a hop that the model cannot.
        """
        self._channels()
        return np.concatenate([features * loud[:, None] for features, loud in self._features(source, hop)])

    def _features(self, source: Source, hop: float | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(steps, channels), and which steps are not digital silence; a part of the recording at a time."""
        step = self.check_hop(hop)
        listener = Listener(self._session, self.facts, self.run, features=True)
        for heard in listener.listen(self._blocks(source, lambda line: noticed.warn(line, stacklevel=2)), step):
            assert heard.features is not None
            yield heard.features, heard.probabilities.max(axis=1) > 0

    def _channels(self) -> int:
        """Of the features. Raises `AinextError` where the file does not give any."""
        if "features" not in self.facts:
            raise AinextError(f"{self.name}: its file is older than features; make it again with `ainext export`")
        return int(self.facts["features"])

    def _blocks(self, source: Source, note: Callable[[str], None]) -> Iterator[np.ndarray]:
        size = self._listener.block
        if isinstance(source, np.ndarray):
            return _cut(source, size)
        return prefetch(decode.read_blocks(source, self.sample_rate, size / self.sample_rate, note))

    def __deepcopy__(self, memo: Any) -> Recogniser:
        """Itself, for nothing in it changes: scikit-learn copies what stands in a pipeline."""
        return self

    def by_clips(self) -> Recogniser:
        """The same model, hearing clip by clip (see `load`); the session is shared."""
        other = copy.copy(self)
        other.run, other._listener = "clips", Listener(self._session, self.facts, "clips")
        return other

    def check_hop(self, hop: float | None) -> int:
        """The hop, given in seconds, in samples. Raises `AinextError` unless it is ``step``, a multiple or a part."""
        step, finest, seconds = self._listener.grid.step, self._listener.finest, self.step
        if hop is None:
            return step
        if seconds * 0.999 <= hop <= 3600:  # false for NaN
            return round(hop / seconds) * step
        if 0.999 * finest <= hop * self.sample_rate < step:
            parts = round(seconds / hop)
            if step % (parts * finest) == 0 and math.isclose(parts * hop, seconds, rel_tol=0.01):
                return step // parts
        shorter = ", or a part of it such as its half" if finest < step else ""
        message = f"{self.name} answers every {seconds:g} s; give that or a multiple of it"
        raise AinextError(f"--hop {hop}: {message}{shorter}")


def overall(probabilities: np.ndarray) -> np.ndarray:
    """(steps, classes) to (classes,): of a recording as a whole, the mean over its steps that are not silent."""
    return probabilities.sum(axis=0) / max(1, int(probabilities.any(axis=1).sum()))


def _each(sources: Source | Iterable[Source]) -> Iterator[Source]:
    """One source after another, of one or of many; names of files may be an array, as scikit-learn gives them."""
    if isinstance(sources, np.ndarray) and (sources.ndim > 1 or sources.dtype.kind in "UO"):
        yield from sources
    elif isinstance(sources, str | Path | np.ndarray):
        yield sources
    else:
        yield from sources


def _cut(waveform: np.ndarray, size: int) -> Iterator[np.ndarray]:
    if waveform.ndim != 1 or not waveform.size:
        raise AinextError(f"a waveform of shape {waveform.shape}: give one dimension and at least one sample")
    samples = np.nan_to_num(waveform.astype(np.float32, copy=False))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
