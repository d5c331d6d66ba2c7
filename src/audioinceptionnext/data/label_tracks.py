"""A folder of recordings with a label track beside each: Audacity's labels, a table of Raven or a document of ELAN.

``dinner.wav`` goes with ``dinner.txt``, ``dinner.selections.txt`` or ``dinner.eaf``, as `ainext predict` and
`ainext batch` name them, or with ``dinner.wav.txt`` and so on. A track counts for all of its recording: where it has no
segment, there is no sound of any class. So an empty track is worth having.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from audioinceptionnext.audio.discover import MissingPath, find_media, walk
from audioinceptionnext.data.clip import NONE_OF_THEM, Clip, Dataset
from audioinceptionnext.data.table import SPLITS, composed, sorted_labels
from audioinceptionnext.data.track_formats import SUFFIXES, Track, read_track
from audioinceptionnext.errors import FileError, ParameterError, printable
from audioinceptionnext.results.provenance import holds_labels

_Tracks = dict[tuple[str, ...], list[Path]]  # by the names of the folders and the track's own without its suffix


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read the label tracks of all recordings below a folder. Labels are sorted by name.

    The data set is multi-label, since sounds overlap. Each segment is a clip; segments with the same times are one. A
    recording whose track is empty is a clip without a label. The source of a clip is its recording. If the folder
    consists of subfolders named train, validation (or val) and test, these are splits.

    Args:
        root: the folder of the label tracks.
        audio: the folder of the recordings, if they are not in the same one. A track is then at the same place below
            ``root`` as its recording below ``audio``.

    Raises:
        ParameterError: ``audio`` is no folder.
        FileError: there are no recordings, or none of them has a usable track with a label.
    """
    folder = root if audio is None else audio
    if not folder.is_dir():
        raise ParameterError("audio", audio, "give the folder of the recordings")
    found = find_media([folder])
    problems = [f"{printable(item.path)}: {item.reason}" for item in found if isinstance(item, MissingPath)]
    recordings = [path for path in found if isinstance(path, Path)]
    if not recordings:
        raise FileError(folder, "no audio or video files in this folder; give a folder of recordings with label tracks")
    inside = {path: path.relative_to(folder) for path in recordings}
    splits = {path: SPLITS.get(name.parts[0].lower()) if len(name.parts) > 1 else None for path, name in inside.items()}
    of_split = splits if None not in splits.values() else dict.fromkeys(recordings)
    tracks, read = _tracks_below(root, {key for name in inside.values() for key in _keys(name)}), dict[Path, Track]()
    keys = {path: next((key for key in _keys(name) if key in tracks), None) for path, name in inside.items()}
    often = Counter(keys.values())
    for path, key in keys.items():
        own = [] if key is None else tracks[key]
        if what := _why_none(path, own, shared=often[key] > 1):
            problems.append(f"{printable(path)}: {what}; the recording is left out")
            continue
        try:
            track = read_track(own[0], path.name)
        except FileError as error:
            problems.append(f"{error}; the recording is left out")
            continue
        problems += [f"{printable(own[0])}: {problem}" for problem in track.problems]
        if track.segments or not track.problems:  # one whose lines are all unusable does not say that nothing sounds
            read[path] = track
    others = [path for key, paths in tracks.items() if key not in often for path in paths]
    alone = [path for path in others if path.suffix.lower() != ".txt" or _is_track(path)]
    problems += [f"{printable(path)}: no recording of this name" for path in alone]
    labels = sorted_labels({label for track in read.values() for _, _, label in track.segments})
    if not labels:
        what = "no recording here has a label track with a label"
        raise FileError(root, f"{what}, e.g. {problems[0]}" if problems else what)
    index = {label: number for number, label in enumerate(labels)}
    clips = [
        Clip(path, own[0], start, end, split=of_split[path], group=str(inside[path]), also=own[1:])
        for path, track in read.items()
        for start, end, own in _by_times(track, index)
    ]
    return Dataset("labels", tuple(labels), tuple(clips), tuple(problems), multi_label=True)


def _by_times(track: Track, index: dict[str, int]) -> Iterator[tuple[float, float | None, tuple[int, ...]]]:
    """Start, end and labels of each clip of a recording; of an empty track, one of the whole recording."""
    labels: defaultdict[tuple[float, float], set[int]] = defaultdict(set)
    for start, end, label in track.segments:
        labels[start, end].add(index[label])
    for (start, end), own in sorted(labels.items()):
        yield start, end, tuple(sorted(own))
    if not labels:
        yield 0.0, None, (NONE_OF_THEM,)


def _why_none(recording: Path, tracks: list[Path], shared: bool) -> str | None:
    """Why a recording has not one track of its own; None if it has. ``shared`` says that another has these too."""
    if not tracks:
        return "no label track beside it"
    listed = ", ".join(printable(one.name) for one in tracks)
    if len(tracks) > 1:
        return f"several label tracks, {listed}; keep one"
    if shared:
        name = printable(f"{recording.name}.txt")
        return f"{listed} may be another recording's; name it after one of them, such as {name}"
    return None


def _tracks_below(root: Path, wanted: set[tuple[str, ...]]) -> _Tracks:
    """All label tracks, by names that are among the ``wanted`` ones where there is a choice."""
    tracks: _Tracks = defaultdict(list)
    for parent, names in walk(root):
        for name in sorted(names):
            if suffix := next((one for one in SUFFIXES if name.lower().endswith(one)), None):
                key = _key((parent / name[: -len(suffix)]).relative_to(root))
                if suffix == SUFFIXES[0] and key not in wanted:  # Raven itself: dinner.Table.1.selections.txt
                    key = (*key[:-1], key[-1].rpartition(".Table.")[0] or key[-1])
                tracks[key].append(parent / name)
    return dict(tracks)


def _keys(recording: Path) -> list[tuple[str, ...]]:
    """How the track of a recording may be called: after its whole name, or after the name without its suffix."""
    return [_key(recording), _key(recording.with_suffix(""))]


def _key(path: Path) -> tuple[str, ...]:
    return tuple(composed(part) for part in path.parts)


def _is_track(path: Path) -> bool:
    """Whether a text file that belongs to no recording is a label track, and no note."""
    try:
        return path.name.lower().endswith(SUFFIXES[0]) or holds_labels(path)
    except OSError:
        return False
