"""From a file to segments: how long it takes, where the time goes, and how long the published way would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.process import RowFailed, answer_of
from audioinceptionnext.benchmark.worker import Channel

RUNS = 3
PUBLISHED_S = 60.0  # of the recording that the published way hears; the rest is reckoned from it
PUBLISHED_BATCH = 16
STAGES = ("decoding", "resampling", "front end", "network", "rest")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """What the parts of the measurement load, made by `networks.Preparation`.

    Attributes:
        model: ONNX, waveform to logits and log-mel.
        front_end: ONNX, waveform to log-mel, cut out of it.
        published: the network as trained, pickled by torch, with what the front end wants.
    """

    model: str
    front_end: str
    published: str


def measure(recording: Path, files: Files, hop: float | None, cores: Sequence[int], tell: Tell) -> dict[str, Any]:
    """
    Args:
        hop: seconds from one answer to the next; the model's own unless given.

    Returns:
        ``file``; ``seconds`` of sound; ``hop`` in seconds; ``answers``; ``segments``; ``ready_s``, until the model is
        loaded; ``wall_s``, the median of so many ``runs``, and the ``spread`` of all; ``realtime_factor``;
        ``peak_rss_mb`` of that process; ``cpu_s``, seconds of one core by stage, and the ``share`` of each, in %;
        ``published``: ``ms_per_answer`` of its front end and network, ``wall_s`` of as many answers, and the ``ratio``;
        or ``skipped``, why not.

    Raises:
        RowFailed: the recording cannot be heard.
    """
    tell(f"{recording.name}: file to segments")
    whole = answer_of(serve_whole, (str(recording), files.model, hop, len(cores)), cores)
    found: dict[str, Any] = {"file": recording.name, **whole, "realtime_factor": whole["seconds"] / whole["wall_s"]}
    tell(f"{recording.name}: stage by stage, on one core")
    found["cpu_s"] = answer_of(serve_stages, (str(recording), files, hop), cores[:1])
    total = sum(found["cpu_s"].values())
    found["share"] = {stage: 100 * taken / total for stage, taken in found["cpu_s"].items()}
    tell(f"{recording.name}: its first minute the published way")
    try:
        published = answer_of(serve_published, (str(recording), files.published, found["hop"], len(cores)), cores)
    except RowFailed as error:
        return found | {"published": {"skipped": str(error)}}
    published["wall_s"] = sum(published["ms_per_answer"].values()) / 1000 * found["answers"]
    return found | {"published": published | {"ratio": published["wall_s"] / found["wall_s"]}}


def serve_whole(channel: Channel, recording: str, model: str, hop: float | None, threads: int) -> None:
    """As ``ainext predict`` does it, several times, the model loaded once."""
    from audioinceptionnext.benchmark.engines import peak_rss
    from audioinceptionnext.models.load import load

    begun = time.perf_counter()
    recogniser = load(model, threads)
    ready = time.perf_counter() - begun
    walls = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        found = recogniser.predict(recording, hop=hop)
        walls.append(time.perf_counter() - begun)
    channel.send(
        {
            "seconds": found.duration,
            "hop": found.hop,
            "answers": len(found.probabilities),
            "segments": len(found.segments),
            "ready_s": ready,
            "runs": RUNS,
            "wall_s": float(np.median(walls)),
            "spread": [min(walls), max(walls)],
            "peak_rss_mb": peak_rss() / 1e6,
        }
    )


def serve_stages(channel: Channel, recording: str, files: Files, hop: float | None) -> None:
    """Seconds of one core by stage: what the process computed, so that no stage hides behind another.

    Decoding (with mixing down to mono), and the same with resampling, are done alone; the front end is computed once
    more beside the model; the rest is what the whole way takes beyond all these.
    """
    from audioinceptionnext.audio import decode
    from audioinceptionnext.audio.source import Source
    from audioinceptionnext.inference.windows import Listener
    from audioinceptionnext.models.load import load

    recogniser = load(files.model, 1)
    rate = recogniser.sample_rate
    with closing(Source(recording)) as source:
        own = int(source.stream.rate)
    timed = _Timed(files)
    listener, step = Listener(timed, timed.facts, recogniser.run), recogniser.check_hop(hop)
    block_s = listener.block / rate

    def read(at: int) -> None:
        for _ in decode.read_blocks(recording, at, block_s):
            pass

    def listen() -> None:
        for _ in listener.listen(decode.read_blocks(recording, rate, block_s), step):
            pass

    decoding = _cpu_s(lambda: read(own))
    resampling = _cpu_s(lambda: read(rate)) - decoding
    listen()
    network = timed.model_s - timed.front_s
    rest = _cpu_s(lambda: recogniser.predict(recording, hop=hop)) - decoding - resampling - timed.model_s
    taken = (decoding, resampling, timed.front_s, network, rest)
    channel.send({stage: max(0.0, seconds) for stage, seconds in zip(STAGES, taken, strict=True)})


def _cpu_s(work: Callable[[], object]) -> float:
    """Seconds that all threads of this process computed. The shorter of two: the first one also warms up."""

    def once() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return min(once(), once())


class _Timed:
    """A session that counts the seconds of one core it computes, and those that its front end alone would."""

    def __init__(self, files: Files) -> None:
        from audioinceptionnext.inference.backends import open_session

        self._model, self._front = (
            open_session(Path(file).read_bytes(), file, "onnxruntime", 1) for file in (files.model, files.front_end)
        )
        self.facts = self._model.facts
        self.model_s = self.front_s = 0.0

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        begun = time.process_time()
        self._front.run(["log_mel"], {"waveform": inputs["waveform"]})
        between = time.process_time()
        found = self._model.run(outputs, inputs)
        self.front_s += between - begun
        self.model_s += time.process_time() - between
        return found


def serve_published(channel: Channel, recording: str, network: str, hop: float, threads: int) -> None:
    """Milliseconds an answer: librosa's log-mel of each clip, then the unfolded network in eager PyTorch, float32.

    Only the front end and the network are counted; decoding is not.
    """
    import librosa
    import torch

    from audioinceptionnext.audio import decode

    torch.set_num_threads(threads)
    loaded = torch.load(network, weights_only=False)
    net, front = loaded["net"], loaded["front_end"]
    rate, size = front["sample_rate"], front["clip_samples"]
    sound = decode.read(recording, rate, 0.0, PUBLISHED_S)
    starts = range(0, max(1, len(sound) - size + 1), round(hop * rate))
    window, every = round(front["window_ms"] * rate / 1000), round(front["hop_ms"] * rate / 1000)

    filters = librosa.filters.mel(sr=rate, n_fft=2048, n_mels=front["bands"], htk=True, norm=None)

    def log_mel(clip: np.ndarray) -> np.ndarray:
        spectrum = librosa.stft(
            clip, n_fft=2048, win_length=window, hop_length=every, window="hann", pad_mode="constant"
        )
        return np.log(filters @ np.abs(spectrum) + 1e-6).T[: front["clip_frames"]]

    front_s = network_s = 0.0
    heard = 0
    with torch.inference_mode():
        net(torch.zeros(PUBLISHED_BATCH, 1, front["clip_frames"], front["bands"]))  # warm
        log_mel(np.resize(sound, size))
        for first in range(0, len(starts), PUBLISHED_BATCH):
            clips = [np.resize(sound[start : start + size], size) for start in starts[first : first + PUBLISHED_BATCH]]
            begun = time.perf_counter()
            batch = np.stack([log_mel(clip) for clip in clips])[:, None]
            between = time.perf_counter()
            net(torch.from_numpy(batch.astype(np.float32)))
            front_s, network_s = front_s + between - begun, network_s + time.perf_counter() - between
            heard += len(clips)
    per_answer = {"front end": 1000 * front_s / heard, "network": 1000 * network_s / heard}
    channel.send({"heard_s": len(sound) / rate, "answers_timed": heard, "ms_per_answer": per_answer})


def text(found: dict[str, Any]) -> str:
    """For people: a few lines in Markdown."""
    low, high = found["spread"]
    lines = [
        f"{found['file']}, {found['seconds']:.0f} s of sound, an answer every {1000 * found['hop']:.0f} ms: "
        f"{found['wall_s']:.2f} s ({low:.2f} to {high:.2f}, {found['runs']} runs), "
        f"{found['realtime_factor']:.0f} times real time, most memory {found['peak_rss_mb']:.0f} MB; "
        f"the model is loaded in {found['ready_s']:.2f} s.",
        "",
        "| stage | seconds of one core | share |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {stage} | {found['cpu_s'][stage]:.2f} | {found['share'][stage]:.0f} % |" for stage in STAGES]
    published = found["published"]
    if "skipped" in published:
        return "\n".join([*lines, "", f"The published way was skipped: {published['skipped']}"])
    each = published["ms_per_answer"]
    lines += [
        "",
        f"The published way, each answer from a clip of its own (librosa, then the unfolded network in PyTorch, "
        f"{PUBLISHED_BATCH} clips at a time): {each['front end']:.1f} + {each['network']:.1f} ms an answer over "
        f"{published['heard_s']:.0f} s, that is {published['wall_s']:.0f} s for as many answers: "
        f"{published['ratio']:.0f} times as long.",
    ]
    return "\n".join(lines)
