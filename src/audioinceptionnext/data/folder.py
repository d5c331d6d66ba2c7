"""A folder of your own recordings: one subfolder per class, or one per split with subfolders per class."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from audioinceptionnext.audio.discover import MEDIA_SUFFIXES, find_media
from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.table import SPLITS, composed, sorted_labels
from audioinceptionnext.errors import FileError, ParameterError, counted, printable


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read a folder whose subfolders are named after the classes and hold their recordings, at any depth.

    Subfolders named train, test, validation (or val) are splits, which hold the folders of the classes. Folders whose
    names differ only in Unicode's form are one class. Labels are sorted by name, or by value if all are numbers. Links
    to folders are followed, as in `find_media`, but a recording of another class that a link leads to is left out, so
    that none has two labels. Clips name no source; clips that were cut from the same recordings need
    a list with a ``group`` (see `csv_list`).

    Raises:
        FileError: fewer than two classes have recordings.
        ParameterError: ``audio`` is given.
    """
    if audio is not None:
        raise ParameterError("audio", audio, "a folder of classes holds its own recordings; leave this out")
    class_folders, problems = _class_folders(root)
    found = [
        (split, folder, [path for path in find_media([folder]) if isinstance(path, Path)])
        for split, folder in class_folders
    ]
    others = _of_other_classes(root, [(folder, files) for _, folder, files in found])
    own = {folder: [path for path in files if path not in others] for _, folder, files in found}
    labels = sorted_labels({composed(folder.name) for folder, files in own.items() if files})
    if len(labels) < 2:
        what = f"one class only, {printable(labels[0])}" if labels else "no recordings in subfolders"
        raise FileError(root, f"{what}; give a folder with one subfolder per class")
    clips = []
    for split, folder, files in found:
        clips += [Clip(path, labels.index(composed(folder.name)), split=split) for path in own[folder]]
        if linked := [path for path in files if path in others]:
            what = f"{counted(len(linked), 'recording')}, e.g. {printable(linked[0])}"
            problems.append(f"{printable(folder)}: {what}, also of class {printable(others[linked[0]])}: left out")
        elif not files:
            left = "" if composed(folder.name) in labels else "; the class is left out"
            problems.append(f"{printable(folder)}: no recordings in this class folder{left}")
    have = {(split, composed(folder.name)) for split, folder, _ in found}
    for split in sorted({split for split, _ in class_folders if split is not None}):
        absent = [label for label in labels if (split, label) not in have]
        problems += [f"{printable(root)}: no folder of class {printable(label)} in {split}" for label in absent]
    return Dataset("folder", tuple(labels), tuple(clips), tuple(problems))


def _of_other_classes(root: Path, found: list[tuple[Path, list[Path]]]) -> dict[Path, str]:
    """The paths by which a recording of one class is in another as well, because of a link, each with the one class.

    That is the class in whose folder it lies, or else in whose linked folder, or else the first one.
    """
    named: defaultdict[tuple[int, int], list[tuple[Path, Path]]] = defaultdict(list)  # by file
    for folder, files in found:
        for path in files:
            with suppress(OSError):  # what cannot be opened is told when it is read
                status = path.stat()
                if status.st_ino:  # 0 where a file system does not number files
                    named[status.st_dev, status.st_ino].append((folder, path))
    others: dict[Path, str] = {}
    for places in named.values():
        if len({composed(folder.name) for folder, _ in places}) > 1:
            nearest = min(places, key=lambda place: [_linked(top, place[1]) for top in (root, place[0])])
            owner = composed(nearest[0].name)
            others |= {path: owner for folder, path in places if composed(folder.name) != owner}
    return others


def _linked(top: Path, path: Path) -> bool:
    """Whether a link lies on the way from a folder to a file."""
    return path.resolve() != top.resolve() / path.relative_to(top)


def _class_folders(root: Path) -> tuple[list[tuple[str | None, Path]], list[str]]:
    """All class folders with their splits, and one line for each file or folder that is in the wrong place."""
    folders = _folders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS and _folders(folder) and not _files(folder)]
    if len(splits) < min(2, len(folders)):  # a single folder "train" among others is a class: the vehicle
        splits = []
    if not splits:
        return [(None, folder) for folder in folders], _outside(root)
    problems = _outside(root)
    problems += [f"{printable(folder)}: neither train nor test: left out" for folder in folders if folder not in splits]
    class_folders = [(SPLITS[split.name.lower()], folder) for split in splits for folder in _folders(split)]
    return list(class_folders), problems


def _folders(root: Path) -> list[Path]:
    """The folders in this one that are not hidden, links to folders included, unless they lead back up."""
    above = {root.resolve(), *root.resolve().parents}
    folders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in folders if not path.is_symlink() or path.resolve() not in above)


def _files(folder: Path) -> list[Path]:
    """Audio and video files in the folder itself."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def _outside(folder: Path) -> list[str]:
    """One line for each recording that is not in a class folder."""
    return [f"{printable(path)}: lies outside the class folders: left out" for path in _files(folder)]
