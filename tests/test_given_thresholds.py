"""Onset thresholds as people give them: by label, pattern or group, in Python, in files and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext import load
from audioinceptionnext.cli import prediction_options
from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.thresholds import read_thresholds, settings_for
from tests.audio_files import write_wav
from tests.command import refused

NAMES = ("Speech", "Dog", "Cat", "Waves, surf", "Ocean", "Smoke detector, smoke alarm", "Dog, wild", "What?")
GROUPS = {"Animal": ("Dog", "Cat", "Dog, wild"), "Dog": ("Dog", "Dog, wild"), "Water, all": ("Waves, surf", "Ocean")}
SMALL = "kitchen20-small"


@pytest.fixture(scope="module")
def model() -> Recogniser:
    return load(SMALL, threads=1)


def test_thresholds_of_patterns_and_groups() -> None:
    own = [0.5] * 8
    given = {"Dog": 0.9, "group:animal": 0.6, "*og*": 0.7, "waves, SURF": 0.2}
    expected = (0.5, 0.9, 0.6, 0.2, 0.5, 0.5, 0.7, 0.5)  # a label's own counts first, and then what comes last
    assert settings_for(NAMES, own, given, groups=GROUPS).class_thresholds == expected
    with pytest.raises(ParameterError, match="no group matches 'group:Anmal'; did you mean Animal"):
        settings_for(NAMES, own, {"group:Anmal": 0.5}, groups=GROUPS)


def test_thresholds_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.txt"
    path.write_text("\ufeff# quiet ones\n\n0.4\nWaves, surf = 0.2\n  group:Animal=0.6\na = b = 0.3\n", encoding="utf-8")
    assert read_thresholds(path) == (0.4, {"Waves, surf": 0.2, "group:Animal": 0.6, "a = b": 0.3})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 0.5\nb = x", "line 2: give a probability"),
        ("a = 0.5\n\na = 0.6", "line 3: a has another value"),
        ("2", "line 1: "),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_file_of_thresholds_that_is_wrong(tmp_path: Path, text: str | bytes, line: str) -> None:
    path = tmp_path / "thresholds.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FileError, match=line):
        read_thresholds(path)
    with pytest.raises(FileError, match="no such file"):
        read_thresholds(tmp_path / "none.txt")


def test_a_later_mapping_counts_before_an_earlier_one() -> None:
    layers = [{"Dog": 0.4, "group:Animal": 0.3, "ocean": 0.2}, {"D*": 0.8, "Cat": 0.9}]
    expected = (0.5, 0.8, 0.9, 0.5, 0.2, 0.5, 0.8, 0.5)
    assert settings_for(NAMES, [0.5] * 8, layers, groups=GROUPS).class_thresholds == expected
    with pytest.raises(ParameterError, match=r"threshold is \[0.5, 0.6\]: give a probability"):
        settings_for(NAMES, [0.5] * 8, [0.5, 0.6], groups=GROUPS)  # type: ignore[list-item]


def test_a_name_that_is_wrong_is_shown_in_part() -> None:
    with pytest.raises(ParameterError) as error:
        settings_for(NAMES, (), {"x" * 5000: 0.5})
    assert str(error.value).startswith("threshold: no label matches 'xxx") and len(str(error.value)) < 500


# On the command line


@pytest.mark.parametrize(
    ("files", "typed", "blender", "cutlery"),
    [
        (["b* = 0.4\n*lender = 0.3"], ["b*=0.9"], 0.9, None),
        (["blender = 0.4"], ["b*=0.9"], 0.9, None),
        (["blender = 0.4", "blender = 0.6\n0.7"], [], 0.6, 0.7),
        (["blender = 0.4\n0.7", "cutlery = 0.2\n0.6"], [], 0.4, 0.2),
        (["blender = 0.4\n0.7"], ["0.8"], 0.4, 0.8),
        (["0.7"], ["blender=0.9"], 0.9, 0.7),
    ],
)
def test_what_comes_later_counts_and_the_command_line_last(
    files: list[str], typed: list[str], blender: float, cutlery: float | None, model: Recogniser, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(len(files))]
    for path, text in zip(paths, files, strict=True):
        path.write_text(text, encoding="utf-8")
    settings = prediction_options.segmentation_settings(model, [*typed, *map(str, paths)], None, 0.32, 0.3, 0.3)
    found = dict(zip(model.labels, settings.class_thresholds, strict=True))
    own = dict(zip(model.labels, model.thresholds, strict=True))
    assert found["blender"] == blender
    assert found["cutlery"] == (own["cutlery"] if cutlery is None else cutlery)


def test_a_file_of_thresholds_has_a_suffix_or_a_folder(
    model: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = write_wav(tmp_path / "a.wav", np.zeros(24_000), 24_000)
    (tmp_path / "blender").write_text("0.7", encoding="utf-8")
    (tmp_path / "a=b.txt").write_text("0.7", encoding="utf-8")
    for path in ("./blender", "a=b.txt"):
        settings = prediction_options.segmentation_settings(model, [path], None, 0.32, 0.3, 0.3)
        assert settings.onset_threshold == 0.7
    for text in ("blender", "blender=x.y", "0.5%", "x" * 5000):
        line = refused("predict", sound, "--model", SMALL, "--threshold", text)
        assert "give a probability above 0 and at most 1" in line and len(line) < 400
        assert "or a file such as thresholds.txt or ./thresholds" in line
    line = refused("predict", sound, "--model", SMALL, "--threshold", "x" * 5000 + ".txt")
    assert ".txt: cannot be read as text: " in line
