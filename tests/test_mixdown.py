"""Channels become one without losing the sound: their mean, or the loudest where the mean would be far below it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audioinceptionnext as ain
from audioinceptionnext.audio.decode import read, read_blocks
from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.inference.stream import Stream
from tests.audio_files import encode, pink, sine, write_wav

RATE = 8000
CELL = RATE // 20
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"
WARNING = "channels (cancel each other|are silent)"


def mixed(channels: np.ndarray, splits: list[int], rate: int = RATE) -> tuple[np.ndarray, Mixdown]:
    """(channels, n) through a mixdown, in blocks that are split at these places."""
    mixdown = Mixdown()
    edges = [0, *sorted(splits), channels.shape[1]]
    parts = [
        mixdown.mix([np.ascontiguousarray(one[start:end]) for one in channels], rate) for start, end in pairwise(edges)
    ]
    return np.concatenate(parts), mixdown


@st.composite
def recordings(draw: st.DrawFn) -> np.ndarray:
    """(channels, n): stretches of sound that the channels have in phase, in opposite phase, alone, or not at all."""
    count = draw(st.integers(2, 9))
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        samples = draw(st.integers(1, 3 * RATE // 2))
        sound = 0.3 * pink(max(samples, 3000), RATE, seed=draw(st.integers(0, 3)))[:samples]
        level = draw(st.sampled_from([1.0, 0.01]))
        gains = draw(
            st.lists(st.sampled_from([0, 1, -1, -0.97, 0.1, -0.1]), min_size=count, max_size=count).map(np.array)
        )
        parts.append(level * gains[:, None] * sound)
    return np.concatenate(parts, axis=1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(recordings(), st.lists(st.floats(0, 1), max_size=6))
def test_how_samples_are_split_changes_nothing(channels: np.ndarray, shares: list[float]) -> None:
    splits = [int(share * channels.shape[1]) for share in shares]
    whole, one = mixed(channels, [])
    split, other = mixed(channels, splits)
    loud = np.flatnonzero(channels.any(axis=0))
    # A part of the first cell of sound may decide otherwise than all of it, and fades into what that decides.
    settled = CELL * (int(loud[0]) // CELL + 1) + RATE // 100 if len(loud) else 0
    assert np.abs(whole[settled:] - split[settled:]).max(initial=0) < 1e-6
    assert one.replaced == pytest.approx(other.replaced, abs=1.001 * CELL / RATE)
    assert len(whole) == channels.shape[1] and one.seconds == pytest.approx(len(whole) / RATE)


@settings(max_examples=60, deadline=None)
@given(recordings())
def test_the_sound_is_never_lost_for_long(channels: np.ndarray) -> None:
    found, mixdown = mixed(channels, [])
    power = np.convolve(found.astype(np.float64) ** 2, np.ones(CELL), "valid")
    loudest = np.stack([np.convolve(one.astype(np.float64) ** 2, np.ones(CELL), "valid") for one in channels]).max(0)
    # A choice may be behind by a cell, and waits while what came before was 40 dB louder.
    lost = (power < 0.04 * loudest) & (loudest > 0.05 * loudest.max())
    assert lost.sum() <= 3 * CELL * 5  # of five stretches
    assert (mixdown.warning() is None) == (mixdown.replaced <= min(1.0, 0.1 * mixdown.seconds))


def test_what_is_mixed_and_when() -> None:
    sound = pink(4 * RATE, RATE)
    others = [pink(4 * RATE, RATE, seed=seed) for seed in range(2, 9)]
    silent = np.zeros_like(sound)
    for channels in ([sound] * 2, [sound, silent], [sound, silent, silent], [sound, *others], [silent] * 4):
        found, mixdown = mixed(np.stack(channels), [RATE])
        np.testing.assert_allclose(found, np.mean(channels, axis=0), atol=1e-6)
        assert mixdown.warning() is None and mixdown.replaced == 0
    minute = np.zeros(60 * RATE, np.float32)
    for channels in (
        [sound, -sound],
        [-0.97 * sound, sound],
        [silent] * 5 + [sound] + [silent] * 2,
        [sound] + [silent] * 3,
    ):
        found, mixdown = mixed(np.stack(channels), [RATE, 3 * RATE])
        np.testing.assert_allclose(np.abs(found), np.abs(sound), rtol=0.04, atol=1e-6)
        assert mixdown.replaced == pytest.approx(4, abs=0.2) and re.search(WARNING, mixdown.warning() or "")
        late, _ = mixed(np.stack([np.concatenate([minute, one]) for one in channels]), [])
        assert not late[: len(minute)].any() and np.array_equal(late[len(minute) :], found)


@pytest.mark.parametrize("offset", [(0.02, 0.02), (0.1, 0.1), (0.1, -0.1), (0.9, 0.0)])
def test_an_offset_is_no_sound(offset: tuple[float, float]) -> None:
    sound = 0.01 * pink(4 * RATE, RATE)
    expected = sound + np.float32(offset[0])
    pair = np.stack([expected, np.float32(offset[1]) - sound])
    eight = np.stack([expected, *[np.full_like(sound, offset[1])] * 7])
    for channels in (pair, eight):
        found, mixdown = mixed(channels, [7, RATE, 3 * RATE + 5])
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert "only channel 1 of" in (mixdown.warning() or "")
    found, mixdown = mixed(np.stack([expected, np.full_like(sound, offset[1])]), [])
    assert np.allclose(found, (expected + np.float32(offset[1])) / 2) and mixdown.warning() is None
    nothing, mixdown = mixed(np.full((2, RATE), offset[0], np.float32), [777])
    assert np.all(nothing == np.float32(offset[0])) and mixdown.replaced == 0


@pytest.mark.parametrize("rest", [0.0, 0.0005, 0.1])  # silent, noise at -66 dB, and more of it than can be mixed
def test_only_channels_without_sound_are_left_out(rest: float) -> None:
    left, right = sine(400, 2, RATE), 0.83 * sine(1700, 2, RATE)
    others = [rest * pink(2 * RATE, RATE, seed=seed) for seed in range(6)]
    for count in (4, 6):
        found, mixdown = mixed(np.stack([left, right, *others[:count]]).astype(np.float32), [])
        np.testing.assert_allclose(found, (left + right) / 2, atol=1e-6)
        assert "are silent, or all but silent, so that only channels 1 and 2 of" in (mixdown.warning() or "")


def test_channels_that_take_turns_count_at_one_level() -> None:
    tone, silent = sine(400, 4, RATE), np.zeros((4, 4 * RATE), np.float32)
    turn = np.arange(len(tone)) // RATE % 2
    found, mixdown = mixed(np.concatenate([[tone * turn, tone * (1 - turn)], silent]).astype(np.float32), [])
    # It is the first one's alone until the other begins, and a cell longer.
    second = RATE + CELL + RATE // 100
    np.testing.assert_allclose(found[:RATE], tone[:RATE], atol=1e-6)
    np.testing.assert_allclose(found[second:], tone[second:] / 2, atol=1e-6)
    assert mixdown.replaced == pytest.approx(4)


def test_a_change_does_not_click() -> None:
    tone = sine(50, 1, RATE)
    channels = np.stack([np.tile(tone, 4), np.concatenate([tone, -tone, tone, -tone])])
    found, mixdown = mixed(channels, [])
    assert 0.5 < mixdown.replaced < 3.5  # of two seconds in opposite phase
    steepest = np.abs(np.diff(tone)).max()
    assert np.abs(np.diff(found)).max() < steepest + 0.5 / (RATE // 100) + 1e-6  # plus half scale within 10 ms


@pytest.mark.parametrize("suffix", [".wav", ".m4a", ".opus", ".mkv"])
def test_a_file_in_opposite_phase(tmp_path: Path, suffix: str) -> None:
    sound = sine(440, 2, 48000)
    path = encode(tmp_path / f"opposite{suffix}", np.stack([sound, -sound], axis=1), 48000)
    warnings: list[str] = []
    waveform = np.concatenate(list(read_blocks(path, 24000, 0.7, warnings.append)))
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    assert len(warnings) == 1 and re.search(WARNING, warnings[0])
    late = read(path, 24000, start=1.5)
    assert np.sqrt(np.mean(late**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)


def test_segments_are_those_of_one_channel(tmp_path: Path) -> None:
    recogniser = ain.load("kitchen20-small", threads=1)
    sound = read(SCENE, 24000)[: 17 * 24000]
    expected = [(one.label, one.start) for one in recogniser.predict(sound).segments]
    assert len(expected) == 2
    opposite, silent = np.stack([sound, -sound], axis=1), np.zeros_like(sound)
    for channels in (opposite, np.stack([silent] * 7 + [sound], axis=1)):
        from_file = recogniser.predict(write_wav(tmp_path / "scene.wav", channels, 24000))
        with pytest.warns(UserWarning, match=WARNING):
            from_array = recogniser.predict(channels)
        for found in (from_file, from_array):
            assert [(one.label, one.start) for one in found.segments] == expected
            assert len(found.warnings) == 1 and re.search(WARNING, found.warnings[0])
    stream, one_channel = Stream(recogniser), Stream(recogniser)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        steps = [*stream.push(opposite[:7]), *stream.push(opposite[7:]), *stream.finish()]
    assert [one.filename for one in caught] == [__file__]
    expected_steps = [*one_channel.push(sound), *one_channel.finish()]
    labels = [[one.label for one in found] for found in (steps, expected_steps)]
    assert labels[0] == labels[1] and any(labels[0])
