"""Tables of targets in place of a teacher, and the tool that writes them."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import onnx.parser
import pytest

from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.errors import AinextError, FileError, ModelError
from audioinceptionnext.training.onnx_teacher import OnnxTeacher
from audioinceptionnext.training.soft_targets import read_soft_targets, write_soft_targets
from audioinceptionnext.training.splits import split_clips
from tests.multi_label_clips import write_clips

# The loudness of a waveform, that of its changes, and its number of samples.
TEACHER = """
<ir_version: 10, opset_import: ["" : 18]>
teacher (float[batch, samples] waveform) => (float[batch, 1, 3] features)
{
    axis = Constant <value_ints = [1]> ()
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    all = Constant <value_ints = [9223372036854775807]> ()
    later = Slice(waveform, axis, all, axis)
    earlier = Slice(waveform, first, last, axis)
    change = Sub(later, earlier)
    loud = ReduceL2(waveform, axis)
    changing = ReduceL2(change, axis)
    ones = Add(changing, loud)
    unit = Div(ones, ones)
    size = Shape <start = 1, end = 2> (waveform)
    number = Cast <to = 1> (size)
    samples_ = Mul(unit, number)
    row = Concat <axis = 1> (loud, changing, samples_)
    features = Unsqueeze(row, axis)
}
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "soft_targets.py"
    spec = importlib.util.spec_from_file_location("soft_targets_tool", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file that states no more than a teacher has to."""
    model = onnx.parser.parse_model(TEACHER)
    onnx.helper.set_model_props(model, {"sample_rate": "16000"})
    onnx.save(model, path := tmp_path_factory.mktemp("teacher") / "loudness.onnx")
    return str(path)


def test_a_table_of_each_fold_has_the_clips_of_the_others(
    tool: ModuleType,
    teacher: str,
    files: dict[str, Path],
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = load_dataset("kitchen20", root)
    tool.main([teacher, "--data", "kitchen20", "--root", str(root), "--out", str(tmp_path)])
    assert "fold-2.csv: 12 clips, " in capsys.readouterr().out
    for fold in "12":
        held_out, training = dataset.select(fold)
        table = tmp_path / f"fold-{fold}.csv"
        said = read_soft_targets(table, dataset.labels, training).numpy()
        right = said.argmax(1) == [clip.label for clip in training]
        assert right.mean() > 0.9 and said.max(1).min() < 0.99  # each is unsure of what it was not fitted to
        with pytest.raises(FileError, match="says nothing of 12"):
            read_soft_targets(table, dataset.labels, held_out)
    features = tool.embed(OnnxTeacher(teacher), dataset, dataset.clips).numpy()
    assert features[:, 2].min() == 16_000 < features[:, 2].max()  # shorter clips are a second long
    own = tool.embed(OnnxTeacher(str(files["dense"])), dataset, dataset.clips[:2])
    assert own.shape[0] == 2 and (own[0] != own[1]).any()  # a file that we exported
    with pytest.raises(ModelError, match="no features"):
        tool.embed(SimpleNamespace(channels=0, name="a.onnx"), dataset, dataset.clips)


def test_a_table_without_folds_lacks_what_a_run_holds_out_and_has_each_label_alone(
    tool: ModuleType, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_clips(tmp_path / "clips", 32, 8)
    with (root / "meta.csv").open(newline="", encoding="utf-8") as file:
        rows = [row[:2] for row in csv.reader(file)]  # without splits and folds
    with (root / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    dataset = load_dataset("csv", root)
    training, held_out = split_clips(dataset, hold_out=0.3, seed=3)
    arguments = ["--data", "csv", "--root", str(root), "--hold-out", "0.3", "--seed", "3", "--out", str(tmp_path)]
    tool.main([teacher, *arguments])
    assert f"all.csv: {len(training)} clips, mAP " in capsys.readouterr().out
    said = read_soft_targets(tmp_path / "all.csv", dataset.labels, training, multi_label=True)
    with pytest.raises(FileError, match=f"says nothing of {len(held_out)} of"):
        read_soft_targets(tmp_path / "all.csv", dataset.labels, dataset.clips, multi_label=True)
    total = said.sum(1).numpy()
    number = np.array([len(clip.labels) for clip in training])
    assert total[number == 3].mean() > 1.5 > total[number < 2].mean() + 0.2


def test_clips_with_several_tasks_are_refused(
    tool: ModuleType, teacher: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = replace(load_dataset("kitchen20", root), tasks={"verb": 1, "noun": 1})
    monkeypatch.setattr(tool, "load_dataset", lambda *_: dataset)
    with pytest.raises(AinextError, match="with which a table of targets is not possible yet"):
        tool.main([teacher, "--data", "kitchen20", "--root", str(root), "--out", str(tmp_path)])


def test_clips_that_a_table_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    clips = [Clip(tmp_path / part / "dog" / "1.wav", 0) for part in ("train", "validation")]
    table, said = tmp_path / "all.csv", np.array([[0.8, 0.2]] * 2)
    alike = r"train/dog/1\.wav and .*validation/dog/1\.wav have the same file and folder name"
    with pytest.raises(FileError, match=alike):
        write_soft_targets(table, ("a", "b"), clips, said)
    assert not table.exists()
    write_soft_targets(table, ("a", "b"), clips[:1], said[:1])
    with pytest.raises(FileError, match=alike):
        read_soft_targets(table, ("a", "b"), clips)
    written = table.read_text(encoding="utf-8")
    table.write_text(written + written.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(FileError, match="two rows of the same path, key and start"):
        read_soft_targets(table, ("a", "b"), clips[:1])
    table.write_text(written + "dog/2.wav,,0.000,0.5\n", encoding="utf-8")
    with pytest.raises(FileError, match="row 3 has not 5 values"):
        read_soft_targets(table, ("a", "b"), clips[:1])
