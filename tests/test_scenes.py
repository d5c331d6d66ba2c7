"""Scenes of recordings: where a recording has its sound, what a scene holds and when, its files, training on scenes."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext import load
from audioinceptionnext.audio import decode
from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.data.annotated import annotated_recordings
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import EpochOrder
from audioinceptionnext.data.waveforms import Item, Waveforms, loader
from audioinceptionnext.errors import AinextError, FileError, ParameterError
from audioinceptionnext.network.storage import load_model
from audioinceptionnext.rendering.bursts import find_bursts, frame_levels, frame_samples
from audioinceptionnext.rendering.scene_epochs import SceneEpochs
from audioinceptionnext.rendering.scene_settings import SceneSettings, load_scene_settings
from audioinceptionnext.rendering.scenes import Composer, open_backgrounds
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.recipe import as_yaml, load_recipe
from audioinceptionnext.training.run_folder import LAST, SCENES
from audioinceptionnext.training.run_record import Run
from tests.annotated_scenes import STEPS
from tests.audio_files import sine, write_wav
from tests.command import ainext, plain, refused
from tests.interrupted import interrupt_in_the_third_epoch
from tests.small_sounds import LABELS, content, quick, same, weights, write_kitchen

RATE = 8000
FRAME = 0.01
ALONE = Hardware(threads=1, implementation="matrix-products")
PLAIN: dict[str, Any] = {"background": "silence", "reverb_probability": 0, "seconds": 20}


def recording(*sounds: tuple[float, float], seconds: float = 4.0, hertz: float = 700) -> np.ndarray:
    """A recording with a tone at some times, and a faint noise everywhere."""
    found = 0.0005 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    for start, end in sounds:
        part = slice(round(start * RATE), round(end * RATE))
        found[part] += sine(hertz, end - start, RATE)
    return found


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Recordings of four labels, with one or two bursts each."""
    folder = tmp_path_factory.mktemp("recordings")
    clips = []
    for number in range(12):
        bursts = [(0.5, 1.3), (2.4, 3.1)] if number % 3 == 0 else [(0.2 + 0.1 * number, 2.0 + 0.1 * number)]
        path = write_wav(folder / f"{number}.wav", recording(*bursts, hertz=400 + 100 * number), RATE)
        clips.append(Clip(path, number % 4))
    return clips


def composer_of(clips: list[Clip], seed: int = 0, *, whole: bool = True, keep: Any = None, **changes: Any) -> Composer:
    chosen = SceneSettings.from_dict(PLAIN | changes)
    backgrounds = open_backgrounds(chosen, RATE)
    return Composer(Waveforms(clips, Reader(RATE), keep=keep), chosen, seed, whole=whole, backgrounds=backgrounds)


def decibels(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(waveform.astype(float))))


# --- Where a recording has its sound ---


def test_bursts_are_where_a_recording_is_above_its_own_floor() -> None:
    found = find_bursts(recording((0.5, 1.2), (1.5, 2.0), (3.0, 3.4)), RATE)
    assert np.array(found) / RATE == pytest.approx(np.array([(0.5, 2.0), (3.0, 3.4)]), abs=FRAME)
    assert len(find_bursts(recording((0.5, 1.2), (1.5, 2.0), (3.0, 3.4)), RATE, gap_seconds=0.2)) == 3
    assert len(find_bursts(recording((0.5, 1.2), (1.5, 2.0), (3.0, 3.4)), RATE, gap_seconds=1.1)) == 1


@settings(max_examples=30, deadline=None)
@given(st.floats(-30, 0), st.floats(0.1, 1.5), st.floats(0.1, 2.0), st.integers(0, 50))
def test_the_level_of_a_recording_does_not_move_its_bursts(
    level: float, start: float, length: float, seed: int
) -> None:
    noise = 0.003 * np.random.default_rng(seed).standard_normal(4 * RATE)
    noise[round(start * RATE) : round((start + length) * RATE)] *= 100
    ((first, last),) = find_bursts(10 ** (level / 20) * noise, RATE)
    assert (first / RATE, last / RATE) == (pytest.approx(start, abs=FRAME), pytest.approx(start + length, abs=FRAME))


def test_a_steady_recording_sounds_as_a_whole_and_a_silent_one_nowhere() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    assert find_bursts(noise, RATE) == [(0, 3 * RATE)]
    padded = np.concatenate([np.zeros(RATE), noise, np.zeros(RATE), noise])
    assert find_bursts(padded, RATE) == [(RATE, 4 * RATE), (5 * RATE, 8 * RATE)]
    for nothing in (np.zeros(RATE), np.zeros(0), noise[:3], 1e-6 * noise):
        assert find_bursts(nothing, RATE) == []


# --- What a scene holds ---


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), number=st.integers(0, 200))
def test_times_are_right_to_a_frame(recordings: list[Clip], seed: int, number: int) -> None:
    """Without a background, and with one event at a time, the scene's energy says where the events are."""
    scene = composer_of(recordings, seed, overlap=1, event_seconds=[0.3, 3])(number)
    assert scene.waveform.shape == (20 * RATE,) and scene.waveform.dtype == np.float32
    times = (np.arange(20 * RATE) + 0.5) / RATE
    inside = np.zeros(len(times), bool)
    near = np.zeros(len(times), bool)
    for start, end, _ in scene.segments:
        assert 0 <= start < end <= 20 and end - start <= 3 + FRAME
        inside |= (times >= start) & (times < end)
        near |= (times >= start - FRAME) & (times < end + FRAME)  # the fades
        for edge in (start, end - FRAME):
            part = scene.waveform[round(edge * RATE) : round((edge + FRAME) * RATE)]
            assert decibels(part) > decibels(scene.waveform[inside]) - 31
    assert not scene.waveform[~near].any()


def test_a_scene_depends_on_seed_and_number_alone(recordings: list[Clip]) -> None:
    first, other = composer_of(recordings), composer_of(recordings, background="noise", reverb_probability=0.5)
    for number in (7, 3, 300):
        scene = first(number)
        for again in (
            composer_of(recordings),
            composer_of(recordings, keep="nothing"),
            pickle.loads(pickle.dumps(first)),
        ):
            assert np.array_equal(again(number).waveform, scene.waveform)
            assert np.array_equal(again(number).segments, scene.segments)
    assert np.array_equal(other(3).waveform, pickle.loads(pickle.dumps(other))(3).waveform)
    different = [first(4), composer_of(recordings, 1)(3), composer_of(recordings, snr_db=10)(3)]
    assert not any(np.array_equal(one.waveform, first(3).waveform) for one in different)


def test_every_recording_is_used_once_before_any_is_used_twice(recordings: list[Clip]) -> None:
    composer = composer_of(recordings, events_per_minute=[0, 40])
    drawn = [composer._drawn(number) for number in range(200)]
    flat = [index for scene in drawn for index in scene]
    for first in range(0, len(flat) - 12, 12):
        assert sorted(flat[first : first + 12]) == list(range(12))
    assert len(flat) / 200 == pytest.approx(composer.events, rel=0.1)
    assert min(map(len, drawn)) == 1 and max(map(len, drawn)) >= 13
    assert not min(map(len, map(composer_of(recordings, whole=False)._drawn, range(50))))
    ten = composer_of(recordings, events_per_minute=30)
    assert {len(ten._drawn(number)) for number in range(50)} == {10}
    assert composer.scenes_of_a_pass() == 2 and ten.scenes_of_a_pass() == 2


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_the_overlap_limit_holds_and_one_label_never_overlaps_itself(
    recordings: list[Clip], overlap: int, whole: bool
) -> None:
    composer = composer_of(recordings, overlap=overlap, events_per_minute=60, whole=whole, gap=0.4)
    most, cut = 0, 0
    for number in range(30):
        scene = composer(number)
        edges = sorted([(start, 1) for start, _, _ in scene.segments] + [(end, -1) for _, end, _ in scene.segments])
        most = max(most, int(np.cumsum([change for _, change in edges]).max(initial=0)))
        for label in range(4):
            own = scene.segments[scene.segments[:, 2] == label]
            assert (own[1:, 0] - own[:-1, 1] >= 0.4 - 1e-6).all()
        cut += int(((scene.segments[:, 0] == 0) | (scene.segments[:, 1] == 20)).sum())
    assert most == overlap
    assert (cut > 5) != whole


def test_events_and_background_have_their_levels(recordings: list[Clip], tmp_path: Path) -> None:
    levels: dict[str, Any] = {"background_db": -50, "snr_db": 25, "overlap": 1}
    write_wav(tmp_path / "hum.wav", sine(50, 3, RATE, 0.1), RATE)
    for background in ("silence", "noise", str(tmp_path)):
        composer = composer_of(recordings, background=background, **levels)
        for number in range(5):
            scene = composer(number)
            times = np.arange(20 * RATE) / RATE
            quiet = np.ones(len(times), bool)
            for start, end, _ in scene.segments:
                quiet &= (times < start - FRAME) | (times >= end + FRAME)
                part = scene.waveform[(times >= start) & (times < end)]
                assert decibels(part) == pytest.approx(-25, abs=0.7)
            if background == "silence":
                assert not scene.waveform[quiet].any()
            else:
                assert decibels(scene.waveform[quiet]) == pytest.approx(-50, abs=1)
    spectrum = np.abs(np.fft.rfft(scene.waveform))  # the hum of the folder, at 0.05 Hz per bin
    assert spectrum[: 20 * 100].argmax() == 20 * 50


def test_what_the_background_covers_is_no_event(tmp_path: Path) -> None:
    fading = sine(600, 3, RATE) * 10 ** (-np.arange(3 * RATE) / RATE)  # by 20 dB a second
    clips = [Clip(write_wav(tmp_path / "fading.wav", np.pad(fading, RATE // 2), RATE), 0)]
    ends = []
    for ratio in (0, 10, 40):
        scene = composer_of(clips, snr_db=ratio, event_seconds=5, events_per_minute=3)(0)
        ends.append(scene.segments[0, 1] - scene.segments[0, 0])
    assert ends[1] - ends[0] == pytest.approx(0.5, abs=2 * FRAME)  # in which it falls by 10 dB
    assert ends[2] == pytest.approx(1.5, abs=2 * FRAME)  # by 30 dB
    nothing = composer_of(clips, snr_db=-10, events_per_minute=3)(0)
    assert sorted([*nothing.used, *nothing.left_out]) == [0] and len(nothing.segments) == len(nothing.used)


def test_a_room_makes_sounds_longer_and_speed_makes_them_shorter(recordings: list[Clip]) -> None:
    def lengths(**changes: Any) -> np.ndarray:
        composer = composer_of(recordings, events_per_minute=3, snr_db=30, event_seconds=5, **changes)
        return np.concatenate([scene.segments[:, 1] - scene.segments[:, 0] for scene in map(composer, range(12))])

    dry = lengths()
    wet = lengths(reverb_probability=1, reverb_seconds=0.6, reverb_db=0)
    assert (wet > dry + 0.1).all() and (wet < dry + 0.7).all()
    assert np.median(lengths(speed=2) / dry) == pytest.approx(0.5, abs=0.05)
    assert np.median(lengths(speed=0.5) / dry) == pytest.approx(2, abs=0.1)


def test_loud_scenes_are_softened_as_a_whole(recordings: list[Clip]) -> None:
    loud = composer_of(recordings, background_db=-10, snr_db=30, events_per_minute=20)
    for number in range(5):
        assert np.abs(loud(number).waveform).max() == pytest.approx(1)


def test_recordings_that_cannot_be_used(recordings: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    silent = Clip(write_wav(tmp_path / "silent.wav", np.zeros(RATE), RATE), 1)
    broken, unlabelled = Clip(tmp_path / "broken.wav", 0), replace(recordings[0], label=-1)
    composer = composer_of([broken, unlabelled, silent, recordings[1]], events_per_minute=30)
    assert composer.usable == [2, 3] and [index for index, _ in composer.unreadable] == [0]
    scene = composer(0)
    assert set(scene.used) == {3} and len(scene.segments) == len(scene.used)
    assert len(scene.left_out) == 10 - len(scene.used) and scene.left_out.count(2) == 5
    with pytest.raises(AinextError, match="nothing to compose"):
        composer_of([broken, unlabelled])
    with pytest.raises(FileError, match="no audio or video files"):
        composer_of(recordings, background=str(_folder(tmp_path / "empty")))
    with pytest.raises(AinextError, match="can be read"):
        (_folder(tmp_path / "bad") / "a.wav").write_bytes(b"RIFF")
        composer_of(recordings, background=str(tmp_path / "bad"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_an_event_of_several_labels_is_one_of_each(recordings: list[Clip]) -> None:
    both = [replace(recordings[0], label=0, also=(2,)), recordings[1]]
    scene = composer_of(both, events_per_minute=6)(0)
    rows = {(start, end): [] for start, end, _ in scene.segments}
    for start, end, label in scene.segments:
        rows[start, end].append(label)
    assert sorted(rows.values()) == [[0, 2], [1]]


# --- Settings ---


def test_settings_are_read_and_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "dense.yaml"
    path.write_text("events_per_minute: [20, 40]\noverlap: 3\nbackground: silence\n", encoding="utf-8")
    found = load_scene_settings(path, {"overlap": 1, "snr_db": "5, 6"})
    assert (found.events_per_minute, found.overlap, found.snr_db) == ((20, 40), 1, (5, 6))
    assert SceneSettings.from_dict(yaml.safe_load(yaml.safe_dump(found.as_dict()))) == found
    for values, expected in (
        ({"overlapp": 2}, "did you mean overlap?"),
        ({"overlap": 1.5}, "give a whole number"),
        ({"overlap": 0}, "from 1 to 20"),
        ({"seconds": True}, "give a number"),
        ({"snr_db": [1, 2, 3]}, "give a number, or two"),
        ({"snr_db": [30, 10]}, "the lowest and the highest"),
        ({"background": 3}, "noise, silence or a folder"),
        ({"background": "nowhere"}, "no such folder"),
    ):
        with pytest.raises(ParameterError, match=expected.replace("?", r"\?")):
            SceneSettings.from_dict(values)
        with pytest.raises(ParameterError, match=r"^scenes is"):
            load_recipe("finetune", {"targets": "steps", "scenes": values})
    path.write_text("overlapp: 3\n", encoding="utf-8")
    for other, expected in ((path, "did you mean overlap"), (tmp_path / "none.yaml", "cannot be read")):
        with pytest.raises(FileError, match=expected):
            load_scene_settings(other)
    with pytest.raises(ParameterError, match=r"^scenes is 10: give settings of scenes, \{key: value\}"):
        load_recipe("finetune", {"scenes": 10})


# --- Files ---


def render(out: Path, root: Path, scenes: int, *options: object) -> tuple[object, ...]:
    call = ("data", "render", out, "--scenes", scenes, "--data", "kitchen20", "--root", root, "--jobs", 1)
    return (*call, "--set", "seconds=4", "--set", "events_per_minute=45", "--sample-rate", RATE, *options)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("kitchen") / "kitchen", clips=16)


def test_rendered_scenes_are_a_data_set(kitchen: Path, tmp_path: Path) -> None:
    done = ainext(*render(tmp_path / "a", kitchen, 6, "--folds", 2))
    assert done.code == 0 and "6 scenes of 4 s with" in done.out and "of which 6 scenes new" in done.out, done.err
    dataset = load_dataset("csv", tmp_path / "a")
    assert dataset.labels == LABELS and not dataset.problems
    clips = load_dataset("kitchen20", kitchen).select("2")[0]
    compose = Composer(
        Waveforms(clips, Reader(RATE)), SceneSettings.from_dict({"seconds": 4, "events_per_minute": 45}), 0
    )
    for number, found in enumerate(annotated_recordings(dataset.clips, Reader(RATE))):
        scene = compose(number)
        assert found.clip.path.name == f"{number:06}.flac" and found.segments[:, :2] == pytest.approx(
            scene.segments[:, :2], abs=0.00051
        )
        assert [dataset.labels[int(n)] for n in found.segments[:, 2]] == [LABELS[int(n)] for n in scene.segments[:, 2]]
        assert np.abs(decode.read(found.clip.path, RATE) - scene.waveform).max() < 1 / 16_000
    assert ainext("data", "check", "csv", "--root", tmp_path / "a").code == 0
    ainext(*render(tmp_path / "b", kitchen, 6, "--folds", 2, "--jobs", 2))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_repeated_call_keeps_what_is_there(kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = render(out, kitchen, 5)
    ainext(*call)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    times = before["times.csv"].decode().replace(".flac,0.", ".flac,00.")  # somebody has corrected a time
    (out / "times.csv").write_text(times, encoding="utf-8", newline="")
    (out / "000003.flac").unlink()
    assert "of which 1 scene new" in ainext(*call).out
    assert (out / "000003.flac").read_bytes() == before["000003.flac"]
    kept = [line for line in times.splitlines() if not line.startswith("000003")]
    assert [x for x in (out / "times.csv").read_text().splitlines() if not x.startswith("000003")] == kept
    assert "of which 2 scenes new" in ainext(*render(out, kitchen, 7)).out
    assert "of which 0 scenes new" in ainext(*call).out
    assert (out / "000006.flac").exists() and "000006" in (out / "times.csv").read_text()

    for options, other in ((("--seed", 1), "seed"), (("--folds", 1), "folds"), (("--set", "overlap=1"), "overlap")):
        assert f"holds scenes of another call (other {other})" in refused(*call, *options)
    for name in ("notes.txt", "000007.flac", "123456.flac"):
        (out / name).write_text("mine")
    assert "of which 5 scenes new" in ainext(*call, "--seed", 1, "--overwrite").out
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"{n:06}.flac" for n in (*range(5), 7, 123456)), "notes.txt", "scenes.yaml", "times.csv",
    ]  # fmt: skip
    (out / "times.csv").write_text("path,onset\n000000.flac,1\n")
    assert "lacks one of the columns" in refused(*call, "--seed", 1)


def test_sources_of_other_folds_can_be_left_out(kitchen: Path, tmp_path: Path) -> None:
    root = tmp_path / "kitchen"
    shutil.copytree(kitchen, root)
    rows = (root / "meta.csv").read_text().splitlines()  # filename, fold, target, category, source_id
    moved = [row.replace(",2,", ",1,", 1) if row.startswith("15.wav") else row for row in rows]
    (root / "meta.csv").write_text("\n".join(moved) + "\n")  # source 7 is in both folds now
    for number, options in ((7, ()), (6, ("--unseen-sources",))):
        ainext(*render(tmp_path / str(number), root, 1, "--folds", 2, *options))
        assert yaml.safe_load((tmp_path / str(number) / "scenes.yaml").read_text())["recordings"] == number


def test_an_interrupted_call_goes_on(kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compose = Composer.__call__

    def until_the_seventh(self: Composer, number: int) -> Any:
        if number == 7:
            raise KeyboardInterrupt
        return compose(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Composer, "__call__", until_the_seventh)
        assert ainext(*render(tmp_path / "out", kitchen, 9)).code == 130
    assert "of which 5 scenes new" in ainext(*render(tmp_path / "out", kitchen, 9)).out
    ainext(*render(tmp_path / "whole", kitchen, 9))
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_calls_that_make_no_sense(kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "give the number of scenes too" in refused("data", "render", out, "--data", "kitchen20")
    assert "is for synthetic clips" in refused(*render(out, kitchen, 2), "--clip-seconds", 2)
    assert "name it and its folder" in refused("data", "render", out, "--scenes", 2, "--root", kitchen)
    assert "did you mean overlap" in refused(*render(out, kitchen, 2), "--set", "overlapp=2")
    assert not out.exists()
    (_folder(out) / "times.csv").write_text("mine")
    for options in ((), ("--overwrite",)):
        assert "holds a times.csv that is not of scenes" in refused(*render(out, kitchen, 2), *options)
    assert "holds the recordings" in refused(*render(kitchen, kitchen, 2))
    assert "is a file" in refused(*render(out / "times.csv", kitchen, 2))
    assert "kitchen, where scenes would be taken for recordings" in refused(*render(kitchen / "new", kitchen, 2))
    street = tmp_path / "street"
    write_wav(_folder(street) / "a.wav", recording(), RATE)
    assert "street, where scenes" in refused(*render(street / "out", kitchen, 2), "--set", f"background={street}")
    assert [path.name for path in street.iterdir()] == ["a.wav"]


def test_recordings_that_are_in_no_scene_are_counted_once(kitchen: Path, tmp_path: Path) -> None:
    root = tmp_path / "kitchen"
    shutil.copytree(kitchen, root)
    for path in sorted(root.rglob("*.wav"))[:2]:
        write_wav(path, np.zeros(RATE), RATE)
    found = ainext(*render(tmp_path / "out", root, 20))
    assert "left out of scenes: 2 recordings (" in found.err


# --- Training ---


def run_of(root: Path, out: Path, **changes: Any) -> Run:
    dataset = load_dataset("kitchen20", root)
    chosen = {"events_per_minute": [20, 40], "snr_db": 30}
    return Run(dataset, *dataset.select("1"), out, quick(**STEPS | {"scenes": chosen} | changes))


def test_epochs_have_new_scenes_that_no_worker_and_no_process_changes(recordings: list[Clip]) -> None:
    composer = composer_of(recordings, whole=False, seconds=2.56, background="noise")
    scenes = SceneEpochs(composer, 10)

    def batches(epoch: int, workers: int = 0, **ranks: int) -> list[Any]:
        order = EpochOrder(10, 3, seed=0, **ranks)
        order.set_epoch(epoch)
        return list(loader(scenes, 3, order=order, workers=workers))

    def numbered(found: list[Any]) -> dict[int, tuple[bytes, bytes]]:
        return {
            int(index): (waveform.numpy().tobytes(), segments.tobytes())
            for batch in found
            for index, waveform, segments in zip(batch.indices, batch.waveforms, batch.segments, strict=True)
        }

    first, second = numbered(batches(0)), numbered(batches(1))
    assert len(first) == 10 and not set(first.values()) & set(second.values())
    assert numbered(batches(1, workers=2)) == second
    shared = [numbered(batches(1, rank=rank, world_size=2)) for rank in range(2)]
    assert shared[0] | shared[1] == second
    item = scenes[3]
    assert isinstance(item, Item) and np.array_equal(item.waveform.numpy(), composer(3).waveform)
    fixed = SceneEpochs(composer, 10, fixed=True)
    assert np.array_equal(fixed[3].segments, composer(3).segments)


def test_training_on_composed_scenes(kitchen: Path, tmp_path: Path) -> None:
    chosen = {"seconds": 10, "snr_db": 30, "events_per_minute": 20}
    recipe = quick(**STEPS, epochs=14, learning_rate=0.01, evaluate_every=7, scenes=chosen)
    (tmp_path / "mine.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    run = tmp_path / "run"
    call = ("train", "--data", "kitchen20", "--root", kitchen, "--recipe", tmp_path / "mine.yaml", "--threads", 1)
    trained = ainext(*call, "--out", run, "--train-folds", 1)
    assert trained.code == 0, trained.err
    assert "mAP of the steps" in plain(trained.out) and "held-out scenes" in plain(trained.out)
    with next(run.glob("log/version_*/metrics.csv")).open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert losses[-1] < 0.7 * losses[0]
    stored = load_model(run / "model.safetensors")
    assert (stored.mode, stored.multi_label, stored.labels) == ("dense", True, LABELS)
    figures = json.loads((run / "figures.json").read_text())
    assert figures["frame_map"] > 70 and figures["segment_f1"] > 0 and figures["data"] == "kitchen20"

    held_out = load_dataset("csv", run / SCENES)
    assert figures["segments"] == len(held_out.clips)
    scored = ainext("evaluate", "--data", "csv", "--root", run / SCENES, "--model", run / "model.onnx", "--json")
    assert scored.json["frame_map"] == pytest.approx(figures["frame_map"])
    assert load(run / "model.onnx").predict(held_out.clips[0].path).duration == pytest.approx(10)

    assert "holds a finished run" in refused(*call, "--out", run, "--train-folds", 1)
    again = ainext(*call, "--out", run, "--train-folds", 1, "--resume")
    assert again.code == 0 and (run / SCENES / "times.csv").exists()


def test_a_resumed_run_sees_the_same_scenes(kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(run_of(kitchen, tmp_path / "whole"), hardware=ALONE)
    run = run_of(kitchen, tmp_path / "stopped")
    interrupt_in_the_third_epoch(run, ALONE, monkeypatch)
    assert content(run.out / LAST)["epoch"] == 1
    resumed = train(run, resume=True, hardware=replace(ALONE, loader_workers=2))
    assert whole is not None and resumed is not None
    assert same(weights(resumed), weights(whole))
    other = run_of(kitchen, tmp_path / "stopped", scenes={})
    with pytest.raises(FileError, match="the run was started with scenes"):
        train(other, resume=True, hardware=ALONE)


def test_settings_that_do_not_go_with_scenes(kitchen: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="targets of steps or of the timeline only"):
        train(run_of(kitchen, tmp_path / "run", targets="clip", crops=[]), hardware=ALONE)
    with pytest.raises(ParameterError, match="need the length of the stretches"):
        train(run_of(kitchen, tmp_path / "run", crops=[]), hardware=ALONE)
    assert not (tmp_path / "run").exists()
    (_folder(_folder(tmp_path / "taken") / SCENES) / "times.csv").write_text("mine")
    with pytest.raises(ParameterError, match="not of scenes"):
        train(run_of(kitchen, tmp_path / "taken"), hardware=ALONE)
    street = _folder(tmp_path / "street")
    with pytest.raises(ParameterError, match="where scenes would be taken"):
        train(run_of(kitchen, street / "run", scenes={"background": str(street)}), hardware=ALONE)
    inside = _folder(_folder(tmp_path / "own") / "noise")
    with pytest.raises(ParameterError, match="lies in the folder that is to be overwritten"):
        train(run_of(kitchen, tmp_path / "own", scenes={"background": str(inside)}), overwrite=True, hardware=ALONE)


def test_a_recording_that_cannot_be_read_any_more_is_left_out(recordings: list[Clip], tmp_path: Path) -> None:
    path = write_wav(tmp_path / "gone.wav", recording((1, 2)), RATE)
    scenes = SceneEpochs(composer_of([Clip(path, 0)], keep="nothing", whole=False, events_per_minute=60), 4)
    path.unlink()
    batch = next(iter(loader(scenes, 4)))
    assert len(batch.labels) == 0 and [index for index, _ in batch.failures] == [0, 1, 2, 3]
    assert torch.is_tensor(batch.waveforms) and "gone.wav" in batch.failures[0][1]
    assert [clip.path.name for clip in scenes.clips()] == [f"scene {number}" for number in range(4)]


def test_frame_levels_are_of_whole_frames() -> None:
    assert frame_samples(RATE) == 80 and frame_levels(np.ones(199), RATE).tolist() == [1, 1]
