"""Check that `ainext batch` loses and doubles nothing when a worker is killed, and compare its speed with one process.

nice python benchmarks/cluster_check.py [--files 2000] [--seconds 5] [--workers 2] [--ceiling]

Makes its own recordings, one in a hundred of them broken, and recognises them three times: with `ainext predict` in
one process (which uses all cores), with `ainext batch` undisturbed, and with `ainext batch` while one of the workers is
killed (SIGKILL) when half is done. Needs Linux or macOS.

--ceiling uses empty files, so that only Ray, the listing and the writing are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.cluster import read_failed, read_results

RATE = 16_000  # Hz


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each recording")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--task-size", type=int, default=16, help="recordings per task")
    parser.add_argument("--folder", type=Path, help="where the recordings are made and removed again")
    parser.add_argument("--ceiling", action="store_true")
    options = parser.parse_args()
    print(f"{options.files} files, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sys.exit(ceiling(Path(folder), options) if options.ceiling else compare(Path(folder), options))


def compare(folder: Path, options: argparse.Namespace) -> int:
    recordings = folder / "recordings"
    good = make(recordings, options.files, options.seconds)
    print(f"{'':28}  wall, s  start-up, s  files/s after start-up  files/s in all", flush=True)

    start = time.monotonic()
    results = json.loads(ainext("predict", recordings, "--json").communicate()[0])
    print_row("one process, all cores", time.monotonic() - start, None, None, options.files)
    expected = {item["file"]: item for item in results if "error" not in item}

    bad = int(sorted(expected) != sorted(map(str, good)))
    for name, disturbed in (("undisturbed", False), ("one worker killed", True)):
        out = folder / name.replace(" ", "-")
        process = batch(recordings, out, options)
        killed = kill_half_way(process, out, options.files) if disturbed else None
        summary = json.loads(process.communicate()[0])
        times = (summary["wall_seconds"], summary["startup_seconds"], summary["recordings_per_second"])
        print_row(f"{options.workers} workers, {name}", *times, options.files)
        bad += check(out, expected, options.files, killed)
    return min(bad, 1)


def ceiling(folder: Path, options: argparse.Namespace) -> int:
    recordings = folder / "recordings"
    recordings.mkdir()
    for number in range(options.files):
        (recordings / f"{number:06}.wav").touch()
    summary = json.loads(batch(recordings, folder / "out", options).communicate()[0])
    rate = summary["recordings_per_second"]
    print(f"{rate:.0f} empty files per second, {rate / options.task_size:.0f} tasks, by {options.workers} workers")
    return int(summary["failed"] != options.files)


def make(folder: Path, files: int, seconds: float) -> list[Path]:
    """Write different tones in noise, and return those files that are not broken."""
    folder.mkdir()
    random = np.random.default_rng(0)
    times = np.arange(round(seconds * RATE)) / RATE
    noise = random.standard_normal(len(times) + files) * 2000
    for number in range(files):
        path = folder / f"{number:05}.wav"
        if number % 100 == 10:
            path.write_bytes(b"no sound " * 100)
            continue
        samples = 6000 * np.sin(2 * np.pi * random.uniform(100, 6000) * times) + noise[number : number + len(times)]
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    return [folder / f"{number:05}.wav" for number in range(files) if number % 100 != 10]


def ainext(*arguments: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "audioinceptionnext", *map(str, arguments)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def batch(recordings: Path, out: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    cluster = ("--workers", options.workers, "--task-size", options.task_size)
    return ainext("batch", recordings, "--out", out, *cluster, "--json")


def kill_half_way(process: subprocess.Popen[str], out: Path, files: int) -> int:
    """Wait until half is written, kill the first worker, and return the number of rows written until then."""
    while process.poll() is None and written(out) < files / 2:
        time.sleep(0.05)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    return written(out)


def written(out: Path) -> int:
    return sum(part.read_bytes().count(b"\n") for part in (out / "parts").glob("*")) if out.is_dir() else 0


def workers(pid: int) -> list[int]:
    """Process ids of the actors that recognise, among the descendants of a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    ours, before = {pid}, 0
    while before < len(ours):
        before = len(ours)
        ours |= {int(row[0]) for row in rows if int(row[1]) in ours}
    return [int(row[0]) for row in rows if int(row[0]) in ours and "MapWorker" in row[-1]]


def check(out: Path, expected: dict[str, Any], files: int, killed: int | None) -> int:
    """Print what is missing and what is there twice, and return 0 if nothing is."""
    rows = list(read_results(out))
    counts = Counter(row["file"] for row in rows) + Counter(row["file"] for row in read_failed(out))
    twice = [file for file, count in counts.items() if count > 1]
    missing = expected.keys() - {row["file"] for row in rows}
    scores = [abs(row["clip"][0]["score"] - expected[row["file"]]["clip"][0]["score"]) for row in rows]
    when = f", killed after {killed}" if killed is not None else ""
    done = f"  {len(rows)} recognised, {len(counts) - len(rows)} failed{when}"
    print(f"{done}; {len(missing)} missing, {len(twice)} twice", end="")
    print(f"; best scores within {max(scores):.4f} of those of one process")
    return int(bool(missing or twice or len(counts) != files))


def print_row(name: str, wall: float, startup: float | None, rate: float | None, files: int) -> None:
    cells = f"{startup:11.1f}  {rate:22.1f}" if startup is not None and rate is not None else f"{'':11}  {'':22}"
    print(f"{name:28}  {wall:7.1f}  {cells}  {files / wall:14.1f}", flush=True)


if __name__ == "__main__":
    main()
