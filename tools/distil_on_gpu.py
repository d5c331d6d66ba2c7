"""Distil two teachers into one student on a GPU, without labels: the beginning of the model `everyday`.

    python tools/distil_on_gpu.py --unpack PART.bin [PART.bin ...] --decode FOLDER --corpus corpus.npz   # once
    python tools/distil_on_gpu.py --corpus corpus.npz --teachers FOLDER --out OUT --seconds 500

Student and teachers see the very same mixture (Beyer et al., 2022, "Knowledge distillation: A good teacher is patient
and consistent"). Everything but the decoding happens on the GPU: cropping, mixing, reverberation, both front ends, both
teachers, the student. The student's log-mel is that of `network.frontend.LogMel` with a window of 512 samples, a hop of
240 at 24 kHz, 1,024 points and 64 bands.

It was tried on a CPU alone so far (2026-11-28): both teachers agree with ONNX Runtime within 2e-5, the front end with
`LogMel` within 0.005, which is float32's rounding, and a few steps ran. `tools/collect_sounds.py` packs the recordings.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from audioinceptionnext.network import frontend
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.training.implementations import IMPLEMENTATIONS

RATE = 32_000  # Hz, of the corpus and of the mixtures
STUDENT_RATE, WINDOW, HOP, N_FFT, BANDS = 24_000, 512, 240, 1024, 64
CLIPS = (2.08, 4.16)  # seconds, of a mixture
ROOM = 16_384  # samples of an impulse response


# Recordings ---------------------------------------------------------------------------------------------------------


def decode(path: Path) -> np.ndarray:
    from collect_sounds import RATE as STORED
    from collect_sounds import read
    from scipy.signal import resample_poly

    samples = read(path)
    if not len(samples):
        print(f"{path}: cannot be read")
        return np.zeros(0, np.int16)
    return np.clip(np.round(resample_poly(samples, RATE, STORED) * 32_768), -32_768, 32_767).astype(np.int16)


def unpack(parts: list[Path], folder: Path) -> None:
    """Write the recordings that ``collect_sounds.py --pack`` packed."""
    for part in parts:
        with part.open("rb") as file:
            for name, size in json.loads(part.with_suffix(".json").read_text()):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(size))


def decode_folder(folder: Path, corpus: Path) -> None:
    """All recordings below ``folder`` in one array, with their names, first samples and lengths."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".opus", ".ogg", ".flac", ".wav"))
    with ProcessPoolExecutor() as pool:
        sounds = list(pool.map(decode, paths, chunksize=32))
    print(f"decoded after {time.process_time():.0f} s")
    kept = [i for i, sound in enumerate(sounds) if len(sound) > RATE // 10 and np.abs(sound).max() > 30]
    lengths = np.array([len(sounds[i]) for i in kept])
    # Two samples of silence at both ends, for the interpolation.
    gap = np.zeros(4, np.int16)
    parts = [part for i in kept for part in (gap, sounds[i])] + [gap]
    starts = np.cumsum(np.concatenate([[0], lengths[:-1] + 4])) + 4
    names = [str(paths[i].relative_to(folder)) for i in kept]
    np.savez(corpus, samples=np.concatenate(parts), starts=starts, lengths=lengths, names=np.array(names))
    print(f"{len(kept)} of {len(paths)} recordings, {lengths.sum() / RATE / 3600:.2f} hours")


class Mixtures:
    """Endless mixtures of one to three recordings: (batch, samples) at `RATE`, on the GPU."""

    def __init__(self, corpus: Path, device: torch.device, seed: int) -> None:
        stored = np.load(corpus)
        self.device = device
        self.random = torch.Generator(device=device).manual_seed(seed)
        self.samples = torch.from_numpy(stored["samples"]).to(device)
        self.starts = torch.from_numpy(stored["starts"]).to(device)
        self.lengths = torch.from_numpy(stored["lengths"]).to(device)
        packages = [name.rsplit("/", 2)[-2] for name in stored["names"].tolist()]
        count = {package: packages.count(package) for package in set(packages)}
        # Neither long recordings nor large packages may drown the others.
        seconds = np.clip(stored["lengths"] / RATE, 0.3, 60)
        weight = seconds**0.5 / np.array([count[package] for package in packages]) ** 0.35
        # Every twentieth recording is held out, for the figures alone.
        held_out = np.arange(len(packages)) % 20 == 7
        self.weights = {
            "train": torch.from_numpy(np.where(held_out, 0, weight)).to(device),
            "held out": torch.from_numpy(np.where(held_out, weight, 0)).to(device),
        }

    def uniform(self, *shape: int, low: float = 0, high: float = 1) -> Tensor:
        return torch.rand(shape, generator=self.random, device=self.device) * (high - low) + low

    def draw(self, batch: int, seconds: float, part: str = "train", augment: bool = True) -> Tensor:
        samples, most = round(seconds * RATE), 3
        which = torch.multinomial(self.weights[part], batch * most, replacement=True, generator=self.random)
        which = which.view(batch, most)
        lengths, starts = self.lengths[which][..., None].float(), self.starts[which][..., None]
        speed = torch.exp(self.uniform(batch, most, 1, low=-0.22, high=0.22)) if augment else 1.0
        played = lengths / speed  # samples of the mixture that the recording takes
        # A longer recording is cropped; a shorter one lies somewhere within the mixture, or repeats after a pause.
        offset = -self.uniform(batch, most, 1) * (samples - played)
        pause = self.uniform(batch, most, 1, low=0.02, high=1.5) * RATE
        repeats = self.uniform(batch, most, 1) < 0.4
        time_ = torch.arange(samples, device=self.device, dtype=torch.float32) + offset
        time_ = torch.where(repeats & (played < samples), torch.remainder(time_, played + pause), time_)
        sources = _read(self.samples, starts, lengths, time_ * speed)
        active = (sources != 0).sum(2, keepdim=True).clamp(min=1)
        level = (sources.square().sum(2, keepdim=True) / active).sqrt()
        sources = sources / level.clamp(min=1e-3)  # silence stays silent
        number = torch.multinomial(
            torch.tensor([0.4, 0.4, 0.2], device=self.device), batch, replacement=True, generator=self.random
        )
        gains = 10 ** (self.uniform(batch, most, low=-20, high=0) / 20)
        gains[:, 0] = 1
        gains = gains * (torch.arange(most, device=self.device) <= number[:, None])
        mixture = (sources * gains[..., None]).sum(1)
        return self.augmented(mixture) if augment else mixture * 0.05

    def augmented(self, mixture: Tensor) -> Tensor:
        """With rooms, colour, band limits and noise, each for a share of the mixtures, and at a random level."""
        batch, samples = mixture.shape
        points = 82_944 if samples == 66_560 else 150_000
        spectrum = torch.fft.rfft(mixture, points)
        bins = spectrum.shape[1]
        hertz = torch.linspace(0, RATE / 2, bins, device=self.device)
        # Colour: a curve through eight points that lie evenly on the logarithm of the frequency.
        place = (torch.log2(hertz.clamp(min=62.5) / 62.5) / 8 * 7).clamp(0, 6.999)
        heights = self.uniform(batch, 8, low=-8, high=8) * (self.uniform(batch, 1) < 0.5)
        lower = place.long()
        curve = torch.lerp(heights[:, lower], heights[:, lower + 1], place - lower)
        # A band limit, as of telephones, old recordings and lossy compression.
        limit = torch.exp(self.uniform(batch, 1, low=math.log(3000), high=math.log(12_000)))
        limited = self.uniform(batch, 1) < 0.2
        curve = curve - torch.where(limited, (hertz - limit).clamp(min=0) * 0.05, 0).clamp(max=60)
        spectrum = spectrum * 10 ** (curve / 20)
        # A room: decaying noise after the direct sound.
        tail = torch.arange(ROOM, device=self.device) / RATE
        decay = torch.exp(-6.9 * tail / self.uniform(batch, 1, low=0.1, high=0.9))
        room = torch.randn(batch, ROOM, generator=self.random, device=self.device) * decay
        room = room / room.square().sum(1, keepdim=True).sqrt()
        wet = 10 ** (self.uniform(batch, 1, low=-14, high=2) / 20) * (self.uniform(batch, 1) < 0.35)
        spectrum = spectrum * (1 + wet * torch.fft.rfft(room, points))
        sound = torch.fft.irfft(spectrum, points)[:, :samples]
        sound = sound / sound.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)
        white = torch.fft.rfft(torch.randn(batch, samples, generator=self.random, device=self.device))
        slope = self.uniform(batch, 1, low=0, high=1)  # from white to pink and beyond
        white = white / torch.arange(1, white.shape[1] + 1, device=self.device) ** slope
        noise = torch.fft.irfft(white, samples)
        noise = noise / noise.square().mean(1, keepdim=True).sqrt()
        loudness = 10 ** (self.uniform(batch, 1, low=-50, high=0) / 20) * (self.uniform(batch, 1) < 0.4)
        level = 10 ** (self.uniform(batch, 1, low=-55, high=-14) / 20)
        return ((sound + loudness * noise) * level).clamp(-1, 1)


@torch.compile(dynamic=True)
def _read(corpus: Tensor, starts: Tensor, lengths: Tensor, time_: Tensor) -> Tensor:
    """The recordings at fractional samples ``time_``, by cubic interpolation (Catmull and Rom); 0 outside."""
    inside = (time_ >= 0) & (time_ < lengths - 1)
    time_ = torch.where(inside, time_, 0.0)
    whole = time_.floor()
    t = time_ - whole
    at = starts + whole.long()
    a, b, c, d = (corpus[at + i].float() for i in (-1, 0, 1, 2))
    value = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return torch.where(inside, value / 32_768, 0.0)


def resample(waveform: Tensor, samples: int) -> Tensor:
    """To another number of samples, by cutting or extending the spectrum."""
    spectrum = torch.fft.rfft(waveform)
    bins = samples // 2 + 1
    spectrum = F.pad(spectrum, (0, max(0, bins - spectrum.shape[1])))[:, :bins]
    return torch.fft.irfft(spectrum, samples) * (samples / waveform.shape[1])


# Teachers -----------------------------------------------------------------------------------------------------------


class Graph(nn.Module):
    """An ONNX file of simple operations, run by PyTorch in half precision."""

    def __init__(self, path: Path, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(path).graph
        self.dtype = dtype
        self.nodes = [
            (n.op_type, list(n.input), n.output[0], {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute})
            for n in graph.node
        ]
        self.outputs = [output.name for output in graph.output]
        self.constants: dict[str, Any] = {}
        for tensor in graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.dtype.kind == "f":
                self.constants[tensor.name] = torch.from_numpy(value.astype(np.float32)).to(device, dtype)
            else:
                self.constants[tensor.name] = value.reshape(-1).tolist()

    @torch.no_grad()
    def forward(self, spec: Tensor) -> dict[str, Tensor]:
        values: dict[str, Any] = {**self.constants, "spec": spec.to(self.dtype)}
        for kind, inputs, output, settings in self.nodes:
            values[output] = self._run(kind, [values.get(name) for name in inputs], settings)
        return {name: values[name].float() for name in self.outputs}

    @staticmethod
    def _run(kind: str, x: list[Any], settings: dict[str, Any]) -> Any:
        if kind == "Conv":
            pads = settings.get("pads", [0, 0, 0, 0])
            assert pads[0] == pads[2] and pads[1] == pads[3]
            weight = x[1].to(memory_format=torch.channels_last)
            bias = x[2] if len(x) > 2 else None
            return F.conv2d(x[0], weight, bias, settings["strides"], pads[:2], settings["dilations"], settings["group"])
        if kind == "Gemm":
            return F.linear(x[0], x[1] if settings.get("transB") else x[1].T, x[2])
        if kind in ("ReduceMean", "ReduceMax"):
            axes = x[1] if len(x) > 1 else settings["axes"]
            return (torch.mean if kind == "ReduceMean" else torch.amax)(
                x[0], dim=axes, keepdim=bool(settings.get("keepdims", 1))
            )
        if kind == "MaxPool":
            return F.max_pool2d(x[0], settings["kernel_shape"], settings["strides"])
        if kind == "Squeeze":
            return x[0].squeeze(tuple(x[1])) if len(x) > 1 else x[0]  # without axes: only a batch of one clip changes
        if kind == "Unsqueeze":
            return x[0].unsqueeze(x[1][0])
        if kind == "Reshape":
            return x[0].reshape([int(size) for size in x[1]])
        if kind == "Shape":
            return list(x[0].shape)[settings.get("start", 0) : settings.get("end")]
        if kind == "Concat":
            return [size for part in x for size in part] if isinstance(x[0], list) else torch.cat(x, settings["axis"])
        if kind == "Constant":
            from onnx import numpy_helper

            return numpy_helper.to_array(settings["value"]).reshape(-1).tolist()
        simple = {
            "Relu": torch.relu,
            "HardSwish": F.hardswish,
            "Sigmoid": torch.sigmoid,
            "Identity": lambda y: y,
            "Cast": lambda y: y,
            "Add": torch.add,
            "Mul": torch.mul,
        }
        return simple[kind](*x)


class Teachers:
    """What both teachers say of a waveform (batch, samples) at `RATE`: logits, and features that are standardised."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self.general = Graph(folder / "mn04_as.onnx", device, dtype)
        self.effects = Graph(folder / "aisfx.onnx", device, dtype)
        kaldi = np.pad(np.hanning(800), 112)
        self.window = torch.from_numpy(kaldi).float().to(device)
        self.general_filters = _kaldi_filters().to(device)
        self.effects_window = torch.hann_window(2048, device=device)
        filters = frontend.mel_filters(44_100, 2048, 96)
        self.effects_filters = (filters / filters.sum(0).clamp(min=1e-12)).float().to(device)  # librosa's norm=1
        self.mean: dict[str, Tensor] = {}
        self.std: dict[str, Tensor] = {}

    @torch.no_grad()
    def raw(self, waveform: Tensor) -> dict[str, Tensor]:
        x = waveform[:, 1:] - 0.97 * waveform[:, :-1]
        x = F.pad(x[:, None], (512, 512), mode="reflect")[:, 0]
        power = torch.stft(x, 1024, 320, 1024, self.window, center=False, return_complex=True).abs().square()
        log_mel = ((self.general_filters @ power + 1e-5).log() + 4.5) / 5
        said = self.general(log_mel[:, None].contiguous(memory_format=torch.channels_last))
        y = resample(waveform, waveform.shape[1] * 441 // 320)
        y = y / y.abs().amax(1, keepdim=True).clamp(min=1e-9)
        spectrum = torch.stft(y, 2048, 1024, 2048, self.effects_window, pad_mode="constant", return_complex=True)
        mel = spectrum.abs().square().mT @ self.effects_filters
        spec = (mel * 1e4 + 1).log10() / 9.457798957824707
        spec = F.pad(spec, (0, 0, 0, max(0, 100 - spec.shape[1])))
        blocks = spec.unfold(1, 100, 50).mT  # (batch, blocks, 100, 96)
        effects = self.effects(blocks.flatten(0, 1))["embedding"].unflatten(0, blocks.shape[:2]).mean(1)
        return {
            "logits": said["logits"],
            "general": said["features_map"].flatten(1),
            "hidden": said["hidden"],
            "effects": effects.clamp(min=0).sqrt(),
        }

    def measure(self, mixtures: Mixtures, batches: int = 8) -> None:
        """Find mean and deviation of the features."""
        seen = [self.raw(mixtures.draw(256, CLIPS[0])) for _ in range(batches)]
        for name in ("general", "hidden", "effects"):
            values = torch.cat([s[name] for s in seen])
            self.mean[name], self.std[name] = values.mean(0), values.std(0).clamp(min=1e-3)

    def __call__(self, waveform: Tensor) -> dict[str, Tensor]:
        said = self.raw(waveform)
        return {name: (v - self.mean[name]) / self.std[name] if name in self.mean else v for name, v in said.items()}


def _kaldi_filters(rate: int = 32_000, n_fft: int = 1024, bands: int = 128, high: float = 15_000.0) -> Tensor:
    """Triangles of height 1, even on mel = 1127 ln(1 + f / 700): (bands, n_fft // 2 + 1)."""
    top = 1127 * math.log1p(high / 700)
    edges = torch.arange(bands + 2, dtype=torch.float64) * top / (bands + 1)
    bins = 1127 * torch.log1p(torch.arange(n_fft // 2, dtype=torch.float64) * rate / n_fft / 700)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 1)).float()


# Student ------------------------------------------------------------------------------------------------------------


def widths_of(channels: int) -> tuple[int, ...]:
    """Channels of the four stages, in the paper's proportions, by those of the last one."""
    return tuple(round(width * channels / 512) for width in (64, 128, 256, 512))


class Student(nn.Module):
    """The network, and linear layers from its pooled features to those of the teachers."""

    def __init__(self, width: float, implementation: str, labels: int = 527) -> None:
        super().__init__()
        widths = widths_of(round(512 * width))
        self.net = create_model("base", labels, widths=widths, bands=BANDS, clip_frames=208, dropout=0.0)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(widths[-1], size) for name, size in (("general", 384), ("hidden", 512), ("effects", 512))}
        )
        self.features = IMPLEMENTATIONS[implementation]  # type: ignore[index]

    @classmethod
    def of_run(cls, averaged: dict[str, Any]) -> Student:
        """Of the averaged weights of a run (``averaged.pt``), to be used as it is."""
        student = cls(averaged["net"]["classifier.weight"].shape[1] / 512, "convolutions")
        student.net.load_state_dict(averaged["net"])
        return student.eval()

    def forward(self, log_mel: Tensor, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
        pooled = self.features(self.net, log_mel, dtype).float().mean(dim=(2, 3))
        said = {name: head(pooled) for name, head in self.heads.items()}
        return {"logits": self.net.classifier(pooled), **said}


class LogMel(nn.Module):
    """The student's front end, by an FFT; equal to `frontend.LogMel` with these settings."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", frontend.mel_filters(STUDENT_RATE, N_FFT, BANDS).float())

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) at `STUDENT_RATE` to (batch, 1, samples / HOP, BANDS)."""
        spectrum = torch.stft(waveform, N_FFT, HOP, WINDOW, self.window, pad_mode="constant", return_complex=True)
        frames = waveform.shape[1] // HOP
        return (spectrum.abs().mT[:, :frames] @ self.filters + frontend.LOG_OFFSET).log()[:, None]


def audioset_labels(table: Path) -> tuple[list[str], list[str]]:
    """Identifiers and names of the labels, from a table: index, identifier, name."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [row[1] for row in rows], [row[2] for row in rows]


def loss_of(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The loss, and the part of it that is above the teacher's own entropy (KL, summed over labels)."""
    target = torch.sigmoid(teacher["logits"])
    cross = F.binary_cross_entropy_with_logits(student["logits"], target, reduction="none").sum(1).mean()
    entropy = F.binary_cross_entropy_with_logits(teacher["logits"], target, reduction="none").sum(1).mean()
    # Where the teacher is sure of a label's absence, how sure it is does not matter.
    low = -9.0
    clipped = F.mse_loss(student["logits"].clamp(min=low), teacher["logits"].clamp(min=low))
    loss = 0.25 * cross + 0.05 * clipped
    for name, weight in (("general", 2.0), ("hidden", 1.0), ("effects", 1.0)):
        loss = loss + weight * F.smooth_l1_loss(student[name], teacher[name])
    return loss, (cross - entropy).detach()


def mean_average_precision(scores: Tensor, truth: Tensor, least: int = 10) -> tuple[float, int]:
    """Over the labels with at least ``least`` positives; scores and truth are (clips, labels)."""
    order = scores.argsort(0, descending=True)
    hits = truth.gather(0, order).float()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1, device=hits.device)[:, None]
    known = hits.sum(0) >= least
    average = (precision * hits).sum(0)[known] / hits.sum(0)[known]
    return float(average.mean()), int(known.sum())


# Training -----------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpack", type=Path, nargs="+", default=[], help="packed recordings, to --decode")
    parser.add_argument("--decode", type=Path, help="a folder of recordings, to --corpus")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--teachers", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=500, help="of training")
    parser.add_argument("--width", type=float, default=0.625)
    parser.add_argument("--batch", type=int, default=512, help="clips of 2.08 s; half as many of 4.16 s")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--implementation", default="convolutions")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--from", dest="start", type=Path, help="go on from the student of an earlier run")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.decode:
        unpack(args.unpack, args.decode)
        decode_folder(args.decode, args.corpus)
        return
    train(args)


def train(args: argparse.Namespace) -> None:
    began = time.time()
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = torch.bfloat16
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    mixtures = Mixtures(args.corpus, device, args.seed)
    teachers = Teachers(args.teachers, device, torch.float16 if device.type == "cuda" else torch.float32)
    student = Student(args.width, args.implementation).to(device)
    front = LogMel().to(device)
    teachers.measure(mixtures)

    def log_mel_of(waveform: Tensor) -> Tensor:
        return front(resample(waveform, waveform.shape[1] * 3 // 4))

    with torch.no_grad():
        first = log_mel_of(mixtures.draw(512, CLIPS[0]))
        student.net.mean.copy_(first.mean())
        student.net.std.copy_(first.std())
    if args.start:
        student.load_state_dict(torch.load(args.start, map_location=device, weights_only=True))
    run = torch.compile(student) if args.compile else student
    decayed = [p for p in student.parameters() if p.ndim > 1]
    other = [p for p in student.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": other, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.rate, fused=device.type == "cuda")
    print(f"ready after {time.time() - began:.0f} s", flush=True)
    log: list[dict[str, float]] = []
    step, seen, trained_from, last = 0, 0.0, time.time(), time.time()
    running: list[Tensor] = []
    while (share := (time.time() - trained_from) / args.seconds) < 1:
        seconds = CLIPS[step % 2]
        waveform = mixtures.draw(round(args.batch * CLIPS[0] / seconds), seconds)
        target = teachers(waveform)
        # The schedule follows the time, since the run has to fit into a lease.
        rate = args.rate * min(1, (step + 1) / 500) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, divergence = loss_of(run(log_mel_of(waveform), half), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimiser.step()
        running.append(torch.stack([loss.detach(), divergence]))
        step += 1
        seen += len(waveform) * seconds
        if step % 20 == 0 and time.time() - last > 20:
            last = time.time()
            mean = torch.stack(running).mean(0).tolist()
            running.clear()
            row = {"step": step, "hours": seen / 3600, "seconds": last - trained_from, "loss": mean[0], "kl": mean[1]}
            log.append(row)
            print({k: round(v, 3) for k, v in row.items()}, flush=True)
            if not math.isfinite(mean[0]):
                break
    # The running statistics anew, as plain means over batches, with the last weights.
    sizes = [(round(args.batch * CLIPS[0] / seconds), seconds) for seconds in CLIPS]
    update_bn((log_mel_of(mixtures.draw(*sizes[i % 2])) for i in range(60)), student)
    result = {"settings": {k: str(v) for k, v in vars(args).items()}, "log": log}
    result |= evaluate(student.eval(), teachers, mixtures, log_mel_of)
    print(json.dumps({k: v for k, v in result.items() if k not in ("log", "labels")}), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "result.json").write_text(json.dumps(result))
    state = student.state_dict()
    torch.save({k: v for k, v in state.items() if k.startswith("net.")}, args.out / "net.pt")
    torch.save({k: v for k, v in state.items() if not k.startswith("net.")}, args.out / "heads.pt")


@torch.no_grad()
def evaluate(student: Student, teachers: Teachers, mixtures: Mixtures, log_mel_of: Any, batches: int = 40) -> Any:
    """Against the teacher on held-out recordings, not augmented."""
    said, taught, divergences = [], [], []
    # Matrix products are a form of the training step alone.
    student.features = IMPLEMENTATIONS["convolutions"]
    for _ in range(batches):
        waveform = mixtures.draw(256, CLIPS[1], "held out", augment=False)
        answer, target = student(log_mel_of(waveform), torch.float32), teachers(waveform)
        divergences.append(loss_of(answer, target)[1])
        said.append(answer["logits"])
        taught.append(target["logits"])
    scores, truth = torch.cat(said), torch.cat(taught) > 0
    precision, known = mean_average_precision(scores, truth)
    return {"held_out_map": precision, "labels_with_10": known, "held_out_kl": float(torch.stack(divergences).mean())}


if __name__ == "__main__":
    main()
