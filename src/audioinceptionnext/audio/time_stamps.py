"""What the time stamps of a sound track say: when it starts, and what is missing between two frames."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import av

from audioinceptionnext.audio.headers import stated_duration

GAP_S = 0.1  # smaller gaps are ignored, since time stamps are rounded and clocks drift
DAMAGED_GAP_S = 0.005  # the same after a damaged packet, which certainly leaves a gap
UNSTATED_S = 3600.0  # how much silence time stamps may add in all in a file that does not state its length
STATED_S = 12 * 3600.0  # the same where it does: a damaged time stamp may have decided what is stated
_LATE_S = 0.02  # a sound track that starts later than this gets silence in front
# Formats of nothing but packets: their times are counted, so that damaged packets take no time.
BARE = ("aac", "mp3", "ac3", "eac3", "amr", "dts", "truehd", "mlp")
# Formats whose time stamps count from the beginning of the recording. In others, such as MPEG-TS, they start anywhere.
_FROM_ZERO = ("mov", "matroska", "flv", "asf", "nut")
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not a video with a clock of its own


def _is_cover(video: Any) -> bool:
    return bool(int(getattr(video, "disposition", 0)) & _ATTACHED_PICTURE)


class Start(NamedTuple):
    """When a sound track starts.

    Attributes:
        lead: seconds of silence before the sound.
        origin: the time stamp of sample 0, in seconds.
        note: a line that says what is unusual about it; None if nothing is.
        late: seconds by which the sound starts later than FFmpeg says.
    """

    lead: float
    origin: float
    note: str | None = None
    late: float = 0.0


def start_of(container: Any, stream: Any, first: float | None = None) -> Start:
    """When a sound track starts.

    In a player, time 0 of a video is its first picture, so a sound track that starts later keeps its delay, and so does
    one that starts later than another one. Otherwise, time 0 is where the file's time stamps begin to count, or the
    first sample where they start anywhere.

    Args:
        container, stream: PyAV's.
        first: the time stamp of the first frame, in seconds. FFmpeg looks only at a file's first seconds, and gives a
            wrong start to a sound track that has no packet there. None where it is not known yet.
    """
    name = container.format.name
    begin = None if container.start_time is None else container.start_time / av.time_base
    if stream.start_time is not None:
        header = float(stream.start_time * stream.time_base)
    else:
        header = 0.0 if name.startswith(_FROM_ZERO) else begin or first or 0.0
    late = 0.0 if first is None or name.startswith(BARE) or first - header <= GAP_S else first - header
    starts = header + late
    videos = [video for video in container.streams.video if not _is_cover(video)]
    longest = UNSTATED_S
    if videos and begin is not None:
        zero = begin
        longest = stated_duration(container, stream) or longest  # browsers' recordings and pipes state no length
    elif name.startswith(_FROM_ZERO):
        zero = 0.0
    elif len(container.streams.audio) > 1 and begin is not None:
        zero = begin
    else:  # what is late then follows sound that could not be decoded
        zero = header
    lead = starts - zero
    note = None
    if lead > longest:
        note = f"the time stamps start at {lead:.1f} s; times count from the first sound instead"
        known = start_of(container, stream) if late else Start(0.0, starts)
        return known._replace(note=note, late=late)
    if name == "ogg" and not videos and zero > GAP_S:  # a part of a stream
        note = f"the time stamps start at {zero:.1f} s; times count from the first sound instead"
    elif lead > GAP_S and not videos:
        note = f"the sound starts at {lead:.1f} s, after silence"
    return Start(lead, zero, note, late) if lead >= _LATE_S else Start(0.0, starts, note, late)


class Clock:
    """Follows the time stamps of a sound track's frames, and finds what is missing between them.

    By the time stamps, what follows a gap stays at its time. One damaged time stamp must not make hours of silence, so
    there are limits, and what exceeds them is ignored.

    Args:
        stream: PyAV's.
        end: later time stamps are not believed, in seconds.
        left: how many seconds of gaps are believed in all.
        longest: how many are believed at once.
        drifts: whether small differences add up, as in a stream that runs for days, and are no gap.

    Attributes:
        missing: seconds of gaps that no damaged packet explains.
        unbelieved: seconds of the largest gap that was not believed.
    """

    def __init__(
        self,
        stream: Any,
        *,
        end: float = math.inf,
        left: float = UNSTATED_S,
        longest: float = math.inf,
        drifts: bool = False,
    ) -> None:
        self._tick = float(stream.time_base)
        self._end, self._left, self._longest, self._drifts = end, left, longest, drifts
        self._at: float | None = None  # where the next frame should begin
        self.missing = self.unbelieved = 0.0

    def gap_before(self, frame: Any, damaged: bool, lost: float = 0.0) -> float:
        """The seconds that are missing before the next frame; 0 if none are.

        Args:
            damaged: whether a damaged packet came before it.
            lost: seconds that damaged packets took up and that its time stamp does not count.
        """
        gap = 0.0
        if frame.pts is not None:
            time = frame.pts * self._tick + lost
            found = 0.0 if self._at is None else time - self._at
            if found > (DAMAGED_GAP_S if damaged else GAP_S):
                if time < self._end and found <= min(self._left, self._longest):
                    gap = found
                    self._left -= gap
                    self.missing += 0.0 if damaged else gap
                    self._at = time
                else:
                    self.unbelieved = max(self.unbelieved, found)
            if self._at is None or self._drifts:
                self._at = time
        if self._at is not None:
            self._at += frame.samples / max(1, frame.sample_rate)
        return gap

    def ignored(self) -> str | None:
        """A line about the largest gap that was not believed; None if there was none."""
        if self.unbelieved <= GAP_S:
            return None
        return f"the time stamps jump by {self.unbelieved:.1f} s, which was ignored: later times may be early"
