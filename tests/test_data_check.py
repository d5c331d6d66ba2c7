"""`ainext data check` on a data set with every kind of flaw."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from audioinceptionnext.cli import main
from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.check import check
from tests.audio_files import chirp, encode, sine, write_wav
from tests.data_files import RATE, epic_lists, wav, write_list


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """A list of ten clips with every kind of flaw."""
    sweep, half = chirp(1, RATE), chirp(0.5, 16_000)
    wav(tmp_path / "sweep.wav", sweep)
    encode(tmp_path / "copy.flac", np.round(sweep * 32767) / 32768, RATE)  # the same samples in another format
    wav(tmp_path / "half.wav", half, 16_000)
    wav(tmp_path / "silent.wav", np.zeros(RATE))
    (tmp_path / "text.wav").write_text("this is no sound")
    whole = wav(tmp_path / "cut.wav", sine(300, 2, RATE)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    rows = [
        ("path", "label", "start", "end", "fold", "group"),
        ("sweep.wav", "sweep", "", "", 1, "a"),
        ("copy.flac", "copy", "", "", 2, "b"),
        ("half.wav", "sweep", 0.1, 0.4, 1, "c"),
        ("half.wav", "copy", 0.2, 0.55, 2, "c"),
        ("half.wav", "copy", 0.1, 0.9, 1, "d"),
        ("half.wav", "copy", 0.6, 0.9, 1, "d"),
        ("silent.wav", "[red]hush[/red]", "", "", 1, "e"),
        ("text.wav", "sweep", "", "", 1, "f"),
        ("cut.wav", "sweep", "", "", 1, "g"),
        ("gone.wav", "sweep", "", "", 1, "h"),
    ]
    write_list(tmp_path / "meta.csv", *rows)
    return tmp_path


def test_check_finds_every_flaw(flawed: Path) -> None:
    done: list[tuple[int, int]] = []
    report = check(load_dataset("csv", flawed), progress=lambda *now: done.append(now))
    assert done[-1] == (6, 6)
    assert (report.clips, report.recordings, report.groups, report.ok) == (9, 6, 7, False)
    assert report.parts == {"1": 7, "2": 2}
    assert [(c.label, c.clips, c.parts) for c in report.classes] == [
        ("[red]hush[/red]", 1, {"1": 1, "2": 0}),
        ("copy", 4, {"1": 2, "2": 2}),
        ("sweep", 4, {"1": 4, "2": 0}),
    ]
    assert report.sample_rates == {8000: 4, 16_000: 1}
    assert report.durations is not None
    assert report.durations.shortest == pytest.approx(0.3) and report.durations.longest == pytest.approx(1)
    assert report.durations.total == pytest.approx(1 + 1 + 0.3 + 0.3 + 0.4 + 1 + 1, abs=5e-3)
    (problem,), (unreadable,), (damaged,) = report.problems, report.unreadable, report.damaged
    assert "gone.wav is missing" in problem and "text.wav" in unreadable and "cut.wav: ends early" in damaged
    cut, empty = report.beyond  # an overrun of 0.05 s is tolerated
    assert "half.wav (0.100-0.900 s): ends 0.4 s beyond" in cut and "nothing before it" in empty
    assert report.empty == ()
    assert report.silent == (str(flawed / "silent.wav"),)
    (duplicate,) = report.duplicates
    assert duplicate.across and duplicate.labels == ("copy", "sweep") and len(duplicate.clips) == 2
    assert [(leak.group, leak.clips, leak.parts) for leak in report.leaks] == [("c", 2, ("fold 1", "fold 2"))]
    quick = check(load_dataset("csv", flawed), fast=True)
    assert (quick.beyond, quick.sample_rates, quick.leaks) == (report.beyond, report.sample_rates, report.leaks)
    assert quick.duplicates == quick.silent == quick.damaged == ()


def test_check_of_hdf5(tmp_path: Path) -> None:
    epic_lists(tmp_path, "csv")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["P01_1"], file["P02_9"] = sine(300, 1.5, 24_000), sine(200, 0.1, 24_000)
        file["P03_1"] = np.zeros(2400, np.float32)
    for fast in (False, True):
        report = check(load_dataset("epic-sounds", tmp_path), fast=fast)
        assert report.ok and report.clips == 4 and report.unlabelled == 1 and report.recordings == 3
        assert report.sample_rates == {24_000: 3}
        assert report.durations is not None and report.durations.longest == pytest.approx(0.5)
        assert len(report.silent) == (0 if fast else 1)
        assert sum(count.clips for count in report.classes) == 3


def ainext(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_command(flawed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ainext("data", "check", "csv", "--root", flawed) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("csv: 9 clips of 3 classes, in 6 recordings\nfolds      1: 7   2: 2\nsources    7\n")
    for text in (
        "[red]hush[/red]",
        "unreadable recordings: 1",
        "Silent (1)",
        "across: ",
        "c: 2 clips in fold 1, fold 2",
    ):
        assert text in out
    assert ainext("data", "check", "csv", "--root", flawed, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and report["durations"]["shortest"] == 0.3 and len(report["duplicates"]) == 1
    write_list(flawed / "meta.csv", ("path", "label", "split"), ("sweep.wav", "a", "train"), ("half.wav", "b", "test"))
    assert (
        ainext("data", "check", "csv", "--root", flawed, "--fast") == 0
    )  # files that are not in the list do not matter
    assert "wrong      nothing" in capsys.readouterr().out
    assert ainext("data", "check", "csvs", "--root", flawed) == 2
    assert "did you mean csv" in capsys.readouterr().err


def test_the_table_of_very_many_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those without clips are listed below, and the table shows both ends."""
    write_wav(tmp_path / "a.wav", np.zeros(8000), 8000)
    rows = [("a.wav", f"class {n:02}", n / 100, 0.9 + m / 1000) for n in range(80) for m in range(n + 1)]
    write_list(tmp_path / "meta.csv", ("path", "label", "start", "end"), *rows)
    ainext("data", "check", "csv", "--root", tmp_path, "--fast")
    lines = capsys.readouterr().out.splitlines()
    assert "clips per class   smallest 1, median 41, largest 80" in lines
    table = [line.split()[:3] for line in lines if line.startswith(("class ", "…"))]
    expected = [*range(10), None, *range(70, 80)]
    assert table[1:] == [["…"] if n is None else ["class", f"{n:02}", str(n + 1)] for n in expected]
    assert "(the 10 smallest and the 10 largest of 80; --json prints all)" in lines
