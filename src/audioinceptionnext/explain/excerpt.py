"""Which stretch of a recording to explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import AinextError, printable, suggest
from audioinceptionnext.explain.explanation import Explanation, explain
from audioinceptionnext.explain.probe import open_model
from audioinceptionnext.inference.recogniser import overall
from audioinceptionnext.inference.windows import Listener
from audioinceptionnext.network.storage import StoredModel

WHOLE = 10.0  # seconds, up to which a recording is explained as it is
STRETCH = 5.0  # seconds of a longer one, where its label scores best
LONGEST = 30.0  # seconds that one picture can show


class Chosen(NamedTuple):
    """A stretch and, where it was searched for, the label that it was searched for."""

    start: float
    seconds: float
    label: str | None


def explain_file(
    model: StoredModel | str | Path,
    file: str | Path,
    label: str | None = None,
    start: float | None = None,
    end: float | None = None,
    name: str = "",
) -> Explanation:
    """Explain a recording: up to 10 s as a whole, of a longer one the 5 s where its label scores best.

    Args:
        model: a `StoredModel`, or what `open_model` takes.
        label: the likeliest one of the whole recording unless given; of the stretch, where ``start`` or ``end`` is.
        start, end: seconds, a stretch of 30 s at most; with one of them alone it is 5 s long.
        name: what the model is called; its own name, or what it was opened by, unless given.

    Raises:
        AinextError: no such model, file, label or stretch, a file that is no recording (`MediaError`), silence.
    """
    stored = model if isinstance(model, StoredModel) else open_model(model)
    name = name or str(stored.info.get("name", "") if isinstance(model, StoredModel) else model)
    if label is not None and label not in stored.labels:
        raise AinextError(f"--label {label}: {name or 'the model'} has no such label; {suggest(label, stored.labels)}")
    chosen = _stated(start, end, label) if start is not None or end is not None else _best(stored, file, label)
    waveform = decode.read(file, stored.sample_rate, chosen.start, chosen.seconds)
    if not len(waveform):
        raise AinextError(f"{printable(file)}: has no sound at {chosen.start:g} s; --start is beyond its end")
    return replace(explain(stored, waveform, chosen.label, chosen.start, str(file)), model=name)


def _stated(start: float | None, end: float | None, label: str | None) -> Chosen:
    first = start if start is not None else max(0.0, (end or 0.0) - STRETCH)
    last = end if end is not None else first + STRETCH
    if not 0 <= first < last < float("inf"):  # false for NaN
        raise AinextError(f"--start {first:g} --end {last:g}: give seconds, the end after the start")
    if last - first > LONGEST:
        raise AinextError(f"--start {first:g} --end {last:g}: one picture shows {LONGEST:g} s at most")
    return Chosen(first, last - first, label)


def _best(model: StoredModel, file: str | Path, label: str | None) -> Chosen:
    """The whole of a short recording; of a long one the stretch whose steps give the label the greatest mean."""
    rate = model.sample_rate
    beginning = decode.read(file, rate, 0.0, WHOLE + 0.1)
    if len(beginning) <= WHOLE * rate:
        return Chosen(0.0, WHOLE, label)
    ear = listener(model)
    blocks = decode.read_blocks(file, rate, ear.block / rate)
    steps = np.concatenate([heard.probabilities for heard in ear.listen(blocks, ear.grid.step)])
    if not steps.any():
        raise AinextError(f"{printable(file)}: digital silence, which gets no label; there is nothing to explain")
    label = label or model.labels[int(overall(steps).argmax())]
    hop, window = ear.grid.step / rate, model.clip_seconds
    inside = min(len(steps), int(max(0.0, STRETCH - window) / hop) + 1)  # steps whose windows lie in one stretch
    column = np.concatenate([[0.0], np.cumsum(steps[:, model.labels.index(label)], dtype=np.float64)])
    first = int(np.argmax(column[inside:] - column[:-inside]))
    return Chosen(first * hop, max(STRETCH, window), label)


def listener(model: StoredModel) -> Listener:
    """Hears recordings of any length in blocks, as recognition does, but by torch: no file has to be exported first."""
    from audioinceptionnext.export.onnx import Exported

    facts = {
        "clip_frames": str(model.net.config.clip_frames),
        "step_frames": str(model.net.step_frames),
        "hop_samples": str(model.front_end().hop),
    }
    return Listener(_Torch(Exported(model, model.run, "waveform"), facts), facts, model.run)


class _Torch:
    """What `Listener` asks of a session."""

    def __init__(self, exported: torch.nn.Module, facts: Mapping[str, str]) -> None:
        self.exported, self.facts = exported, facts

    @torch.inference_mode()
    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        hop = torch.as_tensor(inputs.get("hop", int(self.facts["step_frames"])))
        return [value.numpy() for value in self.exported(torch.from_numpy(inputs["waveform"]), hop)]
