"""Rendered sound: any number of labelled clips, without a download."""

import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.data import load_dataset
from audioinceptionnext.rendering import FAMILIES, LABELS, render
from audioinceptionnext.rendering.signals import band, coloured, struck
from tests.command import ainext, refused


@pytest.mark.parametrize("rate", [8_000, 24_000])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_choice_of_a_family_is_silent(family, rate):
    for choices in np.ndindex(*(len(values) for values in family.choices)):
        sound = family.make(np.random.default_rng(1), rate // 2, rate, *choices)
        assert sound.shape == (rate // 2,) and np.isfinite(sound).all()
        assert sound.std() > 0, choices


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9), st.floats(0.2, 1.0), st.sampled_from([8_000, 16_000, 24_000]))
def test_a_clip_depends_on_its_number_alone_and_stays_in_full_scale(seed, seconds, rate):
    sound, label = render(seed, seconds, rate)
    assert sound.shape == (round(seconds * rate),) and sound.dtype == np.float32
    assert 10 ** (-31 / 20) < np.abs(sound).max() <= 1
    assert label in LABELS
    again, same = render(seed, seconds, rate)
    assert np.array_equal(sound, again) and label == same


def test_labels_are_true():
    """The pitch and the decay of struck bodies and the colour of noise can be measured."""
    rng = np.random.default_rng(0)
    body = struck(rng, 24_000, 24_000, 500.0, 0.2, 1)
    assert abs(np.abs(np.fft.rfft(body)).argmax() - 500) < 15  # 1 Hz per bin; modes deviate by up to 2 %
    early, late = np.add.reduceat(body**2, [0, 4_800])  # with a decay of 0.2 s, e^-2 of the energy is left
    assert abs(late / (early + late) - np.exp(-2)) < 0.01
    power = np.abs(np.fft.rfft(coloured(rng, 1 << 16, 1.0))) ** 2
    octaves = [power[1 << k : 2 << k].sum() for k in range(8, 15)]
    assert max(octaves) < 1.3 * min(octaves)  # pink: the same power in every octave
    inside = np.abs(np.fft.rfft(band(rng.standard_normal(24_000), 1_000, 2_000, 24_000))) ** 2
    assert inside[800:2_500].sum() > 0.9 * inside.sum()


def test_a_folder_of_clips_is_a_data_set_and_an_interrupted_run_continues(tmp_path):
    options = ("--clip-seconds", "0.3", "--sample-rate", "8000", "--jobs", "2")
    call = ("data", "render", tmp_path / "rendered", *options)
    assert "of which 10 are new" in ainext(*call, "--clips", "10").out
    assert "of which 4 are new" in ainext(*call, "--clips", "14").out
    clips = load_dataset("folder", tmp_path / "rendered").clips
    assert len(clips) == 14
    for clip in clips:
        with wave.open(str(clip.path)) as file:
            assert (file.getframerate(), file.getnframes()) == (8_000, 2_400)
            written = np.frombuffer(file.readframes(2_400), "<i2") / 32_768
        sound, label = render(int(clip.path.stem), 0.3, 8_000)
        assert clip.path.parent.name == label
        assert np.abs(written - sound).max() <= 0.5 / 32_768 + 1e-6


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    message = refused("data", "render", tmp_path / "file" / "x", "--clips", "3")
    assert "cannot write rendered clips" in message and "0 of 3 done" in message
