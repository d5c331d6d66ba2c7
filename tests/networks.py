"""Networks, front ends and inputs that several test files share. Needs torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TypeVar

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.network import create_model
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel

N = TypeVar("N", bound=Network)
REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
SHORT = {"depths": (1, 1, 1, 1), "dropout": 0.0}
LABELS = ("tap", "plate, bowl", "été")
PUBLISHED = "MODEL:\n  MODEL_NAME: AudioInceptionNeXt\n"  # the part of a checkpoint's `cfg` that names its network
SUCCESSOR = "MODEL:\n  MODEL_NAME: AudioRepInceptionNeXt\n"


def with_statistics(net: N, seed: int = 0) -> N:
    """The network with statistics and scales as after training, so that a fold that ignores one of them fails."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.4, 0.9, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    net.mean.fill_(-3.0)
    net.std.fill_(2.0)
    return net.eval()


def log_mels(batch: int = 2, frames: int = 416, seed: int = 0) -> Tensor:
    return torch.randn(batch, 1, frames, 128, generator=torch.Generator().manual_seed(seed)) * 2 - 4


def seeded(dataset: str, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """The weights, by their published names, and the two inputs for which the reference folder has outputs."""
    spec = importlib.util.spec_from_file_location("seeded_checkpoint", REFERENCE / "seeded_checkpoint.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weights = {key: torch.from_numpy(np.asarray(value)) for key, value in module.state_dict(dataset, seed).items()}
    return weights, torch.from_numpy(module.inputs(dataset, seed))


def by_librosa(
    waveform: np.ndarray, rate: int, window_ms: float, hop_ms: float, bands: int = 128, n_fft: int = 2048
) -> np.ndarray:
    window, hop = round(rate * window_ms / 1000), round(rate * hop_ms / 1000)
    spectrum = librosa.stft(
        waveform, n_fft=n_fft, hop_length=hop, win_length=window, window="hann", center=True, pad_mode="constant"
    )
    filters = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=0, fmax=rate / 2, htk=True, norm=None)
    return np.log(filters @ np.abs(spectrum) + 1e-6).T


def small_model() -> StoredModel:
    torch.manual_seed(1)
    net = with_statistics(create_model("tiny", 3, depths=(1, 1, 1, 1)))
    net.classifier.weight.data.mul_(30)  # for confident predictions, so that a difference shows
    return StoredModel(net, LABELS, mode="dense", info={"licence": "none"})


def export_forms(folder: Path) -> None:
    """The small model as ONNX files: dense, windows, half (float16 weights) and log-mel (as the input)."""
    model = small_model()
    export_onnx(model, folder / "dense.onnx")
    export_onnx(model, folder / "windows.onnx", mode="windows")
    export_onnx(model, folder / "half.onnx", precision="float16")
    export_onnx(model, folder / "log-mel.onnx", input="log-mel")
