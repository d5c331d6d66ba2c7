"""What the published networks were trained and tested with, by data set, and as a checkpoint's ``cfg`` states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from audioinceptionnext.errors import ModelError, ParameterError, suggest
from audioinceptionnext.network.labels import VERBS_AND_NOUNS

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Setting:
    """The front end, the clip and the test of a published network.

    Attributes:
        data: name of the data set, or `UNKNOWN`.
        sample_rate, window_ms, hop_ms, clip_seconds: as in `StoredModel`.
        clip_frames: frames of a clip.
        eval_clips: number of evenly spaced clips over which its test averages; None where that is not known.
        tasks: as in `StoredModel`.
    """

    data: str
    sample_rate: int = 24_000
    window_ms: float = 10
    hop_ms: float = 5
    clip_seconds: float = 2.08
    clip_frames: int = 416
    eval_clips: int | None = None
    tasks: dict[str, int] = field(default_factory=dict)

    def front_end(self) -> dict[str, Any]:
        """The settings that `StoredModel` takes."""
        return {name: getattr(self, name) for name in ("sample_rate", "window_ms", "hop_ms", "clip_seconds")}


SETTINGS = {
    one.data: one
    for one in (
        Setting("vggsound", 16_000, 20, 10, 5.119, 512, 2),
        Setting("epic-sounds", 24_000, 10, 5, 2.08, 416, 5),
        Setting("epic-kitchens", 24_000, 10, 5, 2.08, 416, 10, VERBS_AND_NOUNS),
        Setting("speechcommands", 16_000, 5, 2, 1.023, 512, 1),
        Setting("urbansound8k", 16_000, 20, 10, 4.16, 416, 2),
        Setting("nsynth", 16_000, 20, 10, 4.16, 416, 1),
    )
}
# UrbanSound8K has 10 classes. Its published configuration has 35 outputs, as many as Speech Commands has words.
CLASSES = {
    "vggsound": (309,),
    "epic-sounds": (44,),
    "epic-kitchens": (sum(VERBS_AND_NOUNS.values()),),
    "speechcommands": (35,),
    "urbansound8k": (10, 35),
    "nsynth": (11,),
}


def find_setting(classes: int, cfg: Mapping[str, Any] | None = None, data: str | None = None) -> Setting:
    """The setting that a checkpoint states, or else that of the data set with this number of classes.

    A ``cfg`` that states a front end takes the published defaults for the parts that it leaves out. Where nothing is
    known, the setting is that of EPIC-SOUNDS, without its name.

    Args:
        classes: of the network.
        cfg: the configuration in a checkpoint.
        data: name of the data set whose setting it is.

    Raises:
        ParameterError: there is no such data set, or it has another number of classes or another front end; or several
            data sets have that many classes, and neither the caller nor the file says which of them it is.
        ModelError: what the configuration states is no number.
    """
    if data is not None and data not in SETTINGS:
        raise ParameterError("data", data, f"nothing was published for it; {suggest(data, SETTINGS)}")
    if data is not None and classes not in CLASSES[data]:
        reason = (
            f"its published networks have {' or '.join(map(str, CLASSES[data]))} classes, but the file has {classes}"
        )
        raise ParameterError("data", data, reason)
    names = [data] if data is not None else [name for name, known in CLASSES.items() if classes in known]
    candidates = [SETTINGS[name] for name in names]
    audio, test = ((cfg or {}).get(key) for key in ("AUDIO_DATA", "TEST"))
    if not isinstance(audio, dict) or not audio:
        if len(candidates) > 1:
            reason = f"the file states no front end, and {classes} classes are those of {' or '.join(names)}; say which"
            raise ParameterError("data", None, reason)
        return candidates[0] if candidates else Setting(UNKNOWN)
    own = _stated(audio)
    same = [one for one in candidates if one == replace(own, data=one.data, eval_clips=one.eval_clips, tasks=one.tasks)]
    if data is not None and not same:
        raise ParameterError(
            "data", data, f"the file states another front end: {own.front_end()}, {own.clip_frames} frames"
        )
    own = same[0] if len(same) == 1 else own
    views = test.get("NUM_ENSEMBLE_VIEWS") if isinstance(test, dict) else None
    return replace(own, eval_clips=views) if isinstance(views, int) else own


def _stated(audio: Mapping[str, Any]) -> Setting:
    """The front end that the part ``AUDIO_DATA`` of a checkpoint's ``cfg`` states."""
    own = Setting(UNKNOWN)
    rate = round(_number(audio, "SAMPLING_RATE", own.sample_rate))
    window, hop = _number(audio, "WINDOW_LENGTH", own.window_ms), _number(audio, "HOP_LENGTH", own.hop_ms)
    frames = round(_number(audio, "NUM_FRAMES", own.clip_frames))
    return Setting(UNKNOWN, rate, window, hop, _number(audio, "CLIP_SECS", frames * hop / 1000), frames)


def _number(audio: Mapping[str, Any], key: str, default: float) -> float:
    value = audio.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise ModelError("cfg", f"its cfg states {key}: {value!r}, which is not a positive number")
    return value
