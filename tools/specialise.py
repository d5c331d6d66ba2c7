"""Teach the linear layer of a distilled student the classes of a data set: how `kitchen20` and `esc10` are made.

    python tools/specialise.py --run run --data kitchen20 --root Kitchen20 --answers answers \\
        --names audioset_labels.csv --out folds                        # a model for each fold, and all figures
    python tools/specialise.py … --all --out whole                     # of all clips: what ships
    python tools/specialise.py … --teachers FOLDER --clip-seconds 4.8 --others 0.25     # `esc10`

The rest of the network stays as it is. Its linear layer is logistic regression (`training.linear_start.solve`) on the
means and deviations of the last block and of ``--statistics`` over each whole clip, of the training clips as they were
recorded, and on as many sounds of no class (``--others``), of which every class is as probable: mixtures of the
distillation in which the teacher recognises speech, music, animals or vehicles, silence, and noise.

With ``--teachers``, half of each target is what ridge classifiers on the features of both teachers and of the student
say of the clip. They are fitted without its source, so they are as unsure as they are of new sounds.

The figures are those of `ainext cross-validate`.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import distil_on_gpu as shared
import numpy as np
import torch
from distil_on_cpu import BANDS, HOP, STUDENT_RATE, WINDOW, Teachers, log_mel
from general_model import quiet_log_mels
from torch import Tensor, nn

from audioinceptionnext.audio import decode
from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.folding import fold as folded
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.training.cross_validation import CrossValidation, score_fold
from audioinceptionnext.training.fine_tuning import targets_of_clips
from audioinceptionnext.training.linear_start import fold_numbers, solve
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import MODEL

SECONDS = 5
OTHERS = ("Speech", "Music", "Animal", "Vehicle")  # sounds of no class
SURE = 0.4  # a logit of the teacher


def with_statistics(
    weights: dict[str, Tensor], classes: int, statistics: Sequence[int], clip_seconds: float
) -> Network:
    """The student's network with these statistics. Its linear layer is new."""
    widths = shared.widths_of(weights["classifier.weight"].shape[1])
    frames = round(clip_seconds * STUDENT_RATE / HOP)
    net = create_model(
        "base", classes, widths=widths, bands=BANDS, clip_frames=frames, dropout=0.0, statistics=tuple(statistics)
    )
    own = net.state_dict()
    net.load_state_dict({**own, **{k: v for k, v in weights.items() if not k.startswith("classifier.")}})
    return net.eval()


@torch.no_grad()
def features(net: Network, log_mels: Tensor) -> Tensor:
    """What the linear layer gets of log-mels (clips, frames, bands) as wholes: (clips, channels)."""
    body = folded(copy.deepcopy(net))
    body.classifier = nn.Identity()  # type: ignore[assignment]
    return torch.cat([body(part[:, None].float()) for part in log_mels.split(40)])


def whole_clips(dataset: Dataset, rate: int) -> list[np.ndarray]:
    """Waveforms of 5 s; shorter clips are repeated."""
    return [np.resize(decode.read(clip.path, rate), SECONDS * rate) for clip in dataset.clips]


def other_sounds(answers: Path, names: list[str], count: int) -> Tensor:
    """Log-mels of sounds of no class: (count, frames, bands). Half of them are silence and noise."""
    rng, found = np.random.default_rng(0), [torch.from_numpy(quiet_log_mels())[: count // 2]]
    files = sorted(answers.glob("*.npz"))
    place = [names.index(name) for name in OTHERS]
    while sum(map(len, found)) < count:
        stored = np.load(files[rng.integers(len(files))])
        if stored["log_mel"].shape[1] == found[0].shape[1]:
            sure = stored["logits"][:, place].max(1) > SURE
            found.append(torch.from_numpy(stored["log_mel"][sure][:12]).float())
    return torch.cat(found)[:count]


class Ridge:
    """Ridge regression on one-hot labels, from standardised features."""

    def __init__(self, x: np.ndarray, targets: np.ndarray, penalty: float) -> None:
        self.mean, self.std, self.offset = x.mean(0), x.std(0) + 1e-3, targets.mean(0)
        x = (x - self.mean) / self.std
        gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
        self.weight = np.linalg.solve(gram, x.T @ (targets - self.offset) / len(x))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.std @ self.weight + self.offset


def said_by_teachers(kinds: list[tuple[float, np.ndarray]], targets: Tensor, part: np.ndarray) -> Tensor:
    """(clips, classes) probabilities of each clip, by classifiers that were fitted without its part.

    ``kinds`` are weights of what is said, and the features (clips, channels) of which it is said.
    """
    wanted = targets.numpy()
    said = np.zeros(wanted.shape)
    for weight, x in kinds:
        for number in np.unique(part):
            out = part == number
            said[out] += weight * Ridge(x[~out], wanted[~out], 0.3)(x[out])
    scores, labels = torch.from_numpy(said), targets.argmax(1)
    scale = min((3, 5, 8, 12, 16), key=lambda k: float(nn.functional.cross_entropy(k * scores, labels)))
    return (scale * scores).softmax(1).float()


@torch.no_grad()
def teachers_features(folder: Path, sounds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Those of mn04 and of aiSFX for waveforms at `shared.RATE`: both (clips, channels)."""
    teachers, general, effects = Teachers(folder), [], []
    for at in range(0, len(sounds), 32):
        waveforms = torch.from_numpy(np.stack(sounds[at : at + 32]))
        _, pooled, hidden = teachers.general_answers(waveforms)
        general.append(np.hstack([pooled.reshape(len(pooled), -1), hidden]).astype(np.float64))
        effects.append(teachers._effects(waveforms).double().numpy())
    return np.concatenate(general), np.concatenate(effects)


class Specialists:
    def __init__(self, args: argparse.Namespace) -> None:
        dataset = load_dataset(args.data, args.root)
        self.args, self.dataset = args, dataset.leak_free() if args.leak_free else dataset
        saved = torch.load(args.run / "averaged.pt", map_location="cpu", weights_only=True)
        self.net = with_statistics(saved["net"], len(dataset.labels), args.statistics, args.clip_seconds)
        log_mels = [log_mel(torch.from_numpy(x)[None]) for x in whole_clips(self.dataset, STUDENT_RATE)]
        self.x = features(self.net, torch.cat(log_mels))
        _, names = shared.audioset_labels(args.names)
        self.others = features(self.net, other_sounds(args.answers, names, round(args.others * len(self.x))))
        self.targets = targets_of_clips(self.dataset.clips, len(dataset.labels))
        self.taught = teachers_features(args.teachers, whole_clips(self.dataset, shared.RATE)) if args.teachers else ()

    def save(self, inside: np.ndarray, out: Path) -> None:
        """Fit the linear layer to these clips, and save the model."""
        clips = [self.dataset.clips[i] for i in inside]
        truth = self.targets[inside]
        wanted = truth
        if self.taught:
            general, effects = (x[inside] for x in self.taught)
            kinds = [(1.0, general), (0.5, effects), (1.0, self.x[inside].double().numpy())]
            wanted = (truth + said_by_teachers(kinds, truth, fold_numbers(clips))) / 2
        even = torch.full((len(self.others), truth.shape[1]), 1 / truth.shape[1])
        x = torch.cat([self.x[inside], self.others])
        parts = np.concatenate([fold_numbers(clips), np.arange(len(even)) % 5])
        layer = solve(x, torch.arange(len(x)), torch.cat([truth, even]), parts, torch.cat([wanted, even]))
        with torch.no_grad():
            self.net.classifier.weight.copy_(layer.weight)
            self.net.classifier.bias.copy_(layer.bias)
        out.mkdir(parents=True, exist_ok=True)
        stored = StoredModel(
            self.net,
            self.dataset.labels,
            STUDENT_RATE,
            1000 * WINDOW / STUDENT_RATE,
            1000 * HOP / STUDENT_RATE,
            "dense",
            {"data": self.dataset.name},
            self.args.clip_seconds,
            remove_dc=True,
            n_fft=WINDOW,
        )
        save_model(stored, out / MODEL)


class Scored(CrossValidation):
    """The figures of networks that are there."""

    def run_fold(self, fold: int, training: list[Clip] | None = None) -> tuple[ClipPredictions, dict[str, Any]]:
        return score_fold(self.dataset, self.dataset.select(str(fold))[0], self.out / f"fold-{fold}", minutes=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of `distil_on_cpu.py learn`")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True, help="mixtures of `distil_on_cpu.py answers`")
    parser.add_argument("--names", type=Path, required=True, help="a table: index, identifier, name")
    parser.add_argument("--teachers", type=Path, help="a half of the targets is what they say")
    parser.add_argument("--others", type=float, default=1.0, help="sounds of no class, in times of the clips")
    parser.add_argument("--statistics", type=int, nargs="*", default=[6, 10], help="numbers of blocks")
    parser.add_argument("--clip-seconds", type=float, default=2.4)
    parser.add_argument("--all", action="store_true", help="fit to the clips of all folds")
    parser.add_argument("--leak-free", action="store_true", help="folds that keep sources whole")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    specialists = Specialists(args)
    dataset = specialists.dataset
    folds = np.array([clip.fold for clip in dataset.clips])
    if args.all:
        return specialists.save(np.arange(len(folds)), args.out)
    for number in dataset.folds:
        specialists.save(np.flatnonzero(folds != number), args.out / f"fold-{number}")
    figures = Scored(dataset, args.out, Recipe(), initial_weights="everyday").run().figures
    print(json.dumps({key: figures[key] for key in ("top1", "intervals", "temperature")}))
    print(json.dumps({"unseen sources": figures.get("unseen_sources", {}).get("top1")}))


if __name__ == "__main__":
    main()
