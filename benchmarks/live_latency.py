"""Measures how long after the onset of a sound `ainext listen` names it, in scenes whose times are known.

    python benchmarks/live_latency.py --model kitchen20-5.onnx --root Kitchen20 --fold 5

Scenes of a minute are composed from clips of one fold, as in `timeline_scores`, and played in real time. Each process
``ainext listen - --json`` gets raw samples through a pipe in blocks of 0.1 s, when their last sample would have been
recorded. The latency of an event is the time from its onset to the moment at which a line was read that names it: one
with its label, whose segment starts at most a second from the onset, or within the event. A line of a start is early
unless that of the same segment's end came with it. CPU time is that of the processes while the sound plays. The same
call composes the same scenes, but latency depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from timeline_scores import SCENES

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.models.load import load
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer
from audioinceptionnext.results.types import Segment

BLOCK_S = 0.1
NEAR_S = 1.0  # of an onset
TOGETHER_S = 0.05  # lines of one moment


@dataclass
class Pipe:
    """What one process is played, and what it printed: each line with the second of the sound at which it was read."""

    waveform: np.ndarray
    events: list[Segment]
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def play(self, command: Sequence[str], rate: int, warm_up: float) -> None:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin and process.stdout
        time.sleep(warm_up)  # until the model is loaded
        used, began = cpu_seconds(process.pid), time.monotonic()

        def read() -> None:
            assert process.stdout
            for line in process.stdout:
                self.lines.append((time.monotonic() - began, json.loads(line)))

        reader = threading.Thread(target=read)
        reader.start()
        samples, size = (np.clip(self.waveform, -1, 1) * 32767).astype("<i2"), round(BLOCK_S * rate)
        for end in range(size, len(samples) + 1, size):
            time.sleep(max(0.0, began + end / rate - time.monotonic()))
            process.stdin.write(samples[end - size : end].tobytes())
            process.stdin.flush()
        self.cpu_seconds = cpu_seconds(process.pid) - used
        process.stdin.close()
        reader.join()
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="use this model: a name or an ONNX file")
    parser.add_argument("--root", type=Path, required=True, help="set the folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="compose scenes of clips of this fold")
    parser.add_argument("--events", type=int, default=200, help="play at least this many events")
    parser.add_argument("--pipes", type=int, default=4, help="play to this many processes at a time")
    parser.add_argument("--listen", default="", metavar="OPTIONS", help="pass these on, as in --listen=--no-early")
    parser.add_argument("--warm-up", type=float, default=10, help="give the processes so many seconds to start")
    parser.add_argument("--seed", type=int, default=0, help="set the seed of all randomness")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rate = load(options.model).sample_rate
    pipes = compose(options.root, options.fold, options.events, options.pipes, rate, options.seed)
    own = ["--model", options.model, "--sample-rate", str(rate), "--threads", "1", *options.listen.split()]
    command = [sys.executable, "-m", "audioinceptionnext", "listen", "-", "--json", *own]
    threads = [threading.Thread(target=pipe.play, args=(command, rate, options.warm_up)) for pipe in pipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = {"model": options.model, "fold": options.fold, "listen": options.listen, "pipes": len(pipes)}
    report |= figures(pipes, rate)
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def compose(root: Path, fold: int, count: int, pipes: int, rate: int, seed: int) -> list[Pipe]:
    """Scenes with at least ``count`` events, one after the other in each pipe."""
    dataset = load_dataset("kitchen20", root)
    clips = unseen_sources(*dataset.select(str(fold)))
    composer = Composer(Waveforms(clips, Reader(rate)), SceneSettings.from_dict(SCENES), seed)
    made = [Pipe(np.zeros(0, np.float32), []) for _ in range(pipes)]
    number = total = 0
    while total < count or number % pipes:
        pipe, scene = made[number % pipes], composer(number)
        before = len(pipe.waveform) / rate
        pipe.events += [
            Segment(before + start, before + end, dataset.labels[int(label)], 1.0)
            for start, end, label in scene.segments.tolist()
        ]
        pipe.waveform = np.concatenate([pipe.waveform, scene.waveform])
        number, total = number + 1, total + len(scene.segments)
    return made


def cpu_seconds(pid: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def named(pipe: Pipe) -> Iterator[tuple[float, str] | None]:
    """For each event its latency and the kind of line that named it, or None. A segment names one event."""
    ended = {line["id"]: read for read, line in pipe.lines if line["event"] == "end"}
    found: dict[int, tuple[float, str]] = {}
    used: set[tuple[str, int]] = set()
    for read, line in pipe.lines:
        if line["event"] == "withdraw" or (line["event"], line["id"]) in used:
            continue
        near = [
            (abs(event.start - line["start"]), number)
            for number, event in enumerate(pipe.events)
            if number not in found
            and event.label == line["label"]
            and event.start - NEAR_S <= line["start"] <= max(event.start + NEAR_S, event.end)
        ]
        if near:
            number = min(near)[1]
            late = line["event"] == "end" or ended.get(line["id"], read + 1) < read + TOGETHER_S
            found[number] = read - pipe.events[number].start, "end" if late else "start"
            used |= {(kind, line["id"]) for kind in ("start", "end")}
    return (found.get(number) for number in range(len(pipe.events)))


def figures(pipes: Sequence[Pipe], rate: int) -> dict[str, Any]:
    results = [one for pipe in pipes for one in named(pipe)]
    latencies = {kind: [one[0] for one in results if one and kind in ("any", one[1])] for kind in ("any", "start")}
    lines = [line["event"] for pipe in pipes for _, line in pipe.lines]
    hours = sum(len(pipe.waveform) for pipe in pipes) / rate / 3600
    shares = {
        "early": sum(one is not None and one[1] == "start" for one in results),
        "only_by_the_end": sum(one is not None and one[1] == "end" for one in results),
        "missed": sum(one is None for one in results),
    }
    return {
        "minutes": round(60 * hours, 1),
        "events": len(results),
        "percent": {name: round(100 * count / len(results), 1) for name, count in shares.items()},
        "latency_median": quantile(latencies["any"], 0.5),
        "latency_95": quantile(latencies["any"], 0.95),
        "early_latency_median": quantile(latencies["start"], 0.5),
        "early_latency_95": quantile(latencies["start"], 0.95),
        "starts": lines.count("start"),
        "withdrawn": lines.count("withdraw"),
        "withdrawn_per_hour": round(lines.count("withdraw") / hours, 1),
        "cpu_seconds_per_hour": round(sum(pipe.cpu_seconds for pipe in pipes) / hours, 1),
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 2) if values else None


def as_text(report: dict[str, Any]) -> str:
    flat = {name: value for name, value in report.items() if name != "percent"}
    flat |= {f"{name}, %": value for name, value in report["percent"].items()}
    return "\n".join(f"{name.replace('_', ' '):24}{'-' if value is None else value}" for name, value in flat.items())


if __name__ == "__main__":
    main()
