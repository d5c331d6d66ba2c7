"""Distil two teachers into one student on two CPU cores, without labels: how the weights of `everyday` began.

    python tools/distil_on_cpu.py answers --corpus CORPUS.npz [MORE.npz ...] --teachers FOLDER --out answers &
    python tools/distil_on_cpu.py answers --corpus CORPUS.npz [MORE.npz ...] --teachers FOLDER --part choose \\
        --count 24 --out held-out
    python tools/distil_on_cpu.py learn --answers answers --held-out held-out --out run --seconds 9000

Two processes work beside each other. One draws mixtures, asks the teachers, and writes the log-mel and the answers of a
few hundred mixtures into each file. The other learns from all files that are there, and prefers those from which it has
learnt least. Answers take three times as long as a step, so each is used a few times. The corpus is that of
`distil_on_gpu.py`, and so are mixtures, teachers and loss, with two differences: aiSFX answers a sixth of the mixtures,
and what the student sees is altered a little each time (level, colour, noise, masks, a turn in time).

`ainext train --recipe distil` does the same as a command of the product, with a fixed number of mixtures. This tool
takes what it gets until it is stopped, and goes on from ``run/run.pt``.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import json
import math
import time
import zlib
from pathlib import Path
from typing import Any

import distil_on_gpu as shared
import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from distil_on_gpu import RATE, ROOM
from safetensors.torch import load_file, save_file
from scipy.special import expit
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from audioinceptionnext.data.flac import flac
from audioinceptionnext.network import frontend

STUDENT_RATE, WINDOW, HOP, BANDS = 24_000, 512, 300, 64
PIECES = {192: 192, 384: 96}  # frames of a mixture, and the mixtures of a file
BATCHES = {192: 96, 384: 48}
TEACHERS = ("logits", "general", "hidden", "effects")
EFFECTS_SHARE = 6  # every sixth mixture is answered by aiSFX
LONG = 4.8  # seconds
RENDERED = ("rendered", "render", "fluid-")  # packages of which half as much is drawn


# Mixtures and answers -----------------------------------------------------------------------------------------------


PARTS = ("train", "choose", "report")


def parts_of(names: list[str], held_out: int) -> np.ndarray:
    """(recordings,) indices of `PARTS`, by a checksum of the name, so that they are the same on every machine.

    So many in twenty recordings are held out. Half of these decide which labels a model offers and at what
    threshold, and the other half, which no choice has seen, give the figures.
    """
    sums = np.array([zlib.crc32(name.encode()) for name in names])
    return np.where((sums % 20 - 7) % 20 < held_out, 1 + sums // 20 % 2, 0)


def parts_of_clips(names: list[str], held_out_fold: str | None) -> np.ndarray:
    """Which clips belong to which part: (`PARTS`, clips). Those of a source are in one half of what is held out.

    Names are FOLD-SOURCE-TAKE-CLASS. With a fold that is held out, all others are for training, and of its clips only
    those are in the other parts whose source is in no other fold. Without, all clips are in both.
    """
    folds, sources = np.array([name.split("-")[:2] for name in names]).T
    half = parts_of(sources.tolist(), 20)
    training, held_out = np.ones(len(names), bool), np.ones(len(names), bool)
    if held_out_fold is not None:
        training = folds != held_out_fold
        held_out = ~training & ~np.isin(sources, sources[training])
    return np.stack([training, held_out & (half == 1), held_out & (half == 2)])


class Mixtures(shared.Mixtures):
    """Those of several corpora, faster on a CPU: only what is added up is read."""

    def __init__(
        self,
        corpora: list[Path],
        shares: list[float],
        held_out: list[int],
        seed: int,
        clips: Path | None = None,
        held_out_fold: str | None = None,
    ) -> None:
        self.device = torch.device("cpu")
        self.random = torch.Generator().manual_seed(seed)
        samples, starts, lengths, weights, parts = [], [], [], [], []
        for path, share, twentieths in zip(corpora, shares, held_out, strict=True):
            stored = np.load(path)
            packages = [name.rsplit("/", 2)[-2] for name in stored["names"].tolist()]
            count = {package: packages.count(package) for package in set(packages)}
            seconds = np.clip(stored["lengths"] / RATE, 0.3, 60)
            weight = seconds**0.5 / np.array([count[package] for package in packages]) ** 0.35
            weight[[package.startswith(RENDERED) for package in packages]] *= 0.5
            part = parts_of(stored["names"].tolist(), twentieths)
            if (rarity := path.with_suffix(".rarity.npy")).is_file():
                weight *= 0.3 + np.load(rarity)
            weights.append(weight / weight[part == 0].sum() * share)
            parts.append(part)
            starts.append(stored["starts"] + sum(map(len, samples)))
            lengths.append(stored["lengths"])
            samples.append(stored["samples"])
        self.clips = np.arange(0)
        self.order: list[int] = []
        if clips:
            stored = np.load(clips)
            self.clips = np.arange(len(stored["lengths"])) + sum(map(len, lengths))
            self.clip_parts = parts_of_clips(stored["names"].tolist(), held_out_fold)
            starts.append(stored["starts"] + sum(map(len, samples)))
            lengths.append(stored["lengths"])
            samples.append(stored["samples"])
            weights.append(np.zeros(len(self.clips)))
            parts.append(np.zeros(len(self.clips), int))
        self.samples = torch.from_numpy(np.concatenate(samples))
        self.starts = torch.from_numpy(np.concatenate(starts))
        self.lengths = torch.from_numpy(np.concatenate(lengths))
        weight, part = np.concatenate(weights), np.concatenate(parts)
        self.weights = {name: torch.from_numpy(np.where(part == i, weight, 0)) for i, name in enumerate(PARTS)}

    def draw(self, batch: int, seconds: float, part: str = "train", augment: bool = True) -> Tensor:
        n, u = round(seconds * RATE), self.uniform
        # Of a clip whose class is to be learnt, the sounds beside it are fewer and softer.
        numbers, softest, loudest = ([0.6, 0.3, 0.1], -30, -6) if len(self.clips) else ([0.4, 0.4, 0.2], -20, 0)
        # Recordings that are held out are taken one by one, as they were recorded.
        number = torch.multinomial(torch.tensor(numbers), batch, replacement=True, generator=self.random) + 1
        number = number if part == "train" else torch.ones(batch, dtype=torch.long)
        owner = torch.repeat_interleave(torch.arange(batch), number)
        k = len(owner)
        first = torch.ones(k, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        which = torch.multinomial(self.weights[part], k, replacement=True, generator=self.random)
        if len(self.clips) or part != "train":
            self.drawn = np.array([self._next(part) for _ in range(batch)])
            which[first] = torch.from_numpy(self.drawn + (self.clips[0] if len(self.clips) else 0))
        lengths, starts = self.lengths[which][:, None].float(), self.starts[which][:, None]
        # The corpus has few recordings of most sounds. Played much faster, slower or backwards, they are other sounds,
        # of which the teachers say what they take them for.
        widely = (u(k, 1) < 0.35) & (not len(self.clips))
        speed = torch.exp(torch.where(widely, u(k, 1, low=-0.8, high=0.8), u(k, 1, low=-0.22, high=0.22)))
        speed = speed if augment else torch.ones(k, 1)
        backwards = (u(k, 1) < 0.12) & (augment and not len(self.clips))
        shuffled = (u(k, 1) < 0.1) & (augment and not len(self.clips))
        piece, places = u(k, 1, low=0.08, high=0.6) * RATE, u(k, 128).argsort(1)
        played = lengths / speed
        offset = -u(k, 1) * (n - played)
        pause, repeats = u(k, 1, low=0.02, high=1.5) * RATE, u(k, 1) < 0.4
        gains = torch.where(first, 1.0, 10 ** (u(k, low=softest, high=loudest) / 20))
        mixture = torch.zeros(batch, n)
        for at in range(0, k, 32):
            s = slice(at, at + 32)
            when = torch.arange(n, dtype=torch.float32) + offset[s]
            repeated = torch.remainder(when, played[s] + pause[s])
            when = torch.where(repeats[s] & (played[s] < n), repeated, when)
            number_of_piece = (when / piece[s]).long().clamp(0, 127)
            pieces = places[s].gather(1, number_of_piece) * piece[s] + torch.remainder(when, piece[s])
            when = torch.where(shuffled[s], torch.remainder(pieces, played[s]), when)
            when = torch.where(backwards[s], played[s] - 1 - when, when)
            x = shared._read(self.samples, starts[s], lengths[s], when * speed[s])
            active = (x != 0).sum(1, keepdim=True).clamp(min=1)
            level = (x.square().sum(1, keepdim=True) / active).sqrt()
            mixture.index_add_(0, owner[s], x * (gains[s][:, None] / level.clamp(min=1e-3)))
        return self.augmented(mixture) if augment else mixture * 0.05

    def _next(self, part: str) -> int:
        """The number of a clip, or of a recording: each once, in a random order, and then again."""
        if not self.order:
            own = self.weights[part] > 0
            if len(self.clips):
                own = torch.from_numpy(self.clip_parts[PARTS.index(part)])
            numbers = torch.nonzero(own)[:, 0]
            self.order = numbers[torch.randperm(len(numbers), generator=self.random)].tolist()
        return self.order.pop()

    def augmented(self, mixture: Tensor) -> Tensor:
        batch, samples = mixture.shape
        u = self.uniform
        points = 98_304 if samples + ROOM <= 98_304 else 172_032
        spectrum = torch.fft.rfft(mixture, points)
        hertz = torch.linspace(0, RATE / 2, spectrum.shape[1])
        place = (torch.log2(hertz.clamp(min=62.5) / 62.5) / 8 * 7).clamp(0, 6.999)
        lower = place.long()
        heights = u(batch, 8, low=-8, high=8) * (u(batch, 1) < 0.5)
        curve = torch.lerp(heights[:, lower], heights[:, lower + 1], place - lower)
        limit = torch.exp(u(batch, 1, low=math.log(3000), high=math.log(12_000)))
        limited = u(batch, 1) < 0.15
        curve = curve - torch.where(limited, (hertz - limit).clamp(min=0) * 0.05, 0).clamp(max=60)
        spectrum = spectrum * 10 ** (curve / 20)
        wet = torch.nonzero(u(batch) < 0.35)[:, 0]
        if len(wet):
            tail = torch.arange(ROOM) / RATE
            decay = torch.exp(-6.9 * tail / u(len(wet), 1, low=0.1, high=0.9))
            room = torch.randn(len(wet), ROOM, generator=self.random) * decay
            room = room / room.square().sum(1, keepdim=True).sqrt()
            gain = 10 ** (u(len(wet), 1, low=-14, high=2) / 20)
            spectrum[wet] *= 1 + gain * torch.fft.rfft(room, points)
        sound = torch.fft.irfft(spectrum, points)[:, :samples]
        # Some in pulses, as of machines and of steps: the same sound becomes many.
        pulsed = torch.nonzero((u(batch) < 0.12) & (not len(self.clips)))[:, 0]
        if len(pulsed):
            pace = torch.exp(u(len(pulsed), 1, low=math.log(0.7), high=math.log(25)))
            phase = torch.remainder(torch.arange(samples) / RATE * pace + u(len(pulsed), 1), 1)
            sound[pulsed] *= torch.exp(-u(len(pulsed), 1, low=1, high=12) * phase)
        sound = sound / sound.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)
        noisy = torch.nonzero(u(batch) < 0.4)[:, 0]
        if len(noisy):
            white = torch.fft.rfft(torch.randn(len(noisy), samples, generator=self.random))
            white = white / torch.arange(1, white.shape[1] + 1) ** u(len(noisy), 1)
            noise = torch.fft.irfft(white, samples)
            noise = noise / noise.square().mean(1, keepdim=True).sqrt()
            sound[noisy] += 10 ** (u(len(noisy), 1, low=-50, high=0) / 20) * noise
        return (sound * 10 ** (u(batch, 1, low=-55, high=-14) / 20)).clamp(-1, 1)


class Teachers(shared.Teachers):
    """mn04 in ONNX Runtime, and aiSFX in bf16 for some of the mixtures."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, torch.device("cpu"), torch.bfloat16)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "mn04_as.onnx", options)

    def answers(self, waveform: Tensor, share: int) -> dict[str, np.ndarray]:
        logits, general, hidden = self.general_answers(waveform)
        effects = np.full((len(waveform), 512), np.nan, np.float32)
        effects[::share] = self._effects(waveform[::share]).numpy()
        return {"logits": logits, "general": general.reshape(len(general), -1), "hidden": hidden, "effects": effects}

    def general_answers(self, waveform: Tensor) -> list[np.ndarray]:
        """Logits, pooled features and hidden features of mn04."""
        x = waveform[:, 1:] - 0.97 * waveform[:, :-1]
        x = F.pad(x[:, None], (512, 512), mode="reflect")[:, 0]
        power = torch.stft(x, 1024, 320, 1024, self.window, center=False, return_complex=True).abs().square()
        log_mel = ((self.general_filters @ power + 1e-5).log() + 4.5) / 5
        names = ["logits", "features_map", "hidden"]
        return self.session.run(names, {"spec": log_mel[:, None].numpy()})

    def _effects(self, waveform: Tensor) -> Tensor:
        y = shared.resample(waveform, waveform.shape[1] * 441 // 320)
        y = y / y.abs().amax(1, keepdim=True).clamp(min=1e-9)
        spectrum = torch.stft(y, 2048, 1024, 2048, self.effects_window, pad_mode="constant", return_complex=True)
        spec = (spectrum.abs().square().mT @ self.effects_filters * 1e4 + 1).log10() / 9.457798957824707
        spec = F.pad(spec, (0, 0, 0, max(0, 100 - spec.shape[1])))
        blocks = spec.unfold(1, 100, 100).mT  # side by side: overlapping ones take twice as long
        embedded = self.effects(blocks.flatten(0, 1))["embedding"].unflatten(0, blocks.shape[:2])
        return embedded.mean(1).clamp(min=0).sqrt()


@torch.no_grad()
def weigh(args: argparse.Namespace) -> None:
    """Write how rare the sounds of each recording are, so that a sound of few recordings is drawn more often.

    And the number of recordings that have each label, for `render_missing_sounds.py`.
    """
    torch.set_num_threads(1)
    teachers = Teachers(args.teachers)
    chances: list[np.ndarray] = []
    counts = []
    for path in args.corpus:
        stored = np.load(path)
        samples, rows = stored["samples"], []
        for start, length in zip(stored["starts"], stored["lengths"], strict=True):
            x = samples[start : start + min(length, 10 * RATE)].astype(np.float32) / 32_768
            rows.append(expit(teachers.general_answers(torch.from_numpy(np.resize(x, max(len(x), RATE)))[None])[0][0]))
        chances += rows
        counts.append(len(rows))
        print(f"{path}: {counts[-1]} recordings", flush=True)
    every = np.stack(chances)
    rarity = (every / (every.sum(0) + 5)).sum(1)
    rarity = np.minimum(rarity / rarity.mean(), 8)
    for path, own in zip(args.corpus, np.split(rarity, np.cumsum(counts)[:-1]), strict=True):
        np.save(path.with_suffix(".rarity.npy"), own)
    _, names = shared.audioset_labels(args.teachers / "audioset_labels.csv")
    with args.coverage.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["label", "at_least_0.2"])
        table.writerows(zip(names, (every >= 0.2).sum(0), strict=True))


def log_mel(waveform: Tensor) -> Tensor:
    """(batch, samples) at `STUDENT_RATE` to (batch, samples / HOP, BANDS), equal to `frontend.LogMel`."""
    waveform = frontend.without_dc(waveform, HOP, STUDENT_RATE)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(waveform, WINDOW, HOP, WINDOW, window, pad_mode="constant", return_complex=True).abs()
    filters = frontend.mel_filters(STUDENT_RATE, WINDOW, BANDS).float()
    return (spectrum.mT[:, : waveform.shape[1] // HOP] @ filters + frontend.LOG_OFFSET).log()


@torch.no_grad()
def write_answers(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    corpora = len(args.corpus)
    held_out = args.held_out if len(args.held_out) == corpora else args.held_out * corpora
    mixtures = Mixtures(
        args.corpus, args.share or [1 / corpora] * corpora, held_out, args.seed, args.clips, args.held_out_fold
    )
    teachers = Teachers(args.teachers)
    for number in itertools.count() if args.count is None else range(args.count):
        frames = 384 if args.clips and args.part == "train" else list(PIECES)[number % 2]
        augment = args.part == "train"
        waveform = mixtures.draw(PIECES[frames], frames * HOP / STUDENT_RATE, args.part, augment)
        found = teachers.answers(waveform, EFFECTS_SHARE)
        found["log_mel"] = log_mel(shared.resample(waveform, waveform.shape[1] * 3 // 4)).numpy()
        path = args.out / f"{args.seed:04d}-{number:05d}.npz"
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            arrays = {name: values.astype(np.float16) for name, values in found.items()}
            np.savez(file, **arrays, **({"clip": mixtures.drawn} if args.clips else {}))
        new.replace(path)


@torch.no_grad()
def write_recordings(args: argparse.Namespace) -> None:
    """Write what is held out as FLAC files for `benchmarks/against_teacher.py`: speech, music, and other recordings.

    The teacher decides. What is shorter than one of its windows is with the others.
    """
    torch.set_num_threads(1)
    teachers = Teachers(args.teachers)
    _, names = shared.audioset_labels(args.teachers / "audioset_labels.csv")
    held_out = args.held_out if len(args.held_out) == len(args.corpus) else args.held_out * len(args.corpus)
    for path, twentieths in zip(args.corpus, held_out, strict=True):
        stored = np.load(path)
        samples, parts = stored["samples"], parts_of(stored["names"].tolist(), twentieths)
        for number in np.flatnonzero(parts > 0):
            x = samples[stored["starts"][number] :][: stored["lengths"][number]].astype(np.float32) / 2**15
            said = teachers.general_answers(torch.from_numpy(np.resize(x, max(len(x), RATE))[None]))[0]
            kinds = ("Speech", "Music") if len(x) >= LONG * RATE else ()
            kind = next((name for name in kinds if said[0, names.index(name)] > 0), "Other")
            (args.out / kind).mkdir(parents=True, exist_ok=True)
            (args.out / kind / f"{path.stem}-{number}.flac").write_bytes(flac(x, RATE))


# Learning -----------------------------------------------------------------------------------------------------------


class Answers:
    """All files in memory, and new ones as they appear."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng = folder, rng
        self.files: dict[int, dict[str, dict[str, np.ndarray]]] = {frames: {} for frames in PIECES}
        self.uses: dict[str, float] = {}

    def refresh(self) -> None:
        known = set().union(*self.files.values())
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in known:
                stored = np.load(path)
                arrays = {name: stored[name] for name in ("log_mel", *TEACHERS)}
                self.files[arrays["log_mel"].shape[1]][path.name] = arrays

    def batch(self, frames: int) -> dict[str, Tensor]:
        """Rows of four files; those that were used least are the likeliest."""
        names, size = list(self.files[frames]), BATCHES[frames] // 4
        weights = np.array([1 / (1 + self.uses.get(name, 0)) ** 2 for name in names])
        rows = []
        for name in map(str, self.rng.choice(names, 4, replace=False, p=weights / weights.sum())):
            arrays = self.files[frames][name]
            length = len(arrays["log_mel"])
            chosen = self.rng.choice(length, size, replace=False)
            self.uses[name] = self.uses.get(name, 0) + size / length
            rows.append({key: values[chosen] for key, values in arrays.items()})
        return {key: torch.from_numpy(np.concatenate([row[key] for row in rows])).float() for key in rows[0]}


def altered(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Log-mels (batch, frames, bands) with another level, colour and noise, turned in time, and with masks."""
    n, frames, bands = x.shape
    curve = F.interpolate(torch.randn(n, 1, 6) * 0.25, size=bands, mode="linear", align_corners=True)
    x = x + curve + (torch.rand(n, 1, 1) - 0.5) * 1.4
    floor = x.mean((1, 2), keepdim=True) - torch.rand(n, 1, 1) * 6 - 1.5
    noisy = torch.logaddexp(x, floor + 0.3 * torch.randn(n, frames, bands))
    x = torch.where(torch.rand(n, 1, 1) < 0.4, noisy, x)
    out = x.clone()
    for row, source in zip(out, x, strict=True):
        if rng.random() < 0.7:
            row.copy_(row.roll(int(rng.integers(frames)), 0))
        if rng.random() < 0.3:
            width = rng.integers(2, 9)
            first = rng.integers(bands - width)
            row[:, first : first + width] = source.mean()
        if rng.random() < 0.3:
            width = rng.integers(4, 17)
            first = rng.integers(frames - width)
            row[first : first + width] = source.mean()
    return out


def loss_of(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    known = ~torch.isnan(teacher["effects"][:, 0])
    silent = torch.zeros_like(student["effects"])
    loss, divergence = shared.loss_of({**student, "effects": silent}, {**teacher, "effects": silent})
    if known.any():
        loss = loss + F.smooth_l1_loss(student["effects"][known], teacher["effects"][known])
    return loss, divergence


class Run:
    """A student, its optimiser, and the moving average of its weights."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.rng = args, np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        self.answers = Answers(args.answers, self.rng)
        while not all(len(files) >= 4 for files in self.answers.files.values()):
            self.answers.refresh()
            time.sleep(1)
        self.student = shared.Student(args.width, "matrix-products")
        decayed = [p for p in self.student.parameters() if p.ndim > 1]
        other = [p for p in self.student.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": other, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98), foreach=True)
        self.step, self.hours = 0, 0.0
        if (args.out / "run.pt").is_file():
            saved = torch.load(args.out / "run.pt", map_location="cpu", weights_only=True)
            self.student.load_state_dict(saved["student"])
            self.optimiser.load_state_dict(saved["opt"])
            self.step, self.hours, self.average, self.stats = (saved[k] for k in ("step", "hours", "ema", "stats"))
            self.answers.uses = saved["uses"]
        elif args.start:
            self._go_on_from(args.start)
        else:
            self._start()
        self.warm_from = self.step

    def _start(self) -> None:
        rows = [row for files in self.answers.files.values() for row in list(files.values())[:3]]
        log_mels = torch.from_numpy(rows[0]["log_mel"]).float()
        self.student.net.mean.copy_(log_mels.mean())
        self.student.net.std.copy_(log_mels.std())
        self.stats = {}
        for name in TEACHERS[1:]:
            values = torch.from_numpy(np.concatenate([row[name] for row in rows])).float()
            values = values[~values.isnan().any(1)]
            self.stats[name] = (values.mean(0), values.std(0).clamp(min=1e-2))
        logits = torch.from_numpy(np.concatenate([row["logits"] for row in rows])).float()
        with torch.no_grad():  # without it, the first steps would learn nothing but that labels are rare
            self.student.net.classifier.bias.copy_(logits.clamp(min=-9).mean(0))
        self.average = {name: values.detach().clone() for name, values in self.student.state_dict().items()}

    def _go_on_from(self, path: Path) -> None:
        """Take the averaged weights and the scales of the features that `save` wrote, perhaps on another machine."""
        stored = {name: values.float() for name, values in load_file(path).items()}
        self.stats = {name: (stored.pop(f"mean.{name}"), stored.pop(f"std.{name}")) for name in TEACHERS[1:]}
        self.step, self.hours = int(stored.pop("step")), float(stored.pop("hours"))
        self.student.load_state_dict(stored)
        self.average = {name: values.detach().clone() for name, values in self.student.state_dict().items()}

    def targets(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        scaled = {name: (batch[name] - mean) / std for name, (mean, std) in self.stats.items()}
        return {"logits": batch["logits"], **scaled}

    def learn(self) -> float:
        """One step; returns the divergence from the teacher."""
        frames = list(BATCHES)[self.step % 2]
        batch = self.answers.batch(frames)
        said = self.student(altered(batch["log_mel"], self.rng)[:, None], torch.bfloat16)
        loss, divergence = loss_of(said, self.targets(batch))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self.hours += len(batch["logits"]) * frames * HOP / STUDENT_RATE / 3600
        share = 1 - min(0.999, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            for name, values in self.student.state_dict().items():
                if values.is_floating_point():
                    self.average[name].lerp_(values, share)
                else:
                    self.average[name].copy_(values)
        return float(divergence)

    def save(self) -> None:
        new = self.args.out / "run.new"
        kept = {"step": self.step, "hours": self.hours, "ema": self.average, "stats": self.stats}
        kept |= {"student": self.student.state_dict(), "opt": self.optimiser.state_dict(), "uses": self.answers.uses}
        torch.save(kept, new)
        new.replace(self.args.out / "run.pt")
        kept = {
            f"{part}.{name}": pair[i] for name, pair in self.stats.items() for i, part in enumerate(("mean", "std"))
        }
        kept = {name: values.half() for name, values in {**kept, **self.average}.items()}
        kept |= {"step": torch.tensor(float(self.step)), "hours": torch.tensor(self.hours)}
        save_file(kept, self.args.out / "checkpoint.safetensors")

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Save the averaged weights, with the normalisations' statistics anew, and score them."""
        student = copy.deepcopy(self.student)
        student.load_state_dict(self.average)
        update_bn((self.answers.batch(list(BATCHES)[i % 2])["log_mel"][:, None] for i in range(16)), student)
        student.eval()
        student.features = shared.IMPLEMENTATIONS["convolutions"]  # type: ignore[assignment]
        said, taught, divergence = [], [], []
        for path in sorted(self.args.held_out.glob("*.npz")):
            stored = np.load(path)
            batch = {name: torch.from_numpy(stored[name]).float() for name in ("log_mel", *TEACHERS)}
            found = student(batch["log_mel"][:, None], torch.float32)
            divergence.append(loss_of(found, self.targets(batch))[1] * len(found["logits"]))
            said.append(found["logits"])
            taught.append(batch["logits"])
        scores, decisions = torch.cat(said), torch.cat(taught) > 0
        precision, labels = shared.mean_average_precision(scores, decisions)
        net = {name[4:]: values for name, values in student.state_dict().items() if name.startswith("net.")}
        torch.save({"net": net, "step": self.step, "hours": self.hours}, self.args.out / "averaged.pt")
        return {"held_kl": float(sum(divergence)) / len(scores), "held_map": precision, "labels": labels}


def learn(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    began = said = saved = time.time()
    divergences: list[float] = []
    while (elapsed := time.time() - began) < args.seconds:
        rate = args.rate * min(1, (run.step - run.warm_from + 1) / args.warmup)
        if args.decay:
            rate *= min(1, (args.seconds - elapsed) / args.decay) + 1e-3
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        divergences.append(run.learn())
        if run.step % 50 == 0:
            run.answers.refresh()
        if time.time() - said > 60:
            row = {"step": run.step, "hours": round(run.hours, 2), "kl": round(float(np.mean(divergences)), 3)}
            print(json.dumps(row), flush=True)
            divergences, said = [], time.time()
        if time.time() - saved > 900:
            run.save()
            print(json.dumps(run.evaluate()), flush=True)
            saved = time.time()
    run.save()
    print(json.dumps(run.evaluate()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command: Any = commands.add_parser("answers", help="write mixtures with the teachers' answers")
    command.set_defaults(run=write_answers)
    command.add_argument("--corpus", type=Path, nargs="+", required=True)
    command.add_argument("--share", type=float, nargs="+", help="of the mixtures' recordings, for each corpus")
    command.add_argument("--teachers", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--held-out", type=int, nargs="+", default=[1], help="recordings in twenty, for each corpus")
    command.add_argument("--clips", type=Path, help="a corpus: each mixture has one of its clips, in turn")
    command.add_argument("--held-out-fold", help="of the clips, as their names begin")
    command.add_argument("--part", choices=PARTS, default="train", help="of the recordings")
    command.add_argument("--count", type=int, help="of files; without end unless given")
    command.add_argument("--seed", type=int, default=1)
    command = commands.add_parser("weigh", help="find rare sounds, which `answers` then draws more often")
    command.set_defaults(run=weigh)
    command.add_argument("--corpus", type=Path, nargs="+", required=True)
    command.add_argument("--teachers", type=Path, required=True)
    command.add_argument("--coverage", type=Path, required=True, help="a table: how many recordings have each label")
    command = commands.add_parser("recordings", help="write what is held out as FLAC files")
    command.set_defaults(run=write_recordings)
    command.add_argument("--corpus", type=Path, nargs="+", required=True)
    command.add_argument("--held-out", type=int, nargs="+", default=[1], help="recordings in twenty, for each corpus")
    command.add_argument("--teachers", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command = commands.add_parser("learn", help="train a student on these answers")
    command.set_defaults(run=learn)
    command.add_argument("--answers", type=Path, required=True)
    command.add_argument("--held-out", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--seconds", type=float, required=True)
    command.add_argument("--from", dest="start", type=Path, help="a checkpoint.safetensors of another run")
    command.add_argument("--decay", type=float, default=0, help="seconds at the end over which the rate falls to 0")
    command.add_argument("--warmup", type=int, default=300, help="steps")
    command.add_argument("--rate", type=float, default=2.5e-3)
    command.add_argument("--width", type=float, default=0.5)
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
