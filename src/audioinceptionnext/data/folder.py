"""Recordings of your own without a list: one sub-folder a class, or ``train/CLASS`` and ``test/CLASS``."""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.audio.discover import MEDIA_SUFFIXES, find_media
from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.table import SPLITS, in_order
from audioinceptionnext.errors import AinextError, printable


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Take every sub-folder's name for a class, and what lies in it, however deep, for clips of that class.

    Where the sub-folders are called train, test, validation (or val), they are splits and hold the class folders.
    Labels are in order of their names, or of their values where all are numbers. Clips name no source: who cut several
    from one recording gives a list (`csv`) with a ``group``.

    Raises:
        AinextError: fewer than two classes with recordings, or ``audio`` given.
    """
    if audio is not None:
        raise AinextError("--audio: a folder of classes holds its own recordings; give --root alone")
    places, problems = _classes(root)
    clips = []
    found = [(split, folder, [p for p in find_media([folder]) if isinstance(p, Path)]) for split, folder in places]
    labels = in_order({folder.name for _, folder, files in found if files})
    if len(labels) < 2:
        what = f"one class only, {printable(labels[0])}" if labels else "no recordings in sub-folders"
        raise AinextError(f"{printable(root)}: {what}; --root names the folder whose sub-folders are the classes")
    for split, folder, files in found:
        if files:
            clips += [Clip(path, labels.index(folder.name), split=split) for path in files]
        else:
            left = "" if folder.name in labels else "; the class is left out"
            problems.append(f"{printable(folder)}: no recordings in this class folder{left}")
    have = {(split, folder.name) for split, folder, _ in found}
    for split in sorted({split for split, _ in places if split is not None}):
        absent = [label for label in labels if (split, label) not in have]
        problems += [f"{printable(root)}: no folder of class {printable(label)} in {split}" for label in absent]
    return Dataset("folder", tuple(labels), tuple(clips), tuple(problems))


def _classes(root: Path) -> tuple[list[tuple[str | None, Path]], list[str]]:
    """(split, class folder) of all class folders, and what lies where it says nothing."""
    folders = _folders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS and _folders(folder) and not _loose(folder)]
    if len(splits) < min(2, len(folders)):  # one folder called "train" among others is a class: trains make sounds
        splits = []
    if not splits:
        return [(None, folder) for folder in folders], _outside(root)
    problems = _outside(root)
    problems += [f"{printable(folder)}: neither train nor test: left out" for folder in folders if folder not in splits]
    places = [(SPLITS[split.name.lower()], folder) for split in splits for folder in _folders(split)]
    return list(places), problems


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _loose(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def _outside(folder: Path) -> list[str]:
    return [f"{printable(path)}: lies outside the class folders: left out" for path in _loose(folder)]
