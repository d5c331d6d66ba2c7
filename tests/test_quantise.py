"""Files of lower precision predict as float32 does, or are not written."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from audioinceptionnext.errors import AinextError, ModelError
from audioinceptionnext.export import clips as module
from audioinceptionnext.export.agreement import Agreement, compare
from audioinceptionnext.export.clips import Input, input_batches, rendered_waveforms
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.export.openvino import convert_to_openvino
from audioinceptionnext.export.quantise import MIN_CHANNELS, _shorten_names, convert_precision, quantise_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import find_model
from audioinceptionnext.network.blocks import Block, Mixer
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from tests.command import ainext, refused
from tests.networks import LABELS

TRAINED = find_model("rendered").training_weights  # trained on rendered sound


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENDERED_CLIPS", 30)


@pytest.fixture(scope="module")
def trained() -> StoredModel:
    return load_model(TRAINED)


@pytest.fixture(scope="module")
def exported(trained: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained network at every precision, calibrated on 30 clips."""
    folder = tmp_path_factory.mktemp("precisions")
    files = {"float32": export_onnx(trained, folder / "float32.onnx")}
    for precision in ("float16", "bf16", "int8"):
        files[precision] = folder / f"{precision}.onnx"
        batches = input_batches(trained, "waveform", rendered_waveforms(trained, 30))
        convert_precision(files["float32"], files[precision], precision, batches)
    return files


@pytest.fixture
def weights(model: StoredModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def unfit(trained: StoredModel, tmp_path: Path) -> Path:
    """Works in float32. In 8 bits nothing is left beside one unused channel that is far larger than the others."""
    net = copy.deepcopy(trained.net)
    block = net.blocks[-1]  # type: ignore[index]
    assert isinstance(block, Block) and isinstance(block.mixer, Mixer)
    block.mixer.squeeze.norm.bias.data[0] = 1e6
    net.classifier.weight.data[:, 0] = 0
    save_model(replace(trained, net=net), tmp_path / "unfit.safetensors")
    return tmp_path / "unfit.safetensors"


def metadata(path: Path) -> dict[str, str]:
    return ort.InferenceSession(path).get_modelmeta().custom_metadata_map


@pytest.mark.parametrize(
    ("precision", "size", "worst"), [("float16", 0.55, 0.005), ("bf16", 0.55, 0.03), ("int8", 0.5, 0.15)]
)
def test_predicts_as_float32_in_less_space(
    exported: dict[str, Path], trained: StoredModel, precision: str, size: float, worst: float
) -> None:
    source, path = exported["float32"], exported[precision]
    agreement = compare(source, path, rendered_waveforms(trained, 40, seed=1000), min_lead=0.1)
    assert (agreement.clips, agreement.top1, agreement.enough) == (40, 1, True) and agreement.counted >= 20
    assert 0 < agreement.mean_difference < agreement.worst < worst
    assert path.stat().st_size < size * source.stat().st_size
    assert metadata(path) == metadata(source) | {"precision": precision}


@pytest.mark.parametrize("name", ["dense", "windows", "log-mel"])
def test_names_are_numbered_and_none_is_left_dangling(files: dict[str, Path], name: str) -> None:
    proto = onnx.load(files[name])
    before, values = onnx.load(files[name]), proto.graph
    _shorten_names(values)
    onnx.checker.check_model(proto, full_check=True)
    assert (values.input, values.output) == (before.graph.input, before.graph.output)
    made = [name for node in values.node for name in node.output if name] + [t.name for t in values.initializer]
    assert len(made) == len(set(made)) and len(proto.SerializeToString()) < len(before.SerializeToString())
    kind = values.input[0].name
    rng = np.random.default_rng(0)
    given = {kind: rng.uniform(-1, 1, (1, 60_000) if kind == "waveform" else (1, 500, 128)).astype(np.float32)}
    one, other = (ort.InferenceSession(p.SerializeToString()).run(None, given) for p in (proto, before))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_int8_is_only_for_the_wide_layers(exported: dict[str, Path]) -> None:
    """Not for the front end, the first layers or the last one; but for all that lies between the wide layers."""
    graph = onnx.load(exported["int8"]).graph
    weights = {t.name: t for t in graph.initializer}
    source = {name: node for node in graph.node for name in node.output}
    kinds = {}
    for node in graph.node:
        if node.op_type == "Conv":
            weight = source.get(node.input[1])
            stored = weights[weight.input[0] if weight is not None else node.input[1]]
            kinds[stored.name] = (stored.data_type, stored.dims[0], source[node.input[0]].op_type)
    for kind, channels, _ in kinds.values():
        assert (kind == onnx.TensorProto.INT8) == (channels >= MIN_CHANNELS)
    assert {before for kind, _, before in kinds.values() if kind == onnx.TensorProto.INT8} == {"DequantizeLinear"}
    after = [n.op_type for n in graph.node][[n.op_type for n in graph.node].index("ReduceMean") :]
    assert "QuantizeLinear" not in after and "MatMul" in after
    first = next(i for i, n in enumerate(graph.node) if n.op_type == "Conv")
    assert "QuantizeLinear" not in [n.op_type for n in graph.node[:first]]


def test_int8_predicts_long_audio(exported: dict[str, Path], trained: StoredModel) -> None:
    waveform = np.concatenate(list(rendered_waveforms(trained, 16, seed=2000)))
    full, int8 = (load(exported[name]).predict(waveform).probabilities for name in ("float32", "int8"))
    assert len(waveform) > 40 * trained.sample_rate and full.shape == int8.shape
    assert np.abs(full - int8).mean() < 0.002
    best = np.sort(full, axis=1)[:, -2:]
    clear = best[:, 1] - best[:, 0] > 0.2
    same = full.argmax(1) == int8.argmax(1)
    assert clear.sum() > 50 and same[clear].mean() > 0.98


def test_int8_of_windows_and_of_log_mels(model: StoredModel, files: dict[str, Path], tmp_path: Path) -> None:
    """Of a narrow network, the widest layers become int8. Such files still take windows, or a log-mel."""
    waveforms, int8 = list(rendered_waveforms(model, 20)), tmp_path / "int8.onnx"
    cases: list[tuple[Path, Input]] = [
        (files["windows"], "waveform"),
        (files["log-mel"], "log-mel"),
    ]
    for full, input in cases:
        quantise_onnx(full, int8, input_batches(model, input, waveforms))
        assert int8.stat().st_size < 0.8 * full.stat().st_size
        (batch,) = input_batches(model, input, waveforms[:1])
        a, b = (ort.InferenceSession(path).run(["logits"], batch)[0] for path in (full, int8))
        assert a.shape == b.shape and 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_files_that_cannot_become_int8(model: StoredModel, files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AinextError, match="no clips to calibrate int8 on"):
        quantise_onnx(files["log-mel"], tmp_path / "a.onnx", iter(()))
    batches = input_batches(model, "waveform", rendered_waveforms(model, 1))
    with pytest.raises(ModelError, match=r"half\.onnx: is float16 already"):
        quantise_onnx(files["half"], tmp_path / "a.onnx", batches)
    bare = onnx.load(files["dense"])
    convolutions = [node for node in bare.graph.node if node.op_type == "Conv"]
    for node in convolutions[1:]:
        bare.graph.node.remove(node)
    onnx.save(bare, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"bare\.onnx: has no convolutions but the first"):
        quantise_onnx(tmp_path / "bare.onnx", tmp_path / "a.onnx", batches)
    assert not list(tmp_path.glob("a.onnx*"))


def test_agreement_counts_the_clips_with_a_clear_best_class(exported: dict[str, Path], trained: StoredModel) -> None:
    def waveforms() -> Iterator[np.ndarray]:
        return rendered_waveforms(trained, 30)

    full, half = exported["float32"], exported["float16"]
    assert compare(full, full, waveforms()) == Agreement(1.0, 0.0, 0.0, 30, 30)
    session = ort.InferenceSession(full)
    predicted = [session.run(["probabilities"], {"waveform": one[None]})[0][0].mean(0) for one in waveforms()]
    leads = np.sort([p[-1] - p[-2] for p in np.sort(predicted, axis=1)])
    low, high = (start + int(np.diff(leads[start : start + 8]).argmax()) for start in (1, 18))  # the widest gaps
    found = [compare(full, half, waveforms(), (leads[i] + leads[i + 1]) / 2) for i in (low, high)]
    assert [agreement.counted for agreement in found] == [29 - low, 30]  # with fewer than 20, all
    with pytest.raises(AinextError, match="no clips to compare"):
        compare(full, half, ())


def test_export_prints_how_well_it_agrees(weights: Path, root: Path, tmp_path: Path) -> None:
    found = ainext("export", weights, tmp_path / "a.onnx", "--precision", "bf16", "--json")
    assert found.code == 0 and not found.err
    agreement = found.json["agreement"]
    assert (agreement["top1"], agreement["clips"], agreement["data"]) == (100, 30, "rendered")
    assert 0 < agreement["mean_difference"] <= agreement["worst"] < 0.05
    found = ainext(
        *("export", weights, tmp_path / "a.onnx", "--precision", "int8", "--data", "kitchen20", "--root", root),
        *("--calibration-folds", "1", "--force"),
    )
    assert found.code == 0 and " of 6 clips of kitchen20" in found.out
    assert load(tmp_path / "a.onnx").metadata["precision"] == "int8"
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_a_file_that_disagrees_is_refused(unfit: Path, trained: StoredModel, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.onnx"
    target.parent.mkdir()
    target.write_bytes(b"older")
    found = ainext("export", unfit, target, "--precision", "int8", "--json")
    assert found.code == 1 and not found.out
    (line,) = found.complaints
    assert "a.onnx: not written: int8 has the same best class as float32 for only " in line and "--force" in line
    assert [path.read_bytes() for path in target.parent.iterdir()] == [b"older"]
    found = ainext("export", unfit, target, "--precision", "int8", "--json", "--force")
    assert found.code == 0 and found.json["agreement"]["top1"] < 99
    assert len(found.complaints) == 1 and "ainext: warning: " in found.err and "written, but int8" in found.err
    assert load(target).labels == trained.labels and len(list(target.parent.iterdir())) == 1


def test_export_calls_that_are_wrong(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.onnx"
    assert "must end in .onnx, or in .xml" in refused("export", weights, tmp_path / "a.tflite")
    assert "--root: give both" in refused("export", weights, target, "--precision", "int8", "--data", "kitchen20")
    assert "--data: give both" in refused("export", weights, target, "--precision", "int8", "--root", tmp_path)
    assert "--precision bf16: OpenVINO's format cannot store bf16" in refused(
        "export", weights, tmp_path / "a.xml", "--precision", "bf16"
    )
    assert not target.exists()


@pytest.mark.needs("openvino")
def test_openvinos_own_format(weights: Path, files: dict[str, Path], tmp_path: Path) -> None:
    import openvino

    target = tmp_path / "a.xml"
    found = ainext("export", weights, target, "--precision", "float16", "--json")
    assert found.code == 0 and found.json["agreement"]["top1"] == 100
    assert 0 < found.json["agreement"]["worst"] < 0.01
    written = openvino.Core().read_model(target)
    assert json.loads(written.get_rt_info(["audioinceptionnext", "labels"]).value) == list(LABELS)
    assert written.get_rt_info(["audioinceptionnext", "precision"]).value == "float16"
    assert sorted(path.name for path in tmp_path.glob("*a.*")) == ["a.bin", "a.xml"]
    assert found.json["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("a.*"))
    whole = tmp_path / "whole.xml"
    convert_to_openvino(files["dense"], whole)
    assert target.with_suffix(".bin").stat().st_size < whole.with_suffix(".bin").stat().st_size
    assert compare(files["dense"], whole, rendered_waveforms(load_model(weights), 5)).worst < 1e-4
