"""Blocks of sound of any length through the network, and answers as one pass over the whole recording gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from audioinceptionnext.inference.backends import Session

# Frames of the log-mel, 30 and 10 s at a hop of 5 ms; windows share nothing in the network: more memory a frame.
BLOCK_FRAMES = {"dense": 6000, "windows": 2000}
# What the network hears beyond the window of a step still reaches it through its long kernels, so that steps beside a
# join are heard twice and kept from the block in which they lie inside. Measured: `docs/architecture.md`, "Joins".
MARGIN_FRAMES = {"dense": 832, "windows": 0}
BATCH = 16  # clips that go through the network together, where each is heard by itself
# A log-mel that stays below this is digital silence: the smallest click of a 16-bit recording reaches -7.2. To that the
# network would give the nearest sound, with confidence; that nothing is there is certain without it.
SILENCE = -9.0
FLOOR = -13.8  # of the log-mel


class Heard(NamedTuple):
    probabilities: np.ndarray  # (steps, classes), rows of zeros where a step's window is silent
    log_mel: np.ndarray  # (frames, bands)
    features: np.ndarray | None = None  # (steps, channels), where the listener is to give them

    def part(self, steps: slice, frames: slice) -> Heard:
        """Some of the steps, and some of the frames."""
        features = None if self.features is None else self.features[steps]
        return Heard(self.probabilities[steps], self.log_mel[frames], features)


@dataclass(frozen=True)
class Grid:
    """Where answers lie in the waveform.

    Attributes:
        clip_frames: of an answer's window.
        whole_frames: as many, up to whole positions of the feature map where the network pools over these.
        frame: samples from one frame of the log-mel to the next.
        step: samples from one window to the next.
    """

    clip_frames: int
    whole_frames: int
    frame: int
    step: int

    @property
    def clip(self) -> int:
        """Samples that make a window's frames."""
        return self.clip_frames * self.frame

    @property
    def step_frames(self) -> int:
        return self.step // self.frame

    def frames(self, samples: int) -> int:
        """How many frames of so many samples are heard: one centred on their very end only where a clip is short."""
        return max(-(-samples // self.frame), min(1 + samples // self.frame, self.clip_frames))

    def steps(self, samples: int) -> int:
        """How many steps so many samples give: one for a clip and less, and a last one however little follows."""
        frames = self.frames(samples)
        missing = -(-max(0, frames - self.whole_frames) // self.step_frames)
        return 1 + min(missing, max(0, frames - 1) // self.step_frames)  # a long step may go beyond the end


class Listener:
    """One model and one way to hear long audio.

    Args:
        facts: what the file says of itself.
        run: ``dense``, ``windows`` (of one log-mel), as the file was made for; or ``clips``, for any file: each answer
            from the samples of its own clip and nothing else, which is all that a live stream has.
        features: whether what the linear layer reads at each step is given too; the file has to have that output.

    Attributes:
        grid: with the file's own step.
        finest: samples; the shortest step. Shorter ones than the file's own divide it.

    Raises:
        KeyError, ValueError: facts that are missing or no numbers.
    """

    def __init__(self, session: Session, facts: Mapping[str, str], run: str, features: bool = False) -> None:
        self.session, self.run = session, run
        self._outputs = ["logits", "log_mel", "features"] if features else ["logits", "log_mel"]
        clip, step, frame = (int(facts[name]) for name in ("clip_frames", "step_frames", "hop_samples"))
        self.grid = Grid(clip, -(-clip // step) * step if run == "dense" else clip, frame, step * frame)
        self.finest = int(facts.get("finest_frames", step)) * frame if run == "dense" else frame

    @property
    def block(self) -> int:
        """Samples of which blocks had better be."""
        return BLOCK_FRAMES.get(self.run, BLOCK_FRAMES["windows"]) * self.grid.frame

    def listen(self, blocks: Iterable[np.ndarray], step: int) -> Iterator[Heard]:
        """All steps and frames of a recording, a part at a time.

        Args:
            blocks: (samples,) float32 each, one after another.
            step: samples from one answer to the next: the grid's own, a multiple, or a part of it down to ``finest``.
        """
        if self.run == "clips":
            yield from self._clips(blocks, replace(self.grid, step=step))
        elif self.run == "windows" or step <= self.grid.step:
            yield from self._joined(blocks, replace(self.grid, step=step))
        else:
            every, before = step // self.grid.step, 0
            for heard in self._joined(blocks, self.grid):
                kept = slice(-before % every, None, every)
                before += len(heard.probabilities)
                yield heard.part(kept, slice(None))

    def _joined(self, blocks: Iterable[np.ndarray], grid: Grid) -> Iterator[Heard]:
        margin = -(-MARGIN_FRAMES[self.run] // grid.step_frames) or 1
        body = max(1, BLOCK_FRAMES[self.run] // grid.step_frames)
        waveform = np.zeros(0, np.float32)
        first = 0  # the step at which the held waveform starts
        done = 0  # steps given so far
        for block in blocks:
            waveform = np.concatenate([waveform, block])
            # Enough for the body's last step and the margin after it.
            while len(waveform) >= (needed := (done - first + body + margin - 1) * grid.step + grid.clip):
                heard = self._pass(waveform[:needed], grid)
                frames = slice((done - first) * grid.step_frames, (done - first + body) * grid.step_frames)
                yield heard.part(slice(done - first, done - first + body), frames)
                done += body
                waveform = waveform[(done - margin - first) * grid.step :] if done > margin else waveform
                first = max(first, done - margin)
        total = grid.steps(first * grid.step + len(waveform))
        if done < total:
            heard = self._pass(waveform, grid)
            frames = slice((done - first) * grid.step_frames, grid.frames(len(waveform)))
            yield heard.part(slice(done - first, total - first), frames)

    def _pass(self, waveform: np.ndarray, grid: Grid) -> Heard:
        inputs = {"waveform": waveform[None]}
        if grid.step != self.grid.step:  # the file's own is its default
            inputs["hop"] = np.array(grid.step_frames)
        logits, log_mel, *features = self.session.run(self._outputs, inputs)
        loud = np.concatenate([[0], np.cumsum(log_mel[0].max(axis=1) > SILENCE)])  # frames above it, so far
        start = np.minimum(np.arange(len(logits[0])) * grid.step_frames, len(loud) - 1)
        end = np.minimum(start + grid.clip_frames, len(loud) - 1)
        probabilities = softmax(logits[0]) * (loud[end] > loud[start])[:, None]
        return Heard(probabilities, log_mel[0], features[0][0] if features else None)

    def _clips(self, blocks: Iterable[np.ndarray], grid: Grid) -> Iterator[Heard]:
        waveform, done = np.zeros(0, np.float32), 0  # what is held starts at step `done`
        beyond = 0  # samples by which a long step goes beyond what is held
        for block in blocks:
            waveform = np.concatenate([waveform, block[beyond:]])
            beyond = max(0, beyond - len(block))
            # The last clip waits for the end, which says how many frames of it are heard.
            while (ready := min(BATCH, (len(waveform) - grid.clip - 1) // grid.step + 1)) > 0:
                heard = self._batch(waveform, ready, grid.step)
                yield heard._replace(log_mel=_in_steps(heard.log_mel, grid.step_frames))
                beyond += max(0, ready * grid.step - len(waveform))
                waveform, done = waveform[ready * grid.step :], done + ready
        left = grid.steps(done * grid.step - beyond + len(waveform)) - done
        while left > 0:
            # The very last may lack samples; it is heard as a recording of that length is.
            ready = min(left, BATCH, max(1, (len(waveform) - grid.clip + 1) // grid.step + 1))
            heard = self._batch(waveform, ready, grid.step)
            waveform, left = waveform[ready * grid.step :], left - ready
            yield heard._replace(log_mel=_in_steps(heard.log_mel, grid.step_frames, whole_last=not left))

    def hear_clips(self, waveform: np.ndarray, count: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """``count`` answers, each from its own clip of the waveform, ``step`` samples after the one before.

        Returns:
            Probabilities (count, classes), and the log-mel of each clip (count, frames, bands). A single clip may be
            short.
        """
        heard = self._batch(waveform, count, step)
        return heard.probabilities, heard.log_mel

    def _batch(self, waveform: np.ndarray, count: int, step: int) -> Heard:
        """As `hear_clips`, with the features where they are to be given; the log-mel is that of each clip."""
        size = self.grid.clip - 1  # the most samples that make a clip's frames
        clips = np.stack([waveform[i * step : i * step + size] for i in range(count)])
        logits, log_mel, *features = self.session.run(self._outputs, {"waveform": clips})
        log_mel = log_mel[:, : self.grid.frames(clips.shape[1])]
        probabilities = softmax(logits[:, 0]) * (log_mel.max(axis=(1, 2)) > SILENCE)[:, None]
        return Heard(probabilities, log_mel, features[0][:, 0] if features else None)


def _in_steps(log_mel: np.ndarray, step_frames: int, whole_last: bool = False) -> np.ndarray:
    """(clips, frames, bands) of clips that overlap to (frames, bands): of each its first step, all of the last one.

    Where a step is longer than a clip, what nobody heard is drawn as silence.
    """
    silent = max(0, step_frames - log_mel.shape[1])
    steps = np.pad(log_mel, ((0, 0), (0, silent), (0, 0)), constant_values=FLOOR)[:, :step_frames]
    return np.concatenate([*steps[:-1], log_mel[-1] if whole_last else steps[-1]])


def softmax(logits: np.ndarray) -> np.ndarray:
    """(steps, classes) to probabilities, float32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
