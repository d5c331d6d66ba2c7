"""The fine timeline: the head on frozen feature maps, its output in the exported file, and runs that teach it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from audioinceptionnext import load
from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, FileError, ParameterError
from audioinceptionnext.evaluation.timeline_settings import Predicted, choose_segmentation
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference import steps as module
from audioinceptionnext.network import create_model
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import load_recipe
from audioinceptionnext.training.run_folder import MODEL, SCENES
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.timeline_sounds import sounds_of
from tests.audio_files import pink, write_wav
from tests.command import ainext, plain, refused
from tests.networks import LABELS, SHORT, with_statistics
from tests.small_sounds import LABELS as SOUNDS
from tests.small_sounds import NETWORK, same, sound, weights, write_kitchen

RATE = 8000
ALONE = Hardware(threads=1)
FRONT: dict[str, Any] = {"sample_rate": RATE, "window_ms": 20, "hop_ms": 5}


def fine_model(**changes: Any) -> StoredModel:
    """A network with a head, neither of which has learnt anything, whose predictions differ from step to step."""
    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", 3, **SHORT, clip_frames=96, bands=64, timeline_channels=8))
    assert isinstance(net, StagedNetwork) and net.timeline is not None
    net.classifier.weight.data.mul_(30)
    net.timeline.classifier.weight.data.mul_(10)
    net.timeline.classifier.bias.data.zero_()
    return StoredModel(net, LABELS, **FRONT, mode="dense", info={"recipes": []}, **changes)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(fine_model(), tmp_path_factory.mktemp("fine") / "fine.onnx")


def outputs(path: Path, waveform: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"waveform": waveform}), strict=True))


# --- The file ---


@pytest.mark.parametrize("samples", [1, 39, 160, 161, 3840, 20_001])
def test_the_timeline_of_the_file_is_the_networks(exported: Path, samples: int) -> None:
    """Folded or not, with a step for every 4 frames or part of them."""
    waveform = np.stack([pink(20_001, RATE, seed)[:samples] for seed in range(2)])
    found = outputs(exported, waveform)
    model, frames = fine_model(), -(-samples // 40)
    whole = torch.from_numpy(found["log_mel"])[:, None]
    frames = max(frames, min(1 + samples // 40, 96))
    padded = whole[:, :, torch.arange(max(frames, 96)).clamp(max=frames - 1)]
    for net in (model.net, model.folded()):
        assert isinstance(net, StagedNetwork)
        with torch.no_grad():
            maps, summaries = net.features_and_summaries(padded)
            logits = net.pooled_logits(maps)
            assert net.timeline is not None
            timeline = net.timeline(summaries)
        expected = torch.sigmoid(timeline)[:, : -(-frames // 4)].numpy()
        assert found["timeline"].shape == expected.shape == (2, -(-frames // 4), 3)
        silent = (found["timeline"] == 0).all(2)
        np.testing.assert_allclose(found["timeline"], np.where(silent[..., None], 0, expected), atol=2e-3)
        np.testing.assert_allclose(found["logits"], logits.numpy(), rtol=1e-3, atol=5e-3)
    assert found["timeline"].std() > 0.05 or samples < 1000


def test_a_head_changes_nothing_of_the_windows(exported: Path, tmp_path: Path) -> None:
    model = fine_model()
    without = create_model("tiny", 3, **SHORT, clip_frames=96, bands=64)
    without.load_state_dict({k: v for k, v in model.net.state_dict().items() if not k.startswith("timeline.")})
    plain_file = export_onnx(replace(model, net=without.eval()), tmp_path / "plain.onnx")
    waveform = pink(3 * RATE, RATE)[None]
    with_head, alone = outputs(exported, waveform), outputs(plain_file, waveform)
    assert "timeline" not in alone
    for name in alone:
        np.testing.assert_allclose(with_head[name], alone[name], atol=1e-6)


def test_joints_of_blocks_are_one_pass(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.BLOCK_FRAMES, "dense", 1000)
    recogniser, waveform = load(exported), pink(30 * RATE + 77, RATE)
    assert recogniser.step_seconds == pytest.approx(0.02)
    found, whole = recogniser.predict(waveform), outputs(exported, waveform[None])["timeline"][0]
    assert found.probabilities.shape == whole.shape
    np.testing.assert_allclose(found.probabilities, whole, atol=2e-3)


def test_digital_silence_is_nothing(exported: Path) -> None:
    waveform = pink(4 * RATE, RATE)
    waveform[RATE : 3 * RATE] = 0
    timeline = outputs(exported, waveform[None])["timeline"][0]
    silent = (timeline == 0).all(1)  # but where the front end's window still meets sound
    assert not silent[:50].any() and silent[52:148].all() and not silent[150:].any()
    assert not outputs(exported, np.zeros((1, RATE), np.float32))["timeline"].any()


# --- Runs ---


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a hiss and a whistle that has learnt nothing, but has a temperature."""
    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", 2, **NETWORK, clip_frames=96, bands=64))
    model = StoredModel(net, SOUNDS[::-1], **FRONT, mode="dense", temperature=0.7, info={"recipes": []})
    save_model(model, path := tmp_path_factory.mktemp("start") / MODEL)
    return path


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("kitchen") / "kitchen20", clips=24)


LITTLE = ("--set", "timeline_steps=30", "--set", "timeline_channels=16", "--set", "timeline_minutes=2")
CHOSEN = "scenes={seconds: 15, snr_db: 30, events_per_minute: 20, reverb_probability: 0}"


def test_a_head_that_learns_from_scenes_leaves_the_clips_alone(start: Path, kitchen: Path, tmp_path: Path) -> None:
    run, arguments = tmp_path / "run", ("train", "--data", "kitchen20", "--root", kitchen, "--threads", 1)
    arguments = (*arguments, "--from", start, "--train-folds", 1, *LITTLE, "--set", CHOSEN, "--out", run)
    trained = ainext(*arguments)
    assert trained.code == 0, trained.err
    assert "Event F1" in plain(trained.out) and "the head of the timeline learns from 2.5 minutes" in trained.err
    before, after = load_model(start), load_model(run / MODEL)
    assert after.labels == before.labels == SOUNDS[::-1]  # in the model's order, not in that of the data
    assert (after.temperature, after.multi_label, after.mode) == (0.7, False, "dense")
    own = after.net.state_dict()
    assert all(torch.equal(own[name], value) for name, value in before.net.state_dict().items())
    assert {"thresholds", "offset_share", "smoothing", "min_duration", "merge_gap"} == set(after.segmentation)
    assert len(after.segmentation["thresholds"]) == 2
    log_mel = before.front_end()(torch.from_numpy(pink(3 * RATE, RATE)[None]))
    with torch.no_grad():
        assert torch.equal(after.net.dense(log_mel), before.net.dense(log_mel))
    exported = load(run / "model.onnx")
    assert exported.step_seconds == pytest.approx(0.02) and not exported.multi_label
    smoothing = np.broadcast_to(after.segmentation["smoothing"], 2)  # one number for both labels, or one for each
    assert exported.segmentation_settings().by_class("smoothing", 2).tolist() == smoothing.tolist()

    figures = json.loads((run / "figures.json").read_text())
    assert figures["segments"] == len(load_dataset("csv", run / SCENES).clips) and "event_f1" in figures
    assert "holds a finished run" in refused(*arguments)
    content = (run / MODEL).read_bytes()
    again = ainext(*arguments, "--resume")  # it is complete, and so is scored again
    assert again.code == 0 and (run / MODEL).read_bytes() == content
    (run / MODEL).unlink()  # as if it had been interrupted
    assert ainext(*arguments, "--resume").code == 0 and same(weights(run / MODEL), own)
    other = ainext(*arguments, "--resume", "--seed", 1)
    assert other.code == 2 and "the run was started with seed 0, not 1" in other.err


def annotated(folder: Path, recordings: int = 6, seconds: float = 12.0) -> Dataset:
    """Recordings of a hiss from 2 s to 4 s and a whistle from 5 s to 9 s, and so on every 10 s."""
    rng, clips = np.random.default_rng(0), []
    for number in range(recordings):
        waveform = 0.002 * rng.standard_normal(round(seconds * 24_000))
        for label, first, last in ((0, 2, 4), (1, 5, 9)):
            last = min(last, seconds)
            if first < seconds:
                part = slice(first * 24_000, first * 24_000 + round((last - first) * 24_000))
                waveform[part] += sound(label, last - first, rng)[: part.stop - part.start]
                clips.append((number, label, first, last))
        write_wav(folder / f"{number}.wav", waveform, 24_000)
    found = tuple(
        Clip(folder / f"{number}.wav", label, start=first, end=last, group=str(number))
        for number, label, first, last in clips
    )
    return Dataset("mine", ("noise", "tone"), found)


def run_of(dataset: Dataset, out: Path, start: Path | None, **changes: Any) -> Run:
    few = {"timeline_steps": 20, "timeline_channels": 16}
    weights = None if start is None else str(start)
    return Run(dataset, dataset.clips, (), out, load_recipe("timeline", few | changes), weights)


def test_other_labels_get_a_linear_layer_of_their_own(start: Path, tmp_path: Path) -> None:
    """Fitted to windows of the same sounds. The head of the initial weights is where the next one starts."""
    dataset = annotated(_folder(tmp_path / "recordings"))
    path = train(run_of(dataset, tmp_path / "run", start), hardware=ALONE)
    assert path is not None
    model = load_model(path)
    assert (model.labels, model.multi_label, model.temperature) == (("noise", "tone"), True, 1.0)
    frozen = load_model(start).net.state_dict()
    own = model.net.state_dict()
    assert all(torch.equal(own[k], v) for k, v in frozen.items() if not k.startswith("classifier."))
    log_mel = model.front_end()(torch.from_numpy(Reader(RATE).read(Clip(dataset.clips[0].path, 0)))[None])
    with torch.no_grad():
        found = torch.stack([torch.sigmoid(model.net(log_mel[:, :, at : at + 96])[0]) for at in (500, 1400, 2000)])
    assert found[0, 0] > 0.7 > 0.3 > found[0, 1]  # at 2.5 s, a hiss; at 7 s, a whistle; at 10 s, nothing
    assert found[1, 1] > 0.7 > 0.3 > found[1, 0]
    assert found[2].max() < 0.3

    renamed = replace(dataset, labels=("hum", "tone"))
    again = train(run_of(renamed, tmp_path / "again", path, timeline_steps=1), hardware=ALONE)
    assert again is not None
    later = weights(again)
    near = torch.nn.functional.cosine_similarity
    name = "timeline.projections.2.conv.weight"
    assert near(later[name].flatten(), own[name].flatten(), 0) > 0.99
    name = "timeline.classifier.weight"
    assert near(later[name].flatten(), own[name].flatten(), 0) < 0.9


def test_few_sources_choose_no_thresholds(start: Path, tmp_path: Path) -> None:
    dataset = annotated(_folder(tmp_path / "recordings"), recordings=4)
    path = train(run_of(dataset, tmp_path / "run", start), hardware=ALONE)
    assert path is not None and load_model(path).segmentation == {}


def test_labels_get_settings_of_their_own(tmp_path: Path) -> None:
    """Clicks are short; what is as short among the humming is a mistake."""
    rng, recordings = np.random.default_rng(0), []
    for _ in range(20):
        rows, truth = np.full((1200, 2), 0.05, np.float32), []
        for number in range(20):
            first = 60 * number + int(rng.integers(10))
            rows[first : first + 5, 0] = 0.9
            truth.append(Segment(first / 20, (first + 5) / 20, "click", 1.0))
            length, high = (40, 0.6) if number % 2 else (6, 0.95)
            rows[first : first + length, 1] = high
            truth += [Segment(first / 20, first / 20 + 2, "hum", 1.0)] if number % 2 else []
        recordings.append(Predicted(rows, truth))
    chosen = choose_segmentation(recordings, 0.05, ["click", "hum"])
    click, hum = chosen["min_duration"]
    assert click <= 0.25 < hum

    model = fine_model(segmentation=chosen | {"thresholds": [0.5] * len(LABELS), "min_duration": [0.1, 0.2, 0.3]})
    recogniser = load(export_onnx(model, tmp_path / "model.onnx"))
    assert recogniser.segmentation_settings().class_min_durations == (0.1, 0.2, 0.3)
    assert recogniser.choose(LABELS[1]).segmentation_settings().class_min_durations == (0.2,)
    assert recogniser.segmentation_settings(min_duration=0.7).by_class("min_duration", 3).tolist() == [0.7] * 3


def test_short_recordings_are_repeated(start: Path, tmp_path: Path) -> None:
    dataset = annotated(_folder(tmp_path / "recordings"), recordings=5, seconds=3.0)
    run = run_of(dataset, tmp_path / "run", start)
    found = list(sounds_of(run, RATE, 4 * RATE, ALONE))
    assert [len(one.waveform) for one in found] == 5 * [6 * RATE]
    np.testing.assert_allclose(found[0].segments, [[2, 3, 0], [5, 6, 0]])
    assert sorted(one.fold for one in found) == [0, 1, 2, 3, 4]
    assert train(run, hardware=ALONE) is not None


def test_other_training_leaves_a_head_out(tmp_path: Path) -> None:
    """It would not fit the body that comes out of it, nor other labels."""
    save_model(fine_model(), path := tmp_path / MODEL)
    for labels in (LABELS, ("a", "b")):
        net = build_initial_model(labels, load_recipe("finetune"), str(path)).net
        assert isinstance(net, StagedNetwork) and net.timeline is None and net.config.timeline_channels == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 3}, "epochs is 3: the head of a timeline learns for timeline_steps"),
        ({"bands": 128}, "bands is 128: targets of the timeline keep the network and its front end as they are"),
        ({"crops": (5.0,)}, "crops is (5.0,): targets of the timeline keep"),
        ({"teacher": "everyday"}, "teacher is everyday: targets of the timeline keep"),
    ],
)
def test_settings_that_do_not_go_with_a_timeline(
    start: Path, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    dataset = annotated(_folder(tmp_path / "recordings"), recordings=1)
    with pytest.raises(ParameterError) as caught:
        train(run_of(dataset, tmp_path / "run", start, **changes), hardware=ALONE)
    assert expected in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_calls_that_make_no_sense(start: Path, tmp_path: Path) -> None:
    dataset = annotated(_folder(tmp_path / "recordings"), recordings=1)
    run = run_of(dataset, tmp_path / "run", start)
    with pytest.raises(ParameterError, match="devices is 2: the head of a timeline learns in one process"):
        train(run, hardware=replace(ALONE, devices=2))
    with pytest.raises(ParameterError, match="give the weights to start from"):
        train(run_of(dataset, tmp_path / "run", None), hardware=ALONE)
    for name, settings, mode in (("rep", {"bands": 64}, "dense"), ("tiny", NETWORK | {"bands": 64}, "windows")):
        net = create_model(name, 2, clip_frames=96, **settings).eval()
        save_model(StoredModel(net, SOUNDS, **FRONT, mode=mode), path := tmp_path / f"{name}.safetensors")  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="give weights that `ainext train` made with the networks base, small"):
            train(run_of(dataset, tmp_path / "run", path), hardware=ALONE)
    assert not (tmp_path / "run").exists()
    (tmp_path / "recordings" / "0.wav").write_bytes(b"not sound")
    with pytest.raises(AinextError, match="1 of 1 recording cannot be read"):
        train(run, hardware=ALONE)
    with pytest.raises(FileError, match="timeline_steps is -1"):
        (tmp_path / "mine.yaml").write_text("like: timeline\ntimeline_steps: -1\n")
        load_recipe(str(tmp_path / "mine.yaml"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
