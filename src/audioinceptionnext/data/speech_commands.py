"""Speech Commands (Warden, 2018): spoken words of 1 s at 16 kHz, 35 classes in version 2 and 30 in version 1.

Layout: one folder per word with ``SPEAKER_nohash_NUMBER.wav``, and ``validation_list.txt`` and ``testing_list.txt``,
which name the files of these splits (``yes/0a7c2a8d_nohash_0.wav``); all others are the train split. The folder
``_background_noise_`` is no class. A group is a speaker, whose recordings are all in one split.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.table import list_at
from audioinceptionnext.errors import FileError, printable

LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}
_AFTER_SPEAKER = "_nohash_"


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read Speech Commands below ``root``, with its folders of words in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold both lists, or there are fewer than two words with recordings.
    """
    listed, problems = _read_lists(root)
    place = audio or root
    words: list[str] = []
    clips: list[Clip] = []
    for folder in _word_folders(place):
        files = sorted(path for path in folder.glob("*.wav") if not path.name.startswith("."))
        if not files:
            problems.append(f"{printable(folder)}: no .wav files in this folder of a word: left out")
            continue
        for path in files:
            split, _ = listed.pop(f"{folder.name}/{path.name}", ("train", ""))
            speaker, separator, _ = path.stem.partition(_AFTER_SPEAKER)
            if speaker and separator:
                clips.append(Clip(path, len(words), split=split, group=speaker))
            else:
                problems.append(f"{printable(path)}: is not named SPEAKER{_AFTER_SPEAKER}NUMBER.wav: left out")
        words.append(folder.name)
    problems += [f"{where}: {printable(place / name)} is missing" for name, (_, where) in listed.items()]
    if len(words) < 2 or not clips:
        what = f"one folder of a word only, {printable(words[0])}" if words else "no folders of words with .wav files"
        raise FileError(place, f"{what}; give the folder that holds them")
    return Dataset("speechcommands", tuple(words), tuple(clips), tuple(problems))


def _read_lists(root: Path) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The split of each listed file and the place where it is listed, by its name, and one line per unusable line."""
    listed: dict[str, tuple[str, str]] = {}
    problems: list[str] = []
    for path, split in [(list_at(root, name, "Speech Commands"), split) for name, split in LISTS.items()]:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(path, f"not a list of files in UTF-8 ({error}); get it again") from None
        if not any(map(str.strip, lines)):
            raise FileError(path, "lists no files, so that their split is not known; get it again")
        for number, name in enumerate(map(str.strip, lines), start=1):
            where = f"{printable(path)}: line {number}"
            if name and (name.count("/") != 1 or not name.endswith(".wav")):
                problems.append(f"{where}: {printable(name)} is not WORD/FILE.wav")
            elif name in listed:
                problems.append(f"{where}: {printable(name)} is already in {listed[name][1]}")
            elif name:
                listed[name] = split, where
    return listed, problems


def _word_folders(place: Path) -> list[Path]:
    """The folders of words, by name; that of background noise and hidden ones are none."""
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
