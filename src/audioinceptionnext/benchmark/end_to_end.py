"""From a file to segments: how long it takes, where the time goes, and how long the published way would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.process import RowFailed, run_in_process
from audioinceptionnext.benchmark.worker import Channel

RUNS = 3
PUBLISHED_S = 60.0  # of the recording that the published way is timed on; the rest is extrapolated
PUBLISHED_BATCH_SIZE = 16
STAGES = ("decoding", "resampling", "front end", "network", "rest")

Log = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """The files that the measurement loads, made by `subjects.Preparation`.

    Attributes:
        model: ONNX, from waveform to logits and log-mel.
        front_end: ONNX, from waveform to log-mel: that part of ``model``.
        published: the network as trained, pickled by torch, with the settings of its front end.
    """

    model: str
    front_end: str
    published: str


def measure(
    recording: Path, files: Files, step_seconds: float | None, cores: Sequence[int], log: Log
) -> dict[str, Any]:
    """Measure the way of one recording from its file to its segments.

    Args:
        recording: an audio or video file.
        files: of the model.
        step_seconds: from one step to the next; the model's own unless given.
        cores: the CPU cores to use.
        log: called with a line of progress.

    Returns:
        ``file``; its length in ``seconds``; ``step_seconds``; the numbers of ``steps`` and ``segments``; ``ready_s``,
        the seconds to load the model; ``wall_s``, the median of ``runs``, and their ``spread`` from best to worst;
        ``realtime_factor``; ``peak_rss_mb`` of that process; ``cpu_s``, the seconds of one core by stage, and the
        ``share`` of each stage in %; ``published``, the same steps predicted the published way: ``ms_per_step`` of its
        front end and network, ``wall_s`` and the ``ratio``, or ``skipped``, the reason why it was not measured.

    Raises:
        RowFailed: the recording cannot be decoded, or the model cannot do these steps.
    """
    log(f"{recording.name}: from the file to segments")
    whole = run_in_process(serve_whole, (str(recording), files.model, step_seconds, len(cores)), cores)
    found: dict[str, Any] = {"file": recording.name, **whole, "realtime_factor": whole["seconds"] / whole["wall_s"]}
    log(f"{recording.name}: stage by stage, on one core")
    found["cpu_s"] = run_in_process(serve_stages, (str(recording), files, step_seconds), cores[:1])
    total = sum(found["cpu_s"].values())
    found["share"] = {stage: 100 * seconds / total for stage, seconds in found["cpu_s"].items()}
    log(f"{recording.name}: its first minute, the published way")
    arguments = (str(recording), files.published, found["step_seconds"], len(cores))
    try:
        published = run_in_process(serve_published, arguments, cores)
    except RowFailed as error:
        return found | {"published": {"skipped": str(error)}}
    published["wall_s"] = sum(published["ms_per_step"].values()) / 1000 * found["steps"]
    return found | {"published": published | {"ratio": published["wall_s"] / found["wall_s"]}}


def serve_whole(channel: Channel, recording: str, model: str, step_seconds: float | None, threads: int) -> None:
    """Predict a recording `RUNS` times, as ``ainext predict`` does, with the model loaded once."""
    from audioinceptionnext.benchmark.backends import peak_rss
    from audioinceptionnext.models.load import load

    start = time.perf_counter()
    recogniser = load(model, threads=threads)
    ready = time.perf_counter() - start
    walls = []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = recogniser.predict(recording, step_seconds=step_seconds)
        walls.append(time.perf_counter() - start)
    channel.send(
        {
            "seconds": result.duration,
            "step_seconds": result.step_seconds,
            "steps": len(result.probabilities),
            "segments": len(result.segments),
            "ready_s": ready,
            "runs": RUNS,
            "wall_s": float(np.median(walls)),
            "spread": [min(walls), max(walls)],
            "peak_rss_mb": peak_rss() / 1e6,
        }
    )


def serve_stages(channel: Channel, recording: str, files: Files, step_seconds: float | None) -> None:
    """Measure the seconds of one core by stage. This is CPU time, so that no stage hides behind another.

    Decoding, which includes mixing down to mono, and decoding with resampling are run alone. The front end is computed
    once more beside the model. The rest is what the whole prediction takes beyond all these.
    """
    from audioinceptionnext.audio import decode
    from audioinceptionnext.audio.soundtrack import SoundTrack
    from audioinceptionnext.inference.steps import StepPredictor
    from audioinceptionnext.models.load import load

    recogniser = load(files.model, threads=1)
    model_rate = recogniser.sample_rate
    with closing(SoundTrack(recording)) as track:
        own_rate = int(track.stream.rate)
    session = _TimedSession(files)
    predictor = StepPredictor(session, session.metadata, recogniser.mode)
    step = recogniser.check_step(step_seconds)
    block_s = predictor.block_samples / model_rate

    def decode_at(rate: int) -> None:
        for _ in decode.read_blocks(recording, rate, block_s):
            pass

    def predict() -> None:
        for _ in predictor.predict_blocks(decode.read_blocks(recording, model_rate, block_s), step):
            pass

    decoding = _cpu_s(lambda: decode_at(own_rate))
    resampling = _cpu_s(lambda: decode_at(model_rate)) - decoding
    predict()
    network = session.model_s - session.front_end_s
    whole = _cpu_s(lambda: recogniser.predict(recording, step_seconds=step_seconds))
    stages = (decoding, resampling, session.front_end_s, network, whole - decoding - resampling - session.model_s)
    channel.send({stage: max(0.0, seconds) for stage, seconds in zip(STAGES, stages, strict=True)})


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of all threads of this process. The shorter of two runs, since the first one also warms up."""

    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once(), once())


class _TimedSession:
    """A session that sums up the CPU seconds of the model, and those that its front end takes alone."""

    def __init__(self, files: Files) -> None:
        from audioinceptionnext.inference.backends import open_session

        self._model, self._front_end = (
            open_session(Path(file).read_bytes(), file, "onnxruntime", 1) for file in (files.model, files.front_end)
        )
        self.metadata: Mapping[str, str] = self._model.metadata
        self.model_s = self.front_end_s = 0.0

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        start = time.process_time()
        self._front_end.run(["log_mel"], {"waveform": inputs["waveform"]})
        between = time.process_time()
        results = self._model.run(outputs, inputs)
        self.front_end_s += between - start
        self.model_s += time.process_time() - between
        return results


def serve_published(channel: Channel, recording: str, network: str, step_seconds: float, threads: int) -> None:
    """Measure the milliseconds per step: librosa's log-mel of each clip, then the unfolded network in eager PyTorch.

    Only the front end and the network are timed, in float32; decoding is not.
    """
    import librosa
    import torch

    from audioinceptionnext.audio import decode

    torch.set_num_threads(threads)
    loaded = torch.load(network, weights_only=False)
    net, front = loaded["net"], loaded["front_end"]
    rate, size = front["sample_rate"], front["clip_samples"]
    waveform = decode.read(recording, rate, 0.0, PUBLISHED_S)
    starts = range(0, max(1, len(waveform) - size + 1), round(step_seconds * rate))
    window, hop = round(front["window_ms"] * rate / 1000), round(front["hop_ms"] * rate / 1000)
    stft = partial(librosa.stft, n_fft=front["n_fft"], win_length=window, hop_length=hop, pad_mode="constant")
    filters = librosa.filters.mel(sr=rate, n_fft=front["n_fft"], n_mels=front["bands"], htk=True, norm=None)

    def log_mel(clip: np.ndarray) -> np.ndarray:
        return np.log(filters @ np.abs(stft(clip)) + 1e-6).T[: front["clip_frames"]]

    front_s = network_s = 0.0
    steps = 0
    with torch.inference_mode():
        net(torch.zeros(PUBLISHED_BATCH_SIZE, 1, front["clip_frames"], front["bands"]))  # warm up
        log_mel(np.resize(waveform, size))
        for first in range(0, len(starts), PUBLISHED_BATCH_SIZE):
            batch_starts = starts[first : first + PUBLISHED_BATCH_SIZE]
            clips = [np.resize(waveform[start : start + size], size) for start in batch_starts]
            begin = time.perf_counter()
            batch = np.stack([log_mel(clip) for clip in clips])[:, None]
            between = time.perf_counter()
            net(torch.from_numpy(batch.astype(np.float32)))
            front_s, network_s = front_s + between - begin, network_s + time.perf_counter() - between
            steps += len(clips)
    ms_per_step = {"front end": 1000 * front_s / steps, "network": 1000 * network_s / steps}
    channel.send({"timed_s": len(waveform) / rate, "steps_timed": steps, "ms_per_step": ms_per_step})


def text(found: dict[str, Any]) -> str:
    """What `measure` returns as a few lines of Markdown."""
    low, high = found["spread"]
    lines = [
        f"{found['file']}, {found['seconds']:.0f} s of sound, one step every {1000 * found['step_seconds']:.0f} ms: "
        f"{found['wall_s']:.2f} s ({low:.2f} to {high:.2f}, {found['runs']} runs), "
        f"{found['realtime_factor']:.0f} times real time, peak memory {found['peak_rss_mb']:.0f} MB; "
        f"the model loads in {found['ready_s']:.2f} s.",
        "",
        "| stage | seconds of one core | share |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {stage} | {found['cpu_s'][stage]:.2f} | {found['share'][stage]:.0f} % |" for stage in STAGES]
    published = found["published"]
    if "skipped" in published:
        return "\n".join([*lines, "", f"The published way was skipped: {published['skipped']}"])
    each = published["ms_per_step"]
    lines += [
        "",
        f"The published way predicts each step from a clip of its own (librosa, then the unfolded network in PyTorch, "
        f"{PUBLISHED_BATCH_SIZE} clips at a time). It takes {each['front end']:.1f} + {each['network']:.1f} ms per "
        f"step over {published['timed_s']:.0f} s, which is {published['wall_s']:.0f} s for all steps: "
        f"{published['ratio']:.0f} times as long.",
    ]
    return "\n".join(lines)
