"""Errors carry fields, read well, and survive pickling, which sends them between processes."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from audioinceptionnext.errors import (
    AinextError,
    FileError,
    MediaError,
    MissingDependencyError,
    ModelError,
    ParameterError,
    counted,
    describe,
    printable,
    replacing,
    suggest,
    writing,
)

ERRORS: list[tuple[AinextError, str, dict[str, object]]] = [
    (AinextError("nothing to do"), "nothing to do", {"reason": "nothing to do"}),
    (
        ParameterError("step_seconds", 0.05, "give a multiple of 0.16 s"),
        "step_seconds is 0.05: give a multiple of 0.16 s",
        {"name": "step_seconds", "value": 0.05, "reason": "give a multiple of 0.16 s"},
    ),
    (
        ParameterError("format", None, "a .eaf file holds one recording"),
        "format: a .eaf file holds one recording",
        {"name": "format", "value": None, "reason": "a .eaf file holds one recording"},
    ),
    (
        FileError(Path("a\nb.csv"), "has no column 'label'"),
        "a?b.csv: has no column 'label'",
        {"path": Path("a\nb.csv"), "reason": "has no column 'label'"},
    ),
    (MediaError("a.wav", "is empty"), "a.wav: is empty", {"path": "a.wav", "reason": "is empty"}),
    (ModelError("small", "is damaged"), "small: is damaged", {"model": "small", "reason": "is damaged"}),
    (
        MissingDependencyError("the picture", "audioinceptionnext[plot]"),
        "the picture needs a package that is not installed: pip install 'audioinceptionnext[plot]'",
        {
            "purpose": "the picture",
            "requirement": "audioinceptionnext[plot]",
            "reason": "needs a package that is not installed: pip install 'audioinceptionnext[plot]'",
        },
    ),
]


@pytest.mark.parametrize(("error", "text", "fields"), ERRORS, ids=lambda value: type(value).__name__)
def test_fields_and_text_survive_pickling(error: AinextError, text: str, fields: dict[str, object]) -> None:
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert type(one) is type(error) and isinstance(one, AinextError)
        assert str(one) == text
        assert {name: getattr(one, name) for name in fields} == fields
        assert describe(one) == fields["reason"]


def test_a_wrong_parameter_is_a_value_error_and_a_recording_is_a_file() -> None:
    assert issubclass(ParameterError, ValueError) and issubclass(MediaError, FileError)


def test_a_number_that_is_text_has_quotes() -> None:
    assert str(ParameterError("threshold", "0.5", "give one")) == "threshold is '0.5': give one"
    assert str(ParameterError("threshold", 0.5, "give one")) == "threshold is 0.5: give one"
    assert str(ParameterError("format", "wav2", "choose one")) == "format is wav2: choose one"


def test_an_unexpected_error_is_described_in_one_line() -> None:
    assert describe(KeyError("a\nb")).startswith("KeyError: ") and "\n" not in describe(KeyError("a\nb"))


def test_names_are_printable_and_suggested() -> None:
    assert printable("a\x1bb\n.wav") == "a?b?.wav"
    assert printable("a\ud800") == printable(b"a\xff") == "a?"  # from JSON, and in a name on Linux
    assert suggest("smal", ["base", "small"]) == "did you mean small?"
    assert suggest("x", ["base", "small"]) == "choose from base, small"
    assert suggest("TINY", ["base", "Tiny"]) == "did you mean Tiny?"
    assert suggest("x", ["base", "small", "tiny"], 2) == "choose from base, small, 1 more"


def test_a_failed_write_says_what_to_do(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none" / "a", "does not exist; create it first"), (tmp_path, "it is a folder")):
        with pytest.raises(FileError) as caught, writing(path):
            path.write_text("x")
        assert caught.value.path == path and caught.value.reason.startswith("cannot be written: ")
        assert reason in caught.value.reason


@pytest.mark.skipif(sys.platform == "win32", reason="makes a link")
def test_only_a_folder_that_is_missing_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="another program removed it; run the command again"), writing(tmp_path / "a"):
        (tmp_path / "part").replace(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "a")
    with pytest.raises(FileError, match=r"/gone does not exist; create it first"), replacing(tmp_path / "link") as new:
        new.write_text("x")


def test_what_is_counted_is_singular_only_once() -> None:
    assert [counted(number, "clip") for number in (0, 1, 2, 12_345)] == ["0 clips", "1 clip", "2 clips", "12,345 clips"]
    assert [counted(number, "class") for number in (1, 2)] == ["1 class", "2 classes"]
