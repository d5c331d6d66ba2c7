"""The result of a prediction: its formats, its table, its picture and its data frame."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.errors import AinextError, FileError, MissingDependencyError, ParameterError
from audioinceptionnext.results.formats import FORMATS, format_time
from audioinceptionnext.results.html import HtmlReport, SoundMode
from audioinceptionnext.results.plot import _band_of
from audioinceptionnext.results.types import Score, Segment
from tests.strategies import AWKWARD, TEXT, one_line, recognition, segment_lists


def seconds(text: str) -> float:
    hours, minutes, rest = text.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


@settings(max_examples=100, deadline=None)
@given(segment_lists(), TEXT)
def test_written_segments_read_back(found: list[Segment], file: str) -> None:
    result = recognition(found, file=file)

    rows = list(csv.DictReader(io.StringIO(result.to_csv(), newline="")))
    assert [(row["file"], row["label"]) for row in rows] == [(file, one.label) for one in found]
    for row, one in zip(rows, found, strict=True):
        times = float(row["start"]), float(row["end"]), float(row["score"])
        assert times == pytest.approx((one.start, one.end, one.score), abs=6e-4)

    lines = result.to_audacity().splitlines()
    assert len(lines) == len(found)
    for line, one in zip(lines, found, strict=True):
        start, end, label = line.split("\t")
        assert re.fullmatch(r"\d+\.\d{6}", start) and label == one_line(one.label)
        assert (float(start), float(end)) == pytest.approx((one.start, one.end), abs=1e-6)

    cues = [cue.split("\n") for cue in result.to_srt().strip("\n").split("\n\n")] if found else []
    assert [int(cue[0]) for cue in cues] == list(range(1, len(found) + 1))
    by_time = sorted(found, key=lambda one: (one.start, one.end))
    for (_, times, text), one in zip(cues, by_time, strict=True):
        assert re.fullmatch(r"\d\d+:[0-5]\d:[0-5]\d,\d{3} --> \d\d+:[0-5]\d:[0-5]\d,\d{3}", times)
        start, end = map(seconds, times.split(" --> "))
        assert (start, end) == pytest.approx((one.start, one.end), abs=6e-4)
        assert text == f"{one_line(one.label).replace('-->', '→')} {one.score:.0%}"


@settings(max_examples=100, deadline=None)
@given(segment_lists(), st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40))
def test_json_is_the_interfaces_object(found: list[Segment], weights: list[float]) -> None:
    shares = np.sort(np.float32(weights) / max(np.float32(weights).sum(), np.float32(1e-3)))[::-1]
    result = recognition(found, clip=[Score(f"class {n}", float(share)) for n, share in enumerate(shares)])
    data = json.loads(result.to_json())
    assert data == result.as_dict()
    assert list(data) == ["file", "duration", "model", "clip", "segments"]
    assert all(list(one) == ["label", "score"] for one in data["clip"])
    assert all(list(one) == ["start", "end", "label", "score"] for one in data["segments"])
    scores = [one["score"] for one in data["clip"]]
    assert sum(scores) <= 1 and sum(reversed(scores)) <= 1 and min(scores) >= 0
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx(shares.tolist(), abs=2.1e-4)


def test_scores_keep_their_decimals() -> None:
    clip = [Score("a", float(np.float32(0.93))), Score("b", float(np.float32(0.05)))]
    assert [one["score"] for one in recognition([], clip=clip).as_dict()["clip"]] == [0.93, 0.05]
    assert recognition([], clip=[Score("a", 1.0)]).as_dict()["clip"][0]["score"] == 1.0
    shares = [0.8, 0.05, 0.05, 0.05, 0.05]  # which Python adds up to 1.0000000000000002
    data = recognition([], clip=[Score("a", share) for share in shares]).as_dict()["clip"]
    assert [one["score"] for one in data] == [0.8, 0.05, 0.05, 0.05, 0.0499]


def test_many_files_share_one_csv_header() -> None:
    result = recognition([Segment(0, 1, "tap", 0.5)])
    text = FORMATS["csv"].text(result, result)
    assert text.splitlines() == ["file,start,end,label,score"] + 2 * ['"dîner [à deux], #1.mp4",0.000,1.000,tap,0.5000']


@pytest.mark.parametrize("name", FORMATS)
def test_files_hold_what_is_returned(name: str, tmp_path: Path) -> None:
    for number, found in enumerate([[], [Segment(0.5, 3723.25, label, 0.875) for label in AWKWARD]]):
        result = recognition(found)
        path = tmp_path / f"é {number}{FORMATS[name].suffix}"
        assert getattr(result, f"to_{name}")(path) == path.read_bytes().decode("utf-8")
    assert recognition([]).to_srt() == recognition([]).to_audacity() == ""


def test_failed_writes_are_errors_of_one_line(tmp_path: Path) -> None:
    result = recognition([])
    for path in (tmp_path / "none" / "a.json", tmp_path):
        with pytest.raises(FileError, match=rf"^{re.escape(str(path))}: cannot be written: [^\n]*$"):
            result.to_json(path)
    with pytest.raises(AinextError, match=r"^\S*a\.png: cannot be written: the folder \S*none does not exist[^\n]*$"):
        result.plot(tmp_path / "none" / "a.png")
    with pytest.raises(FileError, match=r"^\S*a\.doc: [^\n]*\.png[^\n]*$"):
        result.plot(tmp_path / "a.doc")
    with pytest.raises(ParameterError, match=r"^format is xml: choose from json, csv, audacity, srt, elan, raven$"):
        result.to("xml")


def test_table_and_times() -> None:
    moments = {0: "0:00.000", 59.9996: "1:00.000", 65.25: "1:05.250", 3600: "1:00:00.000"}
    assert {moment: format_time(moment) for moment in moments} == moments
    text = str(recognition([Segment(0.0, 65.25, "[bold]", 0.87)], duration=70))
    for part in ("dîner [à deux], #1.mp4", "1:10.000", "kettle", "93%", "0:00.000", "1:05.250", "[bold]", "87%"):
        assert part in text
    long = str(recognition([Segment(n, n + 1, "tap", 0.9) for n in range(100)]))
    assert "60 more" in long and len(long.splitlines()) < 60
    assert "no segment" in str(recognition([]))
    assert len(repr(recognition([]))) < 400  # no arrays in it


def test_a_data_frame_has_one_row_per_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Segment(0.5, 4.0, "kettle", 0.91), Segment(4.0, 4.125, AWKWARD[1], 0.6), Segment(5.0, 8.0, "kettle", 0.7)]
    frame = recognition(found).to_dataframe()
    assert list(frame.columns) == ["file", "start", "end", "label", "score"]
    rows = [("dîner [à deux], #1.mp4", one.start, one.end, one.label, one.score) for one in found]
    assert list(frame.itertuples(index=False, name=None)) == rows
    assert frame.groupby("label").score.mean()["kettle"] == pytest.approx(0.805)
    empty = recognition([]).to_dataframe()
    assert isinstance(empty, pandas.DataFrame) and len(empty) == 0 and list(empty.columns) == list(frame.columns)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"^to_dataframe needs .*: pip install 'pandas'$"):
        recognition(found).to_dataframe()


@settings(max_examples=50, deadline=None)
@given(segment_lists(), TEXT)
def test_notebooks_show_a_table_of_escaped_text(found: list[Segment], file: str) -> None:
    labels = [*(one.label for one in found), "<b onclick='x'>&amp;</b>"]
    segments = [Segment(n, n + 65.25, label, 0.5) for n, label in enumerate(labels)]
    rows = CellReader.cells(recognition(segments, file=file, model="<m>")._repr_html_())
    assert rows[0] == [f"{file or 'recording'}, 0:08.000, <m>"]
    assert rows[1] == ["start", "end", "label", "score"]
    expected = [[format_time(one.start), format_time(one.end), one.label, "50\u00a0%"] for one in segments]
    assert [[*row[:2], row[2].replace("\r", "\n"), row[3]] for row in rows[2:]] == [
        [*row[:2], row[2].replace("\r", "\n"), row[3]] for row in expected
    ]


@pytest.mark.parametrize("sound", ["none", "link"])
def test_a_report_shows_names_as_text(tmp_path: Path, sound: SoundMode) -> None:
    name = "<script>alert(1)</script>&\"'"
    file = tmp_path / "<script>alert(1)&\"'\udcff.wav"  # Linux allows names that are not UTF-8
    with HtmlReport(tmp_path / "page.html", sound, title=name) as report:
        report.fail("gone.wav", name)
        report.add(recognition([Segment(0, 65.25, name, 0.5)], file=str(file), model=name, clip=[Score(name, 0.7)]))
    page = ElementReader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.texts["title"] == page.texts["h1"] == [name]
    shown = "<script>alert(1)&\"'?.wav"
    assert page.texts["td"].count(name) == 1 and f"{name} 70\u00a0%" in page.texts["td"]
    assert page.texts["th"].count(name) == 1 and page.texts["a"] == page.texts["h2"] == [shown]
    imports, data, audio, module = page.texts["script"]
    assert json.loads(imports) and "import" in module
    result = json.loads(data)
    assert (result["file"], result["model"]) == (shown, name)
    assert result["segments"] == [{"start": 0.0, "end": 65.25, "label": name, "score": 0.5}]
    assert audio == "" if sound == "none" else json.loads(audio).endswith(quote(os.fsencode(file.name)))


def test_a_report_tells_recordings_of_one_name_apart(tmp_path: Path) -> None:
    kettle = Segment(0, 8, "kettle", 0.5)
    with HtmlReport(tmp_path / "page.html", "none") as report:
        report.add(recognition([kettle], file=str(tmp_path / "day1" / "REC001.mp4")))
        report.add(recognition([], file=str(tmp_path / "day2" / "rec001.mp4")))
        report.fail(str(tmp_path / "day3" / "REC001.mp4"), "no such file or folder")
        report.fail("https://example.org/REC001.mp4", "a URL")
    texts = ElementReader((tmp_path / "page.html").read_text(encoding="utf-8")).texts
    assert texts["a"] == texts["h2"] == ["day1/REC001.mp4", "day2/rec001.mp4"]
    assert {"day3/REC001.mp4", "https://example.org/REC001.mp4"} <= set(texts["th"])
    # What has no segment has no most probable label, although every recording has a best score.
    assert [text for text in texts["td"] if "kettle" in text] == ["kettle 93\u00a0%"]
    assert any("mean probability" in text for text in texts["p"])


def test_a_report_of_one_recording_begins_with_it(tmp_path: Path) -> None:
    with HtmlReport(tmp_path / "page.html", "none") as report:
        report.add(recognition([Segment(0, 8, "kettle", 0.5)], file="a/b.wav"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("<details") < page.index("<h3>Labels")
    texts = ElementReader(page).texts
    assert texts["h2"] == ["b.wav"] and texts["h3"] == ["Labels"] and "Recordings" not in texts["th"]


class ElementReader(HTMLParser):
    """Reads the text of every element, by the name of its tag; what its children hold is theirs."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data


class CellReader(HTMLParser):
    """Reads the text of a table's cells; fails for any element that does not belong to a table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    @classmethod
    def cells(cls, text: str) -> list[list[str]]:
        reader = cls()
        reader.feed(text)
        reader.close()
        return reader.rows

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("table", "caption", "thead", "tbody", "tr", "th", "td") and not attrs
        if tag in ("caption", "tr"):
            self.rows.append([""] if tag == "caption" else [])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data


def test_picture_shows_spectrogram_lanes_and_probabilities(tmp_path: Path) -> None:
    found = [Segment(0.5, 4.0, "kettle", 0.91), Segment(4.0, 4.1, AWKWARD[3], 0.6), Segment(5.0, 8.0, AWKWARD[4], 0.7)]
    result = recognition(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = result.plot(tmp_path / "result.png")
    png = (tmp_path / "result.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 20_000

    log_mel, lanes, lines = figure.axes
    assert [ax.get_label() for ax in figure.axes] == ["log_mel", "lanes", "probabilities"]
    assert [tick.get_text() for tick in log_mel.get_yticklabels()] == ["0.25", "0.5", "1", "2", "4", "8"]
    assert "kHz" in log_mel.get_ylabel() and lines.get_xlabel() == "time (s)" and lines.get_xlim() == (0, 8)
    assert [tick.get_text() for tick in lanes.get_yticklabels()] == ["kettle", "two lines and a tab", "_$x$_"]
    assert "kettle  91%" in [text.get_text() for text in lanes.texts]
    assert not any("60%" in text.get_text() for text in lanes.texts)  # a tenth of a second has no room
    kettle = lines.get_lines()[0]
    assert kettle.get_label() == "kettle" and kettle.get_color() == lanes.get_yticklabels()[0].get_color()
    assert kettle.get_ydata()[1:-1] == pytest.approx(result.probabilities[:, 0])


@pytest.mark.parametrize(
    ("duration", "classes", "label", "unit"),
    [(0.3, 1, None, "s"), (12, 6, "🍳", "s"), (100, 20, None, "m:ss"), (4 * 3600, 309, "a long name " * 9, "h:mm")],
)
def test_pictures_of_all_lengths(duration: float, classes: int, label: str | None, unit: str, tmp_path: Path) -> None:
    names = tuple(f"{label or 'class'} {n}" for n in range(classes))
    found = [Segment(n * duration / 20, (n + 1) * duration / 20, names[n % classes], 0.8) for n in range(20) if label]
    result = recognition(found, duration, classes, labels=names, log_mel=None if classes == 1 else np.zeros((9, 128)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = result.plot(tmp_path / "result.svg")
    assert (tmp_path / "result.svg").stat().st_size > 5_000
    lanes, lines = figure.axes[-2:]
    assert lines.get_xlabel() == f"time ({unit})"
    assert len(lanes.get_yticks()) == (min(classes, 8) if label else 0)
    assert 1 <= len([line for line in lines.get_lines() if line.get_label() in names]) <= 8
    assert max(len(line.get_xdata()) for line in lines.get_lines()) <= 2002


@pytest.mark.workshop
def test_bands_lie_at_their_htk_centres() -> None:
    import librosa

    centres = librosa.mel_frequencies(n_mels=130, fmin=0, fmax=12_000, htk=True)[1:-1]
    places = [_band_of(hertz, 128, 24_000) for hertz in centres]
    assert places == pytest.approx(np.arange(128) + 0.5)


def test_neither_rich_nor_matplotlib_is_imported_before_use() -> None:
    code = (
        "import sys, audioinceptionnext.results.segmentation, audioinceptionnext.results.plot;"
        "print({'rich', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
