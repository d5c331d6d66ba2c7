"""Models that several test files share. Exporting takes seconds, so each file is exported once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel
from tests.networks import with_statistics

LABELS = ("tap", "plate, bowl", "été")


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Restore the number of torch's threads, which training sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Kitchen20 with two classes and two folds, whose sounds are easy to tell apart."""
    from tests.small_sounds import write_kitchen  # imports Lightning, which few tests need

    return write_kitchen(tmp_path_factory.mktemp("tiny kitchen") / "kitchen20")


@pytest.fixture(scope="session")
def model() -> StoredModel:
    torch.manual_seed(1)
    net = with_statistics(create_model("tiny", 3, depths=(1, 1, 1, 1)))
    net.classifier.weight.data.mul_(30)  # for confident predictions, so that a difference shows
    return StoredModel(net, LABELS, mode="dense", info={"licence": "none"})


@pytest.fixture(scope="session")
def files(model: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model as ONNX files: dense, windows, half (float16 weights) and log-mel (as the input)."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "dense": export_onnx(model, folder / "dense.onnx"),
        "windows": export_onnx(model, folder / "windows.onnx", mode="windows"),
        "half": export_onnx(model, folder / "half.onnx", precision="float16"),
        "log-mel": export_onnx(model, folder / "log-mel.onnx", input="log-mel"),
    }
