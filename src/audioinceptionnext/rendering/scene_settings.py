"""What scenes are like: how long, how full and how loud they are, and in which rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import FileError, ParameterError, suggest

NOISE, SILENCE = "noise", "silence"
Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """How scenes are composed. Pairs are the ends of a range, from which a scene or an event takes its own, evenly.

    Attributes:
        seconds: length of a scene. In training it is that of a crop.
        events_per_minute: how many events a scene has for each of its minutes; one pair of numbers for all scenes.
        overlap: how many events may sound at once; 1 keeps them apart. Those of one label never overlap.
        event_seconds: a sound that is longer than a length from this range is cut to it, at a random place.
        gap: a longer pause, in seconds, divides a recording into several events. Two events of one label are at least
            so far apart.
        background: ``noise``, of a random colour from white to brown in each scene; ``silence``; or a folder of
            recordings, of which each scene takes a random part.
        background_db: level of the background, in dB relative to full scale (root mean square).
        snr_db: level of an event relative to that. With ``silence``, too, levels refer to ``background_db``.
        speed: slowest and fastest speed of an event; it changes pitch and tempo together.
        reverb_probability: probability that a scene is in a room.
        reverb_seconds: reverberation time of the room.
        reverb_db: power of its reverberation relative to the direct sound.

    Raises:
        ParameterError: a setting has a value that it cannot take.

    >>> SceneSettings(events_per_minute=(10, 10), overlap=1).seconds
    60.0
    """

    seconds: float = 60.0
    events_per_minute: Pair = (0.0, 20.0)
    overlap: int = 2
    event_seconds: Pair = (1.0, 5.0)
    gap: float = 0.5
    background: str = NOISE
    background_db: Pair = (-60.0, -45.0)
    snr_db: Pair = (10.0, 30.0)
    speed: Pair = (1.0, 1.0)
    reverb_probability: float = 0.3
    reverb_seconds: Pair = (0.1, 1.0)
    reverb_db: Pair = (-20.0, 0.0)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            refusal = _CHECKS[setting.name](value)
            if refusal:
                raise ParameterError(setting.name, value, refusal)

    @property
    def background_folder(self) -> Path | None:
        """The folder of recordings that is the background, if one is."""
        return None if self.background in (NOISE, SILENCE) else Path(self.background)

    def as_dict(self) -> dict[str, Any]:
        """All settings, as types that JSON and YAML have."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SceneSettings:
        """The settings that `as_dict`, a YAML file or the command line gives. One number is both ends of a pair.

        Raises:
            ParameterError: there is no such setting (the nearest one is suggested), or see `SceneSettings`.

        >>> SceneSettings.from_dict({"events_per_minute": 10}).events_per_minute
        (10.0, 10.0)
        """
        known: dict[str, Any] = {setting.name: setting.default for setting in fields(cls)}
        read: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ParameterError(
                    str(name), None, f"there is no such setting of scenes; {suggest(str(name), known)}"
                )
            kind = _read_pair if isinstance(known[name], tuple) else type(known[name])
            try:
                if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
                    raise ValueError
                read[str(name)] = kind(value)
                if kind is int and read[str(name)] != float(value):
                    raise ValueError
            except (TypeError, ValueError):
                raise ParameterError(str(name), value, f"give {_KINDS[kind]}") from None
        return cls(**read)


def load_scene_settings(path: Path | None, changes: dict[str, Any] | None = None) -> SceneSettings:
    """Read settings from a YAML file, with some of them changed.

    Args:
        path: lines of the form ``setting: value``; None takes the defaults.
        changes: count before the file.

    Raises:
        FileError: the file cannot be read, or states what is no setting.
        ParameterError: a change is none.
    """
    stated: Any = {}
    if path is not None:
        import yaml

        try:
            stated = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise FileError(path, f"cannot be read: {error.strerror or error}; check the name") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise FileError(path, f"not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(stated, dict):
            raise FileError(path, "settings of scenes are lines of the form `setting: value`")
        try:
            SceneSettings.from_dict(stated)
        except ParameterError as error:
            raise FileError(path, str(error)) from None
    return SceneSettings.from_dict(stated | (changes or {}))


def _read_pair(value: Any) -> Pair:
    if isinstance(value, str):
        value = value.split(",")
    ends = [float(end) for end in (value if isinstance(value, list | tuple) else [value, value])]
    low, high = ends  # a ValueError if there are not two
    return low, high


_KINDS: dict[Any, str] = {
    _read_pair: "a number, or two such as [5, 20]",
    float: "a number",
    int: "a whole number",
    str: f"{NOISE}, {SILENCE} or a folder",
}


def _between(low: float, high: float) -> Callable[[float], str]:
    return lambda value: "" if low <= value <= high else f"give a number from {low:g} to {high:g}"


def _rising(low: float, high: float) -> Callable[[Pair], str]:
    return lambda pair: (
        "" if low <= pair[0] <= pair[1] <= high else f"give the lowest and the highest, from {low:g} to {high:g}"
    )


def _is_background(value: str) -> str:
    there = value in (NOISE, SILENCE) or Path(value).is_dir()
    return "" if there else f"no such folder; check the name, or give {NOISE} or {SILENCE}"


_CHECKS: dict[str, Callable[[Any], str]] = {
    "seconds": _between(0.5, 3600),
    "events_per_minute": _rising(0, 600),
    "overlap": _between(1, 20),
    "event_seconds": _rising(0.05, 600),
    "gap": _between(0, 60),
    "background": _is_background,
    "background_db": _rising(-100, -10),
    "snr_db": _rising(-10, 80),
    "speed": _rising(0.5, 2),
    "reverb_probability": _between(0, 1),
    "reverb_seconds": _rising(0.01, 5),
    "reverb_db": _rising(-100, 30),
}
