"""``ainext listen`` all day: several inputs, streams that break off and come back, and a process that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audioinceptionnext.audio import decode, reconnect
from audioinceptionnext.audio.capture import LiveInput, public_name
from audioinceptionnext.audio.network_stream import network_input
from audioinceptionnext.cli import live_loop
from audioinceptionnext.cli.journal import Journal
from audioinceptionnext.cli.live_inputs import read_inputs
from audioinceptionnext.cli.live_loop import LiveLoop
from audioinceptionnext.cli.live_printer import Printer
from audioinceptionnext.errors import MediaError
from audioinceptionnext.history.database import History
from audioinceptionnext.inference.events import Event
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from tests.audio_files import encode, write_wav
from tests.browser import SCENE
from tests.command import ainext, refused
from tests.live_server import LiveServer, RtspServer

ROOT = Path(__file__).parents[1]
MODEL = ("--model", "kitchen20-small", "--threads", 1)
RATE = 24_000


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """Half a minute with four segments."""
    return decode.read(SCENE, RATE)


@pytest.fixture(scope="module")
def ogg(scene: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same as a file that can be sent bit by bit."""
    return encode(tmp_path_factory.mktemp("live") / "scene.ogg", scene, RATE, codec="flac").read_bytes()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that break off are tried again soon."""
    monkeypatch.setattr(reconnect, "FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(reconnect, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_several_inputs_at_once_are_told_apart(scene: np.ndarray, tmp_path: Path) -> None:
    one, two = write_wav(tmp_path / "one.wav", scene[: 8 * RATE], RATE), tmp_path / "two.wav"
    write_wav(two, scene[10 * RATE : 20 * RATE], RATE)
    log, database = tmp_path / "log.csv", tmp_path / "history.db"
    options = (*MODEL, "--json", "--steps", "--log", log, "--history", database, "--keep", tmp_path / "clips")
    found = ainext("listen", f"kitchen={one}", two, "door=nothing.wav", *options)
    assert found.code == 1
    assert "ainext: nothing.wav: no such file; check the name" in found.complaints
    assert sum("listened to" in line for line in found.complaints) == 2
    lines = lines_of(found.out)
    assert {line["source"] for line in lines} == {"kitchen", str(two)}
    ends = {(line["source"], line["label"], line["time"]) for line in lines if line["event"] == "end"}
    with History(database) as history:
        rows = history.events()
        stored = {(row.source, row.label, datetime.fromtimestamp(row.start)) for row in rows}
    assert len(ends) == len(stored) >= 2
    assert {(source, label) for source, label, _ in ends} == {(source, label) for source, label, _ in stored}
    assert {line.split(",")[0] for line in log.read_text().splitlines()[1:]} == {"kitchen", str(two)}
    assert {path.name for path in (tmp_path / "clips").iterdir()} == {row.clip for row in rows}
    alone = ainext("listen", one, *MODEL, "--json")
    assert not any("source" in line for line in lines_of(alone.out))
    text = ainext("listen", f"kitchen={one}", *MODEL)
    assert text.out.startswith("kitchen  ")


def test_wrong_inputs_and_options_are_refused(tmp_path: Path) -> None:
    assert "two inputs are called so; give each a name" in refused("listen", "a.wav", "a.wav")
    assert "INPUT a: two inputs" in refused("listen", "a=x.wav", "a=y.wav")
    assert "stdin is given twice" in refused("listen", "a=-", "b=-")
    assert "microphone is given twice" in refused("listen", "microphone", "desk=microphone")
    assert "--device" in refused("listen", "microphone:2", "--device", 1)
    write_wav(tmp_path / "a.wav", np.zeros(RATE), RATE)
    found = ainext("listen", tmp_path / "a.wav", "desk=microphone:nothing of that name", *MODEL)
    assert found.code in (1, 2) and "microphone" in found.err  # 2 where no microphone can be used at all
    assert "--keep-margin: this is only for --keep" in refused("listen", "a.wav", "--keep-margin", 2)
    call = ("listen", "a.wav", *MODEL)
    assert "--keep-margin 30.0: give a number" in refused(*call, "--keep", tmp_path, "--keep-margin", 30)
    assert "--keep-max-mb 0.0" in refused(*call, "--keep", tmp_path, "--keep-max-mb", 0)
    (tmp_path / "text").write_text("text")
    assert "not a history" in refused(*call, "--history", tmp_path / "text")
    assert "is a file; give a folder" in refused(*call, "--keep", tmp_path / "text")


def test_names_of_inputs_have_no_password_and_are_text() -> None:
    address = "rtsp://admin:p@ss@camera.local/1"
    assert public_name(address) == "rtsp://camera.local/1"
    (one,) = read_inputs([f"caf\udce9={address}"], None, False)
    assert (one.name, one.address) == ("caf?", address)


def test_a_live_stream_that_breaks_off_is_opened_again(scene: np.ndarray, ogg: bytes, soon: None) -> None:
    notes: list[str] = []
    with LiveServer(ogg, len(scene) / RATE, cut_after=2) as server:
        stream = network_input(server.url, RATE, lambda line: None, name="kitchen", note=notes.append)
        before = after = 0.0
        gone = False
        for block in stream.blocks:
            if block is None:
                gone = True
                server.stop()
                time.sleep(0.5)
                server.start()
            elif gone:
                after += len(block) / RATE
            else:
                before += len(block) / RATE
            if after > 1:
                break
        stream.close()
        assert 0.5 < before < 10 and gone
        assert len(notes) == 2 and notes[0].startswith("kitchen: ") and "trying again until it is back" in notes[0]
        assert notes[1].startswith("kitchen: is back after ")
        waiting = network_input(server.url, RATE, lambda line: None, note=notes.append, from_the_start=True)
        server.stop()
        blocks = iter(waiting.blocks)
        assert next(blocks) is None and "connection refused; " in notes[2]  # among others, it may come later
        server.start()
        assert next(block for block in blocks if block is not None and len(block)) is not None
        waiting.close()
        with pytest.raises(MediaError, match="cannot be opened"):
            server.stop()
            list(network_input(server.url, RATE, lambda line: None, note=notes.append).blocks)


def test_a_camera_that_comes_back_keeps_the_time_of_day(scene: np.ndarray, soon: None, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    database = tmp_path / "history.db"
    with RtspServer(scene, RATE, cut_after=2) as server:
        started = time.time()
        found = ainext(
            "listen", f"kitchen={server.url}", *MODEL, "--json", "--steps", "--log", log, "--history", database,
            "--threshold", 0.2, "--stop-after", 5,
        )  # fmt: skip
        ended = time.time()
    assert found.code == 0
    text = "\n".join(found.complaints)
    assert text.count("trying again") == text.count("is back after") == 1 and "without sound for 0:0" in text
    assert server.connections == 2
    with History(database) as history:
        rows = history.events()
    assert len(rows) >= 2  # what sounded when the stream broke off has ended there
    assert all(started - 5 < row.start < row.end < ended + 2 for row in rows)
    steps = [line for line in lines_of(found.out) if line["event"] == "step"]
    jumps = [later["start"] - earlier["end"] for earlier, later in pairwise(steps)]
    assert sum(jump > 0.05 for jump in jumps) == 1 and min(jumps) > -0.001


def test_a_pause_is_as_long_as_the_clock_says(scene: np.ndarray) -> None:
    resumed: list[float] = []

    def blocks() -> Iterator[np.ndarray | None]:
        yield scene[: 2 * RATE]
        yield None
        time.sleep(2)
        resumed.append(time.time())
        yield scene[: RATE // 2]
        time.sleep(1)
        yield scene[RATE // 2 : 6 * RATE]

    class Seen:
        def __init__(self) -> None:
            self.sound: list[tuple[float, float]] = []
            self.events: list[Event] = []

        def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
            self.sound.append((began.timestamp() + start, len(samples) / RATE))

        def event(self, source: str, began: datetime, event: Event) -> None:
            assert source == "door"
            self.events.append(event)

        def close(self) -> None:
            pass

    seen, recogniser = Seen(), load("kitchen20-small", threads=1)
    loop = LiveLoop(
        LiveInput("test", blocks(), waits=False),
        lambda start: Stream(recogniser, start=start),
        Printer(True, False),
        RATE,
        name="door",
        observer=seen,
    )
    assert loop.run()
    place = next(index for index, (_, seconds) in enumerate(seen.sound) if seconds == 0.5)
    at, seconds = seen.sound[place]
    assert -0.1 < at + seconds - resumed[0] < 3  # a busy computer may take the sound late
    ends = [event for event in seen.events if event.kind == "end"]
    assert len({event.id for event in ends}) == len(ends) == 2
    assert ends[0].segment.end <= 2.0 and ends[1].segment.start >= 3.4


@pytest.mark.parametrize(("waits", "jump", "expected"), [(False, 3600, 3600), (True, 3, 3), (True, 3600, 0)])
def test_times_follow_the_clock_of_the_computer(
    waits: bool, jump: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_loop, "CLOCK_EVERY_S", 0.3)
    recogniser, zero, now = load("kitchen20-small", threads=1), time.monotonic(), time.time
    later = SimpleNamespace(
        monotonic=time.monotonic, time=lambda: now() + (jump if time.monotonic() > zero + 0.7 else 0)
    )
    monkeypatch.setattr(live_loop, "time", later)
    begins: list[float] = []

    class Begins(Journal):
        def __init__(self) -> None:
            pass

        def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
            begins.append(began.timestamp())

    def blocks() -> Iterator[np.ndarray]:
        until = time.monotonic() + (10 if expected else 1.4)
        while time.monotonic() < until and (not begins or begins[-1] == begins[0]):
            time.sleep(0.05)
            yield np.zeros(RATE // 20, np.float32)

    source = LiveInput("test", blocks(), waits)
    LiveLoop(source, lambda start: Stream(recogniser, start=start), Printer(True, False), RATE, observer=Begins()).run()
    assert begins[-1] - begins[0] == pytest.approx(expected, abs=1)


def test_killed_at_any_moment_nothing_printed_is_lost() -> None:
    script = ROOT / "benchmarks" / "killed_listening.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "2", "--seed", "1"], capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2" in done.stdout
