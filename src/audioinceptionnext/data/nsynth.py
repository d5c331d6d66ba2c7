"""NSynth (Engel et al., 2017): 306,000 notes of 4 s at 16 kHz, 11 families of instruments, in three splits.

Layout: the folders ``nsynth-train``, ``nsynth-valid`` and ``nsynth-test``, each with ``examples.json`` (an object with
one entry per note, by the note's name) and ``audio/NOTE.wav``. A group is an instrument. Those of the train split are
in no other; the published validation and test splits have instruments in common.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import FileError, printable

FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal",
)  # fmt: skip
FOLDERS = {"nsynth-train": "train", "nsynth-valid": "validation", "nsynth-test": "test"}
_FIELDS = ("instrument_family", "instrument_family_str", "instrument_str")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read the splits of NSynth that are in ``root``. The labels are the families, in the order of their numbers.

    Args:
        root: the folder that holds one or more of the three folders.
        audio: a folder with the recordings in the same folders, if they are not in ``root``.

    Raises:
        FileError: none of the three folders is there, a list is missing or damaged, or no note has a recording.
    """
    folders = [name for name in FOLDERS if (root / name).is_dir()]
    if not folders:
        raise FileError(root, f"no NSynth here: none of {', '.join(FOLDERS)}; give the folder that holds them")
    clips: list[Clip] = []
    problems: list[str] = []
    for name in folders:
        path = root / name / "examples.json"
        place = (audio or root) / name / "audio"
        # One look at the folder, because looking for each of 290,000 notes takes longer than reading the list.
        present = {path.name for path in place.iterdir()} if place.is_dir() else set()
        for note, entry in _read(path).items():
            file, problem = f"{note}.wav", _problem(entry)
            if problem is None and file not in present:
                problem = f"{printable(place / file)} is missing"
            if problem is None:
                clips.append(Clip(place / file, entry[0], split=FOLDERS[name], group=entry[2], id=note))
            else:
                problems.append(f"{printable(path)}: {printable(note)}: {problem}")
    if not clips:
        what = f"no note has a recording here: {problems[0]}"
        raise FileError(audio or root, f"{what}; get the recordings, or give the folder that holds them")
    return Dataset("nsynth", FAMILIES, tuple(clips), tuple(problems))


def _read(path: Path) -> dict[str, Any]:
    """The values of `_FIELDS` of each note; of what is no note, whatever is there."""
    try:
        with path.open(encoding="utf-8") as file:
            entries = json.load(file, object_hook=_fields)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}; get it again") from None
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"damaged, not JSON ({error}); get it again") from None
    if not isinstance(entries, dict) or not entries:
        raise FileError(path, "lists no notes; get it again")
    return entries


def _fields(entry: dict[str, Any]) -> Any:
    """Keep of a note only what is used: the list of the train split has 290,000."""
    return tuple(map(entry.get, _FIELDS)) if "instrument_family" in entry else entry


def _problem(entry: Any) -> str | None:
    """Why a note cannot be used, or None."""
    if not isinstance(entry, tuple):
        return "no instrument_family"
    family, name, instrument = entry
    if type(family) is not int or not 0 <= family < len(FAMILIES):
        return f"instrument_family {printable(str(family))}; the families are 0 to {len(FAMILIES) - 1}"
    if name not in (None, FAMILIES[family]):
        return f"instrument_family {family} is {FAMILIES[family]!r}, not {printable(str(name))!r}"
    return None if isinstance(instrument, str) and instrument else "no instrument_str"
