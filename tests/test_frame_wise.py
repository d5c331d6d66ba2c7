"""Training on annotated segments: targets and stretches, learning, the exported model's segments, refusals."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import h5py
import numpy as np
import pytest
import torch

from audioinceptionnext import load
from audioinceptionnext.audio import decode
from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.data.annotated import (
    Stretch,
    annotated_recordings,
    by_recording,
    check_apart,
    places,
    step_targets,
    tiles,
)
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import Draw
from audioinceptionnext.data.waveforms import Batch, Item, Waveforms, collate
from audioinceptionnext.errors import AinextError, ParameterError
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.results.segmentation import find_segments, step_bounds
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training import frame_wise
from audioinceptionnext.training.cross_validation import CrossValidation
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import as_yaml, load_recipe
from audioinceptionnext.training.run_folder import BEST, LAST, MODEL
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.splits import split_clips
from examples.stand_in import POSITION_COLUMNS, sound, write_epic_sounds, write_epic_sounds_of_real_size
from tests.annotated_scenes import RATE, STEPS, run_of, write_scenes
from tests.audio_files import write_wav
from tests.command import ainext, plain, python, refused
from tests.data_files import write_list
from tests.interrupted import interrupt_in_the_third_epoch
from tests.small_sounds import LABELS, NETWORK, content, quick, same, weights

STEP = 0.16
ALONE = Hardware(threads=1, implementation="matrix-products")
SHARP = SegmentationSettings(0.5, 0.5, smoothing=0, min_duration=0, merge_gap=0)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes")


# --- Targets and stretches ---


def test_steps_that_say_what_the_targets_say_give_the_segments_back() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        rows, ends = [], [0.0, 0.0]
        for _ in range(12):
            label = int(rng.integers(2))
            start = ends[label] + rng.uniform(2 * STEP, 2)
            ends[label] = start + rng.uniform(0.2, 3)
            rows.append((start, ends[label], label))
        duration = max(ends) + rng.uniform(0, 1)
        bounds = step_bounds(int(np.ceil(duration / STEP - 1e-9)), STEP, STEP, duration)
        assert bounds[:3] == pytest.approx([0, STEP, 2 * STEP])  # step i begins at i steps
        targets = step_targets(np.array(rows), bounds, 2)
        found = find_segments(targets, STEP, STEP, duration, LABELS, SHARP)
        assert np.abs(rows_of(found) - in_order(rows))[:, 1:].max() <= STEP / 2 + 1e-6


def rows_of(segments: Sequence[Segment]) -> np.ndarray:
    return in_order([(one.start, one.end, LABELS.index(one.label)) for one in segments])


def in_order(rows: Any) -> np.ndarray:
    """Start, end and label of segments as label, start and end, by label and start."""
    return np.array(sorted((label, start, end) for start, end, label in np.asarray(rows).tolist()))


def test_overlapping_segments_of_one_class_count_once_and_those_of_two_both() -> None:
    segments = np.array([[0.0, 0.3, 1], [0.1, 0.2, 1], [0.15, 0.25, 0]])
    found = step_targets(segments, np.array([0.0, 0.1, 0.2, 0.3, 0.3]), 3)
    assert found == pytest.approx(np.array([[0, 1, 0], [0.5, 1, 0], [0.5, 1, 0], [0, 0, 0]]), abs=1e-6)
    assert not step_targets(np.zeros((0, 3)), np.array([0.0, 1.0]), 2).any()


def test_stretches_cover_a_recording() -> None:
    rows = np.array([[0.0, 25.0, 0], [9.0, 11.0, 1], [24.0, 30.0, 2]])
    recording = Stretch(Clip(Path("a.wav"), -1, end=25.0), rows)
    cut = tiles(recording, 10)
    assert [(tile.clip.start, tile.clip.end) for tile in cut] == [(0, 10), (10, 20), (20, 25)]
    assert [tile.segments[:, 2].tolist() for tile in cut] == [[0, 1], [0, 1], [0, 2]]
    for seconds in (0.5, 3, 10, 14, 17, 24.9):
        drawn = places(recording, seconds)
        assert len(drawn) == round(25 / seconds) or len(drawn) == 1
        assert drawn[0].clip.start == 0 and drawn[-1].clip.end == 25
        assert all((place.clip.end or 0) - place.clip.start >= seconds for place in drawn)
        assert all(
            (a.clip.end or 0) >= b.clip.start + seconds - 1e-9 for a, b in pairwise(drawn)
        )  # no stretch is missed
    short = Stretch(replace(recording.clip, end=1.0), rows[:1])
    assert [s.clip.end for s in (*places(short, 10), *tiles(short, 10))] == [1, 1]


def detector_of(stretches: list[Stretch], **changes: Any) -> frame_wise.FrameWiseDetector:
    recipe = quick(**STEPS | changes)
    torch.manual_seed(0)
    parts = frame_wise.Stretches(stretches, stretches, np.array([0.1, 0.2]))
    return frame_wise.FrameWiseDetector(parts, build_initial_model(LABELS, recipe), recipe, 10)


@pytest.mark.parametrize("keep", ["nothing", "memory"])
def test_a_drawn_stretch_has_the_targets_of_where_it_was_cut(keep: Any, tmp_path: Path) -> None:
    """The samples of the recording tell where they are from; so does an event that is sounding there."""
    time = np.arange(10 * RATE) / RATE
    path = write_wav(tmp_path / "ramp.wav", time / 10, RATE)
    recording = annotated_recordings([Clip(path, 1, 4.0, 6.5), Clip(path, 0, 5.0, None)], Reader(RATE))[0]
    assert recording.segments.tolist() == [[4.0, 6.5, 1], [5.0, 10.0, 0]]
    stretches = places(recording, 2.56)
    waveforms = Waveforms([s.clip for s in stretches], Reader(RATE), 2.56, seed=3, keep=keep)
    draws = [Draw(epoch, index) for epoch in range(3) for index in range(len(stretches))]
    items = [waveforms[draw] for draw in draws]
    batch = collate(items)
    targets = detector_of(stretches).targets(batch, stretches, 2.56)
    assert targets.shape == (len(draws), 16, 3) and bool((targets[..., 2] == 1).all())
    seen = set()
    for item, found in zip(items, targets, strict=True):
        assert isinstance(item, Item)
        bounds = 10 * float(item.waveform[0]) + STEP * np.arange(17)
        assert found[:, :2].numpy() == pytest.approx(step_targets(recording.segments, bounds, 2), abs=0.005)
        seen.add(round(float(item.waveform[0]), 3))
    assert len(seen) > 8  # other places in each epoch
    again = collate([Waveforms([s.clip for s in stretches], Reader(RATE), 2.56, seed=3, keep=keep)[d] for d in draws])
    assert torch.equal(again.waveforms, batch.waveforms)


def test_steps_after_the_end_of_a_recording_do_not_count() -> None:
    length = round(1.0 * RATE)  # 6.25 steps of 16
    stretches = [Stretch(Clip(Path("a.wav"), -1, end=1.0), np.array([[0.5, 9.0, 1]]))] * 2
    noise = 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(2)
    lengths = torch.full((2,), length)
    starts = torch.zeros(2).long()
    batch = Batch(noise, lengths, -torch.ones(2).long(), numbers, [], lengths, starts=starts)
    module = detector_of(stretches)
    targets = module.targets(batch, stretches, 2.56)
    assert targets[0, :, 2].tolist() == [1.0] * 7 + [0.0] * 9
    assert targets[0, :7, 1].tolist() == pytest.approx([0, 0, 0, 0.875, 1, 1, 1])
    x, mixed = module._inputs(batch)
    logits = module.logits(x)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :7], mixed[:, :7, :2], reduction="none")
    per_row, count = module._losses(x, mixed, 2)
    assert count.tolist() == [7, 7] and torch.allclose(per_row, wanted.sum(2).mean(1))
    # With mixup, only steps in which both recordings last count.
    halved = torch.cat([mixed[..., :2], mixed[..., 2:] * torch.tensor([[[1.0]] * 3 + [[0.7]] * 13])], dim=2)
    assert module._losses(x, halved, 2)[1].tolist() == [3, 3]


def test_a_fresh_linear_layer_starts_from_the_shares() -> None:
    net = detector_of([]).net
    frame_wise.start_from_shares(net, np.array([0.25, 0.0]))
    assert torch.sigmoid(net.classifier.bias).tolist() == pytest.approx([0.25, frame_wise.RAREST])
    frame_wise.start_from_shares(net, np.array([0.5, 0.5]))
    assert torch.sigmoid(net.classifier.bias).tolist() == pytest.approx([0.25, frame_wise.RAREST])  # it has learnt


# --- Training ---


@pytest.fixture(scope="module")
def of_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a model of steps that has learnt nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("steps") / "model.safetensors"
    save_model(build_initial_model(LABELS, quick(**STEPS)), path)
    return path


def test_training_on_a_list_finds_the_segments_again(scenes: Path, tmp_path: Path) -> None:
    recipe = quick(**STEPS, epochs=12, evaluate_every=3, learning_rate=0.01, gain_db=3)
    (tmp_path / "mine.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    run = tmp_path / "run"
    arguments = ("--data", "csv", "--root", scenes, "--recipe", tmp_path / "mine.yaml", "--threads", 1)
    trained = ainext("train", *arguments, "--out", run)
    assert trained.code == 0, trained.err
    assert "mAP of the steps" in plain(trained.out) and "2 held-out recordings" in plain(trained.out)
    assert not (run / "report").exists()
    with next(run.glob("log/version_*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows if row["loss"]]
    curve = [float(row["frame_map"]) for row in rows if row["frame_map"]]
    assert losses[-1] < 0.6 * losses[0] and len(curve) == 4

    stored = load_model(run / MODEL)
    assert (stored.mode, stored.multi_label, stored.labels) == ("dense", True, LABELS)
    assert (stored.clip_seconds, stored.net.config.clip_frames) == (STEP, 32)
    figures = json.loads((run / "figures.json").read_text())
    held_out = split_clips(load_dataset("csv", scenes))[1]
    assert (figures["recordings"], figures["segments"], figures["unreadable"]) == (2, len(held_out), [])
    assert figures["frame_map"] > 90 and figures["frame_map"] == pytest.approx(curve[-1], abs=5)
    scored = ainext("evaluate", *arguments[:4], "--split", "validation", "--model", run / "model.onnx", "--json")
    assert scored.code == 0 and scored.json == figures
    model = load(run / "model.onnx")
    assert (model.window_seconds, model.step_seconds) == (STEP, STEP)
    for recording in annotated_recordings(held_out, Reader(RATE)):
        settings = SegmentationSettings(0.5, 0.5, smoothing=0, min_duration=0.2, merge_gap=0.2)
        whole, true = model.predict(recording.clip.path, settings=settings), in_order(recording.segments)
        found = rows_of(whole.segments)
        assert found[:, 0].tolist() == true[:, 0].tolist()
        errors = np.abs(found - true)[:, 1:]
        assert np.median(errors) <= STEP / 2 and np.mean(errors <= STEP) >= 0.8
        # A stream gives the same: a step sees what surrounds it there, too.
        stream, waveform = Stream(model, settings=settings), decode.read(recording.clip.path, RATE)
        steps = [step for block in np.array_split(waveform, 70) for step in stream.push(block)] + stream.finish()
        assert np.stack([step.probabilities for step in steps]) == pytest.approx(whole.probabilities, abs=0.05)
        live = rows_of([segment for step in steps for segment in step.segments])
        assert live[:, 0].tolist() == found[:, 0].tolist() and np.abs(live - found).max() <= STEP + 1e-6


def test_a_resumed_run_is_the_same(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"epochs": 3, "mixup": 0.3, "crops": [1.28, 2.56], "keep": "best", "ema": 0.5}
    whole = train(run_of(scenes, tmp_path / "whole", **settings), hardware=ALONE)
    run = run_of(scenes, tmp_path / "stopped", **settings)
    interrupt_in_the_third_epoch(run, ALONE, monkeypatch)
    assert content(run.out / LAST)["epoch"] == 1
    resumed = train(run, resume=True, hardware=ALONE)
    assert whole is not None and resumed is not None
    assert same(weights(resumed), weights(whole))
    best = content(run.out / BEST)  # chosen by the figure of the steps
    assert same({f"average.module.{key}": value for key, value in weights(resumed).items()}, _average(best))


def _average(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in checkpoint["state_dict"].items() if key.startswith("average.module.")}


TWO = """
import sys
from pathlib import Path
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from tests.annotated_scenes import run_of
run = run_of(Path(sys.argv[1]), Path(sys.argv[2]), epochs=1, batch_size=2)
train(run, hardware=Hardware(devices=2, threads=1, implementation="convolutions"))
"""


@pytest.mark.skipif(
    sys.platform == "win32" or not torch.distributed.is_available(), reason="gloo processes on Linux and macOS"
)
def test_two_processes_give_the_weights_of_one(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO, encoding="utf-8")
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    assert python(tmp_path / "two.py", scenes, tmp_path / "two", PYTHONPATH=path).code == 0
    hardware = Hardware(threads=1, implementation="convolutions")
    one = train(run_of(scenes, tmp_path / "one", epochs=1, batch_size=4), hardware=hardware)
    assert one is not None
    both = weights(one), weights(tmp_path / "two" / MODEL)
    assert all(torch.allclose(both[0][key], both[1][key], rtol=1e-3, atol=1e-4) for key in both[0])


def test_epic_sounds_from_weights_of_clips(tmp_path: Path) -> None:
    dataset = load_dataset("epic-sounds", write_epic_sounds(tmp_path / "epic", train=1, validation=1, test=1, videos=2))
    torch.manual_seed(0)
    before = StoredModel(create_model("tiny", 44, **NETWORK), dataset.labels)
    torch.nn.init.ones_(before.net.classifier.bias)
    save_model(before, tmp_path / "clips.safetensors")
    changes = {"epochs": 1, "crops": [5.12], "precision": "float32"}
    recipe = load_recipe("epic-sounds-detect", changes)
    run = Run(dataset, *split_clips(dataset), tmp_path / "run", recipe, str(tmp_path / "clips.safetensors"))
    path = train(run, hardware=ALONE)
    assert path is not None
    model = load_model(path)
    assert model.multi_label and model.clip_seconds == 0.16 and model.labels == dataset.labels
    own, kept = before.net.state_dict(), model.net.state_dict()
    changed = {key for key in own if not torch.equal(own[key], kept[key])}
    assert changed == {"classifier.weight", "classifier.bias"}  # head_epochs: the body is frozen in the first epoch
    assert float(torch.sigmoid(kept["classifier.bias"]).max()) < 0.3  # fresh, from the shares, where ones were
    with next(run.out.glob("log/version_*/metrics.csv")).open() as file:
        assert any(0 < float(row["frame_map"]) < 100 for row in csv.DictReader(file) if row["frame_map"])


def test_the_stand_in_of_real_size_has_every_row_and_sums_what_overlaps(tmp_path: Path) -> None:
    header = (*POSITION_COLUMNS, "description", "class", "class_id")
    rows = [
        ("P09_1_0", "P09", "P09_1", "00:00:00.500", "00:00:02.000", 12_000, 48_000, "", "rustle", 4),
        ("P09_1_1", "P09", "P09_1", "00:00:01.000", "00:00:01.500", 24_000, 36_000, "", "zip", 42),
        ("P09_2_0", "P09", "P09_2", "00:00:00.000", "00:00:00.500", 0, 12_000, "", "zip", 42),
    ]
    write_list(tmp_path / "lists" / "EPIC_Sounds_validation.csv", header, *rows)
    first, second = (
        write_epic_sounds_of_real_size(tmp_path / name, tmp_path / "lists", train=1, videos=2) for name in "ab"
    )
    dataset = load_dataset("epic-sounds", first)
    training, held_out = split_clips(dataset)
    assert not dataset.problems and len(training) == 44
    assert [(c.group, c.start, c.end, c.label) for c in held_out] == [
        ("P09_1", 0.5, 2.0, 4), ("P09_1", 1.0, 1.5, 42), ("P09_2", 0.0, 0.5, 42)
    ]  # fmt: skip
    parts = annotated_recordings(training, Reader(24_000))
    assert any(step_targets(p.segments, np.arange(0, 60, 0.1), 44).sum(axis=1).max() > 1.5 for p in parts)
    recordings = []
    for folder in (first, second):
        with h5py.File(folder / "EPIC_audio.hdf5", "r", locking=False) as file:
            recordings.append({name: file[name][:] for name in file})
    assert sorted(recordings[0]) == ["P00_01", "P00_02", "P09_1", "P09_2"]
    assert all(np.array_equal(samples, recordings[1][name]) for name, samples in recordings[0].items())
    assert recordings[0]["P09_1"].dtype == np.int16
    alone = [
        sound(2, label, crc32(name.encode()), s, 24_000)
        for label, name, s in ((4, "P09_1_0", 1.5), (42, "P09_1_1", 0.5))
    ]
    rest = recordings[0]["P09_1"][12_000:48_000] / 32767 - alone[0]
    rest[12_000:24_000] -= alone[1]
    assert rest.std() == pytest.approx(0.003, rel=0.05)  # only the noise of the recording is left


# --- What cannot be read or used ---


def test_a_run_goes_on_without_what_it_cannot_read_and_says_so(tmp_path: Path) -> None:
    """Also where no class is active in any step that is scored, so that there is no precision."""
    root = write_scenes(tmp_path / "scenes")
    lines = (root / "meta.csv").read_text().splitlines()
    for number, line in enumerate(lines):
        path, start, _, label, split = line.split(",")
        if split == "validation":
            lines[number] = f"{path},{start},{float(start) + 0.03:.3f},{label},{split}"
    (root / "meta.csv").write_text("\n".join([*lines, "1.wav,5.0,4.0,hiss,train"]) + "\n")
    for damaged in ("0.wav", "7.wav"):
        (root / damaged).write_bytes(b"no sound " * 100)
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(**STEPS, epochs=1)), encoding="utf-8")
    arguments = ("--data", "csv", "--root", root, "--recipe", tmp_path / "mine.yaml", "--threads", 1)
    found = ainext("train", *arguments, "--out", tmp_path / "run")
    assert found.code == 0, found.err
    (warning,) = (line for line in found.err.splitlines() if line.startswith("ainext: warning: "))
    assert f"1 problem in the data set, e.g. {root / 'meta.csv'}: line {len(lines) + 1}: " in warning
    assert warning.endswith("; where a segment is missing, training takes its recording as silent")
    for start, name in (("left out: ", "0.wav"), ("not scored: ", "7.wav"), ("ainext: ", "7.wav")):
        assert any(line.startswith(f"{start}{root / name}: ") for line in found.err.splitlines())
    text = (tmp_path / "run" / "figures.json").read_text()
    figures = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert figures["recordings"] == 1 and figures["frame_map"] is None and figures["per_class"] == {}
    assert [Path(reason.partition(": ")[0]).name for reason in figures["unreadable"]] == ["7.wav"]
    scored = ainext("evaluate", *arguments[:4], "--split", "validation", "--model", tmp_path / "run" / "model.onnx")
    assert scored.code == 1 and "on 1 recording (0.00 hours)" in plain(scored.out)
    assert "7.wav" in scored.err


def test_too_many_recordings_that_cannot_be_read_stop_a_run(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    dataset = load_dataset("csv", root)
    training, held_out = split_clips(dataset)

    def cut() -> frame_wise.Stretches:
        return frame_wise.cut(dataset, training, held_out, Reader(RATE), quick(**STEPS))

    whole = cut()
    (root / "0.wav").write_bytes(b"no sound " * 100)
    assert {s.clip.path for s in whole.training} - {s.clip.path for s in cut().training} == {root / "0.wav"}
    (root / "1.wav").write_bytes(b"no sound " * 100)
    with pytest.raises(AinextError, match=r"^2 of 6 recordings cannot be read, e\.g\. .*0\.wav"):
        cut()
    assert frame_wise.too_many(1, 1) and not frame_wise.too_many(49, 495) and frame_wise.too_many(50, 495)
    root = write_scenes(tmp_path / "others")
    training, held_out = split_clips(load_dataset("csv", root))
    for damaged in ("6.wav", "7.wav"):
        (root / damaged).write_bytes(b"no sound " * 100)
    with pytest.raises(AinextError, match=r"^2 of 2 held-out recordings cannot be read, e\.g\. .*6\.wav"):
        cut()


def test_the_stretches_of_one_damaged_recording_do_not_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header says how long it should be, and only a later part is damaged."""
    clips = [Clip(Path(name), -1, start, start + 2) for name in ("a.wav", "b.wav", "c.wav") for start in (0, 2)]
    recipe = quick(**STEPS)
    parts = frame_wise.Stretches([], [], np.zeros(2))
    module = frame_wise.FrameWiseDetector(parts, build_initial_model(LABELS, recipe), recipe, 1, clips=clips)
    printed: list[str] = []
    monkeypatch.setattr(module, "print_line", printed.append)
    batch = collate([])
    module._note_unreadable(batch._replace(failures=[(0, "a.wav: damaged"), (1, "a.wav: damaged")]))
    assert printed == ["left out: a.wav: damaged"] * 2
    with pytest.raises(AinextError, match=r"^2 of 3 recordings cannot be read: a\.wav: damaged; c\.wav"):
        module._note_unreadable(batch._replace(failures=[(4, "c.wav: damaged")]))


# --- What is refused ---


@pytest.mark.parametrize(
    "options",
    [
        ("--eval-clips", 2), ("--predictions", "p.csv"), ("--calibrate",), ("--report", "report"), ("--leak-free",),
        ("--unseen-sources",), ("--resamples", 10),
    ],
)  # fmt: skip
def test_options_of_clips_are_not_for_models_of_steps(
    scenes: Path, of_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[Any, ...]
) -> None:
    root = write_list(
        tmp_path / "meta.csv", ("path", "start", "end", "label", "group"), (scenes / "0.wav", 0.5, 1, "hiss", "one"),
        (scenes / "1.wav", 0.5, 1, "whistle", "two"), *((scenes / f"{n}.wav", 1, 2, "hiss", n) for n in range(2, 6)),
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = of_steps.read_bytes()
    message = refused("evaluate", "--data", "csv", "--root", root, "--model", of_steps, *options)
    assert message.startswith(f"ainext: {options[0]}") and "leave it out: " in message
    assert "was trained on steps and is scored on whole recordings" in message
    assert of_steps.read_bytes() == before and not (tmp_path / "p.csv").exists()


def test_a_temperature_is_not_fitted_to_a_multi_label_model(scenes: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "several.safetensors"
    save_model(StoredModel(create_model("tiny", 2, **NETWORK), LABELS, multi_label=True), path)
    before = path.read_bytes()
    message = refused("evaluate", "--data", "csv", "--root", scenes, "--model", path, "--calibrate")
    assert message.startswith("ainext: --calibrate: ") and f"{path} is multi-label" in message
    assert path.read_bytes() == before


def test_a_recording_must_not_be_scored_in_part(scenes: Path, of_steps: Path, tmp_path: Path) -> None:
    rows = [(scenes / "0.wav", 0.5, 1, "hiss", "train"), (scenes / "0.wav", 2, 3, "whistle", "validation")]
    root = write_list(tmp_path / "meta.csv", ("path", "start", "end", "label", "split"), *rows)
    message = refused("evaluate", "--data", "csv", "--root", root, "--split", "validation", "--model", of_steps)
    assert "1 recording with segments" in message


def test_a_model_of_clips_does_not_get_clips_of_one_step(of_steps: Path) -> None:
    recipe = quick(clip_seconds=None, network_settings={})
    with pytest.raises(ParameterError, match=r"^clip_seconds: a clip of these weights is one step of 0\.16 s; give"):
        build_initial_model(LABELS, recipe, str(of_steps))
    model = build_initial_model(LABELS, replace(recipe, clip_seconds=0.64), str(of_steps))
    assert (model.clip_seconds, model.net.config.clip_frames, model.multi_label) == (0.64, 128, False)
    assert build_initial_model(LABELS, quick(**STEPS, network_settings={}), str(of_steps)).clip_seconds == STEP


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"speed": (0.9, 1.1)}, "speed is (0.9, 1.1): targets of steps do not go with it; it has to be (1, 1)"),
        ({"shift_seconds": 0.1}, "shift_seconds is 0.1: targets of steps do not go with it; it has to be 0"),
        ({"time_warp": 5}, "time_warp is 5"),
        ({"background_share": 0.2}, "background_share"),
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1"),
        ({"sampling": "balanced"}, "sampling is balanced: targets of steps do not go with it; it has to be uniform"),
        ({"teacher": "kitchen20"}, "teacher is kitchen20: targets of steps do not go with it; leave it out"),
        ({"eval_clips": 2}, "eval_clips is 2"),
        ({"crops": ()}, "crops: targets of steps need the length of the stretches"),
        ({"clip_seconds": 2.08}, "clip_seconds is 2.08: with targets of steps, a clip is one step of 0.16 s"),
        ({"network": "ast", "network_settings": {"layers": 1}}, "network is ast: it predicts clip by clip"),
    ],
)
def test_settings_that_do_not_go_with_steps(
    scenes: Path, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        train(run_of(scenes, tmp_path / "run", **changes), hardware=ALONE)
    assert expected in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_data_that_do_not_go_with_steps(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(**STEPS)), encoding="utf-8")
    arguments = ("--data", "csv", "--root", scenes, "--recipe", tmp_path / "mine.yaml", "--out", tmp_path / "run")
    assert "take all segments of a recording" in refused("train", *arguments, "--per-class", 2)
    with pytest.raises(ParameterError, match="targets is steps: clips are scored here"):
        CrossValidation(load_dataset("csv", scenes), tmp_path / "run", quick(**STEPS))
    clips = load_dataset("csv", scenes).clips
    with pytest.raises(AinextError, match=r"^1 recording with segments to train on and held-out ones, e\.g\. that of "):
        check_apart(clips[:2], clips[2:3])
    # Without splits and groups, a recording is a group.
    grouped = by_recording(replace(load_dataset("csv", scenes), clips=tuple(replace(c, split=None) for c in clips)))
    training, held_out = split_clips(grouped, hold_out=0.25)
    check_apart(training, held_out)
    assert len(training) + len(held_out) == len(clips) and held_out


def test_the_recipe_of_the_detection_track() -> None:
    recipe = load_recipe("epic-sounds-detect")
    assert (recipe.targets, recipe.sample_rate, recipe.hop_ms, recipe.bands) == ("steps", 24_000, 5, 128)
    assert all(getattr(recipe, name) == value for name, value in frame_wise.WITHOUT.items())
