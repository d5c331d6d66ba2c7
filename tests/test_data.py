"""Data sets: every layout that a user may have, problems reported by line, and folds without common sources."""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.data import DATASETS, UNLABELLED, Clip, Dataset, load_dataset
from audioinceptionnext.data.recordings import recordings_at
from audioinceptionnext.errors import AinextError, ParameterError
from tests.audio_files import sine, write_video
from tests.data_files import EPIC, RATE, SEGMENTS, epic_hdf5, epic_lists, kitchen_lists, wav, write_list

SHARED = Path(__file__).parents[2] / "shared" / "data"


def names(clips: Iterable[Clip]) -> list[str]:
    return [clip.path.name for clip in clips]


# Layouts


def test_folder_of_classes(tmp_path: Path) -> None:
    for name in ("dog/b.wav", "dog/a.wav", "dog/deep/er/c.WAV", "cat/d.flac", "dog/.hidden.wav", ".git/e.wav"):
        wav(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("bark")
    (tmp_path / "bird").mkdir()
    wav(tmp_path / "stray.wav")
    found = load_dataset("folder", tmp_path)
    assert found.labels == ("cat", "dog")
    assert [(clip.path.name, clip.label) for clip in found.clips] == [
        ("d.flac", 0),
        ("a.wav", 1),
        ("b.wav", 1),
        ("c.WAV", 1),
    ]
    assert {(clip.split, clip.fold, clip.group) for clip in found.clips} == {(None, None, None)}
    stray, bird = found.problems
    assert "stray.wav: lies outside" in stray and "bird: no recordings" in bird and "left out" in bird


def test_folder_of_splits(tmp_path: Path) -> None:
    for name in ("train/10/a.wav", "train/9/b.wav", "val/9/c.wav", "Test/10/d.wav", "Test/9/e.wav"):
        wav(tmp_path / name)
    (tmp_path / "notes").mkdir()
    found = load_dataset("folder", tmp_path)
    assert found.labels == ("9", "10")  # numbers by value
    assert found.splits == ("test", "train", "validation")
    assert names(found.select(split="validation, test")[0]) == ["d.wav", "e.wav", "c.wav"]
    assert [p.rpartition("/")[2] for p in found.problems] == [
        "notes: neither train nor test: left out",
        f"{tmp_path.name}: no folder of class 10 in validation",
    ]
    # A single folder called train is a class: the vehicle.
    for name in ("train/a.wav", "bus/b.wav", "test/c.wav"):
        wav(tmp_path / "vehicles" / name)
    assert load_dataset("folder", tmp_path / "vehicles").labels == ("bus", "test", "train")


def test_csv_list(tmp_path: Path) -> None:
    wav(tmp_path / "one.wav", sine(440, 2, RATE))
    wav(tmp_path / "audio" / "two.wav")
    rows = [
        ("filename", "class", "start", "end", "fold", "split", "source_id", "id", "author"),
        ("one.wav", "kettle", 0.5, 1.25, 2, "val", "s1", "k1", "me"),
        ("one.wav", "pan, hot", "", "", 1, "train", "s1", "k2", "me"),
        ("two.wav", "kettle", 0, "", 1, "test", "", "", ""),
    ]
    path = write_list(tmp_path / "clips.csv", *rows)
    found = load_dataset("csv", tmp_path)
    assert found == load_dataset("csv", path)
    assert found.labels == ("kettle", "pan, hot")
    one = tmp_path / "one.wav"
    assert found.clips == (
        Clip(one, 0, 0.5, 1.25, fold=2, split="validation", group="s1", id="k1"),
        Clip(one, 1, fold=1, split="train", group="s1", id="k2"),
        Clip(tmp_path / "audio" / "two.wav", 0, fold=1, split="test"),
    )
    assert found.leaks() == {"s1": list(found.clips[:2])}
    # Recordings elsewhere: a folder, or an HDF5 file whose recordings the list names.
    (moved := tmp_path / "list" / "mine.csv").parent.mkdir()
    path.rename(moved)
    with pytest.raises(AinextError, match="3 of 3 clips are missing"):
        load_dataset("csv", moved)
    assert load_dataset("csv", moved.parent, tmp_path).clips == found.clips
    with h5py.File(tmp_path / "sound.hdf5", "w") as file:
        file["one"], file["two.wav"] = np.zeros(10), np.zeros(10)
    assert [clip.key for clip in load_dataset("csv", moved, tmp_path / "sound.hdf5").clips] == ["one", "one", "two.wav"]


def test_labels_differ_by_what_they_say(tmp_path: Path) -> None:
    """macOS has written é as two characters; whoever copies from there and here has folders of both."""
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    root = tmp_path / "folder"
    for name in (f"train/{composed}", f"train/{decomposed}", f"test/{decomposed}", "train/bus", "test/bus"):
        wav(root / name / "a.wav")
    found = load_dataset("folder", root)
    assert found.labels == ("bus", composed) and not found.problems
    assert Counter(found.labels[clip.label] for clip in found.clips) == {composed: 3, "bus": 2}
    for name in (composed, decomposed):
        wav(tmp_path / "csv" / f"{name}.wav")
    rows = [["path", "label"], [f"{composed}.wav", composed], [f"{decomposed}.wav", decomposed], ["c.wav", "bus"]]
    wav(tmp_path / "csv" / "c.wav")
    write_list(tmp_path / "csv" / "meta.csv", *rows)
    text = (tmp_path / "csv" / "meta.csv").read_text("utf-8")
    (tmp_path / "csv" / "meta.csv").write_text(text.replace(",", ";"), "utf-8-sig")  # as Excel saves it
    found = load_dataset("csv", tmp_path / "csv")
    assert found.labels == ("bus", composed) and [clip.label for clip in found.clips] == [1, 1, 0]
    (tmp_path / "csv" / f"{composed}.wav").unlink()  # named in one form in the list, and in the other on the disk
    assert [clip.path.name for clip in load_dataset("csv", tmp_path / "csv").clips][:1] == [f"{decomposed}.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a permission there")
def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    for name in ("far/dog/a.wav", "far/dog/deep/b.wav", "root/cat/c.wav"):
        wav(tmp_path / name)
    (tmp_path / "root" / "dog").symlink_to(tmp_path / "far" / "dog")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "far" / "dog" / "up").symlink_to(tmp_path / "far")
    found = load_dataset("folder", tmp_path / "root")
    assert found.labels == ("cat", "dog") and not found.problems
    assert [clip.path.relative_to(tmp_path / "root").as_posix() for clip in found.clips] == [
        *("cat/c.wav", "dog/a.wav", "dog/deep/b.wav"),
    ]
    assert recordings_at(tmp_path / "root").files.keys() == {"a", "b", "c"}

    # A link from one class to another gives no recording two labels.
    (tmp_path / "root" / "cat" / "more").symlink_to(tmp_path / "root" / "dog")
    (tmp_path / "root" / "wolf").symlink_to(tmp_path / "root" / "dog")
    wav(tmp_path / "root" / "eel" / "e.wav")
    (tmp_path / "root" / "bee").mkdir()
    (tmp_path / "root" / "bee" / "b.wav").symlink_to(tmp_path / "root" / "eel" / "e.wav")
    found = load_dataset("folder", tmp_path / "root")
    assert [(found.labels[clip.label], clip.path.name) for clip in found.clips] == [
        *(("cat", "c.wav"), ("dog", "a.wav"), ("dog", "b.wav"), ("eel", "e.wav")),
    ]
    assert [problem.partition("/root/")[2].partition(":")[0] for problem in found.problems] == ["bee", "cat", "wolf"]
    assert "1 recording, e.g. " in found.problems[0] and "also of class eel: left out" in found.problems[0]


def test_csv_rows_that_cannot_be_used(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    rows = [
        ("path", "label", "start", "end", "fold", "split"),
        ("a.wav", "x", 0, 1, 1, "train"),
        ("b.wav", "x", 0, 1, 1, "train"),
        ("a.wav", "", 0, 1, 1, "train"),
        ("a.wav", "x", 2, 1, 1, "train"),
        ("a.wav", "x", "soon", 1, 1, "train"),
        ("a.wav", "x", "nan", 1, 1, "train"),
        ("a.wav", "x", 0, 2, "one", "train"),
        ("a.wav", "x", 0, 3, 1, "exam"),
        ("a.wav", "x", 0, 1, 1, "train"),
        ("a.wav", "x"),
        ("", "x", 0, 1, 1, "train"),
        ("a" * 300, "x", 0, 1, 1, "train"),
    ]
    path = write_list(tmp_path / "meta.csv", *rows)
    found = load_dataset("csv", tmp_path)
    assert len(found.clips) == 1
    messages = [
        "b.wav is missing",
        "no label",
        "ends at 1 s, but starts at 2 s",
        "start is 'soon', not a number",
        "start is 'nan'",
        "fold is 'one'",
        "split is 'exam'",
        "is already in line 2",
        "2 values for 6 columns",
        "no path",
        "aaa is missing",
    ]
    for line, (problem, part) in enumerate(zip(found.problems, messages, strict=True), start=3):
        assert problem.startswith(f"{path}: line {line}: ") and part in problem


def test_kitchen20_and_esc(tmp_path: Path) -> None:
    header = ("filename", "fold", "target", "category", "source_id", "take")
    rows = [(f"{n}.wav", 1 + n % 2, n % 2, "ab"[n % 2], f"s{n // 4}", "A") for n in range(8)]
    write_list(tmp_path / "meta.csv", header, *rows, ("gone.wav", 1, 0, "a", "s", "A"), ("0.wav", 7, 0, "a", "s", "A"))
    for n in range(8):
        wav(tmp_path / "audio" / f"{n}.wav")
    for name in ("kitchen20", "esc10"):
        found = load_dataset(name, tmp_path)
        assert (found.name, found.labels, found.folds, len(found.clips)) == (name, ("a", "b"), (1, 2), 8)
        assert "line 10: " in found.problems[0] and "gone.wav is missing" in found.problems[0]
        assert "line 11: fold 7" in found.problems[1]
    # ESC-50's layout; ESC-10 that is read from it has the names and the order of ESC-10.
    header = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    rows = [
        ("1-5-A-0.wav", 1, 0, "dog", "True", "5", "A"),
        ("2-6-A-1.wav", 2, 1, "hen", "False", "6", "A"),
        ("5-7-A-2.wav", 5, 2, "sea_waves", "True", "7", "A"),
    ]
    root = tmp_path / "ESC-50"
    write_list(root / "meta" / "esc50.csv", header, *rows)
    for row in rows:
        wav(root / "audio" / row[0])
    esc50, esc10 = load_dataset("esc50", root), load_dataset("esc10", root)
    assert esc50.labels == ("dog", "hen", "sea_waves")
    assert [(clip.label, clip.fold, clip.group) for clip in esc50.clips] == [(0, 1, "5"), (1, 2, "6"), (2, 5, "7")]
    assert esc10.labels[:3] == ("dog_bark", "rain", "sea_waves") and len(esc10.labels) == 10
    assert [(clip.label, clip.fold) for clip in esc10.clips] == [(0, 1), (2, 5)]
    (root / "audio").rename(tmp_path / "elsewhere")
    assert len(load_dataset("esc50", root, tmp_path / "elsewhere").clips) == 3


def test_urbansound8k(tmp_path: Path) -> None:
    header = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    rows = [("7-0-0-0.wav", 7, 60.5, 64.5, 1, 10, 0, "air_conditioner"), ("8-1-0-0.wav", 8, 0, 1, 1, 1, 1, "car_horn")]
    write_list(tmp_path / "metadata" / "UrbanSound8K.csv", header, *rows)
    path = wav(tmp_path / "audio" / "fold10" / "7-0-0-0.wav")
    wav(tmp_path / "audio" / "fold1" / "8-1-0-0.wav")
    found = load_dataset("urbansound8k", tmp_path)
    assert found.labels == ("air_conditioner", "car_horn")
    assert found.clips[0] == Clip(path, 0, fold=10, group="7")  # start and end are times in the Freesound recording
    assert found.folds == (1, 10)


def test_fsdd_by_list_and_by_names(tmp_path: Path) -> None:
    files = [f"{digit}_{speaker}_{n}.wav" for digit in range(10) for speaker in ("theo", "lucas") for n in (4, 5)]
    for name in (*files, "readme_.wav"):
        wav(tmp_path / "recordings" / name)
    by_names = load_dataset("fsdd", tmp_path)
    assert len(by_names.problems) == 1 and "readme_.wav" in by_names.problems[0]
    rows = [(n, n[0], n[0], n.split("_")[1], "test" if n.endswith("_4.wav") else "train") for n in sorted(files)]
    write_list(tmp_path / "meta.csv", ("filename", "target", "category", "speaker", "split"), *rows)
    by_list = load_dataset("fsdd", tmp_path)
    assert (by_list.clips, by_list.labels) == (by_names.clips, by_names.labels)
    test, train = by_list.select(split="test")
    assert len(test) == len(train) == 20
    assert set(by_list.leaks()) == {"theo", "lucas"}


def test_vggsound(tmp_path: Path) -> None:
    rows = [
        ("---g-f_I2yQ", 1, "people marching", "test"),
        ("-0_xyz", 30, "dog barking, far", "train"),
        ("video", 120, "dog barking, far", "train"),
        ("gone", 10, "zebra braying", "train"),
        ("bad", "ten", "zebra braying", "train"),
    ]
    write_list(tmp_path / "vggsound.csv", *rows)
    wav(tmp_path / "audio" / "---g-f_I2yQ_000001.wav")
    wav(tmp_path / "train" / "-0_xyz_30.wav")
    (tmp_path / "video").mkdir()
    write_video(tmp_path / "video" / "video_000120.mp4", seconds=0.5)
    found = load_dataset("vggsound", tmp_path)
    assert found.labels == ("dog barking, far", "people marching", "zebra braying")  # those of missing clips as well
    assert [(clip.path.name, clip.label, clip.split, clip.group) for clip in found.clips] == [
        ("---g-f_I2yQ_000001.wav", 1, "test", "---g-f_I2yQ"),
        ("-0_xyz_30.wav", 0, "train", "-0_xyz"),
        ("video_000120.mp4", 0, "train", "video"),
    ]
    assert "line 4: " in found.problems[0] and "gone_000010.* is missing" in found.problems[0]
    assert "line 5: start is 'ten'" in found.problems[1]
    wav(tmp_path / "audio" / "video_000120.wav")  # preferred to the video
    assert load_dataset("vggsound", tmp_path).clips[2].path.suffix == ".wav"
    elsewhere = load_dataset("vggsound", tmp_path, tmp_path / "video")
    assert names(elsewhere.clips) == ["video_000120.mp4"] and elsewhere.labels == found.labels
    write_list(tmp_path / "vggsound.csv", *rows[3:4])
    with pytest.raises(AinextError, match=r"1 of 1 clip is missing, e\.g\. .*gone_000010"):
        load_dataset("vggsound", tmp_path)


def test_speech_commands(tmp_path: Path) -> None:
    for name in ("yes/a1_nohash_0", "yes/b2_nohash_0", "no/a1_nohash_0", "no/c3_nohash_1", "no/noise", "_noise_/hum"):
        wav(tmp_path / f"{name}.wav")
    (tmp_path / "empty").mkdir()
    testing, validation = tmp_path / "testing_list.txt", tmp_path / "validation_list.txt"
    testing.write_text("yes/b2_nohash_0.wav\nyes/gone_nohash_0.wav\n\n")
    validation.write_text("no/c3_nohash_1.wav\nyes/b2_nohash_0.wav\nno_such_thing\n")
    found = load_dataset("speechcommands", tmp_path)
    assert found.labels == ("no", "yes")
    assert [(clip.path.name, clip.label, clip.split, clip.group) for clip in found.clips] == [
        ("a1_nohash_0.wav", 0, "train", "a1"),
        ("c3_nohash_1.wav", 0, "validation", "c3"),
        ("a1_nohash_0.wav", 1, "train", "a1"),
        ("b2_nohash_0.wav", 1, "test", "b2"),
    ]
    messages = [
        "validation_list.txt: line 2: yes/b2_nohash_0.wav is already in .*testing_list.txt: line 1",
        "validation_list.txt: line 3: no_such_thing is not WORD/FILE.wav",
        "empty: no .wav files",
        "noise.wav: is not named SPEAKER_nohash_NUMBER.wav",
        "testing_list.txt: line 2: .*yes/gone_nohash_0.wav is missing",
    ]
    for problem, message in zip(found.problems, messages, strict=True):
        assert re.search(message, problem)
    # Without its lists, all would be taken for training.
    for content, message in ((b"\n", "lists no files"), (b"\xff", "not a list of files in UTF-8")):
        testing.write_bytes(content)
        with pytest.raises(AinextError, match=message):
            load_dataset("speechcommands", tmp_path)
    testing.unlink()
    with pytest.raises(AinextError, match=r"no Speech Commands here: testing_list\.txt is missing"):
        load_dataset("speechcommands", tmp_path)
    # The words may be elsewhere.
    for path in (testing, validation):
        path.write_text("yes/b2_nohash_0.wav\n")
    (tmp_path / "lists").mkdir()
    for path in (testing, validation):
        path.rename(tmp_path / "lists" / path.name)
    assert len(load_dataset("speechcommands", tmp_path / "lists", tmp_path).clips) == 4
    with pytest.raises(AinextError, match=r"no folders of words"):
        load_dataset("speechcommands", tmp_path / "lists")


def test_nsynth(tmp_path: Path) -> None:
    def entry(family: object, name: str, instrument: str) -> dict[str, object]:
        return {"instrument_family": family, "instrument_family_str": name, "instrument_str": instrument, "pitch": 60}

    def write(folder: str, text: str) -> Path:
        (tmp_path / folder / "audio").mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "examples.json").write_text(text)
        return tmp_path / folder

    notes = {"bass_1-060": entry(0, "bass", "bass_1"), "vocal_2-061": entry(10, "vocal", "vocal_2")}
    damaged = {
        "gone": entry(1, "brass", "brass_1"),
        "high": entry(11, "kazoo", "kazoo_1"),
        "odd": entry(True, "brass", "brass_1"),
        "other": entry(2, "brass", "brass_1"),
        "nameless": entry(2, "flute", ""),
        "empty": {},
    }
    train, test = write("nsynth-train", json.dumps(notes | damaged)), write("nsynth-test", json.dumps(notes))
    with pytest.raises(AinextError, match=r"no note has a recording here: .*is missing"):
        load_dataset("nsynth", tmp_path)
    for note in notes:
        wav(train / "audio" / f"{note}.wav")
        wav(test / "audio" / f"{note}.wav")
    found = load_dataset("nsynth", tmp_path)
    assert len(found.labels) == 11 and found.labels[0] == "bass" and found.labels[10] == "vocal"
    bass, vocal = train / "audio" / "bass_1-060.wav", train / "audio" / "vocal_2-061.wav"
    assert found.clips[:2] == (
        Clip(bass, 0, split="train", group="bass_1", id="bass_1-060"),
        Clip(vocal, 10, split="train", group="vocal_2", id="vocal_2-061"),
    )
    assert (found.splits, len(found.clips), set(found.leaks())) == (("test", "train"), 4, {"bass_1", "vocal_2"})
    messages = [
        "gone: .*audio/gone.wav is missing",
        "high: instrument_family 11; the families are 0 to 10",
        "odd: instrument_family True",
        "other: instrument_family 2 is 'flute', not 'brass'",
        "nameless: no instrument_str",
        "empty: no instrument_family",
    ]
    for problem, message in zip(found.problems, messages, strict=True):
        assert re.search(f"nsynth-train/examples.json: {message}", problem)
    with pytest.raises(AinextError, match="no note has a recording"):
        load_dataset("nsynth", tmp_path, tmp_path / "nsynth-train")
    for text, message in (("{", "damaged, not JSON"), ("[]", "lists no notes"), ("{}", "lists no notes")):
        write("nsynth-valid", text)
        with pytest.raises(AinextError, match=message):
            load_dataset("nsynth", tmp_path)


# EPIC-SOUNDS


@pytest.mark.parametrize("suffix", ["csv", "pkl"])
def test_epic_sounds(tmp_path: Path, suffix: str) -> None:
    epic_lists(tmp_path / "lists", suffix)
    epic_hdf5(tmp_path / "lists" / "EPIC_audio.hdf5", P01_1=40_000, P02_9=2400, P03_1=2400)
    found = load_dataset("epic-sounds", tmp_path / "lists")
    assert (found.problems, found.sample_rate, len(found.labels)) == ((), 24_000, 44)
    assert [(c.id, c.label, c.split, c.key, c.group) for c in found.clips] == [
        ("P01_1_0", 4, "train", "P01_1", "P01_1"),
        ("P01_1_1", 3, "train", "P01_1", "P01_1"),
        ("P02_9_0", 42, "validation", "P02_9", "P02_9"),
        ("P03_1_0", UNLABELLED, "test", "P03_1", "P03_1"),
    ]
    # The time stamps count; the sample indices of the list may be off by one.
    first = found.clips[0]
    assert first.end is not None and (round(first.start * 24_000), round(first.end * 24_000)) == (2400, 12_024)
    assert first.padded
    # The same from files, one per video, at any depth; a missing video is one problem.
    wav(tmp_path / "sound" / "P02" / "P02_9.wav", rate=24_000)
    (tmp_path / "sound" / "P01").mkdir()
    (video := write_video(tmp_path / "sound" / "P01" / "P01_1.mp4", seconds=2)).rename(video.with_suffix(".MP4"))
    files = load_dataset("epic-sounds", tmp_path / "lists", audio=tmp_path / "sound")
    assert [(c.path.name, c.key, c.start) for c in files.clips] == [
        ("P01_1.MP4", None, found.clips[0].start),
        ("P01_1.MP4", None, 1.0),
        ("P02_9.wav", None, 0.0),
    ]
    (problem,) = files.problems
    assert "video P03_1 is not in" in problem and "1 segment left out" in problem


def test_epic_sounds_beyond_the_end(tmp_path: Path) -> None:
    epic_lists(tmp_path, "csv")
    audio = epic_hdf5(tmp_path / "a.hdf5", P01_1=24_000 + 6000, P02_9=2399, P03_1=1)
    with h5py.File(audio, "a") as file:
        del file["P03_1"]
        file["P03_1"] = np.zeros((2, 2400))
    found = load_dataset("epic-sounds", tmp_path)
    assert [(c.id, c.end) for c in found.clips] == [("P01_1_0", 0.501), ("P01_1_1", 1.5), ("P02_9_0", 0.1)]
    short, shape = found.problems  # one sample too many is no problem
    assert "line 3: P01_1_1 ends 0.2 s beyond the end of P01_1: its last frame is repeated" in short
    assert "P03_1 in" in shape and "not one row" in shape
    epic_hdf5(audio, P01_1=24_000, P02_9=2400, P03_1=2400)
    found = load_dataset("epic-sounds", tmp_path)
    assert len(found.clips) == 3 and "nothing before it: left out" in found.problems[0]


def test_epic_sounds_rows_that_cannot_be_used(tmp_path: Path) -> None:
    epic_hdf5(tmp_path / "a.h5", P01_1=40_000)
    header = (*EPIC, "description", "class", "class_id")
    good = SEGMENTS[0]
    bad = [good, (*good[:9], 5), (*good[:4], good[3], *good[5:]), ("", *good[1:]), (*good[:8], "", 4)]
    rows = [good, bad[0], *(("x" + str(n) if row[0] else "", *row[1:]) for n, row in enumerate(bad[1:]))]
    write_list(tmp_path / "EPIC_Sounds_validation.csv", header, *rows)
    found = load_dataset("epic-sounds", tmp_path)
    assert len(found.clips) == 1
    messages = [
        "P01_1_0 appears twice",
        "class_id 5 is 'water', not 'rustle'",
        "x1 is from 00:00:00.100 to 00:00:00.100",
        "no annotation_id",
        "no class",
    ]
    for problem, message in zip(found.problems, messages, strict=True):
        assert message in problem
    (tmp_path / "b.hdf5").write_bytes(b"")
    with pytest.raises(AinextError, match=r"2 HDF5 files.*give the one"):
        load_dataset("epic-sounds", tmp_path)
    with pytest.raises(AinextError, match="not a complete HDF5 file"):
        load_dataset("epic-sounds", tmp_path, tmp_path / "b.hdf5")


# EPIC-KITCHENS-100


def test_epic_kitchens(tmp_path: Path) -> None:
    kitchen_lists(tmp_path / "lists")
    epic_hdf5(tmp_path / "EPIC_audio.hdf5", P01_1=35_000, P02_9=2400, P03_1=2400)
    found = load_dataset("epic-kitchens", tmp_path)
    assert (found.tasks, found.sample_rate, len(found.labels)) == ({"verb": 97, "noun": 300}, 24_000, 397)
    assert found.labels[:2] == ("take", "do-1") and found.labels[96:100] == (
        "water (verb)",
        "tap",
        "water (noun)",
        "plate",
    )
    assert len(set(found.labels)) == 397
    assert [(c.id, c.label, c.also, c.split, c.key, c.group) for c in found.clips] == [
        ("P01_1_0", 0, (99,), "train", "P01_1", "P01_1"),
        ("P01_1_1", 96, (396,), "train", "P01_1", "P01_1"),
        ("P02_9_0", 0, (99,), "validation", "P02_9", "P02_9"),
        ("P03_1_0", UNLABELLED, (), "test", "P03_1", "P03_1"),
    ]
    assert found.clips[0].labels == (0, 99) and found.clips[3].labels == ()
    # The sample at a time stamp, of hundredths or thousandths; 0.04 s too many are no problem.
    assert [(round(c.start * 24_000), round((c.end or 0) * 24_000)) for c in found.clips] == [
        (3360, 13_200),
        (24_120, 36_000),
        (0, 2400),
        (0, 2400),
    ]
    assert found.problems == ()
    # One list is enough. Without the names of classes, their numbers are the names.
    for name in ("EPIC_100_train.csv", "EPIC_100_test_timestamps.csv", "EPIC_100_verb_classes.csv"):
        (tmp_path / "lists" / name).unlink()
    found = load_dataset("epic-kitchens", tmp_path)
    assert (found.splits, found.labels[0], found.labels[99]) == (("validation",), "verb 0", "plate")
    (problem,) = found.problems
    assert "EPIC_100_verb_classes.csv is missing, so the verbs are named by their numbers" in problem
    names = tmp_path / "lists" / "EPIC_100_noun_classes.csv"
    names.write_text(names.read_text().replace("thing:7,", "thing:8,"))
    with pytest.raises(AinextError, match=r"noun_classes\.csv: does not name the 300 nouns 0 to 299"):
        load_dataset("epic-kitchens", tmp_path)


def test_epic_kitchens_rows_that_cannot_be_used(tmp_path: Path) -> None:
    kitchen_lists(tmp_path)
    epic_hdf5(tmp_path / "a.h5", P01_1=40_000)
    header, good, _ = (tmp_path / "EPIC_100_train.csv").read_text().splitlines()
    changes = {
        "P01_1_0 appears twice": ("", ""),
        "verb_class 97; the classes are 0 to 96": ("take,0,", "take,97,"),
        "noun_class is 'two', not a whole number": ("plate,2,", "plate,two,"),
        "start_timestamp is '0.14', not a time such as 00:01:02.345": ("00:00:00.14", "0.14"),
        "is from 00:00:00.14 to 00:00:00.10": ("00:00:00.55", "00:00:00.10"),
    }
    rows = [good, *(good.replace(*change) for change in changes.values())]
    rows[2:] = [row.replace("P01_1_0", f"P01_1_{number}") for number, row in enumerate(rows[2:], start=2)]
    (tmp_path / "EPIC_100_train.csv").write_text("\n".join([header, *rows]))
    found = load_dataset("epic-kitchens", tmp_path)
    assert len(found.clips) == 1
    for problem, message in zip(found.problems, [*changes, "video P02_9 is not in", "video P03_1 is not"], strict=True):
        assert message in problem


# Calls that cannot work


def test_no_such_data_set(tmp_path: Path) -> None:
    for name in DATASETS:
        with pytest.raises(AinextError, match=r"no |give ") as caught:
            load_dataset(name, tmp_path)
        assert "\n" not in str(caught.value), name
    cases = [
        (("esc-50", tmp_path), "did you mean esc50"),
        (("kitchen20", tmp_path / "none"), "root is .*none: no such folder"),
        (("kitchen20", tmp_path, tmp_path / "none"), "audio is .*none: no such"),
        (("folder", tmp_path, tmp_path), "audio is .*: a folder of classes holds its own"),
    ]
    for arguments, message in cases:
        with pytest.raises(AinextError, match=message):
            load_dataset(*arguments)
    wav(tmp_path / "sounds" / "dog" / "a.wav")
    with pytest.raises(AinextError, match="one class only, dog; give a folder with one subfolder per class"):
        load_dataset("folder", tmp_path / "sounds")


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    path = tmp_path / "meta.csv"
    cases = [
        ("", "lists no clips"),
        ("sound,label\na.wav,x\n", "no column path or filename or fname or file; it has sound, label"),
        ("path,label,folds\na.wav,x,1\n", "a column 'folds'; did you mean fold"),
        ("path,label\n", "lists no clips"),
        ("path,label\na.wav,\n,x\n", "none of its 2 rows can be used, e.g. line 2: no label"),
        ("path;label\na.wav;x\n", None),
    ]
    for text, message in cases:
        path.write_text(text, encoding="utf-8")
        if message is None:
            assert load_dataset("csv", tmp_path).labels == ("x",)
            continue
        with pytest.raises(AinextError, match=message):
            load_dataset("csv", tmp_path)
    path.write_bytes(b"path,label\n\xff\xfe\n")
    with pytest.raises(AinextError, match="not a CSV list in UTF-8"):
        load_dataset("csv", tmp_path)
    path.write_text("filename,fold,target,category,source_id\na.wav,1,1,x,s\n")
    with pytest.raises(AinextError, match="the targets are not 0 to 0"):
        load_dataset("kitchen20", tmp_path)
    write_list(tmp_path / "other.csv", ("path", "label"))
    path.rename(tmp_path / "another.csv")
    with pytest.raises(AinextError, match=r"2 \.csv lists"):
        load_dataset("csv", tmp_path)


# Folds


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Clips of a few sources in one to five folds or none; sources may be in more than one fold."""
    folds = draw(st.sampled_from([0, 2, 5]))
    classes = draw(st.integers(1, 3))
    rows = draw(
        st.lists(st.tuples(st.integers(0, 12), st.integers(1, max(1, folds)), st.integers(0, classes - 1)), min_size=1)
    )
    clips = [
        Clip(Path(str(n)), label, fold=fold if folds else None, group=str(group) if group else "")
        for n, (group, fold, label) in enumerate(rows)
    ]
    return Dataset("made", tuple("abc"[:classes]), tuple(clips))


@given(datasets(), st.integers(2, 6))
@settings(deadline=None, max_examples=200)
def test_leak_free_folds(dataset: Dataset, num_folds: int) -> None:
    groups: defaultdict[str | None, set[int | None]] = defaultdict(set)
    for clip in dataset.clips:
        groups[clip.group].add(clip.fold)
    wanted = dataset.folds or tuple(range(1, num_folds + 1))
    if len(groups) < len(wanted):
        with pytest.raises(AinextError, match="cannot fill"):
            dataset.leak_free(num_folds)
        return
    found = dataset.leak_free(num_folds)
    assert [(c.path, c.label, c.group) for c in found.clips] == [(c.path, c.label, c.group) for c in dataset.clips]
    assert found.leaks() == {}
    after = {clip.group: clip.fold for clip in found.clips}
    for group, before in groups.items():
        if dataset.folds:
            assert after[group] in before  # a source in one fold stays there, others go to one of their own folds
    if not dataset.folds:
        assert found.folds == wanted  # no fold is empty
        sizes = Counter(clip.fold for clip in found.clips)
        largest = max(Counter(clip.group for clip in dataset.clips).values())
        if len(dataset.labels) == 1:
            assert max(sizes.values()) - min(sizes.values()) <= largest
    assert found == dataset.leak_free(num_folds)


def test_select() -> None:
    clips = [Clip(Path(str(n)), 0, fold=n, split=("train", "test")[n % 2]) for n in range(1, 6)]
    made = Dataset("made", ("a",), tuple(clips))
    for folds, inside in {"1-3": "123", "5": "5", "1,4-5": "145", "all": "12345"}.items():
        chosen, rest = made.select(folds)
        assert "".join(names(chosen)) == inside and len(chosen) + len(rest) == 5
    assert names(made.select(split="test")[0]) == ["1", "3", "5"]
    assert len(made.select(split="train,test")[0]) == len(made.select()[0]) == len(made.select(split="all")[0]) == 5
    for arguments, message in [
        (("6",), "has the folds 1, 2"),
        (("3-1",), "has the folds"),
        (("1-9999999999999",), "has the folds"),
        (("-2",), "give numbers such as"),
        ((None, "exam"), "has the splits test, train"),
        (("1", "test"), "give one of them"),
    ]:
        with pytest.raises(ParameterError, match=message):
            made.select(*arguments)
    with pytest.raises(ParameterError, match="has no folds; give a split instead"):
        Dataset("made", ("a",), (Clip(Path("1"), 0, split="train"),)).select("1")
    with pytest.raises(AinextError, match="names no source"):
        made.leak_free()


# The real lists


@pytest.mark.needs("data")
@pytest.mark.parametrize(
    ("name", "clips", "classes", "groups", "leaking"),
    [("kitchen20", 800, 20, 378, 39), ("esc10", 400, 10, 304, 0), ("fsdd", 3000, 10, 6, 6)],
)
def test_real_lists(name: str, clips: int, classes: int, groups: int, leaking: int) -> None:
    found = load_dataset(name, SHARED / name)
    assert (len(found.clips), len(found.labels), found.problems) == (clips, classes, ())
    assert (len({clip.group for clip in found.clips}), len(found.leaks())) == (groups, leaking)
    free = found.leak_free()
    assert free.leaks() == {} and len(free.folds) == 5 and len(free.clips) == clips


def test_epic_sounds_times_that_contradict_sample_indices(tmp_path: Path) -> None:
    epic_hdf5(tmp_path / "a.h5", P01_1=400_000)
    header, good = (*EPIC, "description", "class", "class_id"), SEGMENTS[0]
    times: list[tuple[object, ...]] = [
        ("00:00:12.000", "00:00:14.000", 2880000, 3360000),
        ("00:00:05.000", "00:00:07.000", "5.0", "7.0"),
        ("00:00:05.000", "00:00:07.000", "", ""),
        ("5 s", "00:00:07.000", 1, 2),
        ("00:61:00.0", "", 1, 2),
    ]
    rows = [(f"P01_1_{number}", *good[1:3], *of_row, *good[7:]) for number, of_row in enumerate(times)]
    write_list(tmp_path / "EPIC_Sounds_validation.csv", header, *rows)
    found = load_dataset("epic-sounds", tmp_path)
    assert [(clip.start, clip.end) for clip in found.clips] == [(12, 14), (5, 7), (5, 7)]
    assert [problem.split("line ")[1] for problem in found.problems] == [
        "2: P01_1_0 has '2880000' as its start_sample, but 00:00:12.000 is sample 288000: the time stamps are used",
        "3: P01_1_1 has '5.0' as its start_sample, but 00:00:05.000 is sample 120000: the time stamps are used",
        "5: start_timestamp is '5 s', not a time such as 00:01:02.345",
        "6: start_timestamp is '00:61:00.0', not a time such as 00:01:02.345",
    ]


@pytest.mark.needs("data")
def test_real_epic_sounds_annotations(tmp_path: Path) -> None:
    lists = SHARED / "epic-sounds"
    lengths: dict[str, int] = {}
    for path in sorted(lists.glob("*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                lengths[row["video_id"]] = max(lengths.get(row["video_id"], 0), int(row["stop_sample"]))
    audio = epic_hdf5(tmp_path / "EPIC_audio.hdf5", **lengths)
    found = load_dataset("epic-sounds", lists, audio)
    assert found.problems == ()
    validation, test = found.select(split="validation")
    assert (len(validation), len(test)) == (8035, 5131)
    assert (len({c.key for c in validation}), len({c.label for c in validation})) == (137, 44)
    assert {clip.label for clip in test} == {UNLABELLED}
    with (lists / "EPIC_Sounds_validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [c.id for c in validation] == [row["annotation_id"] for row in rows]
    stated = np.array([[int(row["start_sample"]), int(row["stop_sample"])] for row in rows])
    samples = np.array([[round(c.start * 24_000), round((c.end or 0) * 24_000)] for c in validation])
    assert set(np.unique(samples - stated)) == {0, 1}  # the published indices are cut off, and not rounded
