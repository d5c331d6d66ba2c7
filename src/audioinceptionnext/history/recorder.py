"""The observer that stores what is recognised live: a row for each segment, and its sound as a clip."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, Full, Queue
from threading import Lock, Thread

import numpy as np

from audioinceptionnext.errors import AinextError, ParameterError, counted, unexpected
from audioinceptionnext.history.clip_file import ClipFormat, encode_clip, new_name, tags_of
from audioinceptionnext.history.clips import ClipFolder
from audioinceptionnext.history.database import History
from audioinceptionnext.history.sound import SoundBuffer
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.types import Segment

MARGIN_S, LONGEST_S = 1.0, 60.0  # of a clip
_WAITING_ROWS = 100_000  # at most, while the history cannot be written
_RETRY_S = 30.0  # after which a history that could not be written is tried again
_WAITING_CLIPS = 16  # at most; of a minute each, they take 46 MB at 24 kHz
_FULL_S = 2.0  # how long recognition may wait for a place among them
_CLOSE_S = 10.0  # how long the last clips may take
_LOOK_S = 60.0  # from one look for clips that are too old to the next, when none is written


@dataclass(slots=True)
class _Row:
    """A segment on its way into the history. ``id`` is None until it is there."""

    source: str
    start: float
    end: float
    segment: Segment
    id: int | None = None
    clip: str | None = None
    clip_start: float | None = None


class Recorder:
    """Stores the segments of live inputs. It is an `Observer`.

    A row is in the history when `event` returns. Its clip follows when the sound after the segment is there, from a
    thread of its own, so that a slow disk does not keep recognition waiting.

    Args:
        model: the model's name.
        rate: of the sound, in Hz.
        history: takes the rows, if there is one.
        clips: takes the clips, if they are to be kept.
        lag: how many seconds after their sound segments may be announced, as `Stream.lag` has it.
        margin: seconds of sound before and after a segment that its clip has.
        longest: the length of the longest clip, in seconds. Of longer segments it has the beginning.
        form: ``flac`` or ``opus``.
        note: called with a line when rows or clips cannot be written, and when they can be again.

    Attributes:
        rows_lost, clips_lost: how many could not be written.

    Raises:
        ParameterError: the margin is negative, or the longest clip has no room for both margins.

    >>> with History("history.db") as history:
    ...     recorder = Recorder("everyday", 24_000, history, ClipFolder("clips", history))
    """

    def __init__(
        self,
        model: str,
        rate: int,
        history: History | None = None,
        clips: ClipFolder | None = None,
        *,
        lag: float = 10.0,
        margin: float = MARGIN_S,
        longest: float = LONGEST_S,
        form: ClipFormat = "flac",
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        if not 0 <= margin < longest / 2:
            raise ParameterError("margin", margin, f"give a number from 0 to less than {longest / 2:g}")
        self._model, self._rate, self._history, self._clips = model, rate, history, clips
        self._lag, self._margin, self._longest, self._form = lag + margin + 5.0, margin, longest, form
        self._note = note
        self.rows_lost = self.clips_lost = 0
        self._sounds: dict[tuple[str, datetime], SoundBuffer] = {}
        self._rows: deque[_Row] = deque()  # that could not be written yet
        self._rows_lock = Lock()
        self._retry_at: float | None = None
        self._jobs: Queue[tuple[_Row, float, np.ndarray] | None] = Queue(_WAITING_CLIPS)
        self._stalled = self._clips_fail = False
        self._writer: Thread | None = None
        if clips is not None:
            self._writer = Thread(target=self._write_clips, args=(clips,), name="clips", daemon=True)
            self._writer.start()

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        """Take sound, from which the clips are cut."""
        if self._rows:
            self._flush()  # the next segment may be hours away
        if self._clips is None:
            return
        key = source, began
        if (sound := self._sounds.get(key)) is None:
            for other in [other for other in self._sounds if other[0] == source]:  # the input began anew
                self._sounds.pop(other).flush()
            sound = self._sounds[key] = SoundBuffer(self._rate, self._lag, self._longest)
        sound.push(start, samples)

    def event(self, source: str, began: datetime, event: Event) -> None:
        """Store a segment that has ended."""
        sound = self._sounds.get((source, began))
        if event.kind == "start" and sound is not None:
            sound.begin(event.id, event.segment.start - self._margin)
        if event.kind == "end":
            zero = began.timestamp()
            segment = event.segment
            row = _Row(source, zero + segment.start, zero + segment.end, segment)
            self._add(row)
            if sound is not None:
                sound.want(
                    segment.start - self._margin,
                    segment.end + self._margin,
                    lambda start, samples: self._keep(row, zero + start, samples),
                )
        if event.kind != "start" and sound is not None:
            sound.end(event.id)

    def close(self) -> None:
        """Write what is waiting, and say what could not be written."""
        for sound in self._sounds.values():
            sound.flush()
        if self._writer is not None:
            until = time.monotonic() + _CLOSE_S
            try:
                self._jobs.put(None, timeout=_CLOSE_S)
                self._writer.join(max(0.0, until - time.monotonic()))
            except Full:
                pass
            if self._writer.is_alive():
                self.clips_lost += self._jobs.qsize()
        self._retry_at = 0.0 if self._rows else None
        self._flush()
        self.rows_lost += len(self._rows)
        if self.rows_lost:
            self._note(f"{counted(self.rows_lost, 'segment')} could not be stored in the history")
        if self.clips_lost:
            self._note(f"{counted(self.clips_lost, 'clip')} could not be kept")

    def _add(self, row: _Row) -> None:
        if self._history is None:
            return
        with self._rows_lock:
            if len(self._rows) >= _WAITING_ROWS:
                self._rows.popleft()
                self.rows_lost += 1
            self._rows.append(row)
        self._flush()

    def _flush(self) -> None:
        """Write the rows that wait: one, unless the history could not be written for a while."""
        if self._history is None or (self._retry_at is not None and time.monotonic() < self._retry_at):
            return
        with self._rows_lock:
            try:
                while self._rows:
                    row = self._rows[0]
                    row.id = self._history.add(
                        row.source, row.start, row.end, row.segment.label, row.segment.score, self._model,
                        clip=row.clip, clip_start=row.clip_start,
                    )  # fmt: skip
                    self._rows.popleft()
            except AinextError as error:
                if self._retry_at is None:
                    self._note(f"warning: {error}; listening goes on, and the rows follow when they can be written")
                self._retry_at = time.monotonic() + _RETRY_S
                return
            if self._retry_at is not None:
                self._retry_at = None
                self._note(f"{self._history.path}: can be written again, and holds what was waiting")

    def _keep(self, row: _Row, clip_start: float, samples: np.ndarray) -> None:
        """Hand a clip to the thread that writes it; or leave it out, if that is far behind."""
        try:
            self._jobs.put((row, clip_start, samples), timeout=0 if self._stalled else _FULL_S)
            self._stalled = False
        except Full:
            if not self._stalled:
                self._note("warning: clips come faster than they can be written, so some are left out")
            self._stalled = True
            self.clips_lost += 1

    def _write_clips(self, clips: ClipFolder) -> None:
        while True:
            with suppress(Exception):  # such as a history that is locked: the next time will do
                clips.keep_limits()
            try:
                job = self._jobs.get(timeout=_LOOK_S)
            except Empty:
                continue
            if job is None:
                return
            try:
                self._write_clip(clips, *job)
                if self._clips_fail:
                    self._clips_fail = False
                    self._note(f"{clips.path}: clips can be written again")
            except Exception as error:  # whatever it is, the next clip may be written
                self.clips_lost += 1
                if not self._clips_fail:
                    self._clips_fail = True
                    reason = str(error) if isinstance(error, AinextError) else unexpected(error)
                    self._note(f"warning: {reason}; listening goes on, without clips until they can be written")

    def _write_clip(self, clips: ClipFolder, row: _Row, clip_start: float, samples: np.ndarray) -> None:
        segment = row.segment
        tags = tags_of(row.source, row.start, row.end, segment.label, segment.score, self._model, clip_start)
        name = new_name(row.source, row.start, segment.label, self._form)
        clips.write(name, encode_clip(samples, self._rate, self._form, tags))
        if self._history is None:
            return
        with self._rows_lock:
            row.clip, row.clip_start = name, clip_start
            id = row.id
        if id is not None and not self._history.set_clip(id, name, clip_start):
            clips.delete([name])  # somebody has deleted the segment meanwhile
