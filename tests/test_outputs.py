"""Where ``ainext predict`` writes results: nothing is lost, nothing looks missing, and every name is possible."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext.audio.discover import find_media
from audioinceptionnext.cli.output_names import name_outputs
from audioinceptionnext.errors import AinextError, printable, replacing
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.plot import save
from audioinceptionnext.results.provenance import is_result_of, named_in
from audioinceptionnext.results.table import RECORDING_COLUMNS, RecordingTable, SegmentTable
from audioinceptionnext.results.types import Score, Segment
from tests.audio_files import sine, write_wav
from tests.command import ALL, ainext, refused
from tests.strategies import recognition

unix = pytest.mark.skipif(sys.platform == "win32", reason="links, limits and names of a Unix system")
NAMED = ("table", "json", "csv", "elan", "raven")  # these formats say whose result they are


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """day1/REC001.wav and day2/REC001.wav, which differ, and day2/sub/x.wav; and this folder is the current one."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000)
    for name, samples in (("day1/REC001", sine(440, 1, 24_000)), ("day2/REC001", noise), ("day2/sub/x", noise)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(tmp_path / f"{name}.wav", samples, 24_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(folder: Path | str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


# --- Names ---


def test_subfolders_are_kept_below_the_folder_that_was_given(days: Path) -> None:
    for given in (["."], ["day1", "day2"], ["day1/REC001.wav", "day*/**/*.wav"]):
        assert ainext("predict", *given, "-f", "csv", "--out", "out").code == 0
        assert files_in("out") == ["day1/REC001.csv", "day2/REC001.csv", "day2/sub/x.csv"]
        shutil.rmtree("out")
    assert ainext("predict", "day2", "-f", "csv", "--out", "out").code == 0
    assert files_in("out") == ["REC001.csv", "sub/x.csv"]


@pytest.mark.parametrize("format", NAMED)
def test_a_result_of_another_recording_is_not_replaced(days: Path, format: str) -> None:
    call = ("-f", format, "--out", "out", *ALL)
    assert ainext("predict", "day1", *call).code == 0
    (name,) = files_in("out")
    before = Path("out", name).read_bytes()
    line = refused("predict", "day2", *call)
    assert line.startswith(f"ainext: --out: out/{name} is the result of ") and line.endswith("or another folder")
    assert "day1/REC001.wav, and that of day2/REC001.wav would replace it; give --overwrite" in line
    assert files_in("out") == [name] and Path("out", name).read_bytes() == before
    assert ainext("predict", "day1/REC001.wav", *call).code == 0
    assert ainext("predict", "day2", *call, "--overwrite").code == 0
    assert Path("out", name).read_bytes() != before
    Path("out", name).write_text("notes of mine", encoding="utf-8")
    assert "is something else, and the result of" in refused("predict", "day2", *call)


@pytest.mark.parametrize("format", ["json", "csv", "table"])
def test_a_command_replaces_its_results(days: Path, format: str) -> None:
    call = ("predict", "day1", "-f", format, "--out", "out")
    assert ainext(*call, *ALL) == (0, "", "")
    (name,) = files_in("out")
    before = Path("out", name).read_bytes()
    assert ainext(*call, "--threshold", 1) == (0, "", "")
    assert files_in("out") == [name] and Path("out", name).read_bytes() != before


@pytest.mark.parametrize("format", ["audacity", "srt", "elan", "raven"])
def test_corrected_labels_are_kept(days: Path, format: str) -> None:
    suffix = FORMATS[format].suffix
    call = ("predict", "day1", "-f", format, "--out", "out", *ALL)
    assert ainext(*call) == ainext(*call) == (0, "", "")  # an ELAN document has another date by now
    labels = Path(f"out/REC001{suffix}")
    label = ainext("predict", "day1", "-f", "csv", *ALL).out.split(",")[-2]
    corrected = labels.read_bytes().replace(label.encode(), b"my correction")
    labels.write_bytes(corrected)
    for _ in range(2):  # the second run finds its own file
        found = ainext(*call)
        (warning,) = found.complaints
        assert found.code == 0 and f"written to out/REC001 2{suffix}, since REC001{suffix} holds other" in warning
        assert files_in("out") == [f"REC001 2{suffix}", f"REC001{suffix}"]
        assert labels.read_bytes() == corrected and b"my correction" in corrected
    assert ainext(*call, "--overwrite") == (0, "", "")
    assert b"my correction" not in labels.read_bytes()


@pytest.mark.parametrize("format", ["audacity", "srt"])
def test_labels_that_do_not_say_whose_they_are_are_kept(days: Path, format: str) -> None:
    suffix = FORMATS[format].suffix
    call = ("-f", format, "--out", "out", *ALL)
    assert ainext("predict", "day1", *call) == ainext("predict", "day1", *call) == (0, "", "")
    before = Path(f"out/REC001{suffix}").read_text()
    for _ in range(2):  # the second run finds its own file
        found = ainext("predict", "day2/REC001.wav", *call)
        (warning,) = found.complaints
        assert found.code == 0 and f"written to out/REC001 2{suffix}, since REC001{suffix} holds other" in warning
        assert files_in("out") == [f"REC001 2{suffix}", f"REC001{suffix}"]
    assert Path(f"out/REC001{suffix}").read_text() == before
    assert ainext("predict", "day2/REC001.wav", *call, "--overwrite") == (0, "", "")
    assert Path(f"out/REC001{suffix}").read_text() == Path(f"out/REC001 2{suffix}").read_text()


def test_a_table_does_not_replace_labels(days: Path) -> None:
    assert ainext("predict", "day1", "-f", "audacity", "--out", "out", *ALL).code == 0
    line = refused("predict", "day1", "--out", "out", *ALL)
    assert "out/REC001.txt holds Audacity labels, not a table, and the result of day1/REC001.wav would" in line


@pytest.mark.parametrize("name", ["all.csv", "all.tsv", "all.parquet"])
@pytest.mark.parametrize(("option", "other"), [("--table", "--summary"), ("--summary", "--table")])
def test_a_table_replaces_no_foreign_file(days: Path, name: str, option: str, other: str) -> None:
    table = Path(name)
    call = ("predict", "day1/REC001.wav", "-f", "csv", *ALL)
    for excel in ([], ["--excel"], []):  # its own tables may be replaced
        assert ainext(*call, option, name, *excel).code == 0
    line = refused(*call, other, name)
    assert f"ainext: {other} {name}: this file is no such table" in line and "--overwrite" in line
    assert ainext(*call, other, name, "--overwrite").code == 0
    table.write_text("name,age\nme,42\n", encoding="utf-8")
    assert "this file is no such table" in refused(*call, option, name)
    assert table.read_text(encoding="utf-8") == "name,age\nme,42\n"
    table.write_bytes(b"")
    assert ainext(*call, option, name).code == 0


def test_excel_computes_nothing(days: Path) -> None:
    (days / "day1/REC001.wav").rename("=1+1.wav")
    call = ("predict", "=1+1.wav", "--excel", "-f", "csv", *ALL)
    assert ainext(*call, "--out", "out", "--table", "all.csv", "--summary", "recordings.tsv") == (0, "", "")
    assert ainext(*call, "--out", "out") == (0, "", "")  # it knows whose result that is
    for place in ("out/=1+1.csv", "all.csv", "recordings.tsv"):
        header, *rows = Path(place).read_text(encoding="utf-8-sig").splitlines()
        assert header.startswith("file") and rows and all(row.startswith("'=1+1.wav") for row in rows)
    assert ainext(*call).out.splitlines()[1].startswith("'=1+1.wav,")
    assert ainext("predict", "=1+1.wav", "-f", "csv", *ALL).out.splitlines()[1].startswith("=1+1.wav,")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_last_line(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.command.io.StringIO", Terminal)
    Path("day2/bad.wav").write_bytes(b"nothing")
    found = ainext("predict", "day1", "day2", "--out", "out", *ALL)
    assert found.code == 1 and found.err.endswith("ainext: 3 of 4 recordings, results in out; 1 failed\n")
    assert "recording" not in ainext("predict", "day1", *ALL).err


def test_labels_do_not_take_the_names_of_others(days: Path) -> None:
    """A number that keeps labels apart is none that another recording's file has, nor a folder, a pipe or the like."""
    Path("day1/REC001.wav").rename("day1/a.wav")
    Path("day2/REC001.wav").rename("day1/a 2.wav")
    Path("out/a 3.txt").mkdir(parents=True)
    if hasattr(os, "mkfifo"):
        os.mkfifo("out/a 4.txt")
    Path("out/a.txt").write_text("notes of mine", encoding="utf-8")
    for _ in range(2):
        found = ainext("predict", "day1", "-f", "audacity", "--out", "out", *ALL)
        (warning,) = found.complaints
        last = "out/a 5.txt" if hasattr(os, "mkfifo") else "out/a 4.txt"
        assert found.code == 0 and f"day1/a.wav: written to {last}, since" in warning
    assert files_in("out") == ["a 2.txt", last.removeprefix("out/"), "a.txt"]
    long = f"{'x' * 246}.wav"
    Path("day1/a.wav").rename(f"day1/{long}")
    Path(f"out/{long[:-4]}.txt").mkdir()
    found = ainext("predict", f"day1/{long}", "-f", "srt", "--out", "out", *ALL)
    assert found.code == 0 and not found.complaints


def test_a_folder_of_results_is_no_result(days: Path) -> None:
    shutil.move("day2/sub", "day1/rec001.csv")
    for _ in range(2):
        assert ainext("predict", "day1", "-f", "csv", "--out", "out", *ALL) == (0, "", "")
        assert files_in("out") == ["REC001.wav.csv", "rec001.csv/x.csv"]
    Path("other/REC001.csv").mkdir(parents=True)
    line = refused("predict", "day2", "-f", "csv", "--out", "other")
    assert "other/REC001.csv is something else, and the result of day2/REC001.wav would replace it" in line


def test_a_table_is_no_result(days: Path) -> None:
    call = ("predict", "day1", "-f", "csv", "--out", "out")
    for option in ("--table", "--summary"):
        assert refused(*call, option, "out/../out/rec001.csv", "--overwrite").endswith(
            "this is the result of day1/REC001.wav; give another one"
        )
    assert not Path("out").exists()
    assert ainext(*call, "--table", "out/all.csv", "--summary", "out/each.csv").code == 0
    assert files_in("out") == ["REC001.csv", "all.csv", "each.csv"]
    assert ainext("predict", "day1", "day2/sub", "--table", "out/x.csv", *ALL).code == 0
    assert "out/x.csv is something else" in refused("predict", "day2/sub/x.wav", "-f", "csv", "--out", "out")


def test_a_picture_of_another_recording_is_not_replaced(days: Path) -> None:
    for _ in range(2):
        assert ainext("predict", "day1", "--json", "--plot").code == 0
    assert "--plot: REC001.png is the result of day1/REC001.wav" in refused("predict", "day2", "--json", "--plot")


@pytest.mark.parametrize(
    "file", ["a, b.wav", 'x/"q".wav', "naïve\u3000é.wav", "<&>.wav", "1:02.wav", "a  \t\x1b.wav", "\udcff.wav"]
)
def test_results_name_their_recording(file: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    for format in FORMATS:
        if format in NAMED:
            recognition([Segment(0, 1, "tap", 0.5)], file=file).to(format, path := tmp_path / format)
            assert is_result_of(path, format, Path(file)) and is_result_of(path, format, Path("b.wav")) is False
    figure = Figure(figsize=(0.1, 0.1))
    save(figure, tmp_path / "a.png", file)
    assert named_in(tmp_path / "a.png", "png") == file


def test_names_are_short_enough_and_distinct() -> None:
    long = "ä" * 125  # 250 bytes
    names = [f"{long}1.wav", f"{long}2.wav", "A.wav", "a.wav", unicodedata.normalize("NFD", "é.wav"), "é.wav", "a.mp3"]
    names += ["a.wav.wav", "x.json", "x.wav"]
    found = [(Path("in", name), Path("in")) for name in names]
    for suffixes in ([".json"], [".selections.txt", ".png"]):
        places = name_outputs(found, Path("in"), suffixes)
        outputs = [f"{place}{suffix}" for place in places.values() for suffix in suffixes]
        assert max(len(os.fsencode(Path(path).name)) for path in outputs) <= 255
        alike = {unicodedata.normalize("NFC", path).casefold() for path in outputs}
        assert len(alike) == len(names) * len(suffixes)
        assert not set(outputs) & {str(path) for path, _ in found}  # no recording is replaced
        assert places == name_outputs(found, Path("in"), suffixes)


@unix
def test_the_longest_name_there_can_be(days: Path) -> None:
    name = "x" * 251 + ".wav"
    shutil.copy("day1/REC001.wav", name)
    assert ainext("predict", name, "-f", "json", "--out", "out").code == 0
    assert ainext("predict", name, "-f", "raven", "--out", "out", "--plot").code == 0
    assert len(files_in("out")) == 3
    assert ainext("report", name, "--sound", "none", "--out", "y" * 250 + ".html").code == 0
    assert ainext("predict", name, "--table", "z" * 251 + ".csv", "-f", "csv").code == 0


# --- Older files ---


@unix
def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(AinextError, match="cannot be written: no space left on device"), replacing(link) as new:
        new.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old" and files_in(tmp_path) == ["a.txt", "link.txt"]
    with replacing(link) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    with replacing("/dev/null") as new:
        new.write_text("x")
    assert Path("/dev/null").is_char_device()


@unix
@pytest.mark.parametrize("call", [("-f", "json", "--out", "out"), ("--table", "all.csv"), ("--table", "all.parquet")])
def test_a_full_disk_leaves_the_older_result(
    days: Path, call: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource
    import signal

    assert ainext("predict", "day1", *call, *ALL).code == 0
    (path,) = [path for path in (*Path("out").glob("*"), *Path().glob("all.*")) if path.is_file()]
    before = path.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, limits[1]))  # no file may be longer
    try:
        found = ainext("predict", "day1", *call, *ALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert found.code in (1, 2) and len(found.complaints) == 1 and f"{path}: cannot be written: " in found.err
    assert path.read_bytes() == before and not list(days.rglob("*.part"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_unfinished_files_of_one_folder_do_not_meet(tmp_path: Path, suffix: str) -> None:
    """Names that begin alike, as those of two tables or of a table and a result, do not end up in one file."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    first, second = (tmp_path / f"recordings_of_may_2026_{name}{suffix}" for name in ("segments", "summary"))
    for _ in range(2):  # the second time there are older files
        with SegmentTable(first) as segments, RecordingTable(second) as recordings:
            segments.add(recognition([Segment(0, 1, "tap", 0.5)]))
            recordings.fail("gone.wav", "gone")
            assert len(list(tmp_path.iterdir())) >= 2
        assert first.stat().st_size and second.stat().st_size and first.read_bytes() != second.read_bytes()
        assert files_in(tmp_path) == [first.name, second.name]


# --- A row for each recording ---


def test_a_summary_has_a_row_for_each_recording(days: Path) -> None:
    write_wav(days / "silent.wav", np.zeros(16_000), 16_000)
    Path("broken.wav").write_text("no sound")
    found = ainext("predict", ".", "gone.wav", "--summary", "all.csv", "-f", "csv", "--threshold", 1)
    assert found.code == 1 and len(list(csv.reader(io.StringIO(found.out)))) == 1
    with Path("all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == RECORDING_COLUMNS
    by_file = {row["file"]: row for row in rows}
    assert set(by_file) == {
        "day1/REC001.wav",
        "day2/REC001.wav",
        "day2/sub/x.wav",
        "silent.wav",
        "broken.wav",
        "gone.wav",
    }
    best = ainext("predict", "day1/REC001.wav", "--json").json[0]["clip"][0]
    first = by_file["day1/REC001.wav"]
    assert (first["label"], float(first["score"])) == (best["label"], best["score"])
    assert (first["duration"], first["segments"], first["problem"]) == ("1.000", "0", "")
    assert (by_file["silent.wav"]["label"], by_file["silent.wav"]["duration"]) == ("", "1.000")
    assert by_file["gone.wav"]["problem"] == "no such file or folder" and not by_file["gone.wav"]["duration"]
    assert "not an audio or video file" in by_file["broken.wav"]["problem"]
    assert "this is the file of --table" in refused("predict", ".", "--table", "a.csv", "--summary", "a.csv")


def test_a_recording_whose_result_cannot_be_written_has_a_row(days: Path) -> None:
    Path("out/REC001.csv").mkdir(parents=True)
    call = ("predict", "day2", "-f", "csv", "--out", "out", "--overwrite", "--summary", "all.csv")
    found = ainext(*call)
    (line,) = found.complaints
    assert found.code == 1 and "out/REC001.csv: cannot be written: it is a folder" in line
    with Path("all.csv").open(newline="", encoding="utf-8") as file:
        problems = {row["file"]: row["problem"] for row in csv.DictReader(file)}
    assert list(problems) == ["day2/REC001.wav", "day2/sub/x.wav"] and not problems["day2/sub/x.wav"]
    assert problems["day2/REC001.wav"].startswith("cannot be written: it is a folder")


def test_a_summary_in_parquet_has_numbers(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with RecordingTable(tmp_path / "all.parquet") as table:
        table.add(recognition([Segment(0, 1, "tap", 0.5)], clip=[Score("tap", 0.25)], duration=2.0))
        table.fail("gone.wav", "gone")
    first, second = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert (first["duration"], first["segments"], first["score"]) == (2.0, 1, 0.25)
    assert second["segments"] is None and second["problem"] == "gone"


def test_only_a_terminal_gets_a_shortened_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = recognition([Segment(n, n + 1, "a long label " * 9, 0.9) for n in range(100)], file="a.wav", duration=100)
    monkeypatch.setattr(Recogniser, "predict", lambda self, path, **more: many)
    write_wav(tmp_path / "a.wav", sine(440, 1, 16_000), 16_000)
    printed = ainext("predict", tmp_path / "a.wav").out
    assert ainext("predict", tmp_path / "a.wav", "--out", tmp_path / "out").code == 0
    for text in (printed, (tmp_path / "out" / "a.txt").read_text(encoding="utf-8")):
        lines = text.splitlines()
        assert "more" not in text and sum("a long label" in line for line in lines) == 100
        assert lines == [line.rstrip() for line in lines]


def test_silence_has_no_label(tmp_path: Path) -> None:
    write_wav(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    found = ainext("predict", tmp_path / "silent.wav")
    assert found.code == 0 and "%" not in found.out and "no segment" in found.out


def test_csv_for_excel(days: Path) -> None:
    shutil.move("day1", "Küche")
    call = ("predict", "Küche", "-f", "csv", "--excel", *ALL)
    printed = ainext(*call, "--table", "a.csv", "--summary", "b.tsv")
    assert ainext(*call, "--out", "out").code == 0
    for content in (printed.out.encode(), *(Path(name).read_bytes() for name in ("a.csv", "b.tsv", "out/REC001.csv"))):
        assert content.startswith(b"\xef\xbb\xbffile") and content.count(b"\xef\xbb\xbf") == 1
        assert "Küche/REC001.wav" in content.decode("utf-8-sig")
    assert ainext(*call, "--out", "out").code == 0  # and it knows its own file again
    assert "this is for --format csv" in refused("predict", "Küche", "--excel", "--table", "a.parquet")
    assert "--json: this means --format json" in refused("predict", "Küche", "-f", "csv", "--json")
    with SegmentTable("plain.csv") as table:
        table.add(recognition([]))
    assert Path("plain.csv").read_bytes().startswith(b"file")


# --- Links to folders, and URLs ---


@unix
def test_links_to_folders_are_followed_once(days: Path) -> None:
    (days / "in").mkdir()
    (days / "in" / "b").symlink_to(days / "day2")
    (days / "in" / "c").symlink_to(days / "day2")  # the same once more
    (days / "day2" / "up").symlink_to(days / "in")  # a loop
    (days / "day2" / "self").symlink_to(days / "day2")
    (days / "in" / "gone").symlink_to(days / "nothing")
    assert [str(path) for path in find_media(["in"])] == ["in/b/REC001.wav", "in/b/sub/x.wav"]
    (days / "in" / "z").mkdir()
    shutil.copy("day1/REC001.wav", "in/z/y.wav")
    (days / "in" / "a").symlink_to("z")  # what is no link comes first
    assert [str(path) for path in find_media(["in"])] == ["in/b/REC001.wav", "in/b/sub/x.wav", "in/z/y.wav"]


def test_a_url_keeps_its_slashes() -> None:
    found = ainext("predict", "https://host/a.mp3", "--json")
    assert found.code == 1 and found.json[0]["file"] == "https://host/a.mp3"
    assert found.complaints == ["ainext: https://host/a.mp3: " + found.json[0]["error"]]
    assert "download the recording first" in found.err


def test_names_in_any_script_are_printable() -> None:
    for name in ("キッチン\u3000一.wav", "خانه\u200cها.wav", "👨\u200d👩\u200d👧.wav", "a\u00a0b.wav"):
        assert printable(name) == name
    assert json.loads(ainext("models", "kitchen20", "--json").out)["labels"]
