"""Teach a distilled student the classes of a data set, with the teachers beside it: how `kitchen20` and `esc10` began.

    python tools/distil_on_cpu.py answers --corpus CORPUS.npz … --clips kitchen20.npz --count 160 --out clips …
    python tools/specialise.py --run run --answers clips --data kitchen20 --root Kitchen20 --out specialist

Each answer is a clip of the data set, altered and with other sounds behind it, and what the teachers' features of it
are. For each fold of the data set, only the answers of clips of other folds are used:

1. Classifiers on the teachers' features say how probable each class is (ridge, one for each kind of features). Those
   that predict a clip were fitted without its source, so they are as unsure as they are of new sounds.
2. The student begins with the linear layer that fits its own features of the same clips best.
3. It then learns both: the features of the teachers, as before, and the classes, of which a half is the label and a
   half what the classifiers say.

The figures are those of whole clips of the fold, once each, as they were recorded.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import distil_on_gpu as shared
import numpy as np
import torch
import torch.nn.functional as F
from distil_on_cpu import TEACHERS, altered, log_mel
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from audioinceptionnext.audio import decode
from audioinceptionnext.data import Dataset, load_dataset

FEATURES = TEACHERS[1:]


class Ridge:
    """One-hot labels from standardised features, scaled so that a softmax of them is calibrated."""

    def __init__(self, features: np.ndarray, targets: np.ndarray, penalty: float) -> None:
        self.mean, self.std = features.mean(0), features.std(0) + 1e-3
        x = (features - self.mean) / self.std
        self.offset = targets.mean(0)
        gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
        self.weight = np.linalg.solve(gram, x.T @ (targets - self.offset) / len(x))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.std @ self.weight + self.offset


def predict_left_out(answers: dict[str, np.ndarray], sources: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """(answers, classes) probabilities, of each by classifiers that were fitted without its source."""
    names = np.unique(sources)
    part = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % 5, strict=True))
    fold = np.array([part[name] for name in sources])
    said = np.zeros((len(sources), targets.shape[1]))
    for number in range(5):
        inside, left_out = fold != number, fold == number
        for name in FEATURES:
            known = ~np.isnan(answers[name][:, 0])
            if known.mean() < 0.9:
                continue
            ridge = Ridge(answers[name][inside].astype(np.float64), targets[inside], 0.1)
            said[left_out] += ridge(answers[name][left_out])
    scale = min((3.0, 5.0, 8.0, 12.0), key=lambda k: -float((log_softmax(k * said, 1) * targets).sum()))
    return softmax(scale * said, 1)


def clip_log_mels(dataset: Dataset) -> Tensor:
    """(clips, 400, bands) of whole clips of 5 s."""
    rows = []
    for clip in dataset.clips:
        x = np.resize(decode.read(clip.path, 24_000), 120_000)
        rows.append(log_mel(torch.from_numpy(x)[None])[0])
    return torch.stack(rows)


class Specialist(nn.Module):
    def __init__(self, student: shared.Student, classes: int) -> None:
        super().__init__()
        self.student = student
        self.layer = nn.Linear(student.net.classifier.in_features, classes)

    def forward(self, x: Tensor, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
        pooled = self.student.features(self.student.net, x, dtype).float().mean(dim=(2, 3))
        said = {name: head(pooled) for name, head in self.student.heads.items()}
        return {"pooled": pooled, "classes": self.layer(pooled), **said}


@torch.no_grad()
def run_over(model: Specialist, x: Tensor, key: str) -> Tensor:
    return torch.cat([model(part[:, None].float(), torch.float32)[key] for part in x.split(40)])


def linear_start(model: Specialist, x: Tensor, soft: Tensor) -> None:
    """Logistic regression on the pooled features of these log-mels."""
    pooled = run_over(model, x, "pooled")
    mean, std = pooled.mean(0), pooled.std(0) + 1e-3
    z = (pooled - mean) / std
    layer = nn.Linear(z.shape[1], soft.shape[1])
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(layer(z), soft) + 0.1 * layer.weight.square().sum(1).mean() / z.shape[1] * 20
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        model.layer.weight.copy_(layer.weight / std)
        model.layer.bias.copy_(layer.bias - layer.weight @ (mean / std))


def learn(
    model: Specialist,
    answers: dict[str, np.ndarray],
    soft: np.ndarray,
    stats: dict,
    args: argparse.Namespace,
    seed: int,
) -> Specialist:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model.student.features = shared.IMPLEMENTATIONS["matrix-products"]  # type: ignore[assignment]
    model.train()
    groups = [
        {"params": list(model.student.parameters()), "weight_decay": 0.02, "scale": 1.0},
        {"params": list(model.layer.parameters()), "weight_decay": 0.0, "scale": args.layer_rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
    count, batch = len(soft), 48
    steps = int(args.epochs * count / batch)
    average = copy.deepcopy(model)
    order: list[int] = []
    for step in range(steps):
        while len(order) < batch:
            order += rng.permutation(count).tolist()
        rows, order = np.array(order[:batch]), order[batch:]
        rate = args.rate * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        x = altered(torch.from_numpy(answers["log_mel"][rows]).float(), rng)
        said = model(x[:, None], torch.bfloat16)
        loss = args.weight * F.cross_entropy(said["classes"], torch.from_numpy(soft[rows]).float())
        for name, weight in (("general", 2.0), ("hidden", 1.0), ("effects", 1.0)):
            mean, std = stats[name]
            target = (torch.from_numpy(answers[name][rows]).float() - mean) / std
            known = ~target[:, 0].isnan()
            if known.any():
                loss = loss + weight * F.smooth_l1_loss(said[name][known], target[known])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        with torch.no_grad():
            share = 1 - min(args.ema, (step + 1) / (step + 10))
            for own, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                if own.is_floating_point():
                    own.lerp_(new, share)
    # The normalisations' statistics anew, for the averaged weights.
    log_mels = answers["log_mel"]
    update_bn((torch.from_numpy(log_mels[rng.choice(count, 48)]).float()[:, None] for _ in range(16)), average)
    average.student.features = shared.IMPLEMENTATIONS["convolutions"]  # type: ignore[assignment]
    return average.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of `distil_on_cpu.py learn`")
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folds", default="", help="these alone, such as 1,3")
    parser.add_argument("--leak-free", action="store_true")
    parser.add_argument("--epochs", type=float, default=2, help="over the answers")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--layer-rate", type=float, default=1.0, help="of the linear layer, in times of --rate")
    parser.add_argument("--weight", type=float, default=1.0, help="of the classes in the loss")
    parser.add_argument("--label-share", type=float, default=0.5, help="of the label in a target")
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(args.data, args.root)
    dataset = dataset.leak_free() if args.leak_free else dataset
    classes = len(dataset.labels)
    saved = torch.load(args.run / "run.pt", map_location="cpu", weights_only=True)
    averaged = torch.load(args.run / "averaged.pt", map_location="cpu", weights_only=True)
    start = shared.Student(averaged["net"]["classifier.weight"].shape[1] / 512, "convolutions")
    start.load_state_dict({**saved["ema"], **{f"net.{k}": v for k, v in averaged["net"].items()}})
    start.eval()

    parts = [dict(np.load(path)) for path in sorted(args.answers.glob("*.npz"))]
    every = {name: np.concatenate([part[name] for part in parts]) for name in ("log_mel", "clip", *FEATURES)}
    # The corpus of clips is in the order of their file names.
    order = sorted(range(len(dataset.clips)), key=lambda i: dataset.clips[i].path.name)
    clip = np.array(order)[every["clip"]]
    labels = np.array([c.label for c in dataset.clips])
    sources = np.array([c.group for c in dataset.clips])
    folds = np.array([c.fold for c in dataset.clips])
    whole = clip_log_mels(dataset)

    results: dict[str, list[np.ndarray]] = {"start": [], "end": [], "unheard start": [], "unheard end": []}
    for fold in [int(f) for f in args.folds.split(",") if f] or dataset.folds:
        began = time.process_time()
        test = folds == fold
        rows = ~test[clip]
        answers = {name: values[rows] for name, values in every.items()}
        own = clip[rows]
        onehot = np.eye(classes)[labels[own]]
        said = predict_left_out(answers, sources[own], onehot, args.seed)
        right = (said.argmax(1) == labels[own]).mean()
        soft = args.label_share * onehot + (1 - args.label_share) * said
        model = Specialist(copy.deepcopy(start), classes).eval()
        # The linear layer fits the clips as they are; what is said of them is the mean over their answers.
        inside = np.flatnonzero(~test)
        counts = np.bincount(own, minlength=len(labels))[inside]
        sums = np.stack([np.bincount(own, said[:, c], minlength=len(labels))[inside] for c in range(classes)], 1)
        mean = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.eye(classes)[labels[inside]])
        wanted = args.label_share * np.eye(classes)[labels[inside]] + (1 - args.label_share) * mean
        linear_start(model, whole[inside], torch.from_numpy(wanted).float())
        unheard = ~np.isin(sources[test], sources[~test])
        line = f"fold {fold}: classifiers on the teachers' features {right:.1%} of the answers;"
        for when in ("start", "end"):
            if when == "end":
                model = learn(model, answers, soft, saved["stats"], args, args.seed)
            ok = run_over(model, whole[test], "classes").argmax(1).numpy() == labels[test]
            results[when].append(ok)
            results[f"unheard {when}"].append(ok[unheard])
            line += f" {when} {ok.mean():.1%}"
        print(line, f"({time.process_time() - began:.0f} s)", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), args.out / f"fold-{fold}.pt")
    print(json.dumps({name: round(100 * float(np.concatenate(ok).mean()), 2) for name, ok in results.items()}))


if __name__ == "__main__":
    main()
