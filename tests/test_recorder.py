"""Kept clips: their sound, their tags, their limits, and how rows and files agree."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.history import clip_file, clips
from audioinceptionnext.history.clips import ClipFolder
from audioinceptionnext.history.database import History
from audioinceptionnext.history.recorder import Recorder
from audioinceptionnext.history.sound import SoundBuffer
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.types import Segment

RATE = 8000
BEGAN = datetime(2026, 11, 29, 8, tzinfo=UTC)
ZERO = BEGAN.timestamp()


def sound(seconds: float) -> np.ndarray:
    """Noise, so that every place is another one."""
    return np.random.default_rng(7).uniform(-0.9, 0.9, round(seconds * RATE)).astype(np.float32)


def feed(recorder: Recorder, waveform: np.ndarray, start: float = 0.0, name: str = "kitchen") -> None:
    for first in range(0, len(waveform), 2000):
        recorder.samples(name, BEGAN, start + first / RATE, waveform[first : first + 2000])


def happen(recorder: Recorder, id: int, start: float, end: float, label: str = "Speech") -> None:
    segment = Segment(start, end, label, 0.9)
    recorder.event("kitchen", BEGAN, Event("start", id, segment))
    recorder.event("kitchen", BEGAN, Event("end", id, segment))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


@pytest.mark.parametrize(("form", "suffix"), [("flac", "flac"), ("opus", "ogg")])
def test_a_clip_has_the_sound_of_its_segment_with_a_margin(
    history: History, tmp_path: Path, form: str, suffix: str
) -> None:
    clips = ClipFolder(tmp_path / "clips", history)
    recorder = Recorder("everyday", RATE, history, clips, margin=0.5, form=form)  # type: ignore[arg-type]
    waveform = sound(20)
    feed(recorder, waveform[: 12 * RATE])
    happen(recorder, 1, 0.2, 1.0)  # nothing is known from before the beginning
    happen(recorder, 2, 10.0, 11.8, 'Knock / "knock"')  # whose margin is still to come
    assert history.number() == 2  # the rows are there at once
    feed(recorder, waveform[12 * RATE :], 12.0)
    recorder.close()
    first, second = history.events()
    assert (first.clip_start, second.clip_start) == (ZERO, ZERO + 9.5)
    assert (first.start, first.end, second.model) == (ZERO + 0.2, ZERO + 1.0, "everyday")
    for row, start, end in ((first, 0.0, 1.5), (second, 9.5, 12.3)):
        assert row.clip is not None
        found = decode.read(tmp_path / "clips" / row.clip, RATE)
        expected = waveform[round(start * RATE) : round(end * RATE)]
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() < 1e-3 or (form == "opus" and np.corrcoef(found, expected)[0, 1] > 0.8)
        with av.open(str(tmp_path / "clips" / row.clip)) as file:
            tags = file.metadata | file.streams.audio[0].metadata
            assert file.format.name == suffix
        assert tags["title"] == f"{row.label} (kitchen)" and tags["LABEL"] == row.label and tags["MODEL"] == "everyday"
        assert datetime.fromisoformat(tags["date"]).timestamp() == row.start
    assert second.clip is not None and "_kitchen_Knock-knock_" in second.clip
    assert {path.name for path in (tmp_path / "clips").iterdir()} == history.clips()


def test_long_segments_keep_their_beginning_and_little_memory(history: History, tmp_path: Path) -> None:
    recorder = Recorder("everyday", RATE, history, ClipFolder(tmp_path / "clips", history), lag=2, longest=10)
    waveform = sound(60)
    feed(recorder, waveform[: 5 * RATE])
    recorder.event("kitchen", BEGAN, Event("start", 1, Segment(4.0, 5.0, "Music", 0.9)))
    recorder.event("kitchen", BEGAN, Event("start", 2, Segment(4.5, 5.0, "Speech", 0.9)))
    feed(recorder, waveform[5 * RATE :], 5.0)
    (buffer,) = recorder._sounds.values()
    assert buffer.seconds < 30
    recorder.event("kitchen", BEGAN, Event("withdraw", 2, Segment(4.5, 5.0, "Speech", 0.9)))
    recorder.event("kitchen", BEGAN, Event("end", 1, Segment(3.5, 59.0, "Music", 0.9)))
    feed(recorder, sound(5), 60.0)
    assert buffer.seconds < 12
    recorder.close()
    (row,) = history.events()
    assert row.clip is not None
    found = decode.read(tmp_path / "clips" / row.clip, RATE)
    np.testing.assert_allclose(found, waveform[round(2.5 * RATE) : round(12.5 * RATE)], atol=1e-3)


def test_where_the_sound_breaks_off_clips_end() -> None:
    buffer, given = SoundBuffer(RATE, 5, 60), []
    buffer.push(0.0, sound(3))
    buffer.want(1.0, 4.0, lambda start, samples: given.append((start, len(samples) / RATE)))
    buffer.want(8.0, 9.0, lambda start, samples: given.append((start, len(samples) / RATE)))  # which never comes
    assert not given
    buffer.push(3600.0, sound(1))
    buffer.want(3599.0, 3600.5, lambda start, samples: given.append((start, len(samples) / RATE)))
    assert given == [(1.0, 2.0), (3600.0, 0.5)]


def test_the_oldest_clips_are_deleted_and_rows_stay(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    clips = ClipFolder(folder, history, max_mb=0.05, max_days=2)
    mine = folder / "2026-11-29 my own notes.flac"
    mine.write_bytes(bytes(100_000))
    names = []
    for day in range(4):
        name = f"2026-11-0{day + 1}T08-00-00.000+0000_door_Knock_000{day}.flac"
        history.add("door", ZERO + day, ZERO + day + 1, "Knock", 0.9, "everyday", clip=name, clip_start=ZERO)
        clips.write(name, bytes(20_000))
        names.append(name)
    fourth = datetime(2026, 11, 4, 8, tzinfo=UTC).timestamp()
    assert clips.keep_limits(now=fourth) == 2 and history.clips() == set(names[2:])
    clips._aged = -float("inf")
    assert clips.keep_limits(now=fourth + 86_400.5 * 1.5) == 1 and history.clips() == {names[3]}
    assert {path.name for path in folder.iterdir()} == {names[3], mine.name} and history.number() == 4
    for limit in ({"max_mb": 0.0}, {"max_days": -1.0}):
        with pytest.raises(ParameterError, match="give a number above 0"):
            ClipFolder(folder, history, **limit)
    with pytest.raises(FileError, match="is a file"):
        ClipFolder(mine)


def test_many_clips_make_none_slow(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ClipFolder(tmp_path / "clips", history, max_mb=0.01)
    for number in range(100):
        folder.write(f"2026-11-01T08-00-00.{number:03}+0000_door_Knock_0000.flac", bytes(100))
    read: list[str] = []
    monkeypatch.setattr(clips, "read_name", lambda name: read.append(name) or clip_file.read_name(name))
    assert folder.keep_limits() == 0 and not read
    folder.write("2026-11-02T08-00-00.000+0000_door_Knock_0000.flac", bytes(100))
    assert folder.keep_limits() == 1
    folder._look()
    assert len(read) <= 2  # of the new clip and of the deleted one


def test_what_a_killed_process_left_is_mended(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    recorder = Recorder("everyday", RATE, history, ClipFolder(folder, history))
    feed(recorder, sound(5))
    happen(recorder, 1, 1.0, 2.0)
    recorder.close()
    (row,) = history.events()
    assert row.clip is not None
    history.clear_clips([row.clip])  # as if the process had been killed right after the file had got its name
    old, new, other = (folder / name for name in (f"_{row.clip[:20]}-{'a' * 12}.flac.part", "b", "_other.part"))
    new = folder / f"_{row.clip[:20]}-{'b' * 12}.flac.part"
    for path in (old, new, other):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    nobodys = folder / "2026-11-01T08-00-00.000+0000_door_Knock_0001.flac"
    nobodys.write_bytes(b"of another history")
    ClipFolder(folder, history)
    assert history.events() == [row]
    assert {path.name for path in folder.iterdir()} == {row.clip, new.name, other.name, nobodys.name}


def test_a_segment_that_is_deleted_early_keeps_no_sound(history: History, tmp_path: Path) -> None:
    recorder = Recorder("everyday", RATE, history, ClipFolder(tmp_path / "clips", history))
    feed(recorder, sound(5))
    happen(recorder, 1, 3.5, 4.5)  # its margin is still to come
    history.delete([1])
    feed(recorder, sound(5), 5.0)
    recorder.close()
    assert list((tmp_path / "clips").iterdir()) == []


def test_a_folder_that_vanishes_is_said_once_and_rows_stay(history: History, tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "clips"
    recorder = Recorder("everyday", RATE, history, ClipFolder(folder, history), note=lines.append)

    def until(condition: object) -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
            time.sleep(0.01)

    feed(recorder, sound(9))
    folder.rmdir()
    happen(recorder, 1, 1.0, 2.0)
    happen(recorder, 2, 2.0, 3.0)
    until(lambda: recorder.clips_lost == 2)
    folder.mkdir()
    happen(recorder, 3, 3.0, 4.0)
    until(lambda: len(lines) == 2)
    recorder.close()
    assert [row.clip is not None for row in history.events()] == [False, False, True]
    assert (
        "clips: the folder" in lines[0].replace("cannot be written", "clips") and "goes on, without clips" in lines[0]
    )
    assert lines[1].endswith("clips can be written again") and lines[2] == "2 clips could not be kept"


def test_a_clip_that_cannot_be_encoded_is_said_and_the_next_one_is_kept(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        monkeypatch.undo()
        raise ValueError("no such codec")

    monkeypatch.setattr("audioinceptionnext.history.recorder.encode_clip", fail)
    lines: list[str] = []
    recorder = Recorder("everyday", RATE, history, ClipFolder(tmp_path / "clips", history), note=lines.append)
    feed(recorder, sound(9))
    happen(recorder, 1, 1.0, 2.0)
    happen(recorder, 2, 2.0, 3.0)
    recorder.close()
    assert [row.clip is not None for row in history.events()] == [False, True] and recorder.clips_lost == 1
    assert "ValueError: no such codec" in lines[0] and lines[1].endswith("clips can be written again")


def test_a_slow_disk_delays_nothing_and_what_is_left_out_is_counted(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audioinceptionnext.history.recorder._WAITING_CLIPS", 2)
    monkeypatch.setattr("audioinceptionnext.history.recorder._FULL_S", 0.01)
    free = threading.Event()

    class Slow(ClipFolder):
        def write(self, name: str, content: bytes) -> None:
            assert free.wait(60)
            super().write(name, content)

    lines: list[str] = []
    recorder = Recorder("everyday", RATE, history, Slow(tmp_path / "clips", history), note=lines.append)
    feed(recorder, sound(5))
    for id in range(1, 11):
        happen(recorder, id, 1.0, 2.0)
    assert history.number() == 10 and 7 <= recorder.clips_lost <= 8  # one may be under way, and two wait
    free.set()
    recorder.close()
    kept = 10 - recorder.clips_lost
    assert sum(row.clip is not None for row in history.events()) == kept == len(list((tmp_path / "clips").iterdir()))
    assert len(lines) == 2 and "some are left out" in lines[0]
    assert lines[1] == f"{recorder.clips_lost} clips could not be kept"


def test_rows_wait_for_a_history_that_cannot_be_written(
    history: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("audioinceptionnext.history.recorder._RETRY_S", 0.0)
    lines: list[str] = []
    recorder = Recorder("everyday", RATE, history, ClipFolder(tmp_path / "clips", history), note=lines.append)
    feed(recorder, sound(9))
    history._database.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(history.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for id in (1, 2):
        happen(recorder, id, id, id + 1.0)
    assert history.number() == 0 and len(lines) == 1 and "locked" in lines[0] and "goes on" in lines[0]
    other.execute("ROLLBACK")
    feed(recorder, sound(1), 9.0)
    assert history.number() == 2  # no segment has to come for that
    happen(recorder, 3, 3, 4)
    assert history.number() == 3 and lines[1].endswith("holds what was waiting")
    recorder.close()
    assert all(row.clip for row in history.events()) and recorder.rows_lost == 0 and len(lines) == 2
