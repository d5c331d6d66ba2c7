"""Finding the files that paths, folders and patterns stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from audioinceptionnext.audio.discover import MissingPath, find_media


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.wav", "a.MP3", "notes.txt", ".hidden.wav", "sub/c.mp4", ".git/d.wav", "odd[1]*.wav", "odd1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found: list[Path | MissingPath]) -> list[str]:
    return [f"missing {item.path}" if isinstance(item, MissingPath) else item.as_posix() for item in found]


def test_a_folder_is_searched_below_without_hidden_files(tree: Path) -> None:
    assert find_media([tree]) == [tree / name for name in ("a.MP3", "b.wav", "odd1.wav", "odd[1]*.wav", "sub/c.mp4")]


def test_a_named_file_may_have_any_suffix(tree: Path) -> None:
    assert names(find_media(["notes.txt", ".hidden.wav"])) == ["notes.txt", ".hidden.wav"]


def test_the_order_is_kept_and_no_file_comes_twice(tree: Path) -> None:
    assert names(find_media(["sub/c.mp4", "b.wav", tree / "b.wav", "./sub/../b.wav", "sub"])) == ["sub/c.mp4", "b.wav"]


def test_patterns(tree: Path) -> None:
    assert names(find_media(["*.wav"])) == ["b.wav", "odd1.wav", "odd[1]*.wav"]
    assert names(find_media(["**/*.mp4"])) == ["sub/c.mp4"]
    assert names(find_media([str(tree / "su?")])) == [(tree / "sub/c.mp4").as_posix()]
    assert names(find_media(["*.txt"])) == ["notes.txt"]
    assert names(find_media(["**"])) == ["a.MP3", "b.wav", "odd1.wav", "odd[1]*.wav", "sub/c.mp4"]


def test_an_existing_name_is_never_a_pattern(tree: Path) -> None:
    assert names(find_media(["odd[1]*.wav"])) == ["odd[1]*.wav"]


def test_a_missing_path_takes_the_place_of_its_files(tree: Path) -> None:
    found = find_media(["gone.wav", "b.wav", "none", "*.xyz", "x" * 5000])
    assert names(found)[:4] == ["missing gone.wav", "b.wav", "missing none", "missing *.xyz"]
    reasons = [item.reason for item in found if isinstance(item, MissingPath)]
    assert reasons[0] == "no such file or folder"
    assert reasons[1].startswith("no audio or video files in this folder")
    assert reasons[2] == "no file matches this pattern"
    assert len(reasons) == 4 and not any("\n" in reason for reason in reasons)
    assert find_media(["-"]) == [MissingPath(Path("-"), "no such file or folder; stdin is /dev/stdin")]
