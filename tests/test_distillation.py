"""Distillation without labels: teachers, mixtures, lessons and their order, a student, and how wrong calls end."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml

from audioinceptionnext import load
from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.audioset import audioset_groups
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.unlabelled import read_recordings, with_labels
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import AinextError, FileError, ModelError, ParameterError
from audioinceptionnext.evaluation.thresholds import MULTI_LABEL_GRID
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.training.cross_validation import CrossValidation
from audioinceptionnext.training.distillation import name_labels
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.lessons import LessonLoader, LessonOrder, Lessons
from audioinceptionnext.training.mixtures import Mixer
from audioinceptionnext.training.onnx_teacher import OnnxTeacher, Teachers, open_teachers, resampled
from audioinceptionnext.training.optimiser import rate_factor
from audioinceptionnext.training.prepare import _open_lessons
from audioinceptionnext.training.recipe import Recipe, load_recipe
from audioinceptionnext.training.run_folder import FIGURES, LESSONS, RUN, TABLE, remove_run
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.splits import split_recordings
from tests.audio_files import sine, write_wav
from tests.command import ainext, last_line, refused
from tests.interrupted import interrupt_in_the_third_epoch
from tests.networks import LABELS
from tests.small_sounds import NETWORK, RATE, same, small_net, sound, weights

ALONE = Hardware(threads=1, implementation="matrix-products")
TINY: dict[str, Any] = {
    "network": "tiny",
    "network_settings": NETWORK,
    "clip_seconds": 0.64,
    "crops": [0.64, 0.96],
    "mixtures": 32,
    "batch_size": 8,
    "epochs": 4,
    "precision": "float32",
    "precise_bn": 2,
    "evaluate_every": 2,
    "learning_rate": 0.01,
    "ema": 0.9,
}
LENGTHS = (0.64, 0.96)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings at several depths, at two rates, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    (folder / "far" / "below").mkdir(parents=True)
    for number in range(6):
        place = folder / ("far/below", "far", ".")[number % 3] / f"{number}.wav"
        write_wav(place, sound(number % 2, rng.uniform(0.3, 1.5), rng), RATE)
    write_wav(folder / "far" / "high.wav", sine(3000, 1.0, 44_100), 44_100)
    (folder / "broken.wav").write_text("no sound")
    return folder


@pytest.fixture
def teacher(files: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Our own exported model with other metadata; None removes one."""

    def changed(name: str = "teacher.onnx", source: str = "dense", **metadata: str | None) -> Path:
        proto = onnx.load(files[source])
        stated = {item.key: item.value for item in proto.metadata_props} | metadata
        del proto.metadata_props[:]
        onnx.helper.set_model_props(proto, {key: value for key, value in stated.items() if value is not None})
        onnx.save(proto, tmp_path / name)
        return tmp_path / name

    return changed


def mixer(folder: Path, rate: int = RATE, **changes: Any) -> Mixer:
    recipe = load_recipe("distil", TINY | changes)
    clips = read_recordings(folder).clips
    return Mixer(Waveforms(clips, Reader(rate), max(LENGTHS) * 1.25, seed=recipe.seed), recipe)


def lessons_of(folder: Path, out: Path, teachers: str, **options: Any) -> Lessons:
    front = LogMel(RATE, 25, 10, 64)
    return Lessons(mixer(folder), Teachers(teachers), front, out, LENGTHS, **{"size": 4, "parts": 4} | options)


def run_of(root: Path, out: Path, teacher: Path, **changes: Any) -> Run:
    recipe = load_recipe("distil", TINY | {"teacher": str(teacher)} | changes)
    dataset = with_labels(read_recordings(root), LABELS)
    training, held_out = split_recordings(dataset, root, 0.3)
    return Run(dataset, training, held_out, out, recipe)


# --- Mixtures ---


def test_a_mixture_depends_on_the_seed_and_its_number_alone(recordings: Path) -> None:
    one, two = mixer(recordings), mixer(recordings)
    samples = round(LENGTHS[1] * RATE)
    forth = [one(index, samples) for index in range(12)]
    back = [two(index, samples) for index in reversed(range(12))]
    assert all(np.array_equal(a, b) for a, b in zip(forth, reversed(back), strict=True))
    assert len({waveform.tobytes() for waveform in forth}) == 12
    assert all(w.shape == (samples,) and w.dtype == np.float32 and 0 < np.abs(w).max() <= 1 for w in forth)
    assert not np.array_equal(mixer(recordings, seed=1)(0, samples), forth[0])


def test_levels_of_mixtures_are_spread(recordings: Path) -> None:
    make = mixer(recordings)
    levels = [20 * np.log10(np.sqrt(np.mean(make(index, 8000) ** 2))) for index in range(60)]
    assert min(levels) > -60 and max(levels) < -5 and np.ptp(levels) > 25


def test_held_out_mixtures_are_recordings_as_they_are(tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", sine(1000, 3.0, RATE), RATE)
    plain = Mixer(mixer(tmp_path).waveforms, load_recipe("distil"), augmented=False)
    spectrum = np.abs(np.fft.rfft(plain(3, RATE // 2)))
    assert spectrum.argmax() == 500 and spectrum[500] ** 2 > 0.999 * np.sum(spectrum**2)


def test_every_recording_plays_at_a_speed_that_is_the_slowest_and_the_fastest(tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", sine(1000, 3.0, RATE), RATE)
    quiet = {"equaliser_db": 0, "reverb_probability": 0, "noise_probability": 0, "gain_db": 0}
    spectrum = np.abs(np.fft.rfft(mixer(tmp_path, speed=[0.8, 0.8], **quiet)(0, RATE // 2)))
    assert spectrum.argmax() == 400


# --- Teachers and lessons ---


def test_lessons_hold_what_the_runtime_says_of_the_waveform_that_the_student_gets(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path
) -> None:
    path = teacher(sample_rate="24000")
    lessons = lessons_of(recordings, tmp_path / "lessons", f"{path},{path}")
    for number in (0, 1):
        part, waveforms = lessons.part(number), lessons.waveforms(number)
        assert waveforms.shape == (4, round(LENGTHS[number] * RATE))
        session = ort.InferenceSession(path)
        logits, features = session.run(["logits", "features"], {"waveform": waveforms})
        np.testing.assert_allclose(part["logits"], logits.mean(1), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(part["features"], np.tile(features.mean(1), 2), rtol=2e-3, atol=2e-3)
        log_mel = LogMel(RATE, 25, 10, 64)(torch.from_numpy(waveforms))[:, 0].numpy()
        frames = part["log_mel"].shape[1]
        assert frames == round(LENGTHS[number] * 100)
        np.testing.assert_allclose(part["log_mel"], log_mel[:, :frames], atol=0.01)


def test_a_teacher_gets_waveforms_at_its_own_rate(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path
) -> None:
    """A tone stays that tone at another rate, and two teachers of different rates answer side by side."""
    tone = sine(440, 1.0, RATE)[None]
    for rate in (16_000, 44_100):
        found = resampled(tone, RATE, rate)
        assert found.shape == (1, rate) and found.dtype == np.float32
        np.testing.assert_allclose(found[0, 500:-500], sine(440, 1.0, rate)[500:-500], atol=0.01)
    low, high = teacher("low.onnx", sample_rate="16000"), teacher("high.onnx", labels='["a", "b", "c"]')
    both = Teachers(f"{low},{high}")
    assert both.head.name == str(low) and len(both.channels) == 2
    said = both(tone, RATE)
    np.testing.assert_array_equal(said.logits, OnnxTeacher(str(low))(resampled(tone, RATE, 16_000)).logits)
    np.testing.assert_array_equal(said.features[:, both.channels[0] :], OnnxTeacher(str(high))(tone).features)


def test_lessons_are_made_once_and_a_damaged_file_is_made_again(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = lessons_of(recordings, tmp_path / "lessons", str(teacher()))
    first, log_mel = lessons.batch([0, 1, 2, 3]), lessons.batch([9, 2]).log_mel
    assert torch.equal(log_mel[1], first.log_mel[2])
    files = sorted((tmp_path / "lessons").iterdir())
    assert [file.name for file in files] == ["000000.npy", "000002.npy"]
    content = files[0].read_bytes()
    files[0].write_bytes(content[:-1])
    assert torch.equal(lessons.batch([0, 1, 2, 3]).log_mel, first.log_mel) and files[0].read_bytes() == content

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(Lessons, "_made", never)
    assert torch.equal(lessons.batch([0, 1, 2, 3]).logits, first.logits)


def test_batches_have_one_length_and_an_epoch_has_every_lesson(
    recordings: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    lessons = lessons_of(recordings, tmp_path, str(files["dense"]), parts=12, together=2)
    ranks = [LessonOrder(lessons, seed=3, rank=rank) for rank in (0, 1)]
    epochs = []
    for epoch in range(3):
        for order in ranks:
            order.set_epoch(epoch)
        drawn = [[draw.index for draw in order] for order in ranks]
        assert sorted(drawn[0] + drawn[1]) == list(range(48))
        for first in range(0, 24, 4):
            step = drawn[0][first : first + 4] + drawn[1][first : first + 4]
            assert len({lessons.crop(index // 4) for index in step}) == 1
        epochs.append(drawn)
    assert epochs[0][0][:8] == [0, 1, 2, 3, 8, 9, 10, 11] and epochs[0][1][:4] == [4, 5, 6, 7]
    assert epochs[1] != epochs[2]
    alone = LessonOrder(lessons_of(recordings, tmp_path, str(files["dense"]), size=8, parts=6), seed=3)
    alone.set_epoch(1)
    both = [draws[first : first + 4] for first in range(0, 24, 4) for draws in epochs[1]]
    assert [draw.index for draw in alone] == list(chain.from_iterable(both))


def test_an_error_while_a_lesson_is_made_ends_the_epoch(
    recordings: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "lessons").write_text("a file in the place of the folder")
    lessons = lessons_of(recordings, tmp_path / "lessons", str(files["dense"]))
    with pytest.raises(AinextError, match="cannot be written"):
        list(LessonLoader(lessons, LessonOrder(lessons, seed=0), threads=2))


# --- Recordings, and those held out ---


def test_a_recording_stays_on_its_side_while_a_collection_grows(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.wav").touch()
    training, held_out = split_recordings(read_recordings(tmp_path), tmp_path)
    assert len(training) + len(held_out) == 300 and 5 <= len(held_out) <= 30  # 15 are expected
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(tmp_path, moved)
    for number in range(300, 400):
        (moved / f"{number}.wav").touch()
    grown = split_recordings(read_recordings(moved), moved)[1]
    assert {clip.path.name for clip in held_out} == {c.path.name for c in grown if int(c.path.stem) < 300}
    assert split_recordings(read_recordings(tmp_path), tmp_path, 0)[1] == ()


def test_recordings_that_are_held_out_are_never_trained_on(recordings: Path) -> None:
    with pytest.raises(AinextError, match=r"^folder: no recording is left to train on; hold out fewer$"):
        split_recordings(read_recordings(recordings), recordings, 1.0)


def test_the_test_split_is_held_out_from_distillation_only_if_there_is_no_other(tmp_path: Path) -> None:
    for split, label in product(("train", "validation", "test"), ("dog", "cat")):
        (tmp_path / split / label).mkdir(parents=True)
        (tmp_path / split / label / "1.wav").touch()
    dataset = load_dataset("folder", tmp_path)

    def splits(chosen: str | None = None) -> list[set[str | None]]:
        return [{clip.split for clip in part} for part in split_recordings(dataset, tmp_path, split=chosen)]

    assert splits() == [{"train"}, {"validation"}]
    assert splits("train,validation") == [{"train", "validation"}, {"test"}]


def test_one_recording_at_least_is_held_out(recordings: Path) -> None:
    training, held_out = split_recordings(read_recordings(recordings), recordings, 0.001)
    assert (len(training), len(held_out)) == (7, 1)


# --- The student ---


def test_a_student_learns_from_one_of_our_own_models_by_one_command(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path
) -> None:
    """The teacher is of one label at a time, and another one has features alone."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({"like": "distil"} | TINY | {"epochs": 6, "evaluate_every": 1}))
    out = tmp_path / "run"
    found = ainext(
        "train", "--recipe", tmp_path / "tiny.yaml", "--teacher", teacher(), "--data", "folder", "--root", recordings,
        "--hold-out", 0.3, "--threads", 1, "--out", out,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert "left out: " in found.err and "broken.wav" in found.err
    assert "held-out mixtures: KL" in found.out and f"{out / 'model.onnx'}" in found.out
    model = load(out / "model.onnx")
    assert model.labels == LABELS and model.metadata["kind"] == "single-label" and model.metadata["mode"] == "dense"
    assert load_model(out / "model.safetensors").thresholds is None
    figures = json.loads((out / FIGURES).read_text())
    with next(out.glob("log/version_*/metrics.csv")).open() as file:
        held_out = [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    assert len(held_out) == 6 and figures["kl"] < 0.7 * held_out[0]
    with (out / TABLE).open(encoding="utf-8", newline="") as table:
        assert [row["label"] for row in csv.DictReader(table)] == list(LABELS)
    assert "holds a finished run" in refused(
        "train", "--recipe", "distil", "--teacher", teacher(), "--data", "folder", "--root", recordings, "--out", out
    )


def test_a_student_begins_with_the_mean_answer_of_its_teacher_and_gets_identifiers_and_thresholds(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path
) -> None:
    identifiers = ("/m/0bt9lr", "/m/05tny_", "/m/09x0r")  # AudioSet's
    path = teacher(kind="multi-label", identifiers=json.dumps(identifiers))
    made = train(run_of(recordings, tmp_path / "run", path, epochs=1, learning_rate=0.0), hardware=ALONE)
    assert made is not None
    model = load_model(made)
    assert model.multi_label and model.identifiers == identifiers
    assert model.groups == audioset_groups(LABELS, identifiers) and "Animal" in model.groups
    assert model.thresholds is not None
    halves = np.array(model.thresholds) * 200  # the middle of several that are as good lies on the grid or between two
    np.testing.assert_allclose(halves, halves.round())
    assert MULTI_LABEL_GRID[0] <= min(model.thresholds) and max(model.thresholds) <= MULTI_LABEL_GRID[-1]
    parts = [[np.load(file)["logits"] for file in place.iterdir()] for place in (tmp_path / "run" / LESSONS).iterdir()]
    held_out, training = sorted(parts, key=len)
    assert len(held_out) == 2 and len(training) == 4
    wanted = np.maximum(np.concatenate(training).astype(float), -9).mean(0)
    np.testing.assert_allclose(weights(made)["classifier.bias"], wanted, rtol=1e-3)


def test_a_resumed_run_is_the_same(
    recordings: Path, teacher: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = teacher(kind="multi-label")
    whole = train(run_of(recordings, tmp_path / "whole", path), hardware=ALONE)
    run = run_of(recordings, tmp_path / "stopped", path)
    interrupt_in_the_third_epoch(run, ALONE, monkeypatch)
    shutil.rmtree(run.out / LESSONS)  # they are made again, and are the same
    resumed = train(run, resume=True, hardware=ALONE)
    assert whole is not None and resumed is not None
    assert same(weights(resumed), weights(whole))
    teacher(kind="single-label")  # another file of the same name
    with pytest.raises(FileError, match="the run was started with teachers"):
        train(run, resume=True, hardware=ALONE)


def test_another_run_reads_the_lessons_of_the_first_and_goes_on_from_its_weights(
    recordings: Path, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Hardware(threads=1, implementation="matrix-products", cache=tmp_path / "cache")
    first = train(run_of(recordings, tmp_path / "a", files["dense"], epochs=1), hardware=cached)
    assert not (tmp_path / "a" / LESSONS).exists()
    monkeypatch.setattr(Lessons, "_made", None)  # none is made
    again = run_of(
        recordings, tmp_path / "b", files["dense"], epochs=1, learning_rate=0.0, ema=0.0, network_settings={}
    )
    again = Run(again.dataset, again.training, again.held_out, again.out, again.recipe, str(first))
    second = train(again, hardware=cached)
    assert first is not None and second is not None
    learnt = {key: value for key, value in weights(first).items() if "running" not in key and "batches" not in key}
    assert same({key: weights(second)[key] for key in learnt}, learnt)


def test_lessons_of_recordings_in_another_folder_are_others(
    recordings: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """The number of recordings in a folder decides how often a mixture takes one of them."""
    moved = tmp_path / "moved"
    shutil.copytree(recordings, moved)
    (moved / "far" / "far").mkdir()
    (moved / "far" / "high.wav").rename(moved / "far" / "far" / "high.wav")
    model, teachers, names = StoredModel(small_net(3), LABELS), Teachers(str(files["dense"])), []
    for root in (recordings, moved, recordings):
        run = run_of(root, tmp_path / "run", files["dense"])
        clips = sorted(run.training + run.held_out, key=lambda clip: clip.path.name)
        run = replace(run, training=clips, held_out=())
        lessons, held_out = _open_lessons(
            run, model, teachers, ALONE, 1, lambda c, rate, s: Waveforms(c, Reader(rate), s)
        )
        assert held_out is None
        names.append(lessons.folder.name)
    assert names[0] == names[2] != names[1]


def test_the_rate_is_constant_and_falls_at_the_end() -> None:
    recipe = Recipe(schedule="constant", epochs=10, decay=0.2, warmup=0.1)
    factors = [rate_factor(recipe, step, 10) for step in range(100)]
    assert factors[:10] == [(step + 1) / 10 for step in range(10)] and set(factors[10:80]) == {1.0}
    assert factors[80:] == [(100 - step) / 20 for step in range(80, 100)]


# --- Wrong calls ---


@pytest.mark.parametrize(
    ("metadata", "source", "reason"),
    [
        ({"sample_rate": None}, "dense", "its metadata do not state sample_rate"),
        ({"sample_rate": '"fast"'}, "dense", "its metadata do not state sample_rate"),
        ({"labels": None}, "dense", "its metadata do not state labels"),
        ({"labels": "5"}, "dense", "its metadata do not state labels"),
        ({"identifiers": "x"}, "dense", "its metadata do not state identifiers"),
        ({"identifiers": "[1, 2, 3]"}, "dense", "its metadata do not state identifiers"),
        ({"identifiers": '["/m/09x0r"]'}, "dense", "its metadata have 1 identifier, but one is for each label"),
        ({"kind": None}, "dense", "do not state its kind, which is multi-label or single-label"),
        ({"labels": '["a"]'}, "dense", "its logits are of 3 labels, but its metadata name 1"),
        ({}, "log-mel", "it takes log_mel; a teacher takes a waveform"),
        ({"tasks": '{"verb": 1, "noun": 2}'}, "dense", "labels belong to several tasks"),
    ],
)
def test_what_is_no_teacher_is_told(
    teacher: Callable[..., Path], metadata: dict[str, str | None], source: str, reason: str
) -> None:
    path = teacher(source=source, **metadata)
    with pytest.raises(ModelError, match=reason) as raised:
        OnnxTeacher(str(path))
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_a_teacher_is_tried_with_the_shortest_waveform_that_it_gets(
    teacher: Callable[..., Path], tmp_path: Path
) -> None:
    """This one takes whole seconds."""
    whole = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18]>
        whole (float[batch, samples] waveform) => (float[batch, steps, 8000] features)
        {
            shape = Constant <value_ints = [1, -1, 8000]> ()
            features = Reshape(waveform, shape)
        }"""
    )
    onnx.helper.set_model_props(whole, {"sample_rate": "8000"})
    onnx.save(whole, tmp_path / "whole.onnx")
    names = f"{teacher()},{tmp_path / 'whole.onnx'}"
    assert open_teachers(load_recipe("distil", {"teacher": names})).channels[1] == 8000
    with pytest.raises(ModelError, match=r"whole.onnx: it gives nothing for 0.5 s of silence: \S"):
        open_teachers(load_recipe("distil", {"teacher": names, "crops": [0.5, 2.4]}))


def test_a_file_with_other_outputs_is_no_teacher(files: dict[str, Path], tmp_path: Path) -> None:
    proto = onnx.load(files["dense"])
    kept = [output for output in proto.graph.output if output.name in ("probabilities", "features")]
    del proto.graph.output[:]
    proto.graph.output.extend(kept[:1])
    onnx.save(proto, tmp_path / "no.onnx")
    with pytest.raises(ModelError, match="it gives probabilities; a teacher gives logits, features or both"):
        OnnxTeacher(str(tmp_path / "no.onnx"))
    proto.graph.output.extend(kept[1:])
    onnx.save(proto, tmp_path / "features.onnx")
    with pytest.raises(ParameterError, match="1 teacher without logits"):
        Teachers(str(tmp_path / "features.onnx"))
    both = Teachers(f"{tmp_path / 'features.onnx'},{files['dense']}")
    assert both.head.name == str(files["dense"]) and both.each[0].labels == ()


def test_the_labels_of_a_run_are_those_of_the_teacher(recordings: Path, files: dict[str, Path], tmp_path: Path) -> None:
    run = run_of(recordings, tmp_path / "run", files["dense"])
    others = with_labels(run.dataset, ("a", "b"))
    with pytest.raises(ParameterError, match=r"the 2 labels of the run are not those of the teacher"):
        train(Run(others, run.training, run.held_out, run.out, run.recipe), hardware=ALONE)


def test_a_cross_validation_of_mixtures_is_refused(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="mixtures of recordings belong to no fold; train a single run"):
        CrossValidation(read_recordings(recordings), tmp_path, load_recipe("distil"))


def test_identifiers_of_another_list_than_audioset_make_no_groups() -> None:
    model = StoredModel(small_net(3), LABELS)
    for identifiers in (("/m/1", "/m/2", "/m/3"), ()):
        model.groups = {"old": LABELS}
        name_labels(model, SimpleNamespace(identifiers=identifiers))  # type: ignore[arg-type]
        assert model.identifiers == identifiers and model.groups == {}


def test_removing_a_run_removes_its_lessons_alone(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text('{"recipe": {}}')
    for name in ("0123456789abcdef", "mine"):
        (tmp_path / LESSONS / name).mkdir(parents=True)
        (tmp_path / LESSONS / name / "000000.npy").touch()
    (tmp_path / TABLE).touch()
    remove_run(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npy")] == [f"{LESSONS}/mine/000000.npy"]
    assert not (tmp_path / TABLE).exists()


def test_wrong_calls_end_with_one_line(recordings: Path, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    start = ("train", "--recipe", "distil", "--data", "folder", "--out", tmp_path / "run")
    taught = (*start, "--teacher", files["dense"], "--root")
    assert "no audio or video files in this folder" in refused(*taught, tmp_path / "empty")
    assert "no such folder" in refused(*taught, tmp_path / "none")
    assert "--teacher: this recipe learns from teachers" in refused(*start, "--root", recordings)
    assert "none.onnx: no such file" in refused(*start, "--root", recordings, "--teacher", "none.onnx")
    assert "not an ONNX model" in refused(*start, "--root", recordings, "--teacher", recordings / "broken.wav")
    for setting in ("mixup=0.2", "linear_start=True", "trial_share=0.1"):
        refusal = last_line(*taught, recordings, "--set", setting)
        assert f"{setting}: mixtures that a teacher labels do not" in refusal
    assert "--per-class 3: without labels there are no classes" in refused(*taught, recordings, "--per-class", 3)
    few = last_line(*taught, recordings, "--set", "mixtures=9")
    assert "mixtures=9: give at least a batch of each of the 2 lengths, 128" in few
    assert not (tmp_path / "run").exists()
