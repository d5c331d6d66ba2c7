"""The main job on one page: media -> blocks -> network -> timeline -> Recognition."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from audioinceptionnext import media, zoo
from audioinceptionnext.ahead import ahead
from audioinceptionnext.backends import open_session
from audioinceptionnext.errors import AinextError
from audioinceptionnext.listening import Listener
from audioinceptionnext.overview import Overview
from audioinceptionnext.recognition import Recognition, Score
from audioinceptionnext.timeline import TimelineSettings, find_segments

TOP_K = 5


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
        source: str | Path | np.ndarray,
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
        step, size = self.check_hop(hop), self._listener.block
        warnings: list[str] = []
        if isinstance(source, np.ndarray):
            file, blocks = "", _cut(source, size)
        else:
            read = media.read_blocks(source, self.sample_rate, size / self.sample_rate, warnings.append)
            file, blocks = str(source), ahead(read)
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
            file=file,
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


def load(
    model: str | Path = zoo.DEFAULT, threads: int | None = None, backend: str = "auto", run: str | None = None
) -> Recogniser:
    """A shipped model by its name, or any ONNX file that `ainext export` wrote by its path.

    Args:
        threads: all cores unless given.
        backend: what computes, one of `backends.BACKENDS`.
        run: how it hears long audio: as its file says, or ``clips``, each answer from the samples of its own clip
            alone, as `live.Stream` gives it.

    Raises:
        AinextError: an unknown name (the nearest is suggested), a missing or damaged file, a backend that is not there.
    """
    return Recogniser(*read_model(model), threads, backend, run)


def read_model(model: str | Path) -> tuple[bytes, str, str | None]:
    """A model file's content, what errors call it, and a shipped model's name. Raises `AinextError` as `load` does."""
    path = Path(model)
    if path.suffix == ".safetensors":
        raise AinextError(f"{path}: weights for training; make a model of them: ainext export {path} model.onnx")
    if path.suffix == ".onnx" or path.is_file():
        try:
            content = path.read_bytes()
        except OSError as error:
            raise AinextError(
                f"{path}: {(error.strerror or str(error)).lower()}; --model takes a name or a file"
            ) from error
        return content, str(path), None
    entry = zoo.find(str(model))
    return entry.read(), str(entry.path), entry.name


def overall(probabilities: np.ndarray) -> np.ndarray:
    """(steps, classes) to (classes,): of a recording as a whole, the mean over its steps that are not silent."""
    return probabilities.sum(axis=0) / max(1, int(probabilities.any(axis=1).sum()))


def _cut(waveform: np.ndarray, size: int) -> Iterator[np.ndarray]:
    if waveform.ndim != 1 or not waveform.size:
        raise AinextError(f"a waveform of shape {waveform.shape}: give one dimension and at least one sample")
    samples = np.nan_to_num(waveform.astype(np.float32, copy=False))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
