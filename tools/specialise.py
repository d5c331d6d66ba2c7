"""Teach a distilled student the classes of a data set, with the teachers beside it: how `kitchen20` and `esc10` began.

    python tools/specialise.py versions --data kitchen20 --root Kitchen20 --teachers FOLDER --out clips.npz
    python tools/specialise.py learn --run run --versions clips.npz --answers answers --data kitchen20 \\
        --root Kitchen20 --names audioset_labels.csv --out folds    # a network for each fold, and the figures of all
    python tools/specialise.py learn … --all --out whole            # of all clips: what ships

`versions` writes each clip as it was recorded and altered a little, and what the teachers' features of it are. For each
fold of the data set, `learn` uses the clips of the other folds alone:

1. Classifiers (ridge on one-hot labels) say how probable each class is: on the features of either teacher, and on the
   means and deviations of three layers of the student. Of a clip that is learnt from, the classifiers that were fitted
   without its source are asked, so they are as unsure as they are of new sounds.
2. The student learns the features of the teachers, as before, and the classes: of the clips, half of the target is the
   label and half what the classifiers say; of the mixtures that the student was distilled from (``--answers``), all of
   it is what the classifiers say. The mixtures count most: they are what keeps 640 clips from being learnt by heart.
3. The linear layer is fitted anew, as for `linear_start`, with a tenth of sounds that belong to no class.

The figures are those of `ainext cross-validate`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distil_on_gpu as shared
import numpy as np
import torch
import torch.nn.functional as F
from distil_on_cpu import BANDS, HOP, STUDENT_RATE, TEACHERS, WINDOW, Teachers, altered, log_mel
from general_model import CLIP_FRAMES, quiet_log_mels
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from audioinceptionnext.audio import decode
from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions
from audioinceptionnext.network.folding import fold as folded
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.training.cross_validation import CrossValidation, score_fold
from audioinceptionnext.training.linear_start import fold_numbers, solve
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import MODEL

SECONDS = 5
SAMPLES = SECONDS * shared.RATE
LAYERS = (4, 8)  # blocks whose features the student's own classifiers get, besides those of the last one
WEIGHTS = {"general": 2.0, "hidden": 1.0, "effects": 1.0}  # of the teachers' features in the loss
OTHERS = ("Speech", "Music", "Animal", "Vehicle")  # sounds of no class


# Clips and the teachers' answers ------------------------------------------------------------------------------------


def alter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of a clip at `shared.RATE`: 5 s, faster or slower, with another colour, room, noise and level."""
    points = 2**18
    when = np.arange(SAMPLES) * math.exp(rng.uniform(-0.15, 0.15)) + rng.uniform(0, len(x))
    x = np.interp(when % len(x), np.arange(len(x)), x).astype(np.float32)
    spectrum = np.fft.rfft(x, points)
    hertz = np.linspace(0, shared.RATE / 2, len(spectrum))
    octaves = np.clip(np.log2(np.clip(hertz, 62.5, None) / 62.5) / 8 * 7, 0, 6.999)
    if rng.random() < 0.6:
        spectrum = spectrum * 10 ** (np.interp(octaves, np.arange(8), rng.uniform(-6, 6, 8)) / 20)
    if rng.random() < 0.3:
        tail = rng.standard_normal(shared.RATE // 2)
        tail *= np.exp(-6.9 * np.arange(len(tail)) / shared.RATE / rng.uniform(0.1, 0.6))
        tail /= np.sqrt((tail**2).sum())
        spectrum = spectrum * (1 + 10 ** (rng.uniform(-14, -2) / 20) * np.fft.rfft(tail, points))
    x = np.fft.irfft(spectrum, points)[:SAMPLES]
    if rng.random() < 0.4:
        noise = np.fft.rfft(rng.standard_normal(SAMPLES))
        noise = np.fft.irfft(noise / np.arange(1, len(noise) + 1) ** rng.uniform(0, 1), SAMPLES)
        x = x + noise / noise.std() * x.std() * 10 ** (rng.uniform(-45, -12) / 20)
    return np.clip(x / max(x.std(), 1e-4) * 10 ** (rng.uniform(-40, -16) / 20), -1, 1).astype(np.float32)


@torch.no_grad()
def write_versions(args: argparse.Namespace) -> None:
    """Write log-mels and answers of ``--count`` versions of each clip; aiSFX answers the first ``--effects`` ones."""
    dataset, teachers, rng = load_dataset(args.data, args.root), Teachers(args.teachers), np.random.default_rng(5)
    clips = sorted(range(len(dataset.clips)), key=lambda i: dataset.clips[i].path.name)
    sounds = [decode.read(dataset.clips[i].path, shared.RATE) for i in clips]
    rows: dict[str, list[np.ndarray]] = {}
    for version in range(args.count):
        for at in range(0, len(clips), 32):
            part = [np.resize(x, SAMPLES) if version == 0 else alter(x, rng) for x in sounds[at : at + 32]]
            waveform = torch.from_numpy(np.stack(part))
            found = dict(zip(TEACHERS, teachers.general_answers(waveform), strict=False))
            found["general"] = found["general"].reshape(len(part), -1)
            known = version < args.effects
            found["effects"] = teachers._effects(waveform).numpy() if known else np.full((len(part), 512), np.nan)
            found["log_mel"] = log_mel(shared.resample(waveform, SAMPLES * 3 // 4)).numpy()
            found = {name: values.astype(np.float16) for name, values in found.items()}
            found |= {"clip": np.array(clips[at : at + 32]), "version": np.full(len(part), version)}
            for name, values in found.items():
                rows.setdefault(name, []).append(values)
        print(f"{version + 1} of {args.count} versions", flush=True)
    np.savez(args.out, **{name: np.concatenate(values) for name, values in rows.items()})  # type: ignore[arg-type]


# Classifiers --------------------------------------------------------------------------------------------------------


@dataclass
class Ridge:
    """Ridge regression on one-hot labels, from standardised features."""

    mean: np.ndarray
    std: np.ndarray
    weight: np.ndarray
    offset: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, targets: np.ndarray, penalty: float) -> Ridge:
        mean, std, offset = features.mean(0), features.std(0) + 1e-3, targets.mean(0)
        x = (features - mean) / std
        gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
        return cls(mean, std, np.linalg.solve(gram, x.T @ (targets - offset) / len(x)), offset)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.std @ self.weight + self.offset


@dataclass
class Fitted:
    """A classifier, and what classifiers that were fitted without a clip's source say of it: (clips, classes)."""

    ridge: Ridge
    left_out: np.ndarray


def fit(features: np.ndarray, clip: np.ndarray, labels: np.ndarray, part: np.ndarray, penalty: float) -> Fitted:
    """On features (rows, channels) of these clips; what is said of the rows of a clip is averaged.

    ``labels`` (clips,) are -1 for clips that are not learnt from; ``part`` (clips,) says what is left out together.
    """
    rows = (labels[clip] >= 0) & ~np.isnan(features[:, 0])
    x, own = features[rows].astype(np.float64), clip[rows]
    targets = np.eye(labels.max() + 1)[labels[own]]
    sums = np.zeros((len(labels), targets.shape[1]))
    for number in np.unique(part):
        out = part[own] == number
        np.add.at(sums, own[out], Ridge.fit(x[~out], targets[~out], penalty)(x[out]))
    counts = np.bincount(own, minlength=len(labels))
    return Fitted(Ridge.fit(x, targets, penalty), sums / np.maximum(counts, 1)[:, None])


class OwnFeatures:
    """Means and deviations over time and bands of the last layer and of `LAYERS` of the student as it began."""

    def __init__(self, student: shared.Student) -> None:
        self.net, self.layers = folded(copy.deepcopy(student.net)), {}
        for number in LAYERS:
            self.net.blocks[number].register_forward_hook(self._keep(number))

    def _keep(self, number: int) -> Any:
        return lambda module, inputs, output: self.layers.__setitem__(number, output)

    @torch.no_grad()
    def __call__(self, log_mels: Tensor) -> np.ndarray:
        found = []
        for part in log_mels.split(40):
            maps = [self.net.features(part[:, None].float()), *(self.layers[number] for number in LAYERS)]
            found.append(torch.cat([f(x, (2, 3)) for x in maps for f in (torch.mean, torch.std)], 1))
        return torch.cat(found).double().numpy()


class Classifiers:
    """The three of them, for clips of these labels; -1 for those that are not learnt from."""

    def __init__(
        self, versions: dict[str, np.ndarray], own: np.ndarray, labels: np.ndarray, sources: np.ndarray
    ) -> None:
        names = np.unique(sources[labels >= 0])
        number = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % 5, strict=True))
        part = np.array([number.get(name, 0) for name in sources])
        clip = versions["clip"]
        self.general = fit(np.hstack([versions["general"], versions["hidden"]]), clip, labels, part, 0.3)
        self.effects = fit(versions["effects"], clip, labels, part, 0.3)
        self.own = fit(own, np.arange(len(labels)), labels, part, 0.5)
        said = self.general.left_out + 0.5 * self.effects.left_out + self.own.left_out
        learnt, classes = np.flatnonzero(labels >= 0), torch.from_numpy(labels[labels >= 0])
        scales = [
            (F.cross_entropy(torch.from_numpy(k * said[learnt]), classes), k) for k in (3.0, 5.0, 8.0, 12.0, 16.0)
        ]
        self.scale = min(scales)[1]
        self.left_out = torch.from_numpy(self.scale * said).softmax(1).float()
        self.right = float((said[learnt].argmax(1) == labels[learnt]).mean())

    def __call__(self, answers: dict[str, np.ndarray], own: np.ndarray) -> Tensor:
        """(rows, classes) probabilities of any sounds."""
        said = self.general.ridge(np.hstack([answers["general"], answers["hidden"]]).astype(np.float64))
        said = said + self.own.ridge(own)
        effects = answers["effects"].astype(np.float64)
        known = ~np.isnan(effects[:, :1])
        said = said + np.where(known, 0.5 * self.effects.ridge(effects), 0.25 * said)
        return torch.from_numpy(self.scale * said).softmax(1).float()


# Learning -----------------------------------------------------------------------------------------------------------


class Specialist(nn.Module):
    def __init__(self, student: shared.Student, classes: int) -> None:
        super().__init__()
        self.student = student
        self.layer = nn.Linear(student.net.classifier.in_features, classes)

    def forward(self, x: Tensor, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
        pooled = self.student.features(self.student.net, x[:, None].float(), dtype).float().mean(dim=(2, 3))
        said = {name: head(pooled) for name, head in self.student.heads.items()}
        return {"pooled": pooled, "classes": self.layer(pooled), "logits": self.student.net.classifier(pooled), **said}

    @torch.no_grad()
    def pooled(self, log_mels: Tensor) -> Tensor:
        return torch.cat([self(part, torch.float32)["pooled"] for part in log_mels.split(40)])


class Lessons:
    """Mixtures with answers: a few of a file that is drawn at random."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.files, self.rng = sorted(folder.glob("*.npz")), rng

    def draw(self, count: int) -> dict[str, np.ndarray]:
        while True:
            stored = np.load(self.files[self.rng.integers(len(self.files))])
            if stored["log_mel"].shape[1] > CLIP_FRAMES:
                rows = self.rng.choice(len(stored["log_mel"]), count, replace=False)
                return {name: stored[name][rows] for name in ("log_mel", *TEACHERS)}

    def others(self, names: list[str], count: int) -> Tensor:
        """Log-mels of mixtures in which the teacher recognises `OTHERS`."""
        found: list[Tensor] = []
        while sum(map(len, found)) < count:
            batch = self.draw(48)
            loudest = batch["logits"][:, [names.index(name) for name in OTHERS]].max(1)
            found.append(torch.from_numpy(batch["log_mel"][loudest > 0.4]))
        return torch.cat(found)[:count]


def distance(said: dict[str, Tensor], answers: dict[str, np.ndarray], stats: dict) -> Tensor:
    """The loss of the teachers' features and labels, as in distillation."""
    logits = torch.from_numpy(answers["logits"]).float()
    loss = 0.025 * F.binary_cross_entropy_with_logits(said["logits"], logits.sigmoid(), reduction="none").sum(1).mean()
    for name, weight in WEIGHTS.items():
        mean, std = stats[name]
        target = (torch.from_numpy(answers[name]).float() - mean) / std
        known = ~target[:, 0].isnan()
        if known.any():
            loss = loss + weight * F.smooth_l1_loss(said[name][known], target[known])
    return loss


class Learner:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.dataset = args, load_dataset(args.data, args.root)
        if args.leak_free:
            self.dataset = self.dataset.leak_free()
        whole = load_dataset(args.data, args.root).clips
        place = {clip.path: number for number, clip in enumerate(self.dataset.clips)}
        self.versions = dict(np.load(args.versions))
        self.versions["clip"] = np.array([place[whole[number].path] for number in self.versions["clip"]])
        self.labels = np.array([clip.label for clip in self.dataset.clips])
        self.sources = np.array([clip.group for clip in self.dataset.clips])
        recorded = np.flatnonzero(self.versions["version"] == 0)
        rows = np.empty(len(self.labels), int)
        rows[self.versions["clip"][recorded]] = recorded
        self.recorded = torch.from_numpy(self.versions["log_mel"][rows])
        saved = torch.load(args.run / "run.pt", map_location="cpu", weights_only=True)
        averaged = torch.load(args.run / "averaged.pt", map_location="cpu", weights_only=True)
        self.stats = saved["stats"]
        self.start = shared.Student(averaged["net"]["classifier.weight"].shape[1] / 512, "convolutions")
        self.start.load_state_dict({**saved["ema"], **{f"net.{k}": v for k, v in averaged["net"].items()}})
        self.start.eval()
        self.own_features = OwnFeatures(self.start)
        self.own = self.own_features(self.recorded)
        _, self.names = shared.audioset_labels(args.names)

    def learn(self, test: np.ndarray, out: Path) -> None:
        """Learn from the clips outside ``test``, and save the model."""
        args, began = self.args, time.process_time()
        rng = np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        labels = np.where(test, -1, self.labels)
        classifiers = Classifiers(self.versions, self.own, labels, self.sources)
        wanted = classifiers.left_out.clone()
        inside = np.flatnonzero(~test)
        onehot = F.one_hot(torch.from_numpy(self.labels), len(self.dataset.labels)).float()
        wanted[inside] = args.label_share * onehot[inside] + (1 - args.label_share) * wanted[inside]
        model = Specialist(copy.deepcopy(self.start), len(self.dataset.labels))
        lessons = Lessons(args.answers, rng)
        others = torch.cat([lessons.others(self.names, len(inside) // 13), self._quiet(len(inside) // 40)])
        fit_layer(model.eval(), self.recorded, [self.dataset.clips[i] for i in inside], inside, wanted, onehot, others)
        model.student.features = shared.IMPLEMENTATIONS["matrix-products"]  # type: ignore[assignment]
        model.train()
        groups = [
            {"params": list(model.student.parameters()), "weight_decay": 0.02, "scale": 1.0},
            {"params": list(model.layer.parameters()), "weight_decay": 0.0, "scale": args.layer_rate},
        ]
        optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
        rows = np.flatnonzero(~test[self.versions["clip"]])
        average, order = copy.deepcopy(model), np.zeros(0, int)
        for step in range(args.steps):
            if len(order) < args.clips:
                order = np.concatenate([order, rng.permutation(rows)])
            chosen, order = order[: args.clips], order[args.clips :]
            rate = args.rate * min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / args.steps))
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            optimiser.zero_grad(set_to_none=True)
            answers = {name: self.versions[name][chosen] for name in ("log_mel", *TEACHERS)}
            self._backward(model, answers, wanted[self.versions["clip"][chosen]], rng)
            answers = lessons.draw(args.mixtures)
            own = self.own_features(torch.from_numpy(answers["log_mel"]))
            self._backward(model, answers, classifiers(answers, own), rng)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            with torch.no_grad():
                share = 1 - min(0.98, (step + 1) / (step + 10))
                for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    if kept.is_floating_point():
                        kept.lerp_(new, share)
        # The normalisations' statistics anew, for the averaged weights.
        batches = (torch.from_numpy(self.versions["log_mel"][rng.choice(rows, 48)]) for _ in range(12))
        update_bn(batches, average)
        average.student.features = shared.IMPLEMENTATIONS["convolutions"]  # type: ignore[assignment]
        average.eval()
        fit_layer(average, self.recorded, [self.dataset.clips[i] for i in inside], inside, wanted, onehot, others)
        self._save(average, out)
        minutes = (time.process_time() - began) / 60
        print(f"{out}: the classifiers {classifiers.right:.1%} right of clips left out; {minutes:.1f} min", flush=True)

    def _backward(
        self, model: Specialist, answers: dict[str, np.ndarray], target: Tensor, rng: np.random.Generator
    ) -> None:
        said = model(altered(torch.from_numpy(answers["log_mel"]).float(), rng))
        loss = F.cross_entropy(said["classes"], target) + distance(said, answers, self.stats)
        loss.backward()

    def _quiet(self, count: int) -> Tensor:
        log_mels = torch.from_numpy(quiet_log_mels())
        return log_mels[:: len(log_mels) // max(count, 1)][:count]

    def _save(self, model: Specialist, out: Path) -> None:
        """Save the network with the linear layer of the classes."""
        widths = tuple(round(w * model.layer.in_features / 512) for w in (64, 128, 256, 512))
        labels = self.dataset.labels
        net = create_model("base", len(labels), widths=widths, bands=BANDS, clip_frames=CLIP_FRAMES, dropout=0.0)
        weights = model.student.net.state_dict()
        layer = {"classifier.weight": model.layer.weight.data, "classifier.bias": model.layer.bias.data}
        net.load_state_dict({**weights, **layer})
        window, hop = 1000 * WINDOW / STUDENT_RATE, 1000 * HOP / STUDENT_RATE
        info = {"data": self.dataset.name, "initial_weights": "everyday", "seed": self.args.seed}
        seconds = CLIP_FRAMES * HOP / STUDENT_RATE
        out.mkdir(parents=True, exist_ok=True)
        stored = StoredModel(
            net, labels, STUDENT_RATE, window, hop, "dense", info, seconds, remove_dc=True, n_fft=WINDOW
        )
        save_model(stored, out / MODEL)


def fit_layer(
    model: Specialist,
    log_mels: Tensor,
    clips: list[Clip],
    inside: np.ndarray,
    wanted: Tensor,
    onehot: Tensor,
    others: Tensor,
) -> None:
    """Fit the linear layer to these clips, and to sounds of no class, of which every class is as probable."""
    pooled = torch.cat([model.pooled(log_mels[inside]), model.pooled(others)])
    even = torch.full((len(others), onehot.shape[1]), 1 / onehot.shape[1])
    folds = np.concatenate([fold_numbers(clips), np.arange(len(others)) % 5])
    layer = solve(
        pooled, torch.arange(len(pooled)), torch.cat([onehot[inside], even]), folds, torch.cat([wanted[inside], even])
    )
    with torch.no_grad():
        model.layer.weight.copy_(layer.weight)
        model.layer.bias.copy_(layer.bias)


class Scored(CrossValidation):
    """The figures of networks that are there."""

    def run_fold(self, fold: int, training: list[Clip] | None = None) -> tuple[ClipPredictions, dict[str, Any]]:
        return score_fold(self.dataset, self.dataset.select(str(fold))[0], self.out / f"fold-{fold}", minutes=0)


def learn(args: argparse.Namespace) -> None:
    learner = Learner(args)
    folds = np.array([clip.fold for clip in learner.dataset.clips])
    if args.all:
        return learner.learn(np.zeros(len(folds), bool), args.out)
    for number in args.folds or learner.dataset.folds:
        learner.learn(folds == number, args.out / f"fold-{number}")
    score(learner.dataset, args)


def score(dataset: Dataset, args: argparse.Namespace) -> None:
    chosen = ",".join(map(str, args.folds)) if args.folds else None
    figures = Scored(dataset, args.out, Recipe(), initial_weights="everyday", folds=chosen).run().figures
    figures.pop("recipe")
    print(json.dumps({key: figures[key] for key in ("top1", "intervals", "temperature")}))
    print(json.dumps({"without the leak": figures.get("unseen_sources", {}).get("top1")}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command: Any = commands.add_parser("versions", help="write the clips, as recorded and altered, with answers")
    command.set_defaults(run_command=write_versions)
    command.add_argument("--teachers", type=Path, required=True)
    command.add_argument("--count", type=int, default=4)
    command.add_argument("--effects", type=int, default=3, help="versions that aiSFX answers")
    more: Any = commands.add_parser("learn", help="teach a student")
    more.set_defaults(run_command=learn)
    more.add_argument("--run", type=Path, required=True, help="the folder of `distil_on_cpu.py learn`")
    more.add_argument("--versions", type=Path, required=True)
    more.add_argument("--answers", type=Path, required=True, help="mixtures of `distil_on_cpu.py answers`")
    more.add_argument("--names", type=Path, required=True, help="a table: index, identifier, name")
    more.add_argument("--all", action="store_true", help="learn from the clips of all folds")
    more.add_argument("--folds", type=int, nargs="+", help="these alone")
    more.add_argument("--leak-free", action="store_true", help="folds that keep sources whole")
    more.add_argument("--steps", type=int, default=300)
    more.add_argument("--clips", type=int, default=24, help="in a step")
    more.add_argument("--mixtures", type=int, default=32, help="in a step")
    more.add_argument("--rate", type=float, default=7e-4)
    more.add_argument("--layer-rate", type=float, default=20.0, help="of the linear layer, in times of --rate")
    more.add_argument("--label-share", type=float, default=0.5, help="of the label in the target of a clip")
    more.add_argument("--seed", type=int, default=0)
    for each in (command, more):
        each.add_argument("--data", required=True)
        each.add_argument("--root", type=Path, required=True)
        each.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.run_command(args)


if __name__ == "__main__":
    main()
