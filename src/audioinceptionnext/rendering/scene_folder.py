"""Writes scenes to a folder, with a list of what sounds when that the data set ``csv`` reads as it is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from audioinceptionnext.data.clip_list import digest
from audioinceptionnext.data.flac import flac
from audioinceptionnext.errors import FileError, ParameterError, check_can_write, printable, replacing, writing
from audioinceptionnext.rendering.scenes import VERSION, Composer

TIMES, RECORD = "times.csv", "scenes.yaml"
COLUMNS = ("path", "start", "end", "label")
_TASK_SIZE = 4  # scenes of a process, from one list of times to the next

Row = dict[str, str]


@dataclass(frozen=True)
class SceneFolder:
    """What a call has written.

    Attributes:
        new: how many scenes did not exist before.
        events: rows of the list.
        left_out: how many recordings were drawn for the new scenes and are in none of them, see `Scene`.
        empty: new scenes that hold no event at all. A list of events cannot name them, so they are not written.
    """

    new: int
    events: int
    left_out: int
    empty: int


def render_scenes(
    folder: Path,
    composer: Composer,
    labels: Sequence[str],
    count: int,
    *,
    made_of: dict[str, Any] | None = None,
    read_from: Iterable[Path] = (),
    overwrite: bool = False,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> SceneFolder:
    """Write the scenes 0 to ``count - 1`` of a composer as FLAC files of 16 bits, and their times as ``times.csv``.

    The list has the columns path, start, end (seconds) and label, and a row for each event. ``scenes.yaml`` says what
    the scenes were made of and how. Scenes that are there, and their rows, are kept as they are, so that an interrupted
    call can be repeated, and the same call with a higher ``count`` adds scenes.

    Args:
        folder: is made if it does not exist.
        composer: makes the scenes. Its events lie wholly within them.
        labels: of the data set.
        count: number of scenes.
        made_of: what else ``scenes.yaml`` says, such as the name of the data set; values that YAML has.
        read_from: folders that the recordings were found in, where scenes would be taken for recordings later on.
        overwrite: whether to remove scenes of another call first.
        jobs: processes to compose with. Their number does not change the files.
        progress: called with the number of scenes that are done so far.

    Raises:
        ParameterError: the folder holds scenes of another call, or a list that is not of scenes; or it holds
            recordings that scenes are made of, or lies among them or among those of the background.
        FileError: the folder cannot be written, or its list cannot be read.
        MediaError: a recording cannot be read.
    """
    record = _describe(composer, made_of or {})
    if any(place.resolve().is_relative_to(folder.resolve()) for place in {c.path.parent for c in composer.clips}):
        raise ParameterError("folder", folder, "holds the recordings that scenes are made of; give another folder")
    check_outside(folder, [*read_from, *filter(None, [composer.settings.background_folder])])
    _check(folder, record, overwrite)
    if overwrite:
        remove_scenes(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    record["scenes"] = max(count, _made(folder))  # for `remove_scenes`: an interrupted call lists only a part of them
    with replacing(folder / RECORD) as new:
        new.write_text(
            yaml.safe_dump(record, sort_keys=False, allow_unicode=True, default_flow_style=None), encoding="utf-8"
        )
    columns, rows = _read_times(folder / TIMES)
    missing = [n for n in range(count) if not (_name(n) in rows and (folder / _name(n)).is_file())]
    tasks = [missing[first : first + _TASK_SIZE] for first in range(0, len(missing), _TASK_SIZE)]
    written, empty, done = 0, 0, count - len(missing)
    used: set[int] = set()
    left_out: set[int] = set()
    with ExitStack() as stack:
        map_tasks: Callable[..., Iterable[list[_Written]]] = map
        if jobs > 1 and len(tasks) > 1:
            jobs = min(jobs, len(tasks))
            pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_start, initargs=(composer, folder))
            map_tasks = stack.enter_context(pool).map
        else:
            _start(composer, folder)
        for task, found in zip(tasks, map_tasks(_write_scenes, tasks), strict=True):
            for scene in found:
                rows.pop(scene.path, None)
                if scene.segments:
                    rows[scene.path] = [_row(scene.path, start, end, labels[n]) for start, end, n in scene.segments]
                written, empty = written + bool(scene.segments), empty + (not scene.segments)
                used.update(scene.used)
                left_out.update(scene.left_out)
            _write_times(folder / TIMES, columns, rows)
            done += len(task)
            progress(done)
    own = [rows[_name(number)] for number in range(count) if _name(number) in rows]
    return SceneFolder(written, sum(map(len, own)), len(left_out - used), empty)


def _describe(composer: Composer, made_of: dict[str, Any]) -> dict[str, Any]:
    """What determines the scenes of a composer, and what else is said of them."""
    return {
        **made_of,
        "recordings": len(composer.clips),
        "digest": digest(composer.clips),
        "sample_rate": composer.rate,
        "seed": composer.seed,
        "version": VERSION,
        "settings": composer.settings.as_dict(),
    }


def _check(folder: Path, record: dict[str, Any], overwrite: bool) -> None:
    check_holds_scenes(folder)
    before = _read_record(folder / RECORD)
    if before is not None and not overwrite:
        keys = [key for key in (before | record) if key != "scenes" and before.get(key) != record.get(key)]
        if "settings" in keys:
            old, new = (one.get("settings") or {} for one in (before, record))
            keys = [key for key in (old | new) if old.get(key) != new.get(key)] if isinstance(old, dict) else keys
        if keys:
            what = f"holds scenes of another call (other {printable(str(keys[0]))})"
            raise ParameterError("folder", folder, f"{what}; give another folder, or overwrite them")
    check_can_write(folder / TIMES)


def check_outside(folder: Path, places: Iterable[Path]) -> None:
    """Check that a folder for scenes lies in none of those that recordings are read from.

    Raises:
        ParameterError: it does.
    """
    for place in places:
        if folder.resolve().is_relative_to(place.resolve()):
            where = f"lies in {printable(place)}, where scenes would be taken for recordings"
            raise ParameterError("folder", folder, f"{where}; give another folder")


def check_holds_scenes(folder: Path) -> None:
    """Check that a folder has no file of the names of scenes' files, unless they are of scenes.

    Raises:
        ParameterError: it has.
        FileError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "is a file; give a folder")
    if _read_record(folder / RECORD) is None:
        held = next((name for name in (RECORD, TIMES, _name(0)) if (folder / name).exists()), None)
        if held is not None:
            raise ParameterError("folder", folder, f"holds a {held} that is not of scenes; give another folder")


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) and "settings" in found and "digest" in found else None


def remove_scenes(folder: Path) -> None:
    """Remove the scenes of a folder, if ``scenes.yaml`` says that they are scenes. Other files stay.

    Raises:
        FileError: one of them cannot be removed.
    """
    if _read_record(folder / RECORD) is None:
        return
    with writing(folder):
        for number in range(_made(folder)):
            (folder / _name(number)).unlink(missing_ok=True)
        (folder / TIMES).unlink(missing_ok=True)
        (folder / RECORD).unlink()


def _made(folder: Path) -> int:
    """How many scenes calls have made in a folder, or were about to make."""
    found = (_read_record(folder / RECORD) or {}).get("scenes")
    return found if isinstance(found, int) else 0


def _name(number: int) -> str:
    return f"{number:06}.flac"


def _row(path: str, start: float, end: float, label: str) -> Row:
    return dict(zip(COLUMNS, (path, f"{start:.3f}", f"{end:.3f}", label), strict=True))


def _read_times(path: Path) -> tuple[Sequence[str], dict[str, list[Row]]]:
    """The columns and the rows of each scene, as they are: somebody may have corrected them."""
    rows: dict[str, list[Row]] = {}
    if not path.exists():
        return COLUMNS, rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or COLUMNS
            if not set(COLUMNS) <= set(columns):
                raise FileError(path, f"lacks one of the columns {', '.join(COLUMNS)}; restore it, or remove it")
            for row in reader:
                rows.setdefault(row["path"], []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(path, f"cannot be read ({error}); restore it, or remove it to make the scenes again") from None
    return columns, rows


def _write_times(path: Path, columns: Sequence[str], rows: dict[str, list[Row]]) -> None:
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for name in sorted(rows):
            writer.writerows(rows[name])


class _Written(NamedTuple):
    path: str
    segments: list[tuple[float, float, int]]
    used: tuple[int, ...]
    left_out: tuple[int, ...]


_process: list[tuple[Composer, Path]] = []  # what a process composes with


def _start(composer: Composer, folder: Path) -> None:
    _process[:] = [(composer, folder)]


def _write_scenes(numbers: Sequence[int]) -> list[_Written]:
    composer, folder = _process[0]
    written = []
    for number in numbers:
        scene = composer(number)
        segments = [(start, end, int(label)) for start, end, label in scene.segments.tolist()]
        if segments:
            with replacing(folder / _name(number)) as new:
                new.write_bytes(flac(scene.waveform, composer.rate))
        written.append(_Written(_name(number), segments, scene.used, scene.left_out))
    return written
