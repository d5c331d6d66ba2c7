"""ELAN, Raven and the table over many recordings, each read back by another reader: pympi, pandas, the csv module."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pympi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.table import COLUMNS, SegmentTable, write_table
from audioinceptionnext.results.types import Segment
from tests.audio_files import sine, write_wav
from tests.command import ALL, ainext
from tests.strategies import AWKWARD, one_line, recognition, segment_lists

Span = tuple[float, float, str]
NASTY = [
    "<a & b>",
    "]]>",
    "\x00\x0b\x1b",
    "\ufffe",
    "\ud800",
    "",
    " ",
    "a\x00b",
    "a\x01b",
    '"',
    "'",
    "&#0;",
    "\x85\u2028",
]


def result_of(file: str, *segments: Segment, **others: object) -> Recognition:
    return recognition(list(segments), file=file, **others)  # type: ignore[arg-type]


def allowed_in_xml(label: str) -> str:
    """The label as XML can hold it, by the list of characters in the standard."""
    ranges = ((0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    fits = [any(low <= ord(mark) <= high for low, high in ranges) for mark in one_line(label)]
    return "".join(mark if fit else "\ufffd" for mark, fit in zip(one_line(label), fits, strict=True)) or "(no name)"


def by_pympi(path: Path) -> tuple[list[Span], dict[str, str]]:
    """All annotations with the seconds they span, by time, and the description of the recording."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = pympi.Eaf(str(path))
    found = [
        (begin / 1000, end / 1000, value)
        for tier in document.get_tier_names()
        for begin, end, value in document.get_annotation_data_for_tier(tier)
    ]
    (medium,) = document.get_linked_files()
    return sorted(found), medium


def by_raven(text: str) -> list[dict[str, str]]:
    """The rows, as a program reads them that knows no quotes."""
    header, *lines = text.removesuffix("\n").split("\n")
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@settings(max_examples=60, deadline=None)
@given(segment_lists())
def test_elan_and_raven_read_back(folder: Path, found: list[Segment]) -> None:
    result = result_of("dîner & <deux>.wav", *found)
    text = result.to_elan(folder / "result.eaf")
    spans, medium = by_pympi(folder / "result.eaf")
    labelled = [(one.start, one.end, allowed_in_xml(one.label)) for one in found]
    assert sorted(label for *_, label in spans) == sorted(label for *_, label in labelled)
    assert all(begin < end for begin, end, _ in spans)
    for label in {label for *_, label in labelled}:
        mine, theirs = (np.array([span[:2] for span in side if span[2] == label]) for side in (labelled, spans))
        apart = np.abs(mine[:, None] - theirs).max(axis=2)  # two may be less than a millisecond apart: no order helps
        assert apart[linear_sum_assignment(apart)].max() < 0.00051
    tiers = re.findall(r'<TIER TIER_ID="([^"]*)"', text)
    assert len(tiers) == len(set(tiers)) == len({one.label for one in found})
    assert medium["RELATIVE_MEDIA_URL"].endswith("/dîner & <deux>.wav") and medium["MIME_TYPE"] == "audio/x-wav"

    rows = by_raven(result.to_raven())
    assert [int(row["Selection"]) for row in rows] == list(range(1, len(found) + 1))
    for row, one in zip(rows, found, strict=True):
        times = [float(row[name]) for name in ("Begin Time (s)", "End Time (s)", "File Offset (s)", "Score")]
        assert times == pytest.approx([one.start, one.end, one.start, one.score], abs=6e-5)
        assert (row["Annotation"], row["High Freq (Hz)"]) == (one_line(one.label), "12000.0")


def test_labels_that_xml_cannot_hold(tmp_path: Path) -> None:
    found = [Segment(n, n + 1, label, 0.5) for n, label in enumerate([*NASTY, *AWKWARD])]
    result_of("a.wav", *found).to_elan(tmp_path / "a.eaf")
    assert by_pympi(tmp_path / "a.eaf")[0] == [(one.start, one.end, allowed_in_xml(one.label)) for one in found]
    # No annotation is shorter than a millisecond.
    result_of("a.wav", Segment(1.0004, 1.00049, "tap", 0.5)).to_elan(tmp_path / "b.eaf")
    assert by_pympi(tmp_path / "b.eaf")[0] == [(1.0, 1.001, "tap")]
    result_of("a.wav").to_elan(tmp_path / "none.eaf")
    assert by_pympi(tmp_path / "none.eaf")[0] == []


def test_elan_finds_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").mkdir()
    result = result_of("my sounds/a b.mp4", Segment(0, 1, "tap", 0.5))
    result.to_elan("labels/a.eaf")
    medium = by_pympi(tmp_path / "labels" / "a.eaf")[1]
    path = (tmp_path / "my sounds" / "a b.mp4").as_posix()
    assert medium["MEDIA_URL"] == f"file:///{path.lstrip('/')}" and medium["MIME_TYPE"] == "video/mp4"
    assert medium["RELATIVE_MEDIA_URL"] == "../my sounds/a b.mp4"
    # Text that is not written to a file does not show this computer's folders.
    assert str(tmp_path) not in result.to_elan() + result.to_raven()
    assert 'MEDIA_URL="./my sounds/a b.mp4"' in result.to_elan()
    assert 'MEDIA_URL="https://example.org/a.ogg"' in result_of("https://example.org/a.ogg").to_elan()
    assert "MEDIA_DESCRIPTOR" not in result_of("").to_elan()


def test_raven_opens_many_recordings_as_one() -> None:
    first, second = Segment(1.0, 2.0, "tap", 0.5), Segment(0.25, 0.5, "wok", 0.75)
    given = result_of("x/a.wav", first, duration=10.0), result_of("b.wav", duration=5.0), result_of("c.wav", second)
    rows = by_raven(FORMATS["raven"].text(*given))
    assert [row["Selection"] for row in rows] == ["1", "2"]
    # b.wav has no selection, so Raven does not know of it.
    assert [float(row["Begin Time (s)"]) for row in rows] == [1.0, 10.25]
    assert [float(row["End Time (s)"]) for row in rows] == [2.0, 10.5]
    assert [float(row["File Offset (s)"]) for row in rows] == [1.0, 0.25]
    assert [(row["Begin File"], row["Begin Path"]) for row in rows] == [("a.wav", "x/a.wav"), ("c.wav", "c.wav")]
    with pytest.raises(AinextError, match=r"^format: a \.eaf file holds one recording"):
        FORMATS["elan"].text(*given)


# --- One table over many recordings ---


def read_table(path: Path) -> list[tuple]:
    """By pandas."""
    if path.suffix == ".parquet":
        frame = pandas.read_parquet(path)
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        frame = pandas.read_csv(path, sep=separator, keep_default_na=False, lineterminator=None)
    assert tuple(frame.columns) == COLUMNS
    return list(frame.itertuples(index=False, name=None))


def expected(*given: Recognition) -> list[tuple]:
    return [
        (result.file, round(one.start, 3), round(one.end, 3), one.label, round(one.score, 4), result.model)
        for result in given
        for one in result.segments
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_over_many_recordings(suffix: str, tmp_path: Path) -> None:
    names = [*AWKWARD, "NA", '"', "a\rb", "<&>", " x ", "1"]
    first = result_of("a, b\t.wav", *[Segment(n / 3, n + 1, label, 0.1 * n) for n, label in enumerate(names)])
    given = first, result_of("silent.wav"), result_of("naïve.mp3", Segment(2, 3, "wok", 1.0))
    path = tmp_path / f"all{suffix}"
    assert write_table(iter(given), path) == len(names) + 1
    assert [row[::5] + row[3:4] for row in read_table(path)] == [row[::5] + row[3:4] for row in expected(*given)]
    numbers = [[row[n] for n in (1, 2, 4)] for row in read_table(path)]
    assert np.allclose(numbers, [[row[n] for n in (1, 2, 4)] for row in expected(*given)], rtol=0, atol=1e-9)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    # The object of the JSON, as a run on a cluster keeps it, is as good; a recording that failed has no rows.
    other = tmp_path / f"other{suffix}"
    assert write_table([*(result.as_dict() for result in given), {"file": "x.wav", "error": "damaged"}], other)
    assert read_table(other) == read_table(path)
    assert write_table([], path) == 0 and read_table(path) == []


@settings(max_examples=40, deadline=None)
@given(segment_lists(), st.text(max_size=8))
def test_csv_tables_hold_any_label(folder: Path, found: list[Segment], file: str) -> None:
    result = result_of(file, *found)
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        write_table([result], folder / f"any{suffix}")
        text = (folder / f"any{suffix}").read_bytes().decode()
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
        assert [(row["file"], row["label"], row["model"]) for row in rows] == [
            (file, one.label, "kitchen20") for one in found
        ]


def test_a_table_keeps_what_was_done(tmp_path: Path) -> None:
    one, two = result_of("a.wav", Segment(0, 1, "tap", 0.5)), result_of("b.wav", Segment(1, 2, "wok", 0.5))
    with SegmentTable(tmp_path / "all.csv") as table:
        table.add(one)
        assert read_table(tmp_path / "all.csv") == expected(one)  # as a process that was killed now would leave it
        table.add(two)
        assert read_table(tmp_path / "all.csv") == expected(one, two)
    path = tmp_path / "all.parquet"
    write_table([two], path)
    with pytest.raises(KeyboardInterrupt), SegmentTable(path) as table:
        table.add(one)
        assert read_table(path) == expected(two)  # until the new one is whole
        raise KeyboardInterrupt
    assert read_table(path) == expected(one)
    odd = result_of("\udcff.wav", Segment(0, 1, "tap", 0.5))  # a name that is not text, which Linux allows
    write_table([odd], path)
    write_table([odd], tmp_path / "all.csv")
    assert read_table(path)[0][0] == read_table(tmp_path / "all.csv")[0][0] == "?.wav"


FULL_DISK = """
import resource, signal, sys
import audioinceptionnext.results.table
from audioinceptionnext.errors import AinextError
from audioinceptionnext.results.table import SegmentTable
from audioinceptionnext.results.types import Segment
from tests.strategies import recognition

audioinceptionnext.results.table.GROUP_ROWS = 500
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
refused = []
try:
    with SegmentTable(sys.argv[1]) as table:
        for n in range(60):
            try:
                found = [Segment(n + k / 7, n + k + 0.5, f"{n * k} {k}", 0.5) for k in range(100)]
                table.add(recognition(found, file=f"{n}.wav"))
            except AinextError as error:
                refused.append(str(error))
except AinextError as error:
    refused.append("at the end: " + str(error))
print(len(refused), refused[-1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits on the size of files")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_is_an_error_and_leaves_whole_recordings(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"all{suffix}"
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, cwd=root, env=environment, check=True
    )
    assert re.match(rf"\d+ (at the end: )?{re.escape(str(path))}: cannot be written: \S[^\n]*\n$", done.stdout), (
        done.stdout
    )
    if suffix == ".csv":
        rows = read_table(path)
        assert len(rows) and len(rows) % 100 == 0
    else:
        assert list(tmp_path.iterdir()) == []  # no half of one


def test_a_table_that_cannot_be_written_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in (
        ("all.xlsx", r"all\.xlsx: \.xlsx is not a table\'s suffix; give a name that ends in \.csv, \.tsv, \.parquet"),
        ("all", r"all: a table's name needs a suffix; "),
        ("none/all.csv", "cannot be written: the folder .*none does not exist"),
        ("none/all.parquet", "cannot be written: the folder .*none does not exist"),
    ):
        with pytest.raises(AinextError, match=f"^[^\n]*{line}[^\n]*$"):
            SegmentTable(tmp_path / name)
    for suffix in (".csv", ".parquet"):
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(AinextError, match=r"^[^\n]*: cannot be written: it is a folder"):
            SegmentTable(tmp_path / f"folder{suffix}")


# --- The command ---


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.wav (2 s), broken.wav, which is not a recording, and c.wav (1 s)."""
    folder = tmp_path_factory.mktemp("sounds")
    write_wav(folder / "a.wav", sine(440, 2, 24_000), 24_000)
    (folder / "broken.wav").write_bytes(b"no sound at all")
    write_wav(folder / "c.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 24_000), 24_000)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_predict_writes_a_table_beside_the_rest(sounds: Path, here: Path) -> None:
    found = ainext("predict", sounds, "--table", "all.csv", "--format", "csv", *ALL)
    assert found.code == 1 and len(found.complaints) == 1 and "broken.wav" in found.err
    rows = read_table(here / "all.csv")
    assert {row[0] for row in rows} == {str(sounds / "a.wav"), str(sounds / "c.wav")}
    printed = list(csv.reader(io.StringIO(found.out)))[1:]
    assert printed == [[row[0], f"{row[1]:.3f}", f"{row[2]:.3f}", row[3], f"{row[4]:.4f}"] for row in rows]
    assert ainext("predict", sounds, "--table", "all.parquet", "--format", "elan", "--out", "eaf", *ALL).code == 1
    assert read_table(here / "all.parquet") == rows
    for name in ("a", "c"):
        spans, medium = by_pympi(here / "eaf" / f"{name}.eaf")
        assert spans == sorted(row[1:4] for row in rows if Path(row[0]).stem == name)
        assert Path(f"/{medium['MEDIA_URL'].removeprefix('file:///').lstrip('/')}").name == f"{name}.wav"
    found = ainext("predict", sounds, "--format", "raven", *ALL)
    selections = by_raven(found.out)
    assert [int(row["Selection"]) for row in selections] == list(range(1, len(rows) + 1))
    assert [(row["Begin Path"], row["Annotation"]) for row in selections] == [(row[0], row[3]) for row in rows]
    offsets = [float(row["Begin Time (s)"]) - float(row["File Offset (s)"]) for row in selections]
    assert offsets == pytest.approx([2.0 * (Path(row[0]).stem == "c") for row in rows], abs=1e-5)


def test_ctrl_c_leaves_a_table_of_what_was_done(sounds: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = Recogniser.predict

    def interrupted(self: Recogniser, path: Path, **options: object) -> Recognition:
        if path.name == "c.wav":
            raise KeyboardInterrupt
        return predict(self, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Recogniser, "predict", interrupted)
    found = ainext("predict", sounds / "a.wav", sounds / "c.wav", "--workers", 1, "--table", "all.parquet", *ALL)
    assert found.code == 130
    assert {row[0] for row in read_table(here / "all.parquet")} == {str(sounds / "a.wav")}


def test_wrong_calls_end_before_anything_is_recognised(sounds: Path, here: Path) -> None:
    for line, *options in (
        ("all.xlsx: .xlsx is not a table's suffix", "--table", "all.xlsx"),
        ("none/all.csv: cannot be written", "--table", "none/all.csv"),
        ("--format elan: an ELAN document holds one recording", "--format", "elan"),
    ):
        found = ainext("predict", sounds, *options)
        assert (found.code, found.out) == (2, "") and len(found.complaints) == 1
        assert line in found.err
    assert list(here.iterdir()) == []
    # Without pyarrow, as a plain installation has it.
    code = (
        "import sys; sys.modules['pyarrow'] = None; from importlib import util; find = util.find_spec;"
        "util.find_spec = lambda name, *rest: None if name == 'pyarrow' else find(name, *rest);"
        "from audioinceptionnext.cli import main; main(sys.argv[1:])"
    )
    given = [sys.executable, "-c", code, "predict", sounds, "--table"]
    done = subprocess.run([*given, "all.parquet"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
    assert "audioinceptionnext[parquet]" in done.stderr and list(here.iterdir()) == []
    assert subprocess.run([*given, "all.tsv"], capture_output=True, text=True).returncode == 1  # the broken one
    assert read_table(here / "all.tsv") is not None
