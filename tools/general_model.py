"""Make a model file of a distilled student: the labels that it learnt, calibrated, each with a threshold.

    python tools/general_model.py RUN/averaged.pt --choose FOLDER --report FOLDER --names audioset_labels.csv \\
        --out everyday.safetensors --table labels.csv

``--choose`` and ``--report`` hold what `distil_on_cpu.py answers --part choose` and ``--part report`` wrote: stretches
of 2.4 and 4.8 s of recordings that the student never met, and what the teacher says of them. A label is true for a
stretch if the teacher gives it a probability of at least 0.2: a calibrated classifier decides best from half of its
best F1 on (Lipton, Elkan and Narayanaswamy, 2014), and the teacher's is below 0.5 on AudioSet.

- A label is offered if it is true for enough stretches of the first folder, and if the student's average precision on
  them reaches ``--bar``.
- Its logit is scaled and moved so that its probability is closest to the teacher's on the first folder.
- Its threshold has the best F1 there, and is where at least so many decisions are right as ``--precision`` says, and
  where at most ``--denied`` stretches are reported of which the teacher is sure that they lack the label. It is above
  what the student says of silence and of noise, unless noise is what the label is about, and at least 0.25.
- A label fails if it is true for enough stretches of the second folder, of whose recordings nothing was known when all
  this was chosen, and if its average precision on them is below half of the bar. It is not offered either.
- The table has, for each label, precision, recall and average precision on the second folder. The figures that are
  printed are given with and without the labels that failed.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import numpy as np
import torch
from distil_on_cpu import BANDS, HOP, STUDENT_RATE, WINDOW, log_mel
from distil_on_gpu import Student, audioset_labels, widths_of
from scipy.special import expit

from audioinceptionnext.data.audioset import audioset_groups
from audioinceptionnext.evaluation.metrics import ranking
from audioinceptionnext.evaluation.thresholds import MULTI_LABEL_GRID, fit_thresholds
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.network.storage import StoredModel, save_model

CLIP_FRAMES = 192
DECISION = math.log(0.2 / 0.8)  # of the teacher: a logit
DENIED = math.log(0.05 / 0.95)  # below which it is sure of the absence of a label
LEAST = 4  # stretches for which a label is true
LEAST_THRESHOLD = 0.25  # what is less probable is of no use on a timeline
NOISE = ("noise", "Static", "Hum", "Hiss", "Silence", "Sine wave", "Mains", "Cacophony", "Throbbing", "Vibration")
# What AudioSet has for the place or the manner of a recording, which nobody looks for on a timeline.
NOT_SOUNDS = ("Inside,", "Outside,", "Silence", "Sound effect", "Noise", "Environmental noise", "Field recording")


def answers(folder: Path, net: Network) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the student and of the teacher for all stretches: both (stretches, labels)."""
    said, taught = [], []
    for path in sorted(folder.glob("*.npz")):
        stored = np.load(path)
        said.append(logits(net, stored["log_mel"]))
        taught.append(stored["logits"].astype(np.float32))
    return np.concatenate(said), np.concatenate(taught)


@torch.no_grad()
def logits(net: Network, log_mels: np.ndarray) -> np.ndarray:
    """Of log-mels (clips, frames, bands): (clips, labels)."""
    parts = torch.from_numpy(log_mels.astype(np.float32))[:, None].split(48)
    return torch.cat([net(part) for part in parts]).numpy()


def quiet_log_mels() -> np.ndarray:
    """Of silence, and of noise that is white, pink or red, at levels down to 110 dB below full scale."""
    rng, samples, rows = np.random.default_rng(0), 2 * CLIP_FRAMES * HOP, []
    for number in range(400):
        if number % 8 == 0:
            x = np.zeros(samples)
        elif number % 4 == 0:
            x = rng.normal(size=samples) * 10 ** (rng.uniform(-110, -70) / 20)
        else:
            spectrum = np.fft.rfft(rng.normal(size=samples))
            spectrum /= np.arange(1, len(spectrum) + 1) ** (0, 0.5, 1)[number % 4 - 1]
            x = np.fft.irfft(spectrum, samples)
            x *= 10 ** (rng.uniform(-60, -10) / 20) / x.std()
        rows.append(np.clip(x, -1, 1).astype(np.float32))
    return torch.cat([log_mel(part) for part in torch.from_numpy(np.stack(rows)).split(50)]).numpy()


def calibrate(said: np.ndarray, taught: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each label the scale and the bias of its logit with the least cross-entropy to the teacher's probability.

    By Newton's method for all labels at once. A few clips that say that the logit is right as it is are added, in the
    form of a penalty, for labels that are hardly ever true.
    """
    target = expit(taught)
    scale, bias = np.ones(said.shape[1]), np.zeros(said.shape[1])
    for _ in range(12):
        p = expit(scale * said + bias)
        wrong, curve = p - target, p * (1 - p)
        gradient = np.stack([(wrong * said).sum(0) + 40 * (scale - 1), wrong.sum(0) + 0.4 * bias])
        a, b, c = (curve * said**2).sum(0) + 40, (curve * said).sum(0), curve.sum(0) + 0.4
        determinant = a * c - b * b
        scale = np.clip(scale - (c * gradient[0] - b * gradient[1]) / determinant, 0.3, 3)
        bias = np.clip(bias - (a * gradient[1] - b * gradient[0]) / determinant, -5, 5)
    return scale, bias


def report(said: np.ndarray, true: np.ndarray, thresholds: np.ndarray) -> list[dict[str, float]]:
    """For each label: stretches for which it is true, average precision, precision and recall; NaN where unknown."""
    rows = []
    for c, threshold in enumerate(thresholds):
        reported, own = said[:, c] >= threshold, true[:, c]
        right, count, found = (reported & own).sum(), own.sum(), reported.sum()
        rows.append(
            {
                "stretches": int(count),
                "average_precision": average_precision(said[:, c], own),
                "threshold": float(threshold),
                "precision": right / found if found else math.nan,
                "recall": right / count if count else math.nan,
            }
        )
    return rows


def precise(chance: np.ndarray, true: np.ndarray, wanted: float) -> np.ndarray:
    """The lowest threshold of each label from which on its precision is as wanted: (labels,).

    Two decisions with the precision of all labels are added to those of each, so that few can move it only so far.
    """
    found = np.full(true.shape[1], MULTI_LABEL_GRID[-1])
    for threshold in MULTI_LABEL_GRID[::-1]:
        reported = chance >= threshold
        right = (reported & true).sum(0)
        prior = right.sum() / max(reported.sum(), 1)
        enough = (right + 2 * prior) / (reported.sum(0) + 2) >= wanted
        found = np.where(enough & (found <= threshold + 0.011), threshold, found)
    return found


def below_denied(chance: np.ndarray, taught: np.ndarray, count: int) -> np.ndarray:
    """A threshold of each label that at most so many stretches reach which the teacher denies: (labels,)."""
    denied = np.sort(np.where(taught < DENIED, chance, 0), axis=0)
    return np.asarray(np.minimum(denied[-1 - count] + 0.01, MULTI_LABEL_GRID[-1]))


def print_figures(which: str, figures: list[dict[str, float]], chance: np.ndarray, true: np.ndarray) -> None:
    """Of labels (stretches, labels) with these rows of the table."""
    known = [row for row in figures if row["stretches"] >= LEAST]
    means = {
        key: float(np.nanmean([row[key] for row in known])) for key in ("average_precision", "precision", "recall")
    }
    print(f"{len(figures)} labels {which}, {len(known)} true for {LEAST} or more stretches of the second folder")
    print("their means:", ", ".join(f"{key} {value:.1%}" for key, value in means.items()))
    reported = chance >= [row["threshold"] for row in figures]
    right = (reported & true).sum()
    print(f"all decisions: precision {right / reported.sum():.1%}, recall {right / true.sum():.1%}")


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    return float(ranking(scores, true)[0][0]) if true.any() else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="averaged.pt of `distil_on_cpu.py learn`")
    parser.add_argument("--choose", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="a table: index, identifier, name")
    parser.add_argument("--bar", type=float, default=0.3, help="average precision from which a label is offered")
    parser.add_argument(
        "--precision", type=float, default=0.8, help="of the decisions from the threshold of a label on"
    )
    parser.add_argument("--denied", type=int, default=1, help="stretches that a label may be reported for wrongly")
    parser.add_argument(
        "--statistics",
        type=int,
        nargs="*",
        default=[6, 10],
        help="blocks that are among the features, for what is trained on them; the labels do not use them",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(args.run, map_location="cpu", weights_only=True)
    net = fold(Student.of_run(saved).net)
    every_identifier, every_name = audioset_labels(args.names)
    names = np.array(every_name)

    said, taught = answers(args.choose, net)
    scale, bias = calibrate(said, taught)
    chance, true = expit(said * scale + bias), taught > DECISION
    precision = np.array([average_precision(chance[:, c], true[:, c]) for c in range(len(names))])
    offered = (true.sum(0) >= LEAST) & (precision >= args.bar) & [not name.startswith(NOT_SOUNDS) for name in names]
    kept = np.flatnonzero(offered)
    loudest = np.quantile(expit(logits(net, quiet_log_mels()) * scale + bias), 0.999, axis=0)
    about_noise = np.array([any(word in name for word in NOISE) for name in names])
    fitted = np.maximum(fit_thresholds(chance, true, MULTI_LABEL_GRID), precise(chance, true, args.precision))
    fitted = np.maximum(fitted, below_denied(chance, taught, args.denied))
    fitted = np.maximum(fitted, LEAST_THRESHOLD)
    thresholds = np.where(about_noise, fitted, np.clip(loudest + 0.05, fitted, 0.9))[kept].round(2)

    said, taught = answers(args.report, net)
    chance, true = expit(said * scale + bias), taught > DECISION
    figures = report(chance[:, kept], true[:, kept], thresholds)
    print_figures("chosen", figures, chance[:, kept], true[:, kept])
    failed = np.array([row["stretches"] >= LEAST and row["average_precision"] < args.bar / 2 for row in figures])
    print("failed:", ", ".join(names[kept[failed]]))
    kept, thresholds = kept[~failed], thresholds[~failed]
    figures = [row for row, out in zip(figures, failed, strict=True) if not out]
    print_figures("offered", figures, chance[:, kept], true[:, kept])
    with args.table.open("w", newline="") as file:
        table = csv.DictWriter(file, ["label", "chosen_at", *figures[0]], lineterminator="\n")
        table.writeheader()
        for c, row in zip(kept, figures, strict=True):
            values = {key: round(value, 3) for key, value in row.items()}
            table.writerow({"label": names[c], "chosen_at": round(precision[c], 3), **values})
    every = [c for c in range(len(names)) if true[:, c].sum() >= LEAST]
    mean = np.mean([average_precision(chance[:, c], true[:, c]) for c in every])
    print(f"all {len(every)} labels that are true for as many: average precision {mean:.1%}")

    weights: dict[str, torch.Tensor] = saved["net"]
    channels = weights["classifier.weight"].shape[1]
    net = create_model(
        "base",
        len(kept),
        widths=widths_of(channels),
        bands=BANDS,
        clip_frames=CLIP_FRAMES,
        dropout=0.0,
        statistics=tuple(args.statistics),
    )
    factor, moved = (torch.from_numpy(values[kept]).float() for values in (scale, bias))
    layer = torch.zeros_like(net.classifier.weight)
    layer[:, :channels] = weights["classifier.weight"][kept] * factor[:, None]  # the means of the last block come first
    own = {"classifier.weight": layer, "classifier.bias": weights["classifier.bias"][kept] * factor + moved}
    net.load_state_dict({**weights, **own})
    labels, identifiers = tuple(names[kept].tolist()), tuple(every_identifier[c] for c in kept)
    model = StoredModel(
        net,
        labels,
        STUDENT_RATE,
        1000 * WINDOW / STUDENT_RATE,
        1000 * HOP / STUDENT_RATE,
        "dense",
        {"data": "folder", "hours": round(saved["hours"], 1)},
        CLIP_FRAMES * HOP / STUDENT_RATE,
        thresholds=tuple(thresholds.tolist()),
        multi_label=True,
        remove_dc=True,
        n_fft=WINDOW,
        identifiers=identifiers,
        groups=audioset_groups(labels, identifiers),
    )
    save_model(model, args.out, torch.float16)


if __name__ == "__main__":
    main()
