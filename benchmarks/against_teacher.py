"""How often a model reports sounds that its teacher denies: false alarms per hour, by group of labels.

    python tools/wrap_teachers.py TEACHERS wrapped
    python benchmarks/against_teacher.py --model everyday --teacher wrapped/mn04_as.onnx speech/ music/ household/

Every recording in the folders gets a timeline as with ``ainext predict``. A teacher answers windows of 4.8 s, one every
2.4 s. A segment is confirmed if the teacher gives its label a probability of at least 0.25 in a window that overlaps
it, a false alarm if the teacher gives it less than 0.05 in all of them, and otherwise open: the teacher itself is
unsure.

The groups are the seven at the top of AudioSet's ontology. Short recordings are taken one by one, so what lies across
two of them does not count. The first three rows are recordings that are made: 10 minutes each of silence and noise.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from false_alarms import live_segments
from scipy.special import expit

from audioinceptionnext.audio import decode
from audioinceptionnext.data.flac import flac
from audioinceptionnext.models.load import load
from audioinceptionnext.training.onnx_teacher import OnnxTeacher

WINDOW, HOP = 4.8, 2.4  # seconds
CONFIRMED, DENIED = 0.25, 0.05
GROUPS = (
    "Human sounds",
    "Animal",
    "Music",
    "Natural sounds",
    "Sounds of things",
    "Source-ambiguous sounds",
    "Channel, environment and background",
)
SOUNDS = {".aiff", ".flac", ".mp3", ".ogg", ".opus", ".wav"}
RATE = 32_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of recordings, each a row")
    parser.add_argument("--model", default="everyday", help="test this model: a name or an ONNX file")
    parser.add_argument("--teacher", required=True, help="an ONNX file with logits, as docs/onnx.md describes it")
    parser.add_argument("--most", type=int, default=400, help="recordings of a folder, evenly spread")
    parser.add_argument("--live", action="store_true", help="take each recording as a live stream of its own")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    teacher, model = OnnxTeacher(args.teacher), load(args.model)
    place = {label: i for i, label in enumerate(teacher.labels)}
    group_of: dict[str, str] = {}
    for group in GROUPS:
        for label in model.labels:
            if label in model.groups.get(group, ()):
                group_of.setdefault(label, group)

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        for kind, path in quiet(made):
            rows[kind] = score([path], model, teacher, place, group_of, args.live)
        for folder in args.folders:
            paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS)
            paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(args.most, len(paths))).astype(int)]
            rows[str(folder)] = score(paths, model, teacher, place, group_of, args.live)
    for kind, row in rows.items():
        hours, every = row["hours"], max(row["segments"], 1)
        print(
            f"\n{kind}: {hours:.2f} h, {row['segments'] / hours:.0f} segments per hour; of these "
            f"{row['confirmed'] / every:.1%} confirmed, {row['denied'] / every:.1%} denied"
        )
        for group in GROUPS:
            alarms = row["by_group"].get(group, 0)
            print(f"    {group}: {alarms / hours:.2f} false alarms per hour")
        print("    most:", ", ".join(f"{label} {count}" for label, count in row["by_label"][:8]))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def quiet(folder: Path) -> Iterator[tuple[str, Path]]:
    """Ten minutes each of silence, of noise that is hardly audible, and of noise at -60 to -10 dBFS."""
    rng, n = np.random.default_rng(0), 10 * RATE
    for kind in ("silence", "quiet noise", "noise"):
        parts = []
        for i in range(60):
            spectrum = np.fft.rfft(rng.normal(size=n)) / np.arange(1, n // 2 + 2) ** (0, 0.5, 1)[i % 3]
            noise = np.fft.irfft(spectrum, n)
            level = {"silence": -np.inf, "quiet noise": rng.uniform(-100, -70), "noise": rng.uniform(-60, -10)}[kind]
            parts.append(noise / noise.std() * 10 ** (level / 20))
        path = folder / f"{kind}.flac"
        path.write_bytes(flac(np.clip(np.concatenate(parts), -1, 1).astype(np.float32), RATE))
        yield kind, path


def score(
    paths: list[Path], model: Any, teacher: OnnxTeacher, place: dict[str, int], group_of: dict[str, str], live: bool
) -> Any:
    """Hours, segments, confirmed and denied ones, and the latter by group and by label."""
    counts: Counter[str] = Counter()
    by_group: Counter[str] = Counter()
    by_label: Counter[str] = Counter()
    seconds = 0.0
    for path in paths:
        segments = live_segments(model, decode.read(path, model.sample_rate)) if live else model.predict(path).segments
        waveform = decode.read(path, teacher.sample_rate)
        seconds += len(waveform) / teacher.sample_rate
        if not segments:
            continue
        size, hop = round(WINDOW * teacher.sample_rate), round(HOP * teacher.sample_rate)
        starts = np.arange(0, max(len(waveform) - size, 0) + hop, hop)
        padded = np.pad(waveform, (0, max(0, starts[-1] + size - len(waveform))))
        said = np.concatenate([expit(teacher(padded[None, s : s + size]).logits) for s in starts])
        for segment in segments:
            near = (starts < segment.end * teacher.sample_rate) & (starts + size > segment.start * teacher.sample_rate)
            most = said[near, place[segment.label]].max() if near.any() else 0.0
            counts["segments"] += 1
            counts["confirmed"] += int(most >= CONFIRMED)
            if most < DENIED:
                counts["denied"] += 1
                by_group[group_of.get(segment.label, GROUPS[-1])] += 1
                by_label[segment.label] += 1
    return {
        "hours": seconds / 3600,
        **{k: counts[k] for k in ("segments", "confirmed", "denied")},
        "by_group": dict(by_group),
        "by_label": by_label.most_common(),
    }


if __name__ == "__main__":
    main()
