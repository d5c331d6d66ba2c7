"""Each augmentation on signals for which the result is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from audioinceptionnext.network import LogMel
from audioinceptionnext.training.augment import change_pitch
from audioinceptionnext.training.spec_augment import time_warp
from audioinceptionnext.training.waveform_augment import add_noise, change_speed, coloured, shift
from tests.audio_files import sine

RATE = 24_000


def batch(*waveforms: Tensor) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(w) for w in waveforms])
    return torch.nn.utils.rnn.pad_sequence(list(waveforms), batch_first=True), lengths


def tone(frequency: float, seconds: float, amplitude: float = 0.5) -> Tensor:
    return torch.from_numpy(sine(frequency, seconds, RATE, amplitude))


def peak(waveform: Tensor) -> float:
    """Frequency of the strongest bin, Hz."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs()
    return float(spectrum.argmax()) * RATE / len(waveform)


def test_shift_is_circular_within_each_clip() -> None:
    torch.manual_seed(0)
    clips = [torch.arange(1.0, n + 1) for n in (500, 300, 40)]
    waveforms, lengths = batch(*clips)
    moves = []
    for _ in range(20):
        shifted = shift(
            waveforms, lengths, 0.005, RATE
        )  # up to 120 samples: three times the length of the shortest clip
        for row, clip in zip(shifted, clips, strict=True):
            turned = row[: len(clip)]
            start = int((turned == 1).nonzero())
            assert torch.equal(turned, clip.roll(start))
            assert not row[len(clip) :].any()
            if len(clip) == 300:
                moves.append(start if start <= 150 else start - 300)
    assert len(set(moves)) > 10
    assert -120 <= min(moves) < -20 and 20 < max(moves) <= 120
    torch.testing.assert_close(shift(waveforms, lengths, 0.0, RATE), waveforms)


@pytest.mark.parametrize("recorded", [False, True])
def test_noise_has_the_requested_ratio(recorded: bool) -> None:
    torch.manual_seed(0)
    waveforms, lengths = batch(tone(440, 2.0), tone(1000, 0.7, 0.01), tone(3000, 1.3, 0.9))
    noise = torch.randn(4, 10_007) * torch.tensor([[0.01], [1.0], [0.1], [3.0]]) if recorded else None
    for requested in (-5.0, 0.0, 20.0):
        noisy = add_noise(waveforms, lengths, (requested, requested), 1.0, noise)
        for row, clean, length in zip(noisy, waveforms, lengths.tolist(), strict=True):
            added = (row - clean)[:length].double()
            ratio = 10 * torch.log10(clean[:length].double().square().mean() / added.square().mean())
            assert abs(float(ratio) - requested) < 0.2
            assert not row[length:].any()


def test_recorded_noise_is_a_stretch_of_a_piece() -> None:
    """Ramps show the place: differences are one step, with one jump back where the piece begins again."""
    torch.manual_seed(0)
    waveforms, lengths = batch(*[torch.ones(250)] * 16)
    noise = torch.stack([torch.arange(1.0, 101), torch.arange(1001.0, 1101)])
    added = add_noise(waveforms, lengths, (0.0, 0.0), 1.0, noise) - waveforms
    pieces, starts = set(), set()
    for row in added:
        step = row.diff().abs().median()
        values = (row / step).round().int()
        pieces.add(int(values[0]) > 500)
        starts.add(int(values[0]) % 1000)
        assert sorted(set(values.diff().tolist())) == [-99, 1]
    assert pieces == {False, True} and len(starts) > 8


def test_noise_comes_with_its_probability() -> None:
    torch.manual_seed(0)
    waveforms, lengths = batch(*[tone(500, 0.02)] * 1000)
    changed = (add_noise(waveforms, lengths, (0.0, 10.0), 0.3) != waveforms).any(1)
    assert 240 < int(changed.sum()) < 360
    torch.testing.assert_close(add_noise(waveforms, lengths, (0.0, 10.0), 0.0), waveforms)


def test_noise_is_coloured_from_white_to_brown() -> None:
    torch.manual_seed(0)
    noise = coloured(200, 1 << 15)
    power = torch.fft.rfft(noise).abs().square()
    octaves = [power[:, 2**k : 2 ** (k + 1)].mean(1).log2() for k in range(7, 14)]  # from 94 Hz at 24 kHz
    slopes = (octaves[-1] - octaves[0]) / 6
    assert -2.2 < float(slopes.min()) < -1.8
    assert -0.2 < float(slopes.max()) < 0.2
    assert abs(float(slopes.mean()) + 1) < 0.15
    repeated = coloured(2, 100_000)
    assert repeated.shape == (2, 100_000)
    torch.testing.assert_close(repeated[:, 65_536:], repeated[:, : 100_000 - 65_536])


def test_speed_moves_pitch_and_tempo_together() -> None:
    waveforms, lengths = batch(tone(1000, 1.0), tone(2000, 0.6))
    for factor in (0.8, 1.0, 1.25):
        played, counts = change_speed(waveforms, lengths, (factor, factor))
        assert played.shape == (2, int(counts.max()))
        for row, count, length, frequency in zip(played, counts, lengths.tolist(), (1000, 2000), strict=True):
            assert abs(int(count) - length / factor) <= 1
            assert abs(peak(row[: int(count)]) - factor * frequency) < 2
            assert not row[int(count) :].any()
            times = torch.arange(int(count), dtype=torch.float64) * (round(factor * 65536) / 65536) / RATE
            expected = 0.5 * torch.sin(2 * math.pi * frequency * times)
            assert float((row[: int(count)] - expected)[5:-5].abs().max()) < 2e-3
    identity, counts = change_speed(waveforms, lengths, (1.0, 1.0))
    torch.testing.assert_close(identity, waveforms, rtol=0, atol=0)
    assert counts.tolist() == lengths.tolist()


def test_each_clip_has_its_own_speed_uniform_in_octaves() -> None:
    torch.manual_seed(0)
    waveforms, lengths = batch(*[torch.ones(10_000)] * 400)
    _, counts = change_speed(waveforms, lengths, (0.5, 2.0))
    octaves = torch.log2(10_000 / counts)
    assert len(set(counts.tolist())) > 300
    assert abs(float(octaves.mean())) < 0.1
    assert -1.001 <= float(octaves.min()) < -0.9 and 0.9 < float(octaves.max()) <= 1.001


def test_speed_stays_exact_in_long_waveforms() -> None:
    """After ten minutes, the place between two samples is still correct; float32 would be off by half a sample."""
    samples = 600 * RATE
    ramp = torch.arange(samples, dtype=torch.float64)[None] / 1e6
    played, counts = change_speed(ramp, torch.tensor([samples]), (0.9, 0.9))
    last = int(counts[0]) - 10
    assert abs(float(played[0, last]) * 1e6 - last * round(0.9 * 65536) / 65536) < 1e-3


@pytest.mark.parametrize("semitones", [-3.0, -0.7, 2.0, 4.0])
def test_pitch_moves_a_ridge_where_the_mel_formula_says(semitones: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fixed shift: the moved log-mel of a tone peaks where the log-mel of the moved tone does."""
    monkeypatch.setattr(Tensor, "uniform_", lambda self, low, high: self.fill_(semitones))
    front = LogMel()
    for frequency in (600.0, 1500.0, 4000.0):
        moved = change_pitch(front(tone(frequency, 0.5)[None]), 4.0, RATE)[0, 0, 40]
        expected = front(tone(frequency * 2 ** (semitones / 12), 0.5)[None])[0, 0, 40]
        assert abs(int(moved.argmax()) - int(expected.argmax())) <= 1
    # A straight line over the bands shows the exact place of the formula.
    bands = torch.arange(128.0).expand(1, 1, 3, 128)
    edges = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 130)
    hz = 700 * (10 ** (edges[1:-1] / 2595) - 1) / 2 ** (semitones / 12)
    place = np.clip(2595 * np.log10(1 + hz / 700) / edges[1] - 1, 0, 127)
    np.testing.assert_allclose(change_pitch(bands, 4.0, RATE)[0, 0, 1], place, atol=1e-3)


def test_no_pitch_shift_changes_nothing_and_clips_differ() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 1, 20, 128)
    torch.testing.assert_close(change_pitch(x, 0.0, RATE), x, rtol=1e-3, atol=1e-3)
    ramps = change_pitch(torch.arange(128.0).expand(64, 1, 2, 128), 2.0, RATE)
    assert len({round(float(r), 4) for r in ramps[:, 0, 0, 64]}) > 50
    assert ramps.min() >= 0 and ramps.max() <= 127  # the outermost bands are repeated


def test_time_warp_stretches_both_sides_of_a_moment() -> None:
    torch.manual_seed(0)
    frames, max_frames = 200, 5
    x = torch.arange(float(frames))[None, None, :, None].expand(64, 1, frames, 3).contiguous()
    warped = time_warp(x, max_frames)
    assert warped.shape == x.shape
    for row in warped[:, 0, :, 0].double():
        assert row[0] == 0 and abs(float(row[-1]) - (frames - 1)) < 1e-3
        steps = row.diff()
        assert bool((steps > 0).all())
        assert float((row - torch.arange(frames)).abs().max()) <= max_frames + 1e-3
        rounded = (steps * 500).round()
        assert len(set(rounded.tolist())) <= 4  # two slopes, the one frame between them, and rounding
    moves = (warped[:, 0, :, 0] - x[:, 0, :, 0]).abs().amax(1)
    assert float(moves.max()) > 3 and float(moves.min()) < 1.5
    assert torch.equal(time_warp(x, 0), x)
    assert torch.equal(time_warp(x[:, :, :11], 5), x[:, :, :11])  # no moment is 5 frames from both ends


def test_silence_stays_silence() -> None:
    waveforms, lengths = torch.zeros(3, 1000), torch.tensor([1000, 10, 0])
    noise = torch.zeros(2, 50)
    for result in (
        shift(waveforms, lengths, 0.01, RATE),
        add_noise(waveforms, lengths, (0.0, 20.0), 1.0),
        add_noise(waveforms, lengths, (0.0, 20.0), 1.0, noise),
        change_speed(waveforms, lengths, (0.8, 1.25))[0],
    ):
        assert not result.any()
    sound = tone(500, 0.05)[None]
    torch.testing.assert_close(add_noise(sound, torch.tensor([1200]), (0.0, 0.0), 1.0, noise), sound)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=4),
    spare=st.integers(0, 5),
    pieces=st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 900))),
    low=st.floats(0.5, 1.0),
    high=st.floats(1.0, 2.0),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_shape_gives_finite_and_reproducible_results(
    lengths: list[int], spare: int, pieces: tuple[int, int] | None, low: float, high: float, seed: int
) -> None:
    samples = max(1, max(lengths) + spare)
    counts = torch.tensor(lengths)
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.randn(len(lengths), samples, generator=generator)
    waveforms *= torch.arange(samples) < counts[:, None]
    noise = None if pieces is None else torch.randn(*pieces, generator=generator)
    before = waveforms.clone()

    def augmented() -> list[Tensor]:
        torch.manual_seed(seed)
        shifted = shift(waveforms, counts, 0.01, RATE)
        noisy = add_noise(shifted, counts, (-5.0, 30.0), 0.7, noise)
        played, new = change_speed(noisy, counts, (low, high))
        x = torch.randn(len(lengths), 1, samples, 16)
        return [shifted, noisy, played, new, change_pitch(x, 3.0, RATE), time_warp(x, 5)]

    first, again = augmented(), augmented()
    assert torch.equal(waveforms, before)
    shifted, noisy, played, new, pitched, warped = first
    assert shifted.shape == noisy.shape == waveforms.shape
    assert played.shape == (len(lengths), max(1, int(new.max())))
    assert pitched.shape == warped.shape == (len(lengths), 1, samples, 16)
    assert all(bool(x.isfinite().all()) for x in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for row, count in zip(played, new.tolist(), strict=True):
        assert not row[count:].any()
