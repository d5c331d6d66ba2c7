"""A small model with a fine timeline, and what Python makes of sound with it. A part of fixtures.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from outcomes import result_of, steps_of, write

from audioinceptionnext.audio import decode
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load

REPOSITORY = Path(__file__).resolve().parents[2]
SCENE = REPOSITORY / "examples" / "kitchen-scene.flac"  # 29 s
SEGMENTATION = {
    "thresholds": (0.5, 0.45, 0.65),
    "offset_share": 0.7,
    "smoothing": 0.25,
    "min_duration": 0.15,
    "merge_gap": 0.1,
}


def fine(folder: Path) -> None:
    """Two models, and their results for recordings of less than a frame to several blocks, and for streams."""
    scene = decode.read(SCENE, 24_000)
    write_models(folder, scene)
    noise = (np.random.default_rng(3).standard_normal(24_000 * 5) * 0.01).astype(np.float32)
    silence = np.zeros(24_000 * 4, np.float32)
    waveforms = {
        "long": np.concatenate([scene, silence, noise, scene[::-1], scene[:-77], scene, scene]),
        "short": scene[24_000 * 3 : 24_000 * 4 + 1],
        "tiny": scene[24_000 : 24_000 + 200],
        "silent": silence,
    }
    for name, waveform in waveforms.items():
        write(folder, f"{name}.f32", waveform)
    live = {rate: decode.read(SCENE, rate)[: round(seconds * rate)] for rate, seconds in ((48_000, 29), (24_000, 0.7))}
    for rate, waveform in live.items():
        write(folder, f"{rate}.f32", waveform)
    results, steps = {}, {}
    for model in ("fine", "fine-plain"):
        recogniser = load(folder / f"{model}.onnx", threads=1)
        results[model] = {name: result_of(recogniser, waveform) for name, waveform in waveforms.items()}
        steps[model] = {
            rate: steps_of(Stream(recogniser, sample_rate=rate), waveform) for rate, waveform in live.items()
        }
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "steps.json").write_text(json.dumps(steps))


def write_models(folder: Path, scene: np.ndarray) -> None:
    """fine.onnx, which states how its timeline becomes segments, and fine-plain.onnx, which does not.

    Args:
        scene: (samples,) at 24 kHz, in which the probabilities of all labels cross the thresholds.
    """
    import onnx
    import torch

    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network import create_model
    from audioinceptionnext.network.blocks import Mixer
    from audioinceptionnext.network.storage import StoredModel

    torch.manual_seed(0)
    settings = {"depths": (1, 1, 1, 1), "clip_frames": 192, "bands": 64, "timeline_channels": 8}
    net = create_model("tiny", 3, **settings).eval()
    net.mean.fill_(-7.0)
    net.std.fill_(3.0)
    for module in net.modules():
        if isinstance(module, Mixer):  # which does nothing in a new network
            torch.nn.init.constant_(module.squeeze.norm.weight, 0.5)
    net.classifier.weight.data.mul_(10)
    front_end = {"sample_rate": 24_000, "window_ms": 10, "hop_ms": 12.5, "n_fft": 512}
    model = StoredModel(net, ("one", "two", "three"), mode="dense", thresholds=(0.6, 0.5, 0.7), **front_end)
    assert net.timeline is not None
    with torch.no_grad():
        _, summaries = net.features_and_summaries(model.front_end()(torch.from_numpy(scene)[None]))
        logits = net.timeline(summaries)
        scale = 3 / logits[0].std(0)
        net.timeline.classifier.weight.mul_(scale[:, None, None, None])
        net.timeline.classifier.bias.sub_(logits[0].mean(0)).mul_(scale)
    model.segmentation = SEGMENTATION
    proto = onnx.load(export_onnx(model, folder / "fine.onnx"))
    values = {one.key: one.value for one in proto.metadata_props if one.key != "segmentation"}
    onnx.helper.set_model_props(proto, values)
    onnx.save(proto, folder / "fine-plain.onnx")
