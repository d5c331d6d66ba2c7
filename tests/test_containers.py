"""Every container in every situation: each sound at its time, or a warning that says why not; and all of the sound."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from audioinceptionnext.audio.decode import duration_of, read, read_blocks
from audioinceptionnext.audio.network_stream import growing_input
from audioinceptionnext.errors import MediaError, ParameterError
from tests.audio_files import encode, sine
from tests.command import ainext
from tests.containers import CONTAINERS, RATE, SITUATIONS, Container, decoded, mux, piped

LENGTH_S = 4.0
BEEPS = (0.5, 1.2, 1.7, 2.4, 3.1)  # s, each of 60 ms


@cache
def scene(rate: int) -> np.ndarray:
    times = np.arange(round(LENGTH_S * rate)) / rate
    on = np.any([(times >= start) & (times < start + 0.06) for start in BEEPS], axis=0)
    return (0.6 * np.sin(2 * np.pi * 1000 * times) * on).astype(np.float32)


def onsets(waveform: np.ndarray) -> list[float]:
    loud = np.flatnonzero(np.abs(waveform - np.median(waveform)) > 0.15)
    return [float(loud[i]) / RATE for i in range(len(loud)) if i == 0 or loud[i] - loud[i - 1] > 0.2 * RATE]


def can_write(kind: Container) -> bool:
    try:
        av.Codec(kind.codec, "w")
    except ValueError:
        return False
    return True


CELLS = [
    (name, situation) for name, kind in CONTAINERS.items() for situation, how in SITUATIONS.items() if how.fits(kind)
]
RELATIVE = ("ogg", "opus")  # a stream may be recorded from its middle, so that its first time stamp says nothing
INDEX_LAST = ("mp4", "mov", "m4a", "3gp")


@pytest.mark.parametrize(("name", "situation"), CELLS)
def test_every_sound_is_at_its_time(tmp_path: Path, name: str, situation: str) -> None:
    kind, how = CONTAINERS[name], SITUATIONS[situation]
    if not can_write(kind):
        pytest.skip(f"this FFmpeg has no encoder {kind.codec}")
    path = how.write(tmp_path / f"scene{kind.suffix}", kind, scene(kind.rate))
    if situation == "cut" and name in INDEX_LAST:
        with pytest.raises(MediaError, match="index is missing"):
            decoded(path)
        return
    waveform, warning = decoded(path)
    found, expected = onsets(waveform), [how.time(start, LENGTH_S) for start in BEEPS]
    if situation == "cut":
        assert warning
        expected = expected[: len(found)]
    if name in RELATIVE and "lead" in situation:
        assert "start at 3.0 s; times count from the first sound" in warning
        expected = list(BEEPS)
    assert len(found) == len(expected)
    assert all(abs(one - other) < 0.1 for one, other in zip(found, expected, strict=True))
    if situation in ("plain", "no length", "DC offset", "after picture", "long after picture"):
        assert not warning
    if "pause" in situation:
        assert warning == "10.0 s are missing and were replaced by silence"
    if situation == "silent track first":
        assert warning == "this is sound track 2 of 2 (the one before it: silent)"


@pytest.mark.parametrize("states_length", [True, False])
def test_an_absurd_time_stamp_makes_no_day_of_silence(tmp_path: Path, states_length: bool) -> None:
    kind = CONTAINERS["mkv"]
    for shift, expected in (
        (lambda time: time + 90_000, "the time stamps start at 90000.0 s; times count from the first sound instead"),
        (lambda time: time + 90_000 * (time > 2), "the time stamps jump by 90000.0 s, which was ignored"),
    ):
        path = mux(tmp_path / "a.mkv", kind, [scene(kind.rate)], time_of=shift, piped=not states_length)
        waveform, warning = decoded(path)
        assert len(waveform) / RATE == pytest.approx(LENGTH_S, abs=0.1)
        assert expected in warning


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".m4a", ".webm"])
def test_a_part_of_sound_that_starts_late_is_at_its_time(tmp_path: Path, suffix: str) -> None:
    kind = CONTAINERS[suffix[1:]]
    path = SITUATIONS["lead"].write(tmp_path / f"a{suffix}", kind, np.tile(scene(kind.rate), 4))
    whole, _ = decoded(path)
    assert duration_of(path) == pytest.approx(19, abs=0.1)
    for start in (1.0, 2.5, 15.25):
        part = read(path, RATE, start, 1.5)
        assert len(part) == 1.5 * RATE
        assert onsets(part) == pytest.approx(onsets(whole[round(start * RATE) :][: len(part)]), abs=0.003)


@pytest.mark.parametrize("name", ["webm", "mkv", "mp4", "ts"])
def test_sound_that_starts_later_than_any_block_ends(tmp_path: Path, name: str) -> None:
    kind = CONTAINERS[name]
    picture = 0 if name == "webm" else 35
    path = mux(
        tmp_path / f"a{kind.suffix}",
        kind,
        [scene(kind.rate)],
        time_of=lambda time: time + 31,
        picture_seconds=picture,
    )
    warnings: list[str] = []
    whole = np.concatenate(list(read_blocks(path, RATE, 10.0, warnings.append)))
    assert onsets(whole) == pytest.approx([31 + start for start in BEEPS], abs=0.1)
    assert warnings == ([] if picture else ["the sound starts at 31.0 s, after silence"])
    for start in (5.0, 31.25, 33.0):  # the last is not reached by a seek
        part, expected = read(path, RATE, start), whole[round(start * RATE) :]
        assert len(part) == len(expected) and np.abs(part - expected).max() < 0.01


@pytest.mark.parametrize("name", ["mkv", "webm", "m4a"])
def test_a_seek_into_sound_that_starts_later_than_ffmpeg_looks(tmp_path: Path, name: str) -> None:
    kind = CONTAINERS[name]
    picture = 0 if name == "m4a" else 30
    sound = np.tile(scene(kind.rate), 4)
    path = mux(tmp_path / f"a{kind.suffix}", kind, [sound], time_of=lambda time: time + 12, picture_seconds=picture)
    whole, part = read(path, RATE), read(path, RATE, 24.5, 2.0)
    assert np.abs(part - whole[round(24.5 * RATE) :][: len(part)]).max() < 0.01
    assert onsets(part)


def test_empty_chunks_of_avi_are_said(tmp_path: Path) -> None:
    """FFmpeg does not count them in MP3, and no warning may call this the end of the sound."""
    kind = replace(CONTAINERS["avi"], codec="libmp3lame")
    path = mux(tmp_path / "a.avi", kind, [sine(440, 1, kind.rate)], time_of=lambda time: time + 12, picture_seconds=13)
    _, warning = decoded(path)
    assert warning.startswith("has only 1.0 s of 13.0 s") and "times may be early" in warning


def test_what_an_encoder_adds_is_no_late_start(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mka", sine(440, 1, 48_000), 48_000, "aac")
    assert decoded(path)[1] == ""


@pytest.mark.parametrize("name", ["mp4", "flv", "wma", "tta", "mkv", "ts"])
def test_recordings_that_follow_each_other_are_decoded_or_said(tmp_path: Path, name: str) -> None:
    kind = CONTAINERS[name]
    path = mux(tmp_path / f"a{kind.suffix}", kind, [sine(440, 1, kind.rate)])
    assert not decoded(path)[1]
    content = path.read_bytes()
    path.write_bytes(content * 2)
    waveform, warning = decoded(path)
    whole = abs(len(waveform) / RATE - 2) < 0.2
    follows = f"another recording follows in the file and was left out: divide the file at byte {len(content)}"
    assert whole != (follows in warning)


@pytest.mark.parametrize(("lead", "pause"), [(3.0, 0.0), (0.0, 15.0)])
def test_a_file_that_grows_has_the_times_of_the_whole_file(tmp_path: Path, lead: float, pause: float) -> None:
    kind = CONTAINERS["webm"]
    path = mux(
        tmp_path / "a.webm",
        kind,
        [scene(kind.rate)],
        time_of=lambda time: time + lead + pause * (time > 2),
        piped=True,
    )
    warnings: list[str] = []
    growing = growing_input(str(path), RATE, warnings.append)
    threading.Timer(0.2, growing.close).start()
    waveform = np.concatenate(list(growing.blocks))
    assert onsets(waveform) == pytest.approx(onsets(decoded(path)[0]), abs=0.01)
    assert len(warnings) == 1 and ("starts at 3.0 s" if lead else "replaced by silence") in warnings[0]


# --- Several sound tracks ---


@pytest.mark.parametrize("name", ["mkv", "mov"])
def test_a_track_that_starts_late_is_preferred_to_a_silent_one(tmp_path: Path, name: str) -> None:
    def write(start: int, silent: int) -> Path:
        path = tmp_path / f"a.{name}"
        with av.open(str(path), "w", format=CONTAINERS[name].format) as output:
            streams = [output.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(2)]
            packets = []
            for stream, track, shift in zip(streams, (scene(8000), np.zeros(8000 * silent)), (start, 0), strict=True):
                for at in range(0, len(track), 8000):
                    samples = (track[at : at + 8000] * 32767).astype("<i2")
                    frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
                    frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), at + shift * 8000
                    packets += [(frame.pts, packet) for packet in stream.encode(frame)]
            for _, packet in sorted(packets, key=lambda item: item[0]):
                output.mux(packet)
        return path

    waveform, warning = decoded(write(25, 29))
    assert warning.startswith("this is sound track 1 of 2") and "not decodable" not in warning
    assert onsets(waveform) == pytest.approx([25 + start for start in BEEPS], abs=0.1)
    if name == "mkv":  # later than the look at the tracks lasts
        assert decoded(write(130, 135))[1].startswith("this is sound track 1 of 2")


def tones(path: Path, *frequencies: float, name: str = "mkv") -> Path:
    """A file with a track of each frequency; 0 is silence."""
    kind = CONTAINERS[name]
    return mux(path, kind, [sine(frequency, 1.5, kind.rate) for frequency in frequencies])


def frequency(waveform: np.ndarray) -> int:
    part = waveform[-RATE:]
    return int(np.argmax(np.abs(np.fft.rfft(part))))


def test_the_first_track_with_sound_is_taken_unless_another_one_is_named(tmp_path: Path) -> None:
    path = tones(tmp_path / "a.mkv", 0, 300, 500)
    waveform, warning = decoded(path)
    assert frequency(waveform) == 300 and warning == "this is sound track 2 of 3 (the one before it: silent)"
    assert frequency(read(path, RATE)) == 300  # as data sets are read
    waveform, warning = decoded(path, track=3)
    assert frequency(waveform) == 500 and not warning
    assert not decoded(path, track=1)[0].any()
    with pytest.raises(MediaError, match="has 3 sound tracks, and no track 4"):
        decoded(path, track=4)
    for wrong in (0, "1", 1.0, 1.5, True):
        with pytest.raises(ParameterError, match="track"):
            decoded(path, track=wrong)  # type: ignore[arg-type]
    waveform, warning = decoded(tones(tmp_path / "b.mkv", 300, 500))
    assert frequency(waveform) == 300 and warning == "this is sound track 1 of 2"
    assert not decoded(tones(tmp_path / "c.mkv", 0, 0))[0].any()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_silent_track_from_a_pipe_is_said_to_be_possible(tmp_path: Path) -> None:
    content = tones(tmp_path / "a.mkv", 0, 300).read_bytes()
    waveform, warning = decoded(piped(tmp_path / "pipe", content))
    assert warning == "this is sound track 1 of 2 (from a pipe, silent ones are not passed over)"
    assert not waveform.any()
    waveform, _ = decoded(piped(tmp_path / "again", content), track=2)
    assert frequency(waveform) == 300


def test_a_track_that_cannot_be_decoded_is_passed_over(tmp_path: Path) -> None:
    """As in the films of some phones, whose second kind of sound no other program decodes."""
    path = tones(tmp_path / "phone.m4a", 300, 500, name="m4a")
    content = path.read_bytes().replace(b"mp4a", b"apac", 1).replace(b"esds", b"free", 1)
    path.write_bytes(content)
    waveform, warning = decoded(path)
    assert frequency(waveform) == 500
    assert warning == "this is sound track 2 of 2 (the one before it: not decodable)"
    with pytest.raises(MediaError, match="its sound track 1 is in a codec that FFmpeg lacks"):
        decoded(path, track=1)


def test_a_track_of_mpeg_ts_that_goes_on_with_another_number_is_joined(tmp_path: Path) -> None:
    parts = []
    for number, tone in ((256, 300), (400, 500)):
        kind = replace(CONTAINERS["ts"], options=(("mpegts_start_pid", str(number)),))
        parts.append(mux(tmp_path / "part.ts", kind, [sine(tone, 1.5, kind.rate)]).read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    waveform, warning = decoded(tmp_path / "both.ts")
    assert len(waveform) / RATE == pytest.approx(3, abs=0.1) and not warning
    assert frequency(waveform[: len(waveform) // 2]) == 300 and frequency(waveform) == 500


def test_the_track_is_an_option_of_the_command(tmp_path: Path) -> None:
    path = tones(tmp_path / "a.mkv", 0, 300)
    outcome = ainext("predict", path, "--json")
    assert outcome.code == 0 and "a.mkv: this is sound track 2 of 2" in outcome.err
    outcome = ainext("predict", path, "--json", "--track", 1)
    assert (outcome.code, outcome.err) == (0, "") and outcome.json[0]["segments"] == []
    outcome = ainext("predict", path, "--json", "--track", 3)
    assert outcome.code == 1 and "has 2 sound tracks, and no track 3" in outcome.json[0]["error"]


# --- Damage ---


@pytest.mark.parametrize(
    ("name", "expected"), [("mp3", "replaced by silence"), ("ac3", "replaced by silence"), ("aac", "times are early")]
)
def test_what_was_lost_is_said(tmp_path: Path, name: str, expected: str) -> None:
    """These formats have no time stamps. A damaged packet of theirs may hold many."""
    kind = CONTAINERS[name]
    noise = np.random.default_rng(0).standard_normal(6 * kind.rate).astype(np.float32) / 10
    path = mux(tmp_path / f"a{kind.suffix}", kind, [noise])
    content, whole = bytearray(path.read_bytes()), decoded(path)[0]
    content[len(content) // 2 : len(content) // 2 + 5000] = np.random.default_rng(1).bytes(5000)
    path.write_bytes(content)
    waveform, warning = decoded(path)
    assert "damaged packet" in warning and "about 0." in warning and expected in warning
    assert name == "aac" or len(waveform) / RATE == pytest.approx(len(whole) / RATE, abs=0.1)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "corpus").iterdir()), ids=lambda path: path.name)
def test_what_the_fuzzer_found(path: Path) -> None:
    """`benchmarks/fuzz_decoder.py` found these files; each ended in an exception that was no `MediaError`."""
    try:
        waveform, _ = decoded(path)
    except MediaError as error:
        assert "\n" not in str(error)
    else:
        assert len(waveform) and np.isfinite(waveform).all()
