"""Data sets of label tracks (Audacity, Raven, ELAN), and lists with times as other programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext.data import Dataset, load_dataset
from audioinceptionnext.data.clip import NONE_OF_THEM
from audioinceptionnext.data.track_formats import read_track
from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.types import RecognitionData, Segment
from tests.command import ainext
from tests.data_files import wav

SEGMENTS = [("tap, running", 0.25, 1.5), ("bowl", 0.5, 0.75), ("tap, running", 2.0, 2.125)]
AUDACITY = "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for label, start, end in SEGMENTS)
RAVEN = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>
<TIER TIER_ID="bowl">{annotations}</TIER></ANNOTATION_DOCUMENT>
"""


def result(file: Path) -> RecognitionData:
    segments = [Segment(start, end, label, 0.5) for label, start, end in SEGMENTS]
    return RecognitionData(str(file), 3.0, "kitchen20", [], segments, ("bowl",), np.zeros((1, 1)), 0.16, 2.08)


def written(folder: Path, **tracks: str) -> Path:
    """A folder of recordings with a track of this text beside each; underscores in names stand for points."""
    for name, text in tracks.items():
        stem, _, suffix = name.partition("_")
        wav(folder / f"{stem}.wav")
        (folder / f"{stem}.{suffix.replace('_', '.')}").write_text(text, encoding="utf-8")
    return folder


def rows(dataset: Dataset) -> list[tuple[str, str, float, float | None]]:
    return [(c.path.name, "; ".join(dataset.labels[n] for n in c.labels), c.start, c.end) for c in dataset.clips]


@pytest.mark.parametrize("format", ["audacity", "raven", "elan"])
def test_what_predict_writes_is_a_data_set(format: str, tmp_path: Path) -> None:
    path = wav(tmp_path / "sub" / "dinner.wav")
    text = FORMATS[format].text(result(path), folder=tmp_path)
    path.with_suffix(FORMATS[format].suffix).write_text(text, encoding="utf-8")
    dataset = load_dataset("labels", tmp_path)
    assert sorted((label, c.start, c.end) for c in dataset.clips for label in [dataset.labels[c.label]]) == sorted(
        SEGMENTS
    )
    assert dataset.multi_label and dataset.problems == () and dataset.name == "labels"
    assert {clip.group for clip in dataset.clips} == {str(Path("sub", "dinner.wav"))}


def test_audacity_ranges_of_frequencies_commas_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff0,5\t1,25\tcafe\u0301\n\\\t100.0\t2000.0\n\n1\t2\ta\tb\n".encode())
    assert read_track(path, "a.wav").segments == [(0.5, 1.25, "café"), (1, 2, "a b")]
    path.write_bytes("0.5\t1.25\tbowl\n".encode("utf-16"))
    assert read_track(path, "a.wav").segments == [(0.5, 1.25, "bowl")]


def test_only_ends_of_lines_end_a_line_and_numbers_are_plain(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("0\t1\ta\u2028b\x85c\r2\t3\tbowl\r\n4\t1_0\tbowl\n_1\t2\tbowl".encode())
    track = read_track(path, "a.wav")
    assert track.segments == [(0, 1, "a b c"), (2, 3, "bowl")]
    assert track.problems == [f"line {n}: {time!r} is no time in seconds" for n, time in ((3, "1_0"), (4, "_1"))]
    path.write_bytes("0.5\t1.25\tbowl\n".encode("utf-16-le"))
    with pytest.raises(FileError, match="not text in UTF-8 or UTF-16"):
        read_track(path, "a.wav")


def test_a_track_that_may_be_of_two_recordings_is_of_neither(tmp_path: Path) -> None:
    root = written(tmp_path, same_txt="0\t1\tbowl\n", other_txt="0\t1\ttap\n")
    for name in ("same.flac", "x.Table.1.wav", "y.wav"):
        wav(root / name)
    for name in ("x.Table.1.selections.txt", "y.Table.1.selections.txt"):
        (root / name).write_text(f"{RAVEN}1\tSpectrogram 1\t1\t2\towl\n")
    dataset = load_dataset("labels", root)
    assert [row[:2] for row in rows(dataset)] == [("other.wav", "tap"), ("x.Table.1.wav", "owl"), ("y.wav", "owl")]
    said = "same.txt may be another recording's; name it after one of them, such as"
    assert dataset.problems == tuple(
        f"{root / name}: {said} {name}.txt; the recording is left out" for name in ("same.flac", "same.wav")
    )
    (root / "same.txt").rename(root / "same.wav.txt")
    assert load_dataset("labels", root).problems == (
        f"{root / 'same.flac'}: no label track beside it; the recording is left out",
    )


def test_raven_views_offsets_and_other_recordings(tmp_path: Path) -> None:
    path = tmp_path / "a.Table.1.selections.txt"
    path.write_text(f"{RAVEN}1\tWaveform 1\t1\t2\towl\n1\tSpectrogram 1\t1\t2\towl\n2\tSpectrogram 1\t3\t4\t\n")
    track = read_track(path, "a.wav")
    assert track.segments == [(1, 2, "owl")] and track.problems == ["line 4: no label"]
    whole = FORMATS["raven"].text(result(Path("other.wav")), result(Path("a.wav")))
    path.write_text(whole, encoding="utf-8")
    track = read_track(path, "A.wav")
    assert track.segments == [(start, end, label) for label, start, end in SEGMENTS]
    assert track.problems == [f"line {n}: a selection of other.wav" for n in (2, 3, 4)]
    wav(tmp_path / "a.wav")
    assert load_dataset("labels", tmp_path).labels == ("bowl", "tap, running")


def test_elan_without_values_or_times(tmp_path: Path) -> None:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="t{n}"{time}/>'
        for n, time in enumerate([' TIME_VALUE="500"', "", ' TIME_VALUE="900"'], 1)
    )
    one = (
        '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{0}" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t{0}">'
        "<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )
    path = tmp_path / "a.eaf"
    path.write_text(ELAN.format(slots=slots, annotations=one.format(3) + one.format(2)))
    track = read_track(path, "a.wav")
    assert track.segments == [(0.5, 0.9, "bowl")]
    assert track.problems == ["annotation a2 of tier bowl: '' is no time in seconds"]


def test_bad_tracks_get_a_line_each_and_lose_nothing_else(tmp_path: Path) -> None:
    root = written(
        tmp_path / "mine", good_txt=AUDACITY, empty_txt="", also_wav_txt="0\t1\tbowl\n",
        mixed_txt="2\t1\tbowl\n0\t1\tbowl\nnow\t2\tbowl\n3\t3\tbowl\n-1\t2\tbowl\n0\t0.5\n",
        hopeless_txt="1\t0\tbowl\n", notes_txt="What I heard:\na bowl.\n",
        raven_selections_txt="Selection\tLow Freq (Hz)\n1\t20\n",
        xml_eaf="<html/>", broken_eaf="<ANNOTATION_DOCUMENT>", twice_txt=AUDACITY, twice_eaf="",
    )  # fmt: skip
    wav(root / "alone.wav")
    wav(root / "latin.wav")
    (root / "latin.txt").write_bytes("0\t1\tcaf\xe9\n".encode("latin-1"))
    (root / "gone.txt").write_text(AUDACITY)
    (root / "README.txt").write_text("Recorded in May.\n")
    dataset = load_dataset("labels", root)
    left_out = "; the recording is left out"
    assert sorted(dataset.problems) == sorted(
        f"{root / name}: {what}"
        for name, what in [
            ("mixed.txt", "line 1: ends at 1 s, but starts at 2 s"),
            ("mixed.txt", "line 3: 'now' is no time in seconds"),
            ("mixed.txt", "line 4: a point at 3 s; draw it from where the sound starts to where it ends"),
            ("mixed.txt", "line 5: starts at -1 s, before the recording"),
            ("mixed.txt", "line 6: no label"),
            ("hopeless.txt", "line 1: ends at 0 s, but starts at 1 s"),
            (
                "notes.txt",
                f"not a label track of Audacity: no line has a start, an end and a label, with tabs{left_out}",
            ),
            ("raven.selections.txt", f"not a selection table of Raven: it has no column 'Begin Time (s)'{left_out}"),
            ("xml.eaf", f"not a document of ELAN: it begins with html{left_out}"),
            ("broken.eaf", f"not a document of ELAN: no element found: line 1, column 21{left_out}"),
            ("twice.wav", f"several label tracks, twice.eaf, twice.txt; keep one{left_out}"),
            ("alone.wav", f"no label track beside it{left_out}"),
            ("latin.txt", f"not text in UTF-8 or UTF-16; save it in one of these{left_out}"),
            ("gone.txt", "no recording of this name"),
        ]
    )
    assert rows(dataset) == [
        ("also.wav", "bowl", 0, 1), ("empty.wav", "", 0, None), ("good.wav", "tap, running", 0.25, 1.5),
        ("good.wav", "bowl", 0.5, 0.75), ("good.wav", "tap, running", 2, 2.125), ("mixed.wav", "bowl", 0, 1),
    ]  # fmt: skip
    assert dataset.clips[1].label == NONE_OF_THEM
    checked = ainext("data", "check", "labels", "--root", root, "--fast", "--json")
    assert checked.code == 1 and len(checked.json["problems"]) == 14 and checked.json["without_label"] == 1


def test_splits_times_of_several_labels_and_recordings_elsewhere(tmp_path: Path) -> None:
    for split in ("train", "val"):
        written(tmp_path / split, a_txt=f"0\t1\tbowl\n0\t1\t{split}\n")
    dataset = load_dataset("labels", tmp_path)
    assert dataset.splits == ("train", "validation") and dataset.labels == ("bowl", "train", "val")
    assert rows(dataset) == [("a.wav", "bowl; train", 0, 1), ("a.wav", "bowl; val", 0, 1)]
    wav(tmp_path / "b.wav")
    (tmp_path / "b.txt").write_text("0\t1\tbowl\n")
    assert load_dataset("labels", tmp_path).splits == ()
    audio = tmp_path / "audio"
    wav(audio / "x" / "c.flac.wav")
    tracks = tmp_path / "tracks"
    (tracks / "x").mkdir(parents=True)
    (tracks / "x" / "c.flac.txt").write_text("0\t1\tbowl\n")
    assert rows(load_dataset("labels", tracks, audio)) == [("c.flac.wav", "bowl", 0, 1)]


def test_folders_that_are_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no audio or video files in this folder"):
        load_dataset("labels", tmp_path)
    wav(tmp_path / "a.wav")
    with pytest.raises(FileError, match=r"no recording here has a label track with a label, e\.g\. .*a\.wav: no"):
        load_dataset("labels", tmp_path)
    with pytest.raises(ParameterError, match="give the folder of the recordings"):
        load_dataset("labels", tmp_path, tmp_path / "a.wav")


def test_a_list_of_events_as_in_desed(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        wav(tmp_path / "audio" / name)
    lines = ["filename\tonset\toffset\tevent_label", "a.wav\t0.5\t1.25\tDishes", "a.wav\t0.5\t1.25\tSpeech"]
    lines += ["a.wav\t1\t2\tDishes", "b.wav\t\t\t", "b.wav\t2\t1\tDishes"]
    (tmp_path / "validation.tsv").write_text("\n".join(lines) + "\n")
    for root in (tmp_path, tmp_path / "validation.tsv"):
        dataset = load_dataset("csv", root)
        assert rows(dataset) == [
            ("a.wav", "Dishes; Speech", 0.5, 1.25), ("a.wav", "Dishes", 1, 2), ("b.wav", "", 0, None),
        ]  # fmt: skip
        assert dataset.problems == (f"{tmp_path / 'validation.tsv'}: line 6: ends at 1 s, but starts at 2 s",)


def test_the_table_that_predict_writes_is_a_list(tmp_path: Path) -> None:
    path = wav(tmp_path / "dinner.wav")
    table = tmp_path / "all.csv"
    table.write_text(FORMATS["csv"].text(result(path)), encoding="utf-8")
    dataset = load_dataset("csv", table)
    assert rows(dataset) == [("dinner.wav", label, start, end) for label, start, end in SEGMENTS]
