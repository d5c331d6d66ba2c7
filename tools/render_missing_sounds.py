"""Render sounds that a teacher takes for what a corpus of recordings lacks: more to distil from, without a download.

    python tools/render_missing_sounds.py --teacher mn04_as.onnx --coverage coverage.csv --out rendered --seconds 1800
    python tools/render_missing_sounds.py ... --labels "Vacuum cleaner;Blender"   # these alone
    ainext train --recipe distil --data folder --root recordings ...              # if rendered is one of its folders

``coverage.csv`` has the columns ``label`` and ``at_least_0.2``: the number of recordings for which the teacher gives
the label a probability of at least 0.2. Labels with fewer than ``--goal`` recordings, with those rendered, are wanted.
Each clip of 4 seconds comes from one of the families in `sound_families.py`. Their parameters are drawn at random, and
those which came closest to a wanted label are altered a little and tried again. The teacher alone is the judge: a clip
is kept where it gives a wanted label at least 0.2, for its answer is all that a student learns.

``--out`` is a folder of FLAC files, in a folder for each label; the name of a clip ends with the probability. A later
run adds to it, and begins from the best lists of parameters, which ``best.json`` in it remembers.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sound_families import FAMILIES, LIKELY, RATE, SIMPLE, Genes, render

from audioinceptionnext.data.flac import flac
from audioinceptionnext.training.onnx_teacher import OnnxTeacher, resampled

ACCEPTED = 0.2  # a probability
BATCH = 8
MOST_OF_A_LINE = 12  # clips of a label that descend from the same random list


class Search:
    def __init__(self, teacher: OnnxTeacher, wanted: dict[int, int], seed: int) -> None:
        """``wanted``: for the number of a label, the clips that are asked for."""
        self.teacher, self.wanted, self.rng = teacher, wanted, np.random.default_rng(seed)
        self.best: dict[int, list[tuple[float, int, int, list[float]]]] = {label: [] for label in wanted}
        self.lines: dict[tuple[int, int], int] = {}
        self.kept: list[tuple[int, float, np.ndarray]] = []  # label, probability and clip
        self.tried = 0

    def _said(self, clips: list[np.ndarray]) -> np.ndarray:
        """The probability of each label for each clip: (clips, labels)."""
        logits = self.teacher(resampled(np.stack(clips), RATE, self.teacher.sample_rate)).logits
        return expit(logits) if self.teacher.multi_label else softmax(logits, 1)

    def family(self) -> int:
        """One that is likely for a label which is still wanted."""
        open_ = [label for label, left in self.wanted.items() if left > 0]
        name = self.teacher.labels[int(self.rng.choice(open_))] if open_ else ""
        likely = [SIMPLE.index(family) for family, names in LIKELY.items() if name in names.split(";")]
        return likely[0] if likely and self.rng.random() < 0.7 else int(self.rng.integers(len(FAMILIES)))

    def parent(self) -> tuple[int, int, list[float]] | None:
        """Something that came close to a label which is still wanted; None: begin anew."""
        open_ = [label for label, left in self.wanted.items() if left > 0 and self.best[label]]
        if not open_ or self.rng.random() < 0.3:
            return None
        near = np.array([min(self.best[label][0][0], ACCEPTED) for label in open_])
        label = open_[self.rng.choice(len(open_), p=(near + 0.01) / (near + 0.01).sum())]
        _, family, line, values = self.best[label][min(int(self.rng.exponential(2)), len(self.best[label]) - 1)]
        return family, line, values

    def step(self) -> None:
        drawn, clips = [], []
        for _ in range(BATCH):
            parent = self.parent()
            self.tried += 1
            family = parent[0] if parent else self.family()
            g = Genes(self.rng, Genes(self.rng, list(parent[2])).altered(self.rng) if parent else None)
            clips.append(render(family, g, self.rng))
            drawn.append((family, parent[1] if parent else self.tried, g.values[: g.at]))
        for clip, said, (family, line, values) in zip(clips, self._said(clips), drawn, strict=True):
            if not clip.any():
                continue
            for label, best in self.best.items():
                if len(best) < 6 or said[label] > best[-1][0]:
                    # One list of a line for each label, so that the best are not all the same sound.
                    others = [b for b in best if b[2] != line or b[0] > said[label]]
                    if not any(b[2] == line for b in others):
                        others.append((float(said[label]), family, line, values))
                    self.best[label] = sorted(others, key=lambda b: -b[0])[:6]
            fits = [
                label
                for label, left in self.wanted.items()
                if left > 0 and said[label] >= ACCEPTED and self.lines.get((label, line), 0) < MOST_OF_A_LINE
            ]
            if fits:
                for label in fits:
                    self.wanted[label] -= 1
                    self.lines[label, line] = self.lines.get((label, line), 0) + 1
                rarest = max(fits, key=lambda label: self.wanted[label])
                self.kept.append((rarest, float(said[rarest]), clip))

    def named(self) -> dict[str, list[tuple[float, int, int, list[float]]]]:
        """The best lists by the names of their labels."""
        return {self.teacher.labels[label]: best for label, best in self.best.items()}


def folder_of(out: Path, label: str) -> Path:
    return out / "".join(c if c.isalnum() else "-" for c in label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="an ONNX file with logits, as docs/onnx.md describes it")
    parser.add_argument("--coverage", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder, which is made or added to")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--goal", type=int, default=30, help="clips of a label, with those of the corpus (default: 30)")
    parser.add_argument("--labels", default="", help="the only labels that are wanted, separated by semicolons")
    parser.add_argument("--ignore", default="", help="labels that are not wanted, separated by semicolons")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    teacher = OnnxTeacher(args.teacher)
    ignored = {name.strip() for name in args.ignore.split(";")}
    only = {name.strip() for name in args.labels.split(";") if name.strip()} or set(teacher.labels)
    if unknown := only - set(teacher.labels):
        raise SystemExit(f"the teacher has no label {sorted(unknown)[0]}")
    with args.coverage.open(newline="") as file:
        there = {row["label"]: int(row["at_least_0.2"]) for row in csv.DictReader(file)}
    lacking = [
        args.goal - there.get(label, 0) - len(list(folder_of(args.out, label).glob("*.flac")))
        for label in teacher.labels
    ]
    wanted = {i: lacking[i] for i, label in enumerate(teacher.labels) if lacking[i] > 0 and label in only - ignored}
    search, began, said, kept = Search(teacher, wanted, args.seed), time.time(), 0.0, 0
    args.out.mkdir(parents=True, exist_ok=True)
    number = max((int(path.stem.split("-")[0]) for path in args.out.glob("*/*.flac")), default=-1)
    memory = args.out / "best.json"
    before = json.loads(memory.read_text()) if memory.exists() else {}
    for label in search.best:  # a line of an earlier run has a number below 0
        best = before.get(teacher.labels[label], [])
        search.best[label] = [(chance, family, -abs(line), values) for chance, family, line, values in best]
    while time.time() - began < args.seconds and any(left > 0 for left in wanted.values()):
        search.step()
        for label, chance, clip in search.kept:
            folder, number = folder_of(args.out, teacher.labels[label]), number + 1
            folder.mkdir(exist_ok=True)
            (folder / f"{number:05d}-{chance:.2f}.flac").write_bytes(flac(clip, RATE))
        kept += len(search.kept)
        search.kept.clear()
        if time.time() - said > 60:
            said = time.time()
            memory.write_text(json.dumps(before | search.named()))
            print(f"{said - began:.0f} s: {search.tried} tried, {kept} kept", flush=True)
    memory.write_text(json.dumps(before | search.named()))


if __name__ == "__main__":
    main()
