"""Put a trained network into the zoo: the ONNX file for the wheel, the weights for fine-tuning, and a description.

    python tools/ship_model.py runs/all/model.safetensors kitchen20 --measured "…" --licence CC-BY-4.0 \\
        --calibration runs/folds/figures.json

A model that was trained on all clips gets its temperature and thresholds from a cross-validation with its recipe.

The card (zoo/NAME/CARD.md) is written by hand: how and on what the model was trained, how good it is, where it fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch

from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import load_model, save_model

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--measured", required=True, help="one line for `ainext models`: figure, data, how")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--calibration", type=Path, help="figures.json of `ainext cross-validate` with the same recipe")
    options = parser.parse_args()

    model = load_model(options.weights)
    if options.calibration:
        figures = json.loads(options.calibration.read_text(encoding="utf-8"))
        model.temperature = figures["temperature"] or 1.0
        if figures["thresholds"]:
            model.thresholds = tuple(figures["thresholds"][label] for label in model.labels)
    model.info |= {"name": options.name, "licence": options.licence}
    folder = ROOT / "src" / "audioinceptionnext" / "models" / "zoo" / options.name
    save_model(model, folder / "training.safetensors", torch.float16)
    path = export_onnx(model, folder / "model.onnx", precision="float16", name=options.name)
    metadata = load(path).metadata
    description = {
        "name": options.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "parameters": int(metadata["parameters"]),
        "gmac": float(metadata["gmac"]),
        "mode": metadata["mode"],
        "sample_rate": int(metadata["sample_rate"]),
        "licence": options.licence,
        "measured": options.measured,
        "data": model.info["data"],
        "labels": list(model.labels),
        "kind": metadata["kind"],
    }
    description |= {"identifiers": model.identifiers} if model.identifiers else {}
    description |= {"groups": model.groups} if model.groups else {}
    (folder / "model.json").write_text(json.dumps(description, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {description['bytes'] / 1e6:.1f} MB, sha256 {description['sha256'][:12]}…")


if __name__ == "__main__":
    main()
