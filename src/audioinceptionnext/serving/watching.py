"""What watches the live streams of clients: the history with its clips, and rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from audioinceptionnext.alerts import Alerts, load_rules
from audioinceptionnext.errors import printable
from audioinceptionnext.history.clips import ClipFolder
from audioinceptionnext.history.database import History
from audioinceptionnext.history.recorder import Recorder
from audioinceptionnext.inference.events import Observer, Observers
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.settings import Settings

DEFAULT_NAME, MAX_NAME = "microphone", 100  # of a stream
log = logging.getLogger("audioinceptionnext.serving")


class Watch:
    """What watches one stream. Its methods write to disk, so that they belong in a thread.

    Args:
        name: of the stream, which no other one has at this time.
        observers: that take its sound and its events.
        on_close: called at the end.
    """

    def __init__(self, name: str, observers: Sequence[Observer], on_close: Callable[[], None]) -> None:
        self.name, self._observers, self._on_close = name, Observers(observers), on_close
        self._began: datetime | None = None
        self._samples = 0

    def take(self, stream: Stream, rate: int) -> None:
        """Pass on what the stream took at last, and the events that it has made known.

        Args:
            rate: of the model, in Hz.
        """
        sound = stream.sound
        if self._began is None:
            self._began = datetime.now().astimezone() - timedelta(seconds=len(sound) / rate)
        if len(sound):
            self._observers.samples(self.name, self._began, self._samples / rate, sound)
            self._samples += len(sound)
        for event in stream.events:
            self._observers.event(self.name, self._began, event)
        if going_on := stream.going_on():
            self._observers.going_on(self.name, self._began, going_on)

    def close(self) -> None:
        """Write what is still under way, within a few seconds."""
        self._on_close()


class Watching:
    """What a server watches streams with.

    Args:
        history: takes their segments, if there is one.
        clips: takes the sound of these segments, if it is kept.
        rules: takes all events, if there are rules.
    """

    def __init__(self, history: History | None, clips: ClipFolder | None, rules: Observer | None = None) -> None:
        self.history, self.clips, self.rules = history, clips, rules
        self._names: set[str] = set()
        self._lock = Lock()

    @classmethod
    def of(cls, settings: Settings, models: ModelPool) -> Watching:
        """What a server with these settings watches streams with. Its warnings go to the log.

        Raises:
            FileError, ParameterError, MissingDependencyError: as `History`, `ClipFolder`, `load_rules` and `Alerts` do.
        """
        rules = None if settings.rules is None else load_rules(settings.rules, models.label_set())
        history = None if settings.history is None else History(settings.history)
        clips = None
        if settings.keep is not None:
            clips = ClipFolder(settings.keep, history, settings.keep_max_mb, settings.keep_max_days)
        return cls(history, clips, None if rules is None else Alerts(rules, warn=log.warning))

    def open(self, name: str, recogniser: Recogniser, lag: float) -> Watch | None:
        """What watches a new stream; None if nothing does.

        Args:
            name: what its client calls it. A second stream of this name is called "microphone 2", and so on.
            recogniser: of the stream.
            lag: as `Stream` has it.
        """
        if self.history is None and self.rules is None:
            return None
        name = self._take_name(printable(" ".join(name.split()))[:MAX_NAME] or DEFAULT_NAME)
        observers: list[Observer] = []
        recorder = None
        if self.history is not None:
            recorder = Recorder(
                recogniser.name, recogniser.sample_rate, self.history, self.clips, lag=lag, note=log.warning
            )
            observers.append(recorder)
        if self.rules is not None:
            observers.append(self.rules)

        def close() -> None:
            if recorder is not None:
                recorder.close()
            with self._lock:
                self._names.discard(name)

        return Watch(name, observers, close)

    def close(self) -> None:
        """Finish, after the last stream."""
        if self.rules is not None:
            self.rules.close()
        if self.history is not None:
            self.history.close()

    def _take_name(self, name: str) -> str:
        with self._lock:
            number, free = 1, name
            while free in self._names:
                number += 1
                free = f"{name} {number}"
            self._names.add(free)
        return free
