"""The newest sound of a live input, and of the segments in it as much as a clip may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_TRIM_S = 1.0  # of new sound, after which it is looked for what can be forgotten
_EARLIER_S = 2.0  # by which a segment may begin earlier than it was announced


@dataclass(frozen=True, slots=True)
class _Wanted:
    first: int
    last: int
    give: Callable[[float, np.ndarray], None]


class SoundBuffer:
    """Keeps the newest sound of one input in 16 bits, and that of segments which have begun and not ended yet.

    Args:
        rate: of the sound, in Hz.
        lag: how many seconds after its sound a segment may be announced. So much is kept of all sound.
        longest: the length of the longest clip in seconds. No more is kept of a segment.
    """

    def __init__(self, rate: int, lag: float, longest: float) -> None:
        self._rate, self._lag, self._longest = rate, round(lag * rate), round(longest * rate)
        self._blocks: list[tuple[int, np.ndarray]] = []  # each with its first sample's number
        self._end = self._trimmed = 0
        self._open: dict[int, int] = {}  # by the number of an event: the first sample that its clip may have
        self._wanted: list[_Wanted] = []

    @property
    def seconds(self) -> float:
        """How much is held."""
        return sum(len(block) for _, block in self._blocks) / self._rate

    def push(self, start: float, samples: np.ndarray) -> None:
        """Take sound, (n,) float32 of -1…1, from second ``start`` on."""
        first = round(start * self._rate)
        if abs(first - self._end) > 1:  # it broke off, so what is wanted of the sound before ends there
            self.flush()
            self._blocks, self._end, self._trimmed = [], first, first
            self._open.clear()
        block = (np.clip(np.nan_to_num(samples), -1, 1) * 32767).round().astype(np.int16)
        self._blocks.append((self._end, block))
        self._end += len(block)
        ready = [one for one in self._wanted if one.last <= self._end]
        self._wanted = [one for one in self._wanted if one.last > self._end]
        for one in ready:
            self._give(one)
        if self._end - self._trimmed >= _TRIM_S * self._rate:
            self._trim()

    def begin(self, id: int, start: float) -> None:
        """Keep the sound of a segment that has begun at about this second."""
        self._open[id] = round((start - _EARLIER_S) * self._rate)

    def end(self, id: int) -> None:
        """A segment has ended, or is none."""
        self._open.pop(id, None)

    def want(self, start: float, end: float, give: Callable[[float, np.ndarray], None]) -> None:
        """Ask for the sound between two seconds: at once if it is there, or else when it is.

        Args:
            give: called with the second at which the sound begins and (n,) int16. What is not known, as before the
                input began, is left out.
        """
        first = max(0, round(start * self._rate))
        wanted = _Wanted(first, min(round(end * self._rate), first + self._longest), give)
        if wanted.last <= self._end:
            self._give(wanted)
        else:
            self._wanted.append(wanted)

    def flush(self) -> None:
        """Nothing follows: give what is there."""
        wanted, self._wanted = self._wanted, []
        for one in wanted:
            self._give(one)

    def _give(self, wanted: _Wanted) -> None:
        parts = [
            (start, block[max(0, wanted.first - start) : wanted.last - start])
            for start, block in self._blocks
            if start < wanted.last and start + len(block) > wanted.first
        ]
        if parts:
            wanted.give(max(wanted.first, parts[0][0]) / self._rate, np.concatenate([part for _, part in parts]))

    def _trim(self) -> None:
        self._trimmed = self._end
        margin = round(2 * _EARLIER_S * self._rate)
        spans = [(first, first + self._longest + margin) for first in self._open.values()]
        spans += [(one.first, one.last) for one in self._wanted]
        spans.append((self._end - self._lag, self._end))
        self._blocks = [
            (start, block)
            for start, block in self._blocks
            if any(first < start + len(block) and start < last for first, last in spans)
        ]
