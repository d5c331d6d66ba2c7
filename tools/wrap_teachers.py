"""Put the front ends of two openly licensed networks into their ONNX files, so that they can teach: docs/training.md.

    python tools/wrap_teachers.py ../shared/teachers teachers --check recording.ogg
    python tools/wrap_teachers.py ../shared/teachers teachers --side-by-side   # aiSFX in up to half the time

Each file that is written takes a waveform and states its labels, sample rate and licence. `--check` compares it with
`front_ends.py` in the folder of the networks. The files are never committed, nor shipped.

aiSFX takes blocks of 100 frames (2.32 s), each of which begins in the middle of the one before it. `--side-by-side`
lets each begin where the one before it ends, which makes one block of 2.4 s (as otherwise), two of 4.8 s in place of
three (85 s of sound per CPU second, not 58), and half as many of a long waveform. Its features then are means over
fewer blocks.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper, parser, version_converter

OPSET = 18
MN04 = {
    "name": "mn04_as",
    "sample_rate": "32000",
    "licence": "MIT",
    "source": "EfficientAT mn04_as: Schmid, Koutini and Widmer, 2023, Efficient Large-Scale Audio Tagging via "
    "Transformer-to-CNN Knowledge Distillation; trained on AudioSet",
}
AISFX = {
    "name": "aisfx",
    "sample_rate": "44100",
    "licence": "CC BY 4.0",
    "source": "aiSFX: Ma and Lerch, 2022, Representation Learning for the Automatic Indexing of Sound Effects "
    "Libraries",
}
# The magnitude of a spectrum does not depend on where its phase is measured from. From the centre of the window, the
# real part depends only on the even half of a frame, and the imaginary part only on the odd one. `after` and `before`
# are the places of the samples on the two sides of the centre.
MEL = """    starts_ = Range(zero, stop, hop)
    starts = Unsqueeze(starts_, second)
    places_after = Add(starts, after)
    places_before = Add(starts, before)
    rise = Gather <axis = 1> (padded, places_after)
    fall = Gather <axis = 1> (padded, places_before)
    even = Add(rise, fall)
    odd = Sub(rise, fall)
    real = MatMul(even, cosines)
    imaginary = MatMul(odd, sines)
    real_power = Mul(real, real)
    imaginary_power = Mul(imaginary, imaginary)
    power = Add(real_power, imaginary_power)
    mel = MatMul(power, filters)
"""
MN04_FRONT = (
    """
<ir_version: 10, opset_import: ["" : 18]>
front (float[batch, samples] waveform) => (float[batch, 1, 128, frames] spec)
{
    zero = Constant <value_int = 0> ()
    hop = Constant <value_int = 320> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    last = Constant <value_ints = [-1]> ()
    all = Constant <value_ints = [9223372036854775807]> ()
    emphasis = Constant <value_float = 0.97> ()
    later = Slice(waveform, second, all, second)
    earlier = Slice(waveform, first, last, second)
    softened = Mul(emphasis, earlier)
    emphasised = Sub(later, softened)
    ends = Constant <value_ints = [0, 512, 0, 512]> ()
    padded = Pad <mode = "reflect"> (emphasised, ends)
    samples_ = Shape <start = 1, end = 2> (waveform)
    stop = Squeeze(samples_)
"""
    + MEL
    + """    offset = Constant <value_float = 1e-5> ()
    above_zero = Add(mel, offset)
    logarithm = Log(above_zero)
    mean = Constant <value_float = 4.5> ()
    centred = Add(logarithm, mean)
    deviation = Constant <value_float = 5.0> ()
    scaled = Div(centred, deviation)
    turned = Transpose <perm = [0, 2, 1]> (scaled)
    spec = Unsqueeze(turned, second)
}
"""
)
MN04_ENDING = """
<ir_version: 10, opset_import: ["" : 18]>
ending (float[batch, 527] said, float[batch, 384, 1, 1] pooled, float[batch, 512] hidden)
    => (float[batch, 1, 527] logits, float[batch, 1, 896] features)
{
    one = Constant <value_ints = [1]> ()
    logits = Unsqueeze(said, one)
    flat = Flatten(pooled)
    both = Concat <axis = 1> (flat, hidden)
    features = Unsqueeze(both, one)
}
"""
AISFX_FRONT = (
    """
<ir_version: 10, opset_import: ["" : 18]>
front (float[batch, samples] waveform) => (float[clips, 100, 96] spec, int64[3] shape)
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    hop = Constant <value_int = 1024> ()
    second = Constant <value_ints = [1]> ()
    level = Abs(waveform)
    peak = ReduceMax <keepdims = 1> (level, second)
    least = Constant <value_float = 1e-9> ()
    loudest = Max(peak, least)
    normalised = Div(waveform, loudest)
    ends = Constant <value_ints = [0, 1024, 0, 1024]> ()
    padded = Pad(normalised, ends)
    samples_ = Shape <start = 1, end = 2> (waveform)
    samples_s = Squeeze(samples_)
    stop = Add(samples_s, one)
"""
    + MEL
    + """    gain = Constant <value_float = 10000.0> ()
    louder = Mul(mel, gain)
    unit = Constant <value_float = 1.0> ()
    above_one = Add(louder, unit)
    logarithm = Log(above_one)
    scaled = Mul(logarithm, log_scale)
    frames_ = Shape <start = 1, end = 2> (scaled)
    frames = Squeeze(frames_)
    block = Constant <value_int = 100> ()
    lacking_ = Sub(block, frames)
    lacking_s = Max(lacking_, zero)
    first_axis = Constant <value_ints = [0]> ()
    lacking = Unsqueeze(lacking_s, first_axis)
    before_all = Constant <value_ints = [0, 0, 0, 0]> ()
    after_all = Constant <value_ints = [0]> ()
    pads = Concat <axis = 0> (before_all, lacking, after_all)
    long_enough = Pad(scaled, pads)
    found = Add(frames, lacking_s)
    ninety_nine = Constant <value_int = 99> ()
    end = Sub(found, ninety_nine)
    firsts_ = Range(zero, end, stride)
    firsts = Unsqueeze(firsts_, second)
    in_block = Range(zero, block, one)
    places = Add(firsts, in_block)
    blocks = Gather <axis = 1> (long_enough, places)
    one_block = Constant <value_ints = [-1, 100, 96]> ()
    spec = Reshape(blocks, one_block)
    head = Shape <start = 0, end = 2> (blocks)
    channels = Constant <value_ints = [512]> ()
    shape = Concat <axis = 0> (head, channels)
}
"""
)
AISFX_ENDING = """
<ir_version: 10, opset_import: ["" : 18]>
ending (float[clips, 512] embedding, int64[3] shape) => (float[batch, 1, 512] features)
{
    second = Constant <value_ints = [1]> ()
    blocks = Reshape(embedding, shape)
    mean = ReduceMean <keepdims = 1> (blocks, second)
    positive = Relu(mean)
    features = Sqrt(positive)
}
"""


def transform(window: np.ndarray, n_fft: int, bins: int, between: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines times half a symmetric window, (half, bins), whose centre is a sample or lies between two."""
    half = len(window)
    distance = np.arange(half) + (0.5 if between else 0.0)
    angle = 2 * np.pi / n_fft * distance[:, None] * np.arange(bins)
    return window[:, None] * np.cos(angle), window[:, None] * np.sin(angle)


def mn04_tables(filters: np.ndarray) -> dict[str, np.ndarray]:
    bins = 480  # up to 15 kHz, where the filters end
    cosines, sines = transform(np.hanning(800)[400:], 1024, bins, between=True)
    j = np.arange(400)
    return {"cosines": cosines, "sines": sines, "filters": filters.T[:bins], "after": 512 + j, "before": 511 - j}


def aisfx_tables(stride: int = 50) -> dict[str, np.ndarray]:
    """``stride`` is the number of frames from one block to the next."""
    from audioinceptionnext.network.frontend import mel_filters

    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(1024) / 1024)  # from the centre of a periodic Hann window on
    window[0] /= 2  # the sample at the centre is on both sides
    cosines, sines = transform(window, 2048, 1025, between=False)
    filters = mel_filters(44_100, 2048, 96).numpy()
    j = np.arange(1024)
    return {
        "cosines": cosines,
        "sines": sines,
        "filters": filters / filters.sum(0),
        "after": 1024 + j,
        "before": 1024 - j,
        "log_scale": np.array(1 / (np.log(10) * 9.457798957824707)),
        "stride": np.array(stride),
    }


def with_tables(text: str, tables: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = parser.parse_model(text)
    for name, table in tables.items():
        kind = np.float32 if table.dtype.kind == "f" else np.int64
        model.graph.initializer.append(numpy_helper.from_array(table.astype(kind), name))
    return model


def joined(
    front: onnx.ModelProto, network: onnx.ModelProto, ending: str, links: list[tuple[str, str]]
) -> onnx.ModelProto:
    """The front end, the network and the ending as one graph; ``links`` are those of the network to the ending."""
    if network.opset_import[0].version != OPSET:
        network = version_converter.convert_version(network, OPSET)
    network.ir_version = 10
    network = compose.add_prefix(network, "network/")
    front, last = compose.add_prefix(front, "front/"), compose.add_prefix(parser.parse_model(ending), "ending/")
    carried = [output.name for output in front.graph.output[1:]]
    first = compose.merge_models(front, network, [("front/spec", "network/spec")])
    inner = [(f"network/{a}", f"ending/{b}") for a, b in links] + [(n, n.replace("front/", "ending/")) for n in carried]
    whole = compose.merge_models(first, last, inner)
    names = {"front/waveform": "waveform"} | {o.name: o.name.removeprefix("ending/") for o in whole.graph.output}
    for node in whole.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*whole.graph.input, *whole.graph.output):
        value.name = names[value.name]
    return whole


def wrap(folder: Path, out: Path, stride: int) -> None:
    definition = front_ends(folder)
    with (folder / "audioset_labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = {
        "kind": "multi-label",
        "labels": json.dumps([row["display_name"] for row in rows], ensure_ascii=False),
        "identifiers": json.dumps([row["mid"] for row in rows]),
    }
    mn04 = joined(
        with_tables(MN04_FRONT, mn04_tables(definition.FILTERS)),
        onnx.load(folder / "mn04_as.onnx"),
        MN04_ENDING,
        [("logits", "said"), ("features_map", "pooled"), ("hidden", "hidden")],
    )
    aisfx = joined(
        with_tables(AISFX_FRONT, aisfx_tables(stride)),
        onnx.load(folder / "aisfx.onnx"),
        AISFX_ENDING,
        [("embedding", "embedding")],
    )
    out.mkdir(parents=True, exist_ok=True)
    for model, metadata in ((mn04, MN04 | labels), (aisfx, AISFX)):
        helper.set_model_props(model, {"input": "waveform"} | metadata)
        onnx.checker.check_model(model)
        onnx.save(model, path := out / f"{metadata['name']}.onnx")
        print(path)


def front_ends(folder: Path):
    spec = importlib.util.spec_from_file_location("front_ends", folder / "front_ends.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(folder: Path, out: Path, recordings: list[Path], stride: int) -> None:
    """Print the largest differences from what `front_ends.py` and the networks give."""
    import onnxruntime as ort

    from audioinceptionnext.audio import decode

    definition = front_ends(folder)
    general, effects = (ort.InferenceSession(folder / name) for name in ("mn04_as.onnx", "aisfx.onnx"))
    for path in recordings:
        waveform = decode.read(path, 32_000)
        names = ["logits", "features_map", "hidden"]
        logits, pooled, hidden = general.run(names, {"spec": definition.mn04_input(waveform)})
        found = ort.InferenceSession(out / "mn04_as.onnx").run(["logits", "features"], {"waveform": waveform[None]})
        wanted = np.concatenate([pooled.reshape(-1), hidden[0]])
        differences = [np.abs(found[0][0, 0] - logits[0]).max(), np.abs(found[1][0, 0] - wanted).max()]
        waveform = decode.read(path, 44_100)
        embedding = effects.run(None, {"spec": definition.aisfx_input(waveform)[:: stride // 50]})[0]
        (features,) = ort.InferenceSession(out / "aisfx.onnx").run(["features"], {"waveform": waveform[None]})
        differences.append(np.abs(features[0, 0] - np.sqrt(np.maximum(embedding.mean(0), 0))).max())
        print(f"{path}: " + "logits {:.1e}, features {:.1e}; aisfx features {:.1e}".format(*differences))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="mn04_as.onnx, aisfx.onnx, audioset_labels.csv, front_ends.py")
    arguments.add_argument("out", type=Path, help="the folder to write to")
    arguments.add_argument("--check", type=Path, nargs="+", default=[], metavar="RECORDING")
    arguments.add_argument("--side-by-side", action="store_true", help="put the blocks of aiSFX side by side")
    args = arguments.parse_args()
    stride = 100 if args.side_by_side else 50
    wrap(args.folder, args.out, stride)
    check(args.folder, args.out, args.check, stride)


if __name__ == "__main__":
    sys.exit(main())
