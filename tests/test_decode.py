"""Decoding: any file becomes its waveform, with every sound at its time, or one clear error."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audioinceptionnext.audio.decode import duration_of, read, read_blocks
from audioinceptionnext.errors import AinextError, MediaError
from tests.audio_files import chirp, encode, sine, write_piped, write_video, write_wav, write_with_pause

RATE = 24000


def decode_all(path: str | Path, **options: float) -> tuple[np.ndarray, list[str]]:
    """The whole waveform at RATE and the warnings."""
    warnings: list[str] = []
    return np.concatenate(list(read_blocks(path, RATE, on_warning=warnings.append, **options))), warnings


def error_message(path: str | Path) -> str:
    """The error of a file that cannot be decoded, checked to be one line that names it."""
    with pytest.raises(MediaError) as caught:
        decode_all(path)
    message = str(caught.value)
    assert isinstance(caught.value, AinextError)
    assert Path(path).name in message and "\n" not in message
    return message


def delay_ms(waveform: np.ndarray, expected: np.ndarray) -> float:
    """How late ``waveform`` is compared with ``expected``, by correlation within 50 ms."""
    size = min(len(waveform), len(expected))
    spectrum = np.fft.rfft(waveform[:size], 2 * size) * np.conj(np.fft.rfft(expected[:size], 2 * size))
    correlation = np.fft.irfft(spectrum)
    reach = RATE // 20
    near = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    return (int(np.argmax(near)) - reach) * 1000 / RATE


def tone_in(samples: np.ndarray) -> tuple[float, float]:
    """Frequency (Hz) and amplitude of the one tone in samples at RATE."""
    inner = samples[len(samples) // 8 : -len(samples) // 8]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 8 * len(inner)))
    return float(np.argmax(spectrum)) * RATE / (8 * len(inner)), float(np.sqrt(2 * np.mean(inner**2)))


FORMATS = [
    *((".wav", rate, channels) for rate, channels in [(8000, 1), (44100, 2), (48000, 6), (96000, 2)]),
    *((".flac", rate, channels) for rate, channels in [(8000, 1), (44100, 8), (96000, 2)]),
    *((".mp3", rate, channels) for rate, channels in [(8000, 1), (44100, 2), (48000, 1)]),
    *((".ogg", rate, 2) for rate in (44100, 96000)),
    *((".opus", 48000, channels) for channels in (1, 2, 6)),
    *((".m4a", rate, channels) for rate, channels in [(8000, 1), (44100, 2), (48000, 8)]),
    *((suffix, 48000, 2) for suffix in (".mp4", ".mkv", ".webm", ".avi")),
]


@pytest.mark.parametrize(("suffix", "rate", "channels"), FORMATS)
def test_every_format_is_decoded(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    make = write_video if suffix in (".mp4", ".mkv", ".webm", ".avi") else encode
    sounds = {}
    for name, mono in (("chirp", chirp(2, rate)), ("tone", sine(440, 2, rate))):
        samples = mono if channels == 1 else np.stack([mono] * channels, axis=1)
        sounds[name], warnings = decode_all(make(tmp_path / f"{name}{suffix}", samples=samples, rate=rate))
        assert not warnings
        assert sounds[name].dtype == np.float32 and sounds[name].ndim == 1
        # FFmpeg's Vorbis encoder (not its decoder) rounds the length up to 64 samples.
        assert abs(len(sounds[name]) - 2 * RATE) <= RATE * (0.0015 if suffix == ".ogg" else 0.001)
    assert abs(delay_ms(sounds["chirp"], chirp(2, RATE))) <= 1
    frequency, amplitude = tone_in(sounds["tone"])
    assert frequency == pytest.approx(440, abs=0.5)
    # LAME writes 5 % less; with six or eight channels, a lossy codec drops most of the one for low frequencies.
    assert (0.41 if channels > 2 else 0.47) <= amplitude <= 0.51


def test_channels_are_averaged_unless_that_loses_the_sound(tmp_path: Path) -> None:
    left, right = sine(300, 0.5, 48000, 0.6), sine(2000, 0.5, 48000, 0.3)
    path = write_wav(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 48000)
    assert np.abs(read(path, 48000) - (left + right) / 2).max() < 1e-4
    path = encode(tmp_path / "stereo.mka", np.stack([left, -left], axis=1), 48000, codec="pcm_f32le")
    assert np.abs(read(path, 48000) - left).max() < 1e-6
    for channels in (3, 6, 7, 12):  # numbers of channels that WAV stores without a layout
        samples = np.stack([left * (number == 1) for number in range(channels)], axis=1)
        path = write_wav(tmp_path / "many.wav", samples, 48000)
        assert np.abs(read(path, 48000) - (left / 3 if channels == 3 else left)).max() < 1e-4


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 9000),
    rate=st.sampled_from([4000, 8000, 11025, 22051, 44100, 96000]),
    target=st.sampled_from([8000, 16000, 24000, 44100]),
    block=st.floats(0.01, 0.4),
    start=st.floats(0, 0.5),
    duration=st.floats(0, 0.5),
)
def test_blocks_and_parts_equal_the_whole_waveform(
    tmp_path: Path, count: int, rate: int, target: int, block: float, start: float, duration: float
) -> None:
    path = write_wav(tmp_path / "noise.wav", np.random.default_rng(count).uniform(-1, 1, count), rate)
    whole = read(path, target)
    assert len(whole) == round(count * target / rate)
    if not len(whole):  # one or two samples, which give none at the lower rate
        return
    blocks = list(read_blocks(path, target, block))
    assert {len(part) for part in blocks[:-1]} <= {round(block * target)}
    assert len(blocks[-1]) <= round(block * target)
    assert np.array_equal(np.concatenate(blocks), whole)
    part = read(path, target, start, duration)
    assert np.array_equal(part, whole[round(start * target) : round((start + duration) * target)])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mkv", ".mp4", ".webm", ".ts"])
def test_a_part_reached_by_seeking_is_at_its_time(tmp_path: Path, suffix: str) -> None:
    samples = np.stack([chirp(24, 48000)] * 2, axis=1)
    path = tmp_path / f"long{suffix}"
    if suffix in (".mkv", ".mp4", ".webm", ".ts"):
        write_video(path, samples=samples, seconds=25.5, delay=1.5)
    else:
        encode(path, samples, 48000)
    whole = read(path, RATE)
    for start in (12.3456, 22.9):
        part, expected = read(path, RATE, start, 1.0), whole[round(start * RATE) :][:RATE]
        assert len(part) == len(expected)
        assert np.abs(part - expected).max() < 0.01
    assert len(read(path, RATE, start=100)) == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts"])
def test_sound_that_starts_after_the_picture_keeps_its_delay(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"late{suffix}", samples=chirp(2, 48000), seconds=3.5, delay=1.5)
    waveform, warnings = decode_all(path)
    assert not warnings
    assert not waveform[: round(1.45 * RATE)].any()
    expected = np.concatenate([np.zeros(round(1.5 * RATE), np.float32), chirp(2, RATE)])
    # MPEG-TS cannot say that its first 1024 samples only start up AAC.
    assert abs(delay_ms(waveform, expected)) <= (22 if suffix == ".ts" else 1)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_time_stamps_count_in_a_file_that_does_not_state_its_length(tmp_path: Path, suffix: str) -> None:
    late = write_video(tmp_path / f"late{suffix}", samples=chirp(2, 48000), seconds=3.5, delay=1.5)
    paused = write_with_pause(tmp_path / f"paused{suffix}", chirp(4, 48000), 48000, start=2, seconds=1.5)
    for path in (late, paused):
        piped = write_piped(tmp_path / f"piped{suffix}", path)
        assert duration_of(piped) is None
        waveform, expected = decode_all(piped)[0], decode_all(path)[0]
        assert len(waveform) == pytest.approx(len(expected), abs=RATE * 0.002)
        assert abs(delay_ms(waveform[2 * RATE :], expected[2 * RATE :])) <= 1


def test_a_damaged_time_stamp_makes_no_hours_of_silence(tmp_path: Path) -> None:
    """In a file that does not state its length, which could disprove it."""
    jump = write_with_pause(tmp_path / "jump.mkv", chirp(4, 48000), 48000, start=2, seconds=80_000)
    waveform, _ = decode_all(write_piped(tmp_path / "piped.mkv", jump))
    assert len(waveform) / RATE == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp3", ".flac"])
def test_cover_art_changes_nothing(tmp_path: Path, suffix: str) -> None:
    plain = read(encode(tmp_path / f"plain{suffix}", chirp(1, 44100), 44100), RATE)
    covered, warnings = decode_all(encode(tmp_path / f"cover{suffix}", chirp(1, 44100), 44100, cover=True))
    assert not warnings
    assert np.array_equal(plain, covered)


def test_format_changes_within_a_file(tmp_path: Path) -> None:
    first = encode(tmp_path / "1.mp3", sine(440, 2, 44100), 44100)
    second = encode(tmp_path / "2.mp3", np.stack([sine(880, 2, 48000)] * 2, axis=1), 48000)
    (tmp_path / "both.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    waveform, _ = decode_all(tmp_path / "both.mp3")
    assert len(waveform) == pytest.approx(4 * RATE, abs=0.1 * RATE)  # MP3's start-up, and the join
    assert tone_in(waveform[: 2 * RATE])[0] == pytest.approx(440, abs=1)
    assert tone_in(waveform[-2 * RATE :])[0] == pytest.approx(880, abs=1)


def wav_bytes(data: bytes, rate: int = 8000, channels: int = 1, bits: int = 16, **wrong: int) -> bytes:
    """A WAV file as bytes. ``wrong`` replaces size, align, byte_rate or tag in its header."""
    align = wrong.get("align", channels * bits // 8 & 0xFFFF)
    byte_rate = wrong.get("byte_rate", rate * align & 0xFFFFFFFF)
    size = wrong.get("size", len(data))
    head = struct.pack("<HHIIHH", wrong.get("tag", 1), channels, rate, byte_rate, align, bits)
    riff = struct.pack("<I", (36 + size) & 0xFFFFFFFF)
    return b"RIFF" + riff + b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", size) + data


def test_float_samples_are_not_clipped_and_invalid_ones_are_0(tmp_path: Path) -> None:
    samples = sine(440, 1, 8000).astype("<f4")
    samples[[100, 200, 300, 400, 500]] = [np.nan, np.inf, -np.inf, 1e38, 3.0]
    (tmp_path / "float.wav").write_bytes(wav_bytes(samples.tobytes(), bits=32, tag=3))
    waveform = read(tmp_path / "float.wav", 8000)
    assert waveform[500] == 3.0
    assert not waveform[[100, 200, 300, 400]].any()
    assert np.isfinite(read(tmp_path / "float.wav", RATE)).all()


TONE = (sine(440, 2, 8000) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF - 36])
def test_wav_of_unknown_length(tmp_path: Path, size: int) -> None:
    (tmp_path / "piped.wav").write_bytes(wav_bytes(TONE, size=size))
    waveform, warnings = decode_all(tmp_path / "piped.wav")
    assert len(waveform) == 2 * RATE and not warnings


def test_a_wav_header_that_claims_a_day(tmp_path: Path) -> None:
    (tmp_path / "day.wav").write_bytes(wav_bytes(TONE, size=24 * 3600 * 16000))
    waveform, warnings = decode_all(tmp_path / "day.wav")
    assert len(waveform) == 2 * RATE
    assert len(warnings) == 1 and "ends early: decoded 2.0 s of 86400.0 s" in warnings[0]


@pytest.mark.parametrize("wrong", [{"align": 0}, {"align": 3}, {"align": 65535}, {"byte_rate": 0}, {"byte_rate": 9}])
def test_a_wav_header_with_a_harmless_error(tmp_path: Path, wrong: dict[str, int]) -> None:
    (tmp_path / "wrong.wav").write_bytes(wav_bytes(TONE, **wrong))
    assert tone_in(decode_all(tmp_path / "wrong.wav")[0])[0] == pytest.approx(440, abs=0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate": rate} for rate in (0, 1, 2_000_000, 0x7FFFFFFF, 0xFFFFFFFF)),
        *({"channels": channels} for channels in (0, 513, 65535)),
        *({"bits": bits} for bits in (0, 255)),
        *({"tag": tag} for tag in (0, 2, 0x55, 0xFFFE, 0xFFFF)),
    ],
)
def test_a_wav_header_that_cannot_be_right(tmp_path: Path, wrong: dict[str, int]) -> None:
    (tmp_path / "wrong.wav").write_bytes(wav_bytes(TONE, **wrong))
    error_message(tmp_path / "wrong.wav")


@pytest.mark.parametrize(("samples", "expected"), [(80, 240), (1, 3)])
def test_very_short(tmp_path: Path, samples: int, expected: int) -> None:
    (tmp_path / "short.wav").write_bytes(wav_bytes(TONE[: 2 * samples]))
    assert len(decode_all(tmp_path / "short.wav")[0]) == expected


def test_digital_silence(tmp_path: Path) -> None:
    waveform, warnings = decode_all(write_wav(tmp_path / "silence.wav", np.zeros(44100), 44100))
    assert len(waveform) == RATE and not waveform.any() and not warnings


def test_files_that_are_not_recordings(tmp_path: Path) -> None:
    assert "no such file" in error_message(tmp_path / "missing.wav")
    assert "folder" in error_message(tmp_path)
    (tmp_path / "empty.wav").touch()
    assert "empty" in error_message(tmp_path / "empty.wav")
    (tmp_path / "header.wav").write_bytes(wav_bytes(b""))
    assert "no sound could be decoded" in error_message(tmp_path / "header.wav")
    assert "has no sound" in error_message(write_video(tmp_path / "mute.mp4", with_audio=False))
    text = "Some text, line after line.\n" * 3000
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:2,\nday.wav\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile good.wav\n")
    (tmp_path / "film.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    for name in ("text.txt", "text.wav", "text.mp3", "text.ogg", "text.mp4", "text.aac"):
        (tmp_path / name).write_text(text)
    write_wav(tmp_path / "good.wav", sine(440, 1, 8000), 8000)
    for name in ("list.m3u8", "list.txt", "film.srt", "text.txt", "text.wav"):
        assert "not an audio or video file" in error_message(tmp_path / name)
    for name in ("text.mp3", "text.ogg", "text.mp4", "text.aac"):
        error_message(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "locked.wav", sine(440, 1, 8000), 8000)
    path.chmod(0)
    assert "permission" in error_message(path)


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".bin", ".aac", ".ogg", ".mp4", ".ts", ".ac3", ".flac"])
@pytest.mark.parametrize("size", [100, 20_000, 300_000])
def test_random_bytes_are_not_decoded(tmp_path: Path, suffix: str, size: int) -> None:
    """At 300 kB, seed 1 holds a whole decodable frame of MP3 and seed 4 one of AAC."""
    for seed in range(6):
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes())
        error_message(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus", ".mkv", ".mp4", ".webm"])
def test_a_file_cut_in_the_middle(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    samples = np.stack([chirp(6, 48000)] * 2, axis=1)
    path = tmp_path / f"cut{suffix}"
    if suffix == ".mp4":
        write_video(path, samples=samples, seconds=6, options={"movflags": "faststart"})
    else:
        encode(path, samples, 48000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    waveform, warnings = decode_all(path)
    assert 1.5 < len(waveform) / RATE < 4
    assert abs(delay_ms(waveform[:RATE], chirp(1, RATE, 200, 200 + 2800 / 6))) <= 1
    assert len(warnings) == 1 and warnings[0].startswith("ends early: decoded") and "\n" not in warnings[0]
    assert capfd.readouterr() == ("", "")


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mp4", seconds=3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "index is missing" in error_message(path)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".webm", ".mka", ".m4a", ".mp3"])
def test_sound_after_damage_stays_at_its_time(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / f"damaged{suffix}", np.stack([chirp(6, 48000)] * 2, axis=1), 48000)
    whole = read(path, RATE)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 1000] = np.random.default_rng(0).bytes(1000)
    path.write_bytes(content)
    waveform, warnings = decode_all(path)
    assert len(warnings) == 1 and ("damaged packet" in warnings[0] or "are missing" in warnings[0])
    # MP3 has no time stamps: a frame whose header is gone leaves no trace.
    tolerance = 0.06 if suffix == ".mp3" else 0.001
    assert abs(len(waveform) - len(whole)) <= RATE * tolerance
    assert suffix == ".mp3" or abs(delay_ms(waveform[-RATE:], whole[-RATE:])) <= 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["two words é.wav", "-dash.wav", "%03d.wav", "concat:x.wav", "a?b#c[1]*.wav", "pipe:"])
def test_names_that_have_a_meaning_for_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if os.name == "nt" and set(name) & set(":?*"):
        pytest.skip("Windows has no such names")
    monkeypatch.chdir(tmp_path)
    write_wav(Path(name), sine(440, 0.5, 8000), 8000)
    for path in (name, Path(name), tmp_path / name):
        assert len(read(path, RATE)) == RATE // 2


def test_tags_that_are_not_utf8(tmp_path: Path) -> None:
    path = encode(tmp_path / "tags.mp3", sine(440, 0.5, 44100), 44100, metadata={"title": "XXXXX"})
    path.write_bytes(path.read_bytes().replace(b"XXXXX", b"caf\xe9s"))
    assert len(read(path, RATE)) == RATE // 2


def test_six_hours_in_little_memory(tmp_path: Path) -> None:
    """The file is sparse: its 173 MB of zeros take no space on the disk."""
    path = tmp_path / "night.wav"
    seconds = 6 * 3600
    path.write_bytes(wav_bytes(b"", bits=8, size=seconds * 8000))
    os.truncate(path, path.stat().st_size + seconds * 8000)
    resource = pytest.importorskip("resource", reason="Windows does not report a process's peak memory this way")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(len(block) for block in read_blocks(path, 8000, block_seconds=30))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert count == seconds * 8000
    assert grown < 50e6  # the file has 173 MB, the whole waveform 691 MB


def test_duration_by_the_header(tmp_path: Path) -> None:
    assert duration_of(write_wav(tmp_path / "a.wav", sine(440, 2.5, 8000), 8000)) == pytest.approx(2.5)
    assert duration_of(write_video(tmp_path / "a.mp4", seconds=2)) == pytest.approx(2, abs=0.1)
    assert duration_of(tmp_path / "missing.wav") is None
