"""What a model predicts for the clips of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import MediaError
from audioinceptionnext.evaluation.calibration import enough, fit_temperature, log_probabilities, tempered
from audioinceptionnext.evaluation.clip_starts import clip_starts
from audioinceptionnext.evaluation.thresholds import fit_thresholds, peaks
from audioinceptionnext.inference.recogniser import Recogniser, recording_probabilities

Progress = Callable[[int, int], None]  # called with the number of clips done, and of all clips


@dataclass
class ClipPredictions:
    """What a model predicts for clips.

    Attributes:
        clips: those that could be read.
        outputs: (steps, classes) probabilities for each clip; rows of silence are 0. With evenly spaced clips (see
            `evaluate`) there is one row for each of them.
        unreadable: one error message for each clip that could not be read.
    """

    clips: list[Clip] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, other: ClipPredictions) -> None:
        """Append the predictions of other clips."""
        self.clips += other.clips
        self.outputs += other.outputs
        self.unreadable += other.unreadable

    def only(self, clips: Sequence[Clip]) -> ClipPredictions:
        """The predictions for these clips alone."""
        wanted = {id(clip) for clip in clips}
        pairs = [(c, steps) for c, steps in zip(self.clips, self.outputs, strict=True) if id(c) in wanted]
        return ClipPredictions([clip for clip, _ in pairs], [steps for _, steps in pairs])

    @property
    def probabilities(self) -> np.ndarray:
        """(clips, classes): the probabilities of each clip as a whole, as `Recogniser.predict` gives them."""
        return np.stack([recording_probabilities(steps) for steps in self.outputs])

    @property
    def targets(self) -> np.ndarray:
        """(clips,) class indices."""
        return np.array([clip.label for clip in self.clips])

    def by_task(self, tasks: Mapping[str, int]) -> dict[str, ClipPredictions]:
        """The predictions of each task, whose labels are numbered from 0, see `Dataset.tasks`."""
        found, first = {}, 0
        for number, (name, size) in enumerate(tasks.items()):
            clips = [replace(clip, label=clip.labels[number] - first, also=()) for clip in self.clips]
            outputs = [steps[:, first : first + size] for steps in self.outputs]
            found[name] = ClipPredictions(clips, outputs, self.unreadable)
            first += size
        return found

    @property
    def groups(self) -> list[str | None]:
        """The source of each clip."""
        return [clip.group for clip in self.clips]

    def temperature(self) -> float | None:
        """The temperature by which to divide the logits of each step, see `fit_temperature`.

        None if there are too few clips or mistakes to fit one, see `calibration.enough`.
        """
        if not enough(self.probabilities, self.targets):
            return None
        # Silent clips have no probabilities to take logarithms of.
        pairs = [(steps, clip.label) for clip, steps in zip(self.clips, self.outputs, strict=True) if steps.any()]
        logits = [log_probabilities(steps[steps.any(1)]) for steps, _ in pairs]
        return fit_temperature(logits, np.array([label for _, label in pairs]))

    def thresholds(self, temperature: float = 1.0) -> list[float]:
        """The onset threshold of each class for probabilities at this temperature, see `fit_thresholds`."""
        return fit_thresholds(peaks([tempered(steps, temperature) for steps in self.outputs]), self.targets).tolist()


def predict_clips(
    recogniser: Recogniser,
    clips: Sequence[Clip],
    reader: Reader,
    *,
    eval_clips: int = 0,
    progress: Progress | None = None,
) -> ClipPredictions:
    """Predict each clip. A clip that cannot be read is listed in ``unreadable``, and the others go on.

    Args:
        recogniser: the model.
        clips: their labels are not used.
        reader: at the model's sample rate.
        eval_clips, progress: as for `evaluate`.
    """
    predictions = ClipPredictions()
    for number, clip in enumerate(clips, start=1):
        try:
            waveform = reader.read(clip)
            if not len(waveform):
                raise MediaError(clip.name, "holds no sound")
            if eval_clips:
                steps = _evenly_spaced(recogniser, waveform, eval_clips, reader.full_length(clip, len(waveform)))
            else:
                steps = recogniser.predict(waveform).window_probabilities
            predictions.clips.append(clip)
            predictions.outputs.append(steps)
        except MediaError as error:
            predictions.unreadable.append(str(error))
        if progress is not None:
            progress(number, len(clips))
    return predictions


def _evenly_spaced(recogniser: Recogniser, waveform: np.ndarray, count: int, length: int) -> np.ndarray:
    """(count, classes): the probabilities of windows at the places that `clip_starts` gives.

    Args:
        length: samples that count, at least those of the waveform. Of a window that reaches beyond the waveform's end,
            what is there is used. A waveform shorter than a window is used whole, each time.
    """
    samples = round(recogniser.window_seconds * recogniser.sample_rate) - 1
    starts = clip_starts(length, samples, count)
    by_start: dict[int, np.ndarray] = {}
    for start in starts:
        if start not in by_start:
            window = waveform[min(start, len(waveform) - 1) :][:samples]
            if len(window) < samples:
                # The frame that is repeated is the one centred on the end, as published and in training. For audio of a
                # whole number of hops `predict` would leave that frame out.
                window = np.append(window, np.float32(0))
            by_start[start] = recogniser.predict(window).window_probabilities[0]
    return np.stack([by_start[start] for start in starts])
