"""The main job on one page: media -> blocks -> ONNX Runtime -> timeline -> Recognition."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from audioinceptionnext import media, zoo
from audioinceptionnext.errors import AinextError
from audioinceptionnext.overview import Overview
from audioinceptionnext.recognition import Recognition, Score
from audioinceptionnext.timeline import TimelineSettings, find_segments

# Frames of the log-mel, 30 and 10 s at a hop of 5 ms; windows share nothing in the network: more memory a frame.
BLOCK_FRAMES = {"dense": 6000, "windows": 2000}
# What the network hears beyond the window of a step still reaches it through its long kernels, so that steps beside a
# join are heard twice and kept from the block in which they lie inside. Measured: `docs/architecture.md`, "Joins".
MARGIN_FRAMES = {"dense": 832, "windows": 0}
# A log-mel that stays below this is digital silence: the smallest click of a 16-bit recording reaches -7.2. To that the
# network would give the nearest sound, with confidence; that nothing is there is certain without it.
SILENCE = -9.0
TOP_K = 5


class Heard(NamedTuple):
    probabilities: np.ndarray  # (steps, classes), rows of zeros where a step's window is silent
    log_mel: np.ndarray  # (frames, bands)


@dataclass(frozen=True)
class Grid:
    """Where steps lie in the waveform."""

    clip_frames: int  # a step's window
    frame: int  # samples from one frame of the log-mel to the next
    step: int  # samples from one window to the next
    pooled: bool  # dense: windows are stretches of the network's feature map, one position a step

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
        clip, step = self.clip_frames, self.step_frames
        if self.pooled:
            clip = -(-clip // step) * step  # of whole positions, however many frames the last one lacks
        return 1 + -(-max(0, self.frames(samples) - clip) // step)


class Recogniser:
    """A model, ready to listen. Use `load` to get one.

    Attributes:
        name, labels, sample_rate: of the model; the rate in Hz.
        run: how it hears long audio, as its file says: ``dense`` or ``windows``.
        window, step: seconds that an answer hears, and from one answer to the next.
        thresholds: how sure it has to be for a segment of each class, where its file says so; otherwise empty.
        facts: all that the file says of itself.
    """

    def __init__(self, content: bytes, source: str, name: str | None = None, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # It plans memory for each length of input on top of what it already holds: 110 to 140 MB for no time saved.
        options.enable_mem_pattern = False
        # Idle threads would otherwise spin, which steals from decoding and from whoever shares the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            raise AinextError(f"{source}: not an ONNX model, or damaged; export or copy it again") from error
        self.facts: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if self.facts.get("input") != "waveform" or "labels" not in self.facts:
            raise AinextError(f"{source}: takes no waveform or names no labels; `ainext export` makes files that do")
        try:
            self.labels: tuple[str, ...] = tuple(json.loads(self.facts["labels"]))
            self.name = name or self.facts["name"]
            self.run = self.facts["run"]
            self.sample_rate = int(self.facts["sample_rate"])
            self.thresholds = tuple(float(value) for value in json.loads(self.facts.get("thresholds", "[]")))
            if len(self.thresholds) not in (0, len(self.labels)):
                raise ValueError("thresholds")
            frame = int(self.facts["hop_samples"])
            step, dense = int(self.facts["step_frames"]) * frame, self.run == "dense"
            self._grid = Grid(int(self.facts["clip_frames"]), frame, step, dense)
            # A clip is the most samples that make its frames, one short of a whole number of them.
            self.window = (int(self.facts["clip_samples"]) + 1) / self.sample_rate
        except (KeyError, ValueError) as error:
            raise AinextError(f"{source}: its metadata lacks or garbles {error}; export it again") from error
        self.step = self._grid.step / self.sample_rate

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
            hop: seconds from one answer to the next, ``step`` or a multiple of it.
            progress: called with the seconds heard so far.

        Raises:
            AinextError: no such file, nothing in it that can be heard, a hop below ``step``.
        """
        settings = settings or TimelineSettings(by_class=self.thresholds)
        every = self.check_hop(hop)
        warnings: list[str] = []
        block_seconds = BLOCK_FRAMES[self.run] * self._grid.frame / self.sample_rate
        if isinstance(source, np.ndarray):
            file, blocks = "", _cut(source, round(block_seconds * self.sample_rate))
        else:
            file, blocks = str(source), media.read_blocks(source, self.sample_rate, block_seconds, warnings.append)
        samples, overview = 0, Overview()
        parts: list[np.ndarray] = []

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                yield block
                samples += len(block)
                if progress is not None:
                    progress(samples / self.sample_rate)

        for heard in self._listen(counted(), every):
            parts.append(heard.probabilities)
            overview.add(heard.log_mel)
        probabilities = np.concatenate(parts)
        if self.run == "dense":
            probabilities = probabilities[::every]
        duration, seconds = samples / self.sample_rate, every * self.step
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

    def check_hop(self, hop: float | None) -> int:
        """The hop, given in seconds, in steps. Raises `AinextError` when it is below ``step``."""
        if hop is None:
            return 1
        if not self.step * 0.999 <= hop <= 3600:  # false for NaN
            raise AinextError(f"--hop {hop}: {self.name} answers every {self.step:g} s; give that or a multiple of it")
        return round(hop / self.step)

    def _listen(self, blocks: Iterable[np.ndarray], every: int) -> Iterator[Heard]:
        """Steps and frames of the whole recording, block by block, as one pass over all of it would give them."""
        step = self._grid.step * every if self.run == "windows" else self._grid.step
        grid = replace(self._grid, step=step)
        margin = -(-MARGIN_FRAMES[self.run] // grid.step_frames) or 1
        body = max(1, BLOCK_FRAMES[self.run] // grid.step_frames)
        waveform = np.zeros(0, np.float32)
        first = 0  # the step at which the held waveform starts
        done = 0  # steps given so far
        for block in blocks:
            waveform = np.concatenate([waveform, block])
            # Enough for the body's last step and the margin after it.
            while len(waveform) >= (needed := (done - first + body + margin - 1) * step + grid.clip):
                heard = self._run(waveform[:needed], grid)
                frames = slice((done - first) * grid.step_frames, (done - first + body) * grid.step_frames)
                yield Heard(heard.probabilities[done - first : done - first + body], heard.log_mel[frames])
                done += body
                waveform = waveform[(done - margin - first) * step :] if done > margin else waveform
                first = max(first, done - margin)
        total = grid.steps(first * step + len(waveform))
        if done < total:
            heard = self._run(waveform, grid)
            frames = slice((done - first) * grid.step_frames, grid.frames(len(waveform)))
            yield Heard(heard.probabilities[done - first : total - first], heard.log_mel[frames])

    def _run(self, waveform: np.ndarray, grid: Grid) -> Heard:
        inputs = {"waveform": waveform[None]}
        if self.run == "windows":
            inputs["hop"] = np.array(grid.step_frames)
        logits, log_mel = self._session.run(["logits", "log_mel"], inputs)
        loud = np.concatenate([[0], np.cumsum(log_mel[0].max(axis=1) > SILENCE)])  # frames above it, so far
        start = np.minimum(np.arange(len(logits[0])) * grid.step_frames, len(loud) - 1)
        end = np.minimum(start + grid.clip_frames, len(loud) - 1)
        return Heard(_softmax(logits[0]) * (loud[end] > loud[start])[:, None], log_mel[0])


def load(model: str | Path = zoo.DEFAULT, threads: int | None = None) -> Recogniser:
    """A shipped model by its name, or any ONNX file that `ainext export` wrote by its path.

    Args:
        threads: of ONNX Runtime; all cores unless given.

    Raises:
        AinextError: an unknown name (the nearest is suggested), a missing or damaged file.
    """
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
        return Recogniser(content, str(path), threads=threads)
    entry = zoo.find(str(model))
    return Recogniser(entry.read(), str(entry.path), entry.name, threads)


def overall(probabilities: np.ndarray) -> np.ndarray:
    """(steps, classes) to (classes,): of a recording as a whole, the mean over its steps that are not silent."""
    return probabilities.sum(axis=0) / max(1, int(probabilities.any(axis=1).sum()))


def _cut(waveform: np.ndarray, size: int) -> Iterator[np.ndarray]:
    if waveform.ndim != 1 or not waveform.size:
        raise AinextError(f"a waveform of shape {waveform.shape}: give one dimension and at least one sample")
    samples = np.nan_to_num(waveform.astype(np.float32, copy=False))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """(steps, classes) to probabilities, float32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
