"""Predicts blocks of any length, so that their steps are those of one pass over the whole recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from audioinceptionnext.inference.backends import Session

#: How long audio is processed: in one pass with sliding pooling, window by window from one log-mel as in the published
#: network, or each step from the samples of its window alone. A file is made for one of the first two.
Mode = Literal["dense", "windows", "clips"]
# Frames of the log-mel per pass: 60 s and 20 s at the usual hop of 10 ms. Windows share nothing in the network, and so
# take more memory.
BLOCK_FRAMES = {"dense": 6000, "windows": 2000}
# The long kernels carry what lies beyond a step's window into its result. So steps next to the joint of two passes are
# computed twice, and kept from the pass in whose inside they lie. A file may state that it needs fewer frames on either
# side. Measured in docs/architecture.md, "Joints".
MARGIN_FRAMES = {"dense": 832, "windows": 0}
# Of a live stream: how much sound after a step's window it waits for, unless it is told; how much of the sound before
# that end stands in, mirrored, for what is yet to come; and how often it predicts. Measured in docs/architecture.md.
LOOKAHEAD_FRAMES, MIRRORED_FRAMES, TURN_FRAMES = 256, 320, 64
# How it predicts early, from the sound that there is: how often; how much sound a step waits for; how much of the
# newest sound is predicted again; how much before that is taken in; and how much stands in, mirrored, for what follows.
EARLY_FRAMES, EARLY_AFTER_FRAMES, EARLY_AGAIN_FRAMES = 16, 0, 128
EARLY_BEFORE_FRAMES, EARLY_MIRRORED_FRAMES = 96, 64
BATCH_SIZE = 16  # clips per call of the network in the mode `clips`
FILE_FORMAT = "audioinceptionnext/2"  # of the files that this version writes and reads, in their metadata
FLOOR = -13.8  # the lowest value of a log-mel


class Prediction(NamedTuple):
    """The windows, steps and frames of a stretch of a recording.

    Attributes:
        windows: (windows, classes), the probabilities of each window; rows of zeros where it is digital silence.
        log_mel: (frames, bands).
        features: (windows, channels), if they were asked for.
        timeline: (steps, classes), of a file with a fine timeline.
    """

    windows: np.ndarray
    log_mel: np.ndarray
    features: np.ndarray | None = None
    timeline: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """(steps, classes): those of the timeline, be it a fine one or that of the windows."""
        return self.windows if self.timeline is None else self.timeline

    def part(self, windows: slice, frames: slice, steps: slice) -> Prediction:
        """These windows, frames and steps of a fine timeline alone."""
        features = None if self.features is None else self.features[windows]
        timeline = None if self.timeline is None else self.timeline[steps]
        return Prediction(self.windows[windows], self.log_mel[frames], features, timeline)


@dataclass(frozen=True)
class LiveGrid:
    """How the steps of a live stream are predicted: in turns, each from a stretch of sound around its steps.

    Attributes:
        steps: in a turn.
        unit: samples from one step to the next of those that the network gives, some of which may be left out.
        stride: a turn begins at a multiple of so many samples.
        before: samples before the first step of a turn that it takes in, as far as there are any.
        lookahead: samples after the window of the last step of a turn that it takes in.
        mirrored: samples that are appended, in reverse order.
    """

    steps: int
    unit: int
    stride: int
    before: int
    lookahead: int
    mirrored: int


@dataclass(frozen=True)
class StepGrid:
    """Where the steps lie in the waveform.

    Attributes:
        clip_frames: frames of a step's window.
        whole_frames: the same, rounded up to whole positions of the feature map if the network pools over these.
        hop: samples from one frame of the log-mel to the next.
        step: samples from one step to the next.
    """

    clip_frames: int
    whole_frames: int
    hop: int
    step: int

    @property
    def clip(self) -> int:
        """Samples of a window."""
        return self.clip_frames * self.hop

    @property
    def step_frames(self) -> int:
        return self.step // self.hop

    def frames(self, samples: int) -> int:
        """The number of frames of a waveform. One centred on its very end counts only if the waveform is short."""
        return max(-(-samples // self.hop), min(1 + samples // self.hop, self.clip_frames))

    def steps(self, samples: int) -> int:
        """The number of steps of a waveform: one up to the length of a clip, and a last one however little follows."""
        frames = self.frames(samples)
        missing = -(-max(0, frames - self.whole_frames) // self.step_frames)
        return 1 + min(missing, max(0, frames - 1) // self.step_frames)  # a long step may reach beyond the end


class StepPredictor:
    """Predicts the steps of recordings of any length, with one model in one mode.

    Args:
        session: the model.
        metadata: what its file states about itself.
        mode: ``dense`` or ``windows`` (of one log-mel), as the file was made for; or ``clips``, for any file: each
            step from the samples of its own window alone, which is all that a live stream has.
        features: whether to give what the linear layer reads at each step.

    Attributes:
        fine: whether the steps are those of a fine timeline, in place of those of the windows.
        windows: the windows as the file gives them.
        grid: the steps as the file gives them: the windows, or those of the fine timeline.
        margin_frames: what a block takes in on either side of the steps that count.

    Raises:
        KeyError, ValueError: metadata are missing, or are not numbers.
    """

    def __init__(self, session: Session, metadata: Mapping[str, str], mode: str, features: bool = False) -> None:
        self.session, self.mode = session, mode
        self.fine = mode == "dense" and "timeline_step_frames" in metadata and not features
        self._features = features
        self._outputs = ["probabilities", "log_mel", *["features"] * features, *["timeline"] * self.fine]
        clip, step, hop = (int(metadata[name]) for name in ("clip_frames", "step_frames", "hop_samples"))
        self.windows = StepGrid(clip, -(-clip // step) * step if mode == "dense" else clip, hop, step * hop)
        self.grid = self.windows
        if self.fine:
            step = int(metadata["timeline_step_frames"])
            self.grid = StepGrid(step, step, hop, step * hop)
        margin = MARGIN_FRAMES.get(mode, 0)
        self.margin_frames = int(metadata.get("margin_frames", margin)) if mode == "dense" else margin

    @property
    def block_samples(self) -> int:
        """The best length of a block."""
        return BLOCK_FRAMES.get(self.mode, BLOCK_FRAMES["windows"]) * self.grid.hop

    def predict_blocks(self, blocks: Iterable[np.ndarray], step: int) -> Iterator[Prediction]:
        """Yield all steps and frames of a recording, one part at a time.

        Args:
            blocks: consecutive, (samples,) float32 each.
            step: samples from one step to the next: the grid's own, a multiple, or (unless the timeline is a fine one)
                a part of it that is a whole number of frames.
        """
        if self.mode == "clips":
            yield from self._clips(blocks, replace(self.grid, step=step))
        elif step < self.grid.step:
            yield from self._joined(blocks, replace(self.grid, step=step))
        else:
            every, before, whole = step // self.grid.step, 0, slice(None)
            for prediction in self._joined(blocks, self.windows):
                kept = slice(-before % every, None, every)
                before += len(prediction.probabilities)
                yield prediction.part(whole if self.fine else kept, whole, kept)

    def _joined(self, blocks: Iterable[np.ndarray], grid: StepGrid) -> Iterator[Prediction]:
        # At least one step of the file, since the passes of `_pass` see the very start of a block differently.
        margin = -(-max(self.margin_frames, self.windows.step_frames) // grid.step_frames)
        body = max(1, BLOCK_FRAMES[self.mode] // grid.step_frames)
        waveform = np.zeros(0, np.float32)
        first = 0  # the step at which the waveform in memory starts
        done = 0  # steps that were yielded
        for block in blocks:
            waveform = np.concatenate([waveform, block])
            # enough for the last step of the body and the margin after it
            while len(waveform) >= (needed := (done - first + body + margin - 1) * grid.step + grid.clip):
                prediction = self._pass(waveform[:needed], grid)
                frames = slice((done - first) * grid.step_frames, (done - first + body) * grid.step_frames)
                yield prediction.part(slice(done - first, done - first + body), frames, self._steps_in(frames))
                done += body
                waveform = waveform[(done - margin - first) * grid.step :] if done > margin else waveform
                first = max(first, done - margin)
        total = grid.steps(first * grid.step + len(waveform))
        if done < total:
            prediction = self._pass(waveform, grid)
            frames = slice((done - first) * grid.step_frames, grid.frames(len(waveform)))
            steps = slice(self._steps_in(frames).start, self.grid.steps(len(waveform)))
            yield prediction.part(slice(done - first, total - first), frames, steps)

    def _steps_in(self, frames: slice) -> slice:
        """The steps of a fine timeline in frames that are whole windows' steps."""
        return slice(frames.start // self.grid.step_frames, frames.stop // self.grid.step_frames)

    def _pass(self, waveform: np.ndarray, grid: StepGrid) -> Prediction:
        """All windows of a waveform, and its steps. For windows that are closer together than the file's, the file
        predicts the waveform several times, each time from one window later on."""
        count = grid.steps(len(waveform))
        passes = min(self.windows.step // grid.step, count)
        parts = [self._run(waveform[None, number * grid.step :]) for number in range(passes)]
        features = [part.features[0] for part in parts if part.features is not None]
        return Prediction(
            _interleaved([part.windows[0] for part in parts])[:count],
            parts[0].log_mel[0],
            _interleaved(features)[:count] if features else None,
            None if parts[0].timeline is None else parts[0].timeline[0],
        )

    def _run(self, waveforms: np.ndarray) -> Prediction:
        """The outputs of the file for waveforms (batch, samples), each with the batch in front."""
        windows, log_mel, *more = self.session.run(self._outputs, {"waveform": waveforms})
        return Prediction(windows, log_mel, more[0] if self._features else None, more[-1] if self.fine else None)

    def _clips(self, blocks: Iterable[np.ndarray], grid: StepGrid) -> Iterator[Prediction]:
        waveform, done = np.zeros(0, np.float32), 0  # the waveform in memory starts at step `done`
        beyond = 0  # samples by which a long step reaches beyond it
        for block in blocks:
            waveform = np.concatenate([waveform, block[beyond:]])
            beyond = max(0, beyond - len(block))
            # The last clip waits for the end, which decides how many of its frames count.
            while (ready := min(BATCH_SIZE, (len(waveform) - grid.clip - 1) // grid.step + 1)) > 0:
                clips = self._batch(waveform, ready, grid.step)
                yield clips._replace(log_mel=_in_steps(clips.log_mel, grid.step_frames))
                beyond += max(0, ready * grid.step - len(waveform))
                waveform, done = waveform[ready * grid.step :], done + ready
        left = grid.steps(done * grid.step - beyond + len(waveform)) - done
        while left > 0:
            # The very last clip may lack samples; it is treated like a recording of that length.
            ready = min(left, BATCH_SIZE, max(1, (len(waveform) - grid.clip + 1) // grid.step + 1))
            clips = self._batch(waveform, ready, grid.step)
            waveform, left = waveform[ready * grid.step :], left - ready
            yield clips._replace(log_mel=_in_steps(clips.log_mel, grid.step_frames, whole_last=not left))

    def live_grid(self, step: int, lookahead: int | None = None) -> LiveGrid:
        """How to predict live steps so that they are those of a whole recording, up to what is yet to come.

        Args:
            step: samples from one step to the next.
            lookahead: in samples; in the mode ``dense``, whose steps depend on more than they can wait for.
        """
        if self.mode == "clips":  # a step needs its own window, and nothing else
            return LiveGrid(1, step, step, 0, 0, 0)
        hop, own = self.grid.hop, self.grid.step
        turn, unit = max(1, TURN_FRAMES * hop // step), min(step, own)
        margin = self.margin_frames * hop
        stride = self.windows.step if self.fine else unit
        before = -(-max(margin, self.windows.step) // unit) * unit
        if self.mode == "windows":  # neighbours see the same log-mel, whose ends are not those of the sound
            return LiveGrid(turn, unit, stride, before, own, 0)
        after = LOOKAHEAD_FRAMES * hop if lookahead is None else lookahead
        return LiveGrid(turn, unit, stride, before, after, max(0, min(MIRRORED_FRAMES * hop, margin - after)))

    def predict_turn(
        self, waveform: np.ndarray, places: np.ndarray, unit: int, mirrored: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some steps of a waveform, each of which sees all of it; in the mode ``clips``, one that sees its window.

        Args:
            waveform: (samples,), of which the very last window may lack some.
            places: which of the steps that are ``unit`` samples apart, the first of which begins with the waveform.
            mirrored: samples that are appended, in reverse order.

        Returns:
            Probabilities (places, classes), and the log-mel (frames, bands) of the waveform.
        """
        if self.mode == "clips":
            clips = self._batch(waveform, 1, unit)
            return clips.windows, clips.log_mel[0]
        extended = np.concatenate([waveform, waveform[-mirrored:][::-1]]) if mirrored else waveform
        prediction = self._pass(extended, self.windows if self.fine else replace(self.grid, step=unit))
        return prediction.probabilities[places], prediction.log_mel[: self.grid.frames(len(waveform))]

    def _batch(self, waveform: np.ndarray, count: int, step: int) -> Prediction:
        """``count`` steps, each from its own clip of the waveform, which begin ``step`` samples apart.

        A single clip may be short. The log-mel is (count, frames, bands).
        """
        size = self.grid.clip - 1  # one more sample would give one more frame
        clips = np.stack([waveform[i * step : i * step + size] for i in range(count)])
        windows, log_mel, features, _ = self._run(clips)
        log_mel = log_mel[:, : self.grid.frames(clips.shape[1])]
        return Prediction(windows[:, 0], log_mel, None if features is None else features[:, 0])


def _interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """The first row of each part, then the second of each, and so on: (rows, n) each to (all rows, n)."""
    rows = np.empty((sum(len(part) for part in parts), parts[0].shape[1]), parts[0].dtype)
    for number, part in enumerate(parts):
        rows[number :: len(parts)] = part
    return rows


def _in_steps(log_mel: np.ndarray, step_frames: int, whole_last: bool = False) -> np.ndarray:
    """(clips, frames, bands) of overlapping clips to (frames, bands): of each clip its first step, of the last one all.

    Where a step is longer than a clip, the rest of the step is filled with silence.
    """
    silent = max(0, step_frames - log_mel.shape[1])
    steps = np.pad(log_mel, ((0, 0), (0, silent), (0, 0)), constant_values=FLOOR)[:, :step_frames]
    return np.concatenate([*steps[:-1], log_mel[-1] if whole_last else steps[-1]])
