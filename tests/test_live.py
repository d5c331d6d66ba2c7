"""Live recognition: a stream gives the steps and segments of the whole recording, from every kind of input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audioinceptionnext as ain
from audioinceptionnext.audio import decode
from audioinceptionnext.audio.capture import Backlog, LiveInput
from audioinceptionnext.audio.network_stream import network_input
from audioinceptionnext.cli import live_loop
from audioinceptionnext.cli.live_loop import LiveLoop
from audioinceptionnext.cli.live_printer import Printer
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.steps import Mode
from audioinceptionnext.inference.stream import Step, Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.results.segmentation import Segmenter, find_segments, step_bounds
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Segment
from tests.audio_files import encode, kitchen, sine, write_wav
from tests.browser import SCENE
from tests.command import ainext, refused
from tests.containers import CONTAINERS, mux
from tests.strategies import segmentation_settings

RATE = 24_000
CLIP = 49_920  # samples
LOW = SegmentationSettings.from_threshold(0.4)  # low enough that the small model of the tests gives segments


def scene(seconds: float = 9.3) -> np.ndarray:
    """Sound, 3 s of silence, and sound."""
    waveform = kitchen(seconds)
    waveform[3 * RATE : 6 * RATE] = 0
    return waveform


def blocks_of(waveform: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
    """The waveform in blocks of random lengths, from single samples to more than a batch of clips."""
    rng = np.random.default_rng(seed)
    start = 0
    while start < len(waveform):
        size = int(rng.choice([0, 1, 240, 3840, 20_000, 130_000]))
        yield waveform[start : start + size]
        start += size


def steps_of(stream: Stream, blocks: Iterator[np.ndarray]) -> list[Step]:
    return [step for block in blocks for step in stream.push(block)] + stream.finish()


def by_start(segments: list[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda one: (one.start, one.end, one.label))


def check_same(steps: list[Step], whole: ain.Recognition) -> None:
    """The steps and segments of a stream are those of the whole recording."""
    assert len(steps) == len(whole.probabilities)
    np.testing.assert_allclose([one.probabilities for one in steps], whole.probabilities, atol=1e-5)
    bounds = step_bounds(len(steps), whole.step_seconds, whole.window_seconds, whole.duration)
    assert [one.start for one in steps] == bounds[:-1].tolist()
    assert [one.end for one in steps] == bounds[1:].tolist()
    found = by_start([segment for one in steps for segment in one.segments])
    assert [(s.start, s.end, s.label) for s in found] == [(s.start, s.end, s.label) for s in whole.segments]
    np.testing.assert_allclose([s.score for s in found], [s.score for s in whole.segments], atol=1e-5)


def assert_agree(found: list[Segment], expected: list[Segment], share: float) -> None:
    """At least this share of the time that either labels is labelled alike by both."""

    def places(segments: list[Segment]) -> set[tuple[str, int]]:
        return {(s.label, place) for s in segments for place in range(round(s.start * 50), round(s.end * 50))}

    ours, theirs = places(found), places(expected)
    assert len(ours & theirs) >= share * len(ours | theirs) and theirs


# --- The stream ---


MODES: dict[Mode, dict[str, Any]] = {
    "dense": {"lookahead": 4.16},
    "windows": {},
    "clips": {},
}  # such that a stream gives what the whole gives


def opened(files: dict[str, Path], mode: Mode) -> ain.Recogniser:
    return load(files["dense" if mode == "clips" else mode], mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step_seconds", [None, 0.32, 0.08, 4.0])
def test_a_stream_gives_what_the_whole_gives(files: dict[str, Path], mode: Mode, step_seconds: float | None) -> None:
    waveform, recogniser = scene(), opened(files, mode)
    stream = Stream(recogniser, step_seconds=step_seconds, settings=LOW, **MODES[mode])
    whole = recogniser.predict(waveform, step_seconds=step_seconds, settings=LOW)
    assert step_seconds == 4.0 or len(whole.segments) > 1
    check_same(steps_of(stream, blocks_of(waveform, seed=round(stream.step_seconds * 100))), whole)
    assert stream.seconds == pytest.approx(9.3) and stream.finish() == []
    with pytest.raises(ValueError, match="finished"):
        stream.push(waveform)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["dense", "windows"]), st.booleans())
def test_a_long_stream_in_any_portions(files: dict[str, Path], seed: int, mode: Mode, shuffled: bool) -> None:
    """With many turns, so that sound leaves the memory; a dense step has margins on both sides, as in a file."""
    rng = np.random.default_rng(seed)
    waveform = np.concatenate([kitchen(6) * rng.uniform(0.1, 1) for _ in range(3)])
    if shuffled:
        waveform = np.concatenate(rng.permutation(np.array_split(waveform[: 17 * RATE], 17)))
    recogniser = opened(files, mode)
    found = steps_of(Stream(recogniser, settings=LOW, **MODES[mode]), blocks_of(waveform, seed))
    whole = recogniser.predict(waveform, settings=LOW)
    np.testing.assert_allclose([one.probabilities for one in found], whole.probabilities, atol=2e-3)
    assert_agree([one for step in found for one in step.segments], whole.segments, 0.999)


def test_a_dense_stream_agrees_with_the_file_by_default() -> None:
    """What a clip by clip prediction does not: it labels half of the time otherwise."""
    waveform, recogniser = decode.read(SCENE, RATE), load("kitchen20-small", threads=1)
    whole = recogniser.predict(waveform).segments
    stream = Stream(recogniser)
    assert stream.delay == pytest.approx(1.2 + 3.2 + 0.4)
    live = [segment for step in steps_of(stream, blocks_of(waveform)) for segment in step.segments]
    assert_agree(live, whole, 0.85)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("samples", [1, 240, RATE, CLIP - 2, CLIP - 1, CLIP, CLIP + 1, CLIP + 3840, CLIP + 3841])
def test_a_stream_ends_as_a_recording_does(files: dict[str, Path], mode: Mode, samples: int) -> None:
    waveform, recogniser = kitchen(3)[:samples], opened(files, mode)
    check_same(
        steps_of(Stream(recogniser, settings=LOW), blocks_of(waveform)), recogniser.predict(waveform, settings=LOW)
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_step_says_what_is_open_after_it(files: dict[str, Path], mode: Mode) -> None:
    """Also if many steps come at once, as those do that wait for the end."""
    stream = Stream(opened(files, mode), settings=LOW, start=5.0)
    early = stream.push(scene())
    steps = early + stream.finish()
    segmenter = Segmenter(stream.labels, LOW, stream.step_seconds, stream.window_seconds)
    for number, step in enumerate(steps):
        if number == len(early):
            segmenter.end(len(steps) - number, stream.seconds)
        segmenter.push(step.probabilities[None])
        assert [(one.label, one.start) for one in step.open] == [
            (one.label, 5.0 + one.start) for one in segmenter.open_segments()
        ] or step is steps[-1]
    assert len(early) > 2 and any(step.open for step in early[:-1]) and not steps[-1].open
    if len(steps) - len(early) > 1:
        assert any(step.open for step in steps[len(early) : -1])


@pytest.mark.parametrize(("mode", "turn", "after"), [("clips", 1, 0), ("windows", 2, 3840), ("dense", 2, 24_000)])
def test_a_step_comes_at_the_stated_delay(files: dict[str, Path], mode: Mode, turn: int, after: int) -> None:
    lookahead = 1.0 if mode == "dense" else None
    stream, waveform = Stream(opened(files, mode), lookahead=lookahead), kitchen(5)
    needed = CLIP + after + (turn - 1) * 3840
    assert not stream.push(waveform[:needed])
    for i in range(0, 4, turn):
        start = needed + i * 3840
        steps = stream.push(waveform[start : start + 1])
        assert len(steps) == turn
        assert steps[0].end == pytest.approx(i * 0.16 + 1.12)
        assert stream.delay == pytest.approx(stream.seconds - (steps[0].end - 0.08), abs=1e-3)
        for step in steps:
            assert step.label == stream.labels[step.probabilities.argmax()]
            assert step.score == step.probabilities.max()
        assert not stream.push(waveform[start + 1 : start + turn * 3840])


def test_silence_and_nothing(files: dict[str, Path]) -> None:
    steps = steps_of(Stream(load(files["dense"])), iter([np.zeros(4 * RATE, np.float32)]))
    assert len(steps) == 13 and all(one.label is None and one.score == 0 and not one.segments for one in steps)
    assert Stream(load(files["dense"])).finish() == []


def test_streams_share_a_recogniser_and_may_start_late(files: dict[str, Path]) -> None:
    recogniser = load(files["dense"])
    sounds = [kitchen(6), kitchen(6)[::-1].copy()]
    streams = [Stream(recogniser, settings=LOW, start=start, lookahead=4.16) for start in (0.0, 100.0)]
    steps: list[list[Step]] = [[], []]
    for start in range(0, 6 * RATE, 6000):
        for stream, sound, own in zip(streams, sounds, steps, strict=True):
            own += stream.push(sound[start : start + 6000])
    check_same(steps[0] + streams[0].finish(), recogniser.predict(sounds[0], settings=LOW))
    late = steps[1] + streams[1].finish()
    whole = recogniser.predict(sounds[1], settings=LOW)
    assert late[0].start == 100 and late[-1].end == 106
    found = by_start([segment for one in late for segment in one.segments])
    assert [s.start for s in found] == pytest.approx([s.start + 100 for s in whole.segments])


def test_other_rates_channels_and_types(files: dict[str, Path], tmp_path: Path) -> None:
    stereo = np.stack([kitchen(5), -0.3 * kitchen(5)[::-1]], axis=1)
    path = write_wav(tmp_path / "stereo.wav", stereo, 44_100)
    samples = (np.clip(stereo, -1, 1) * 32767).round().astype(np.int16)
    whole = load(files["dense"]).predict(path, settings=LOW)
    for kind in (samples, samples / np.float64(32768)):
        stream = Stream(load(files["dense"]), settings=LOW, sample_rate=44_100, lookahead=4.16)
        check_same(steps_of(stream, blocks_of(kind)), whole)
    damaged = np.array([0.5, np.nan, np.inf, -np.inf, 1e9], np.float32)
    stream = Stream(load(files["dense"]))
    stream.push(damaged)
    assert np.isfinite(stream.finish()[0].probabilities).all()
    for wrong in (np.zeros((2, 2, 2)), np.zeros((5, 0)), np.zeros(5, np.uint8)):
        with pytest.raises(ParameterError, match=r"^samples: the (shape|type) is"):
            Stream(load(files["dense"])).push(wrong)
    with pytest.raises(ParameterError, match=r"^lookahead is '2': give 0 to"):
        Stream(load(files["dense"]), lookahead="2")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^step_seconds is '1': "):
        Stream(load(files["dense"]), step_seconds="1")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^sample_rate is 3: give 100 to 1536000 Hz$"):
        Stream(load(files["dense"]), sample_rate=3)
    with pytest.raises(ParameterError, match=r"^step_seconds is 0\.1: "):
        Stream(load(files["dense"]), step_seconds=0.1)
    with pytest.raises(ParameterError, match=r"^lookahead is nan: give 0 to 60 s$"):
        Stream(load(files["dense"]), lookahead=float("nan"))
    with pytest.raises(ParameterError, match=r"^lookahead is 1\.0: .*window by window"):
        Stream(load(files["windows"]), lookahead=1.0)


def test_minutes_take_the_memory_of_seconds(files: dict[str, Path]) -> None:
    stream = Stream(load(files["dense"], threads=1), step_seconds=1.92, settings=LOW)
    block = kitchen(5)
    held = count = 0
    for _ in range(48):
        count += len(stream.push(block))
        held = max(held, stream.held, *(len(kept) if kept.base is None else 10**9 for kept in stream._blocks))
    # The next step has to be certain to follow, which takes 1.92 s less one step of the file.
    assert count == (240 * RATE - CLIP - round(1.76 * RATE) - 1) // round(1.92 * RATE) + 1
    assert held < (4.16 + 1.92) * RATE + CLIP + 1.92 * RATE
    segmenter = stream._segmenter
    assert len(segmenter._sums) <= 2 and len(segmenter._open) + len(segmenter._held) <= 2 * len(stream.labels)


# --- Segmentation of a stream ---


@st.composite
def timelines(draw: st.DrawFn) -> tuple[np.ndarray, float, float, float]:
    """Probabilities (steps, classes), the seconds of a step and of a window, and a duration with that many steps."""
    steps, classes = draw(st.integers(1, 80)), draw(st.integers(1, 4))
    step_seconds, window = draw(st.sampled_from([(0.16, 2.08), (0.32, 2.08), (2.08, 2.08), (4.0, 2.08)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    walk = np.cumsum(rng.normal(size=(steps, classes)) * draw(st.sampled_from([0.3, 1.0, 4.0])), axis=0)
    powers = np.exp(walk - walk.max(axis=1, keepdims=True))
    rows = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    rows[rng.random(steps) < draw(st.sampled_from([0, 0.2]))] = 0  # digital silence
    share = draw(st.floats(0.001, 1))
    duration = window * share if steps == 1 else (steps - 2 + share) * step_seconds + window
    return rows, step_seconds, window, duration


@settings(max_examples=300, deadline=None)
@given(timelines(), segmentation_settings())
def test_segments_one_by_one_are_those_of_the_whole(
    timeline: tuple[np.ndarray, float, float, float], chosen: SegmentationSettings
) -> None:
    rows, step_seconds, window, duration = timeline
    labels = [f"class {column}" for column in range(rows.shape[1])]
    segmenter = Segmenter(labels, chosen, step_seconds, window)
    bounds = step_bounds(len(rows), step_seconds, window, duration)
    # Steps that are over before the end of the recording come one by one, and the others come with its end.
    early = sum(segmenter.bound(step + 1) <= duration for step in range(len(rows) - 1))
    found: list[Segment] = []
    for step, row in enumerate(rows[:early]):
        segmenter.ahead(rows[step : step + 7])  # which changes nothing
        known = {label: segmenter.known_until(label) for label in labels}
        new = segmenter.push(row[None])
        assert all(one.end <= bounds[step + 1] and one.start >= known[one.label] for one in new)
        found += new
        for one in segmenter.open_segments():
            assert one.end <= bounds[step + 1] and 0 < one.score <= 1
    found += segmenter.finish(rows[early:], duration)
    assert by_start(found) == find_segments(rows, step_seconds, window, duration, labels, chosen)


def test_a_segment_comes_when_nothing_can_lengthen_it() -> None:
    chosen = SegmentationSettings(smoothing=0.32, merge_gap=0.3, min_duration=0)
    segmenter = Segmenter(["hum", "other"], chosen, 0.16, 2.08)
    event = np.zeros(30, np.float32)
    event[10:15] = 0.9
    given_at = [step for step in range(30) if segmenter.push(np.array([[event[step], 0]]))]
    # After smoothing, step 15 is the first below the threshold. A run from step 16 on would be merged, and step 16 is
    # known with row 17.
    assert given_at == [17]


# --- The command ---


def parse_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def near(score: float) -> Any:
    return pytest.approx(score, abs=2e-4)


def rounded(segments: list[Segment]) -> list[dict[str, Any]]:
    return [
        {
            "start": round(s.start, 3),
            "end": round(s.end, 3),
            "label": s.label,
            "score": pytest.approx(s.score, abs=1e-4),
        }
        for s in segments
    ]


def ends(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The segments that have ended, without what only events have."""
    return [
        {name: value for name, value in one.items() if name not in ("event", "id", "time")}
        for one in found
        if one["event"] == "end"
    ]


def sort(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: (one["start"], one["end"], one["label"]))


def started(*arguments: object, **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "audioinceptionnext", "listen", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes | streams)


def test_a_file_gives_what_predict_gives(files: dict[str, Path], tmp_path: Path) -> None:
    path = encode(tmp_path / "a é.flac", scene(), RATE)
    model = ("--model", files["dense"], "--threshold", 0.4, "--lookahead", 4.16)
    whole = load(files["dense"]).predict(path, settings=LOW)
    log = tmp_path / "log.csv"
    found = ainext("listen", path, *model, "--json", "--log", log)
    assert found.code == 0 and sort(ends(parse_lines(found.out))) == rounded(whole.segments)
    assert found.complaints == [f"ainext: listened to 0:09.300 of {path}, {len(whole.segments)} segments"]
    with log.open("a") as file:
        file.write("cut off here")  # as by a killed process
    plain = ainext("listen", path, *model, "--log", log, "--stop-after", 3)
    assert plain.code == 0 and "listened to 0:03.000" in plain.err
    first = load(files["dense"]).predict(scene()[: 3 * RATE], settings=LOW)
    assert len(plain.out.splitlines()) == len(first.segments) > 0
    assert len({len(line) for line in plain.out.splitlines()}) == 1  # columns align
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["source", "began", "start", "end", "label", "score"]
    assert len(rows) == 1 + len(whole.segments) + 1 + len(first.segments)
    assert rows[1 + len(whole.segments)] == ["cut off here"] and {len(row) for row in rows} == {6, 1}


@pytest.mark.parametrize(("encoding", "rate", "channels"), [("s16le", 48_000, 2), ("f32le", RATE, 1)])
def test_raw_samples_through_a_pipe(
    files: dict[str, Path], tmp_path: Path, encoding: str, rate: int, channels: int
) -> None:
    waveform = np.repeat(scene()[:, None], channels, axis=1)
    samples = (np.clip(waveform, -1, 1) * 32767).round().astype("<i2")
    path = write_wav(tmp_path / "same.wav", waveform, rate)
    raw = samples if encoding == "s16le" else (samples / np.float32(32768)).astype("<f4")
    if encoding == "f32le":
        raw[0] = np.inf
    own = ("--encoding", encoding, "--sample-rate", rate, "--channels", channels)
    process = started(
        "-", "--json", "--steps", "--model", files["dense"], "--threshold", 0.4, "--lookahead", 4.16, *own
    )
    out, err = process.communicate(raw.tobytes() + b"\0", timeout=300)
    assert process.returncode == 0, err
    whole = load(files["dense"]).predict(path, settings=LOW)
    found = parse_lines(out.decode())
    assert sort(ends(found)) == rounded(whole.segments)
    steps = [one for one in found if one["event"] == "step"]
    best = [whole.labels[row.argmax()] if row.any() else None for row in whole.probabilities]
    assert [one["label"] for one in steps] == best
    *warnings, summary = err.splitlines()
    assert b"of stdin" in summary and len(warnings) == (encoding == "f32le")
    assert all(line.startswith(b"ainext: warning: stdin: NaN, infinities") for line in warnings)


@pytest.mark.skipif(os.name == "nt", reason="signals of a Unix system")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_what_is_open(files: dict[str, Path], number: int) -> None:
    process = started("-", "--json", "--steps", "--model", files["dense"], "--threshold", 0.05, "--sample-rate", RATE)
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write((kitchen(7) * 32767).astype("<i2").tobytes())
    process.stdin.flush()  # and it stays open
    seen = [process.stdout.readline() for _ in range(5)]
    process.send_signal(number)
    found = parse_lines(b"".join([*seen, *process.stdout]).decode())
    assert process.wait(60) == 0
    segments = ends(found)
    assert segments and max(one["end"] for one in segments) == max(one.get("end", 0) for one in found)
    (line,) = process.stderr.read().splitlines()
    assert line.startswith(b"ainext: listened to 0:0") and b"segment" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_written(files: dict[str, Path], tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", kitchen(6), RATE)
    call = (path, "--json", "--steps", "--model", files["dense"])
    head = started(*call)
    assert head.stdout and head.stderr and head.stdout.readline()
    head.stdout.close()  # as `| head` does
    assert head.wait(60) == 0 and head.stderr.read().count(b"\n") == 1
    with Path("/dev/full").open("w") as full:
        process = started(*call, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and b"cannot write the results: no space left" in err.splitlines()[-1]
    (tmp_path / "full.csv").symlink_to("/dev/full")
    assert "cannot be written" in refused("listen", *call, "--log", tmp_path / "full.csv")


@contextmanager
def served(content: bytes, promised: int, until: threading.Event | None = None) -> Iterator[str]:
    """The URL of a server that sends the content in parts, and then ends or waits."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "audio/ogg")
            self.send_header("Connection", "close")
            if promised:
                self.send_header("Content-Length", str(promised))
            self.end_headers()
            for start in range(0, len(content), 5000):
                self.wfile.write(content[start : start + 5000])
            if until is not None:
                until.wait(60)

        def log_message(self, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_port}/live.ogg"
    finally:
        server.shutdown()
        server.server_close()


def test_a_stream_over_http(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = encode(tmp_path / "a.ogg", scene(), RATE, codec="flac")
    whole = load(files["dense"]).predict(path, settings=LOW)
    options = ("--json", "--model", files["dense"], "--threshold", 0.4, "--lookahead", 4.16)
    with served(path.read_bytes(), 0) as url:
        found = ainext("listen", url, *options, "--log", tmp_path / "log.jsonl")
    assert found.code == 0 and sort(ends(parse_lines(found.out))) == rounded(whole.segments)
    assert "secret" not in found.err and "secret" not in (tmp_path / "log.jsonl").read_text()
    waiting = threading.Event()
    with served(path.read_bytes(), 0, waiting) as url:  # a stream that goes on and is left
        some = ainext("listen", url, *options, "--stop-after", 3)
        waiting.set()
    assert some.code == 0 and "listened to 0:03.000" in some.err
    with served(path.read_bytes(), 10**7) as url:
        broken = ainext("listen", url, *options)
    assert broken.code == 1 and len(ends(parse_lines(broken.out))) == len(whole.segments)
    assert len(broken.complaints) == 2 and "broke off" in broken.complaints[1]
    assert "connection refused" in refused("listen", url)
    page = b"<html>no sound</html>" * 500
    with served(page, len(page)) as url:
        assert "no sound that FFmpeg can read" in refused("listen", url)


def test_a_network_stream_says_what_it_ignores(tmp_path: Path) -> None:
    tracks = [sine(440, 4, 48_000)] * 2
    path = mux(tmp_path / "a.mkv", CONTAINERS["mkv"], tracks, time_of=lambda time: time + 60 * (time > 2), piped=True)
    warnings: list[str] = []
    with served(path.read_bytes(), path.stat().st_size) as url:
        waveform = np.concatenate(list(network_input(url, RATE, warnings.append).blocks))
    assert len(waveform) / RATE == pytest.approx(4, abs=0.2)
    assert "this is sound track 1 of 2" in warnings[0]
    assert "the time stamps jump by 60.0 s, which was ignored" in warnings[1] and len(warnings) == 2


def test_a_file_that_grows(files: dict[str, Path], tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "whole.wav", kitchen(5), RATE).read_bytes()
    growing = tmp_path / "growing.wav"
    growing.write_bytes(whole[:100_000])

    def go_on() -> None:
        time.sleep(0.5)
        with growing.open("ab") as file:
            file.write(whole[100_000:])

    writer = threading.Thread(target=go_on)
    writer.start()
    found = ainext("listen", growing, "--follow", "--stop-after", 4.5, "--model", files["dense"], "--threshold", 0.4)
    writer.join()
    assert found.code == 0 and "listened to 0:04.500" in found.err
    assert "no such file" in refused("listen", tmp_path / "none.wav", "--follow")


def test_a_wrong_call_is_an_error_of_one_line(files: dict[str, Path], tmp_path: Path) -> None:
    assert "no such file" in refused("listen", tmp_path / "none.wav")
    assert "--sample-rate" in refused("listen", "x.wav", "--sample-rate", 8000)
    assert "--device" in refused("listen", "x.wav", "--device", 1)
    assert "--drop" in refused("listen", "x.wav", "--drop")
    assert "--steps" in refused("listen", "x.wav", "--steps")
    assert "--follow" in refused("listen", "http://x", "--follow")
    assert "--stop-after" in refused("listen", "x.wav", "--stop-after", 0)
    assert "--threshold" in refused("listen", "x.wav", "--threshold", 2)
    assert "--lookahead -1" in refused("listen", "x.wav", "--lookahead", -1, "--model", files["dense"])
    assert "--hop 0.1" in refused("listen", "x.wav", "--hop", 0.1, "--model", files["dense"])
    assert ".csv or .jsonl" in refused("listen", "x.wav", "--log", tmp_path / "a.txt")
    for name, text in (("mine.csv", "name,age\nme,42\n"), ("mine.jsonl", '{"name": "me"}\n'), ("b.jsonl", "[1]\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert "this file has other lines than a log" in refused("listen", "x.wav", "--log", tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert "without file://" in refused("listen", "file:///x.wav")
    assert "protocol not found" in refused("listen", "nothing://x")
    # Without the stand-in below: the extra, PortAudio or the microphone is missing, whichever comes first.
    assert "microphone" in refused("listen", "--device", "no such microphone").replace("--device", "microphone")
    process = started("-", "--model", files["dense"])
    _, err = process.communicate(write_wav(tmp_path / "a.wav", kitchen(1), RATE).read_bytes(), timeout=60)
    assert process.returncode == 2 and b"starts like a WAV file" in err and len(err.splitlines()) == 1


def test_raw_samples_of_an_unknown_rate_are_taken_with_a_note(files: dict[str, Path]) -> None:
    _, err = started("-", "--model", files["dense"], "--channels", 2).communicate(bytes(4 * RATE), timeout=60)
    note, end = err.decode().splitlines()
    said = "unless --sample-rate, --channels and --encoding say otherwise"
    assert note == f"ainext: stdin: {RATE:,} Hz, 2 channels, s16le, {said}" and "0:01.000 of stdin" in end


def test_a_microphone_that_vanishes(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for sounddevice, since the computers that run the tests have no microphone."""
    sound = np.repeat(kitchen(4)[:, None], 2, axis=1)

    class InputStream:
        def __init__(self, **given_: Any) -> None:
            self.given = given_
            assert given_["samplerate"] == 48_000 and given_["channels"] == 2

        def start(self) -> None:
            buffer = np.zeros((9600, 2), np.float32)  # used again and again, as PortAudio does
            for start in range(0, len(sound), 9600):
                buffer[:] = sound[start : start + 9600]
                self.given["callback"](buffer, 9600, None, SimpleNamespace(input_overflow=start > 0))
            self.given["finished_callback"]()

        def close(self, ignore_errors: bool) -> None:
            pass

    device = {"name": "Fake", "max_input_channels": 6, "default_samplerate": 48_000.0}
    stand_in = SimpleNamespace(
        InputStream=InputStream,
        PortAudioError=OSError,
        query_devices=lambda *chosen: device if chosen else [device],
        default=SimpleNamespace(device=(0, 1)),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    found = ainext("listen", "--json", "--steps", "--model", files["dense"], "--lookahead", 4.16)
    assert found.code == 1
    assert found.complaints[-1] == "ainext: microphone Fake: no longer gives any sound; is it still connected?"
    assert sum("the system lost some" in line for line in found.complaints) == 1
    whole = load(files["dense"]).predict(_at_half_rate(sound[:, 0]))
    steps = [one for one in parse_lines(found.out) if one["event"] == "step"]
    assert [one["score"] for one in steps] == pytest.approx(whole.probabilities.max(axis=1).tolist(), abs=1e-3)
    assert ainext("listen", "--list-devices").out == "  0 * Fake (6 channels, 48000 Hz)\n"


def _at_half_rate(samples: np.ndarray) -> np.ndarray:
    from audioinceptionnext.audio.resample import Resampler

    resampler = Resampler(48_000, RATE)
    return np.concatenate([resampler.push(samples), resampler.finish()])


# --- Falling behind ---


def flood(files: dict[str, Path], seconds: int, waits: bool, steps: bool = False, drop: bool = False) -> LiveLoop:
    """A loop over sound that comes faster than it can be recognised."""
    recogniser = load(files["dense"])
    source = LiveInput("flood", (kitchen(1) for _ in range(seconds)), waits)
    return LiveLoop(source, lambda start: Stream(recogniser, start=start), Printer(True, steps), RATE, drop=drop)


def test_skipped_sound_is_reported(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert flood(files, 30, waits=True, steps=True, drop=True).run()
    out, err = capsys.readouterr()
    skipped = [float(line.split("skipped ")[1].split(" s")[0]) for line in err.splitlines()]
    # Each figure is rounded to a tenth.
    assert skipped[-1] == pytest.approx(sum(skipped[:-1]), abs=0.051 * len(skipped)) and skipped[-1] > 10
    steps = [one for one in parse_lines(out) if one["event"] == "step"]
    assert steps[-1]["end"] == 30  # times are those of the sound
    covered = sum(one["end"] - one["start"] for one in steps)
    assert covered == pytest.approx(30 - skipped[-1], abs=0.1)


def test_falling_behind_is_reported_once(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_loop, "BEHIND_S", -1e6)  # however fast this computer is
    assert flood(files, 8, waits=False).run()
    assert capsys.readouterr().err.count("behind: recognition is slower than the sound") == 1


def test_a_backlog_is_bounded() -> None:
    waiting = Backlog(
        LiveInput("flood", (np.zeros(RATE, np.float32) for _ in range(100)), waits=True), RATE, max_seconds=5
    )
    time.sleep(0.2)
    assert waiting.seconds <= 6
    got = 0
    while not waiting.over:
        got += len(waiting.take(7000, 1.0))
    assert got == 100 * RATE and waiting.error is None
    lost = Backlog(
        LiveInput("flood", (np.zeros(RATE, np.float32) for _ in range(100)), waits=False), RATE, max_seconds=5
    )
    kept = 0
    while not lost.over:
        kept += len(lost.take(10**9, 0.0) if lost.error else [])
    assert 5 * RATE <= kept <= 7 * RATE and "behind" in str(lost.error)
