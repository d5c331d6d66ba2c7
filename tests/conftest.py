"""Models that several test files share. Exporting takes seconds, so each file is made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from audioinceptionnext.export import export_onnx
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel
from tests.test_network import stirred

LABELS = ("tap", "plate, bowl", "été")


@pytest.fixture(scope="session")
def model() -> StoredModel:
    torch.manual_seed(1)
    net = stirred(create_model("tiny", 3, depths=(1, 1, 1, 1)))
    net.classifier.weight.data.mul_(30)  # decided answers, so that a difference shows
    return StoredModel(net, LABELS, run="dense", info={"licence": "none"})


@pytest.fixture(scope="session")
def files(model: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model as ONNX files: dense, windows, half (float16 weights) and log-mel (input)."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "dense": export_onnx(model, folder / "dense.onnx"),
        "windows": export_onnx(model, folder / "windows.onnx", run="windows"),
        "half": export_onnx(model, folder / "half.onnx", precision="float16"),
        "log-mel": export_onnx(model, folder / "log-mel.onnx", takes="log-mel"),
    }
