"""`LogMel` gives what librosa gives."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.audio.decode import read
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network import LogMel
from audioinceptionnext.network.frontend import LOG_OFFSET, mel_filters, without_dc
from tests.audio_files import pink
from tests.networks import by_librosa

SETTINGS = [(24_000, 10, 5), (16_000, 20, 10)]
SHORT = (24_000, 21.333, 12.5, 64)  # a window of 512 samples, for a transform of as many
REAL = Path(__file__).parents[2] / "shared" / "data" / "kitchen20" / "audio"


@pytest.mark.parametrize(
    ("rate", "window_ms", "hop_ms", "bands", "n_fft"),
    [
        (24_000, 10, 5, 128, 2048),
        (16_000, 20, 10, 128, 2048),
        (22_050, 10, 5, 128, 2048),
        (8_000, 25, 10, 128, 2048),
        (24_000, 25, 10, 64, 2048),
        (24_000, 25, 10, 64, 1024),
        (*SHORT, 512),
    ],
)
@pytest.mark.parametrize("samples", [49_919, 49_920, 49_921, 5_000, 100, 1])
def test_equals_librosa(rate: int, window_ms: float, hop_ms: float, bands: int, n_fft: int, samples: int) -> None:
    waveform = pink(max(samples, 3000), rate)[:samples]
    front = LogMel(rate, window_ms, hop_ms, bands, n_fft=n_fft)
    with torch.no_grad():
        found = front(torch.from_numpy(waveform)[None])
    expected = by_librosa(waveform, rate, window_ms, hop_ms, bands, n_fft)
    assert found.shape == (1, 1, front.frames(samples), bands)
    assert np.abs(found[0, 0].numpy() - expected).max() < 2e-3


@pytest.mark.parametrize("remove_dc", [False, True])
def test_a_transform_as_short_as_the_window(remove_dc: bool) -> None:
    front = LogMel(*SHORT, remove_dc=remove_dc, n_fft=512)
    assert (front.window, front.hop) == (512, 300)
    waveform = torch.from_numpy(pink(50_000, 24_000) + np.float32(0.02))[None]
    kept = without_dc(waveform, 300, 24_000) if remove_dc else waveform
    expected = by_librosa(kept[0].double().numpy(), *SHORT, n_fft=512)
    with torch.no_grad():
        assert np.abs(front(waveform)[0, 0].numpy() - expected).max() < 1e-5
        front.exact = False  # rounds faint magnitudes beside loud ones, so that these differ, and not their logarithms
        assert np.abs(front(waveform)[0, 0].exp().numpy() - np.exp(expected)).max() < 1e-4


def test_the_window_fits_into_the_transform() -> None:
    with pytest.raises(ParameterError, match=r"window_ms is 25: .* do not fit at 24000 Hz and an n_fft of 512"):
        LogMel(24_000, 25, 10, 64, n_fft=512)
    with pytest.raises(ParameterError, match="bands is 300: give 1 to 256"):
        LogMel(24_000, 20, 10, 300, n_fft=512)


def test_computed_tables_equal_the_stored_ones() -> None:
    for window_ms in (10, 25, 10.04):  # the last one is an odd number of samples
        front = LogMel(24_000, window_ms)
        waveform = torch.from_numpy(pink(20_000, 24_000))[None]
        stored = front(waveform)
        front.stored = False
        torch.testing.assert_close(front(waveform), stored, rtol=0, atol=1e-6)


def test_the_number_of_bands_is_limited() -> None:
    for bands in (0, 2048):
        with pytest.raises(ParameterError, match=f"bands is {bands}: give 1 to 1024"):
            LogMel(bands=bands)


def test_a_clip_has_the_published_frames() -> None:
    for (rate, window, hop), seconds, frames in zip(SETTINGS, (2.08, 5.119), (416, 512), strict=True):
        assert LogMel(rate, window, hop).frames(round(rate * seconds) - 1) == frames


def test_faint_bands_beside_loud_ones_equal_librosa() -> None:
    """A loud hum with next to nothing above it, where a float32 spectrum would consist of its own rounding."""
    time = np.arange(48_000) / 24_000
    waveform = (0.9 * np.sin(2 * np.pi * 60 * time) + 1e-6 * np.sin(2 * np.pi * 9000 * time)).astype(np.float32)
    with torch.no_grad():
        found = LogMel()(torch.from_numpy(waveform)[None])[0, 0].numpy()
    assert np.abs(found - by_librosa(waveform, 24_000, 10, 5)).max() < 1e-4


def test_filters_equal_librosa() -> None:
    for rate, _, _ in SETTINGS:
        expected = librosa.filters.mel(sr=rate, n_fft=2048, n_mels=128, htk=True, norm=None, dtype=np.float64)
        np.testing.assert_allclose(mel_filters(rate).T.numpy(), expected, atol=1e-9)


@pytest.mark.needs("data")
@pytest.mark.parametrize(("rate", "window_ms", "hop_ms"), SETTINGS)
def test_equals_librosa_on_real_clips(rate: int, window_ms: float, hop_ms: float) -> None:
    front = LogMel(rate, window_ms, hop_ms)
    for path in sorted(REAL.glob("*.ogg"))[::40]:
        waveform = read(path, rate)
        with torch.no_grad():
            found = front(torch.from_numpy(waveform)[None])[0, 0].numpy()
        assert np.abs(found - by_librosa(waveform, rate, window_ms, hop_ms)).max() < 1e-4, path.name


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40_000),
    st.floats(-0.5, 0.5),
    st.sampled_from([(24_000, 10, 5, 128), (24_000, 25, 10, 64), (8_000, 20, 5, 128), (16_000, 5, 2, 128)]),
)
def test_an_offset_makes_no_difference(samples: int, offset: float, setting: tuple[int, float, float, int]) -> None:
    front = LogMel(*setting, remove_dc=True)
    noise = 0.1 * np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    with torch.no_grad():
        plain, shifted = (front(torch.from_numpy(one)[None]) for one in (noise, noise + np.float32(offset)))
    assert plain.shape == (1, 1, front.frames(samples), setting[3])
    assert (plain.exp() - shifted.exp()).abs().max() < 1e-3  # of magnitudes about 1


def test_only_what_is_below_hearing_is_removed() -> None:
    rate, hop, time = 24_000, 240, np.arange(3 * 24_000) / 24_000
    middle = slice(rate, 2 * rate)

    def left(waveform: np.ndarray) -> np.ndarray:
        return without_dc(torch.from_numpy(waveform.astype(np.float32))[None], hop, rate)[0].numpy()

    for hertz, least, most in ((0.5, 0, 0.05), (2, 0.2, 0.6), (4, 0.85, 1.05), (20, 0.98, 1.02), (50, 0.99, 1.01)):
        tone = np.sin(2 * np.pi * hertz * time)
        assert least <= np.abs(left(tone)[middle]).max() <= most, hertz
    for hertz in (100, 1000, 5000):
        tone = np.sin(2 * np.pi * hertz * time)
        assert np.abs(left(tone) - tone)[middle].max() < 1e-3, hertz
    assert np.abs(left(0.3 * time / 3)[middle]).max() < 1e-3  # an offset that drifts


def test_digital_silence_stays_so() -> None:
    waveform = 0.3 + 0.1 * np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    waveform[10_000:20_000] = 0
    front = LogMel(24_000, 25, 10, 64, remove_dc=True)
    with torch.no_grad():
        log_mel = front(torch.from_numpy(waveform)[None])[0, 0]
        assert not without_dc(torch.zeros(2, 5_000), 240, 24_000).any()
    assert (log_mel[44:82] == np.float32(np.log(LOG_OFFSET))).all() and (log_mel[:40].amax(1) > -5).all()
