"""Arrays as recordings: every type of number, every mistake."""

from __future__ import annotations

import io
import json
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import audioinceptionnext as ain
from audioinceptionnext.audio.capture import SampleConverter
from audioinceptionnext.audio.decode import read
from audioinceptionnext.audio.samples import LOUDEST, as_float, kind_of_bytes, read_array
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.results.types import Score, Segment
from tests.audio_files import encode, sine, write_wav
from tests.strategies import recognition

RATE = 24_000
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"


@pytest.fixture(scope="module")
def recogniser() -> ain.Recogniser:
    return ain.load("kitchen20-small", threads=1)


@pytest.fixture(scope="module")
def water() -> np.ndarray:
    """Five seconds with one segment."""
    return read(SCENE, RATE, 0, 5)


def labels(result: ain.Recognition) -> list[tuple[str, float]]:
    return [(one.label, one.start) for one in result.segments]


def strict(text: str) -> Any:
    """JSON without the NaN and Infinity that Python would take."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["i1", "u1", "<i2", ">i2", "i4", "u2", "i8", "f2", "<f4", ">f4", "f8"]),
        st.integers(0, 50) | st.tuples(st.integers(0, 50), st.integers(1, 4)),
    )
)
def test_any_numbers_become_finite_floats(values: np.ndarray) -> None:
    found = as_float(values)
    assert found.dtype == np.float32 and found.shape == values.shape
    exact = values.astype(np.float64)
    if values.dtype.kind == "f":
        expected = np.where(np.abs(exact) <= LOUDEST, exact, 0)
    else:
        full_scale = 2.0 ** (8 * values.dtype.itemsize - 1)
        expected = (exact - full_scale * (values.dtype.kind == "u")) / full_scale
        assert np.abs(found).max(initial=0) <= 1
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-30)
    notes: list[str] = []
    if values.dtype.kind == "u":
        with pytest.raises(ParameterError, match=r"^samples: the type is uint"):
            read_array(values, "samples", notes.append)
    else:
        np.testing.assert_array_equal(read_array(values, "samples", notes.append), found)
        damaged = values.dtype.kind == "f" and not (np.abs(exact) <= LOUDEST).all()
        assert damaged == any("count as 0" in note for note in notes)


def test_numbers_of_every_type_give_the_same(recogniser: ain.Recogniser, water: np.ndarray) -> None:
    expected = recogniser.predict(water)
    assert len(expected.segments) == 1 and not expected.warnings
    sixteen = (water * 32767).round().astype(np.int16)
    for values in (sixteen, sixteen.astype(np.int32) << 16, water.astype(np.float64), water.astype(">f4")):
        found = recogniser.predict(values)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.02)
        assert labels(found) == labels(expected) and not found.warnings
    column = recogniser.predict(water[:, None])
    np.testing.assert_array_equal(column.probabilities, expected.probabilities)
    blocks = recogniser.predict(block for block in np.array_split(sixteen, 7))
    np.testing.assert_array_equal(blocks.probabilities, recogniser.predict(sixteen).probabilities)


@pytest.mark.parametrize("offset", [0.02, -0.1])
def test_an_offset_hides_nothing(tmp_path: Path, offset: float) -> None:
    recogniser = ain.load("kitchen20", threads=1)
    scene = read(SCENE, RATE)
    shifted = scene + np.float32(offset)
    expected = recogniser.predict(scene)
    assert len(expected.segments) == 5
    for found in (
        recogniser.predict(shifted),
        recogniser.predict(write_wav(tmp_path / "offset.wav", shifted, RATE)),
        recogniser.predict(iter(np.array_split(np.stack([shifted, shifted], axis=1), 3))),
    ):
        assert labels(found) == labels(expected) and not found.warnings
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.05)
    ends = scene[: 10 * RATE], shifted[: 10 * RATE]
    steps = [[one.label for one in stream.push(end)] for end in ends for stream in [Stream(recogniser)]]
    assert len(steps[0]) == 128 and np.mean([a == b for a, b in zip(*steps, strict=True)]) > 0.95


def test_damaged_values_count_as_0_with_a_warning(recogniser: ain.Recogniser, water: np.ndarray) -> None:
    damaged = water.copy()
    damaged[[100, 200, 300]] = np.nan, np.inf, -np.inf
    healthy = water.copy()
    healthy[[100, 200, 300]] = 0
    with pytest.warns(UserWarning, match="count as 0: 3 samples"):
        found = recogniser.predict(damaged)
    assert len(found.warnings) == 1
    np.testing.assert_array_equal(found.probabilities, recogniser.predict(healthy).probabilities)
    with pytest.warns(UserWarning, match="count as 0"):
        nothing = recogniser.predict(np.full(RATE, np.inf))
    assert not nothing.probabilities.any() and strict(nothing.to_json())["segments"] == []
    with pytest.warns(UserWarning, match="count as 0"):
        assert np.isfinite(recogniser.embed([damaged])).all()
    stream = Stream(recogniser)
    with pytest.warns(UserWarning, match="count as 0") as caught:
        for start in range(0, 4000, 1000):
            stream.push(damaged[:1000])
            assert start >= 0
    assert len(caught) == 1  # and not once for every block


class Odd:
    """Something that NumPy takes for an array, and that fails."""

    def __array__(self, *arguments: object, **others: object) -> np.ndarray:
        raise TypeError("it lies\non a GPU")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([0.1, 0.2], "a list is no array; give numpy.array"),
        (["a.wav", "b.wav"], "a list is no array"),
        ((0.1,), "a tuple is no array"),
        (b"\0\1", "bytes do not say what they are; give numpy.frombuffer"),
        (b"RIFF", "bytes that start like a WAV file; save them to a file and give its name"),
        (memoryview(b"fLaC\0\0"), "bytes that start like a FLAC file"),
        (bytearray(2), "bytes do not say"),
        (None, "NoneType is no array"),
        (3, "int is no array"),
        (object(), "object is no array"),
        (Odd(), "Odd cannot become a NumPy array: it lies on a GPU"),
        (io.BytesIO(b"RIFF\n"), "BytesIO is no array of samples; give the name of the file"),
        (io.BufferedReader(io.BytesIO(b"fLaC")), "BufferedReader is no array of samples; give the name of the file"),
        (iter([[0.1]]), "a list is no array"),
        (iter([]), "its blocks have no samples"),
        (np.zeros(0), "a waveform of shape (0,)"),
        (np.zeros((0, 2)), "a waveform of shape (0, 2)"),
        (np.float32(1), "a waveform of shape ()"),
        (np.zeros((2, 2, 2)), "a waveform of shape (2, 2, 2)"),
        (np.zeros((2, 5000)), "a waveform of shape (2, 5000), but channels come last"),
        (np.zeros((1, 5000), np.int16), "a waveform of shape (1, 5000), but channels come last"),
        (np.zeros(5, bool), "the type is bool"),
        (np.zeros(5, np.uint8), "the type is uint8"),
        (np.zeros(5, complex), "the type is complex128"),
        (np.array(["a"]), "the type is <U1"),
        (np.array([None]), "the type is object"),
        (np.ma.masked_array(np.zeros(5), mask=True), "a masked array does not say"),
        (np.sin(np.arange(5000)) * 30_000, "floats up to 2999"),
    ],
)
def test_what_is_no_recording_is_refused(recogniser: ain.Recogniser, wrong: Any, reason: str) -> None:
    with pytest.raises(ParameterError) as caught:
        recogniser.predict(wrong)
    assert str(caught.value).startswith(f"recording: {reason}") and "\n" not in str(caught.value)
    if not isinstance(wrong, Iterator):
        with pytest.raises(ParameterError):
            recogniser.embed_steps(wrong)
        with pytest.raises(ParameterError):
            recogniser.embed([wrong])
    if wrong is None or isinstance(wrong, int | bytes | np.float32):
        with pytest.raises(ParameterError):
            recogniser.embed(wrong)


def test_a_stream_refuses_the_same_and_only_warns_of_the_range(recogniser: ain.Recogniser) -> None:
    stream = Stream(recogniser)
    for wrong in ([0.1], b"ab", None, np.zeros((100, 100)), np.zeros(4, bool)):
        with pytest.raises(ParameterError, match=r"^samples: "):
            stream.push(wrong)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="floats up to 30000, where full scale is 1"):
        stream.push(np.full(100, 30_000.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.push(np.array([0.1, 5.0, 0.1, -0.1]))  # a float recording may exceed full scale
        stream.push(np.zeros((0, 2), np.int16))


def test_integers_of_a_type_that_is_too_wide(recogniser: ain.Recogniser, water: np.ndarray) -> None:
    sixteen = (water * 32767).round().astype(np.int64)
    with pytest.warns(UserWarning, match=f"int64 with values up to {abs(sixteen).max()} is all but silent"):
        assert recogniser.predict(sixteen).warnings

    as_in_24 = (water * 2**23).astype(np.int32)
    with pytest.warns(UserWarning, match=r"int32 with values up to \d+ is very soft; .* multiply them by 2\*\*8"):
        recogniser.predict(as_in_24)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert labels(recogniser.predict(as_in_24 << 8)) == labels(recogniser.predict(water))
        Stream(recogniser).push(as_in_24)  # which may be no more than a soft beginning


def test_arrays_are_converted_block_by_block() -> None:
    tracemalloc.start()
    try:
        for kind in (np.int16, np.float32, np.float64):
            array = np.ones((RATE * 60, 2), kind)
            array[::2] *= kind(-0.5) if kind != np.int16 else kind(20_000)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            samples = sum(map(len, SampleConverter(RATE, RATE).whole(array, 5.0)))
            assert samples == len(array)
            assert tracemalloc.get_traced_memory()[1] - before < 8 * 5 * RATE * 4  # bytes: some copies of a block
    finally:
        tracemalloc.stop()


def test_a_scale_is_that_of_the_whole(recogniser: ain.Recogniser, water: np.ndarray) -> None:
    loud = np.concatenate([np.zeros(RATE * 40), water * 30_000])  # more than a block later
    with pytest.raises(ParameterError, match="floats up to"):
        recogniser.predict(loud)
    damaged = water.astype(np.float16)
    damaged[::100] = np.inf
    with pytest.warns(UserWarning, match="count as 0: "):
        found = recogniser.predict(damaged)
    np.testing.assert_allclose(
        found.probabilities, recogniser.predict(np.where(np.isinf(damaged), 0, damaged)).probabilities, atol=1e-6
    )


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".m4a", ".aac", ".mp4", ".mka", ".webm", ".avi"])
def test_files_do_not_pass_for_samples(tmp_path: Path, suffix: str) -> None:
    rate = 48_000 if suffix in (".webm", ".opus") else 24_000
    content = encode(tmp_path / f"a{suffix}", sine(440, 1, rate), rate).read_bytes()
    assert kind_of_bytes(content) and kind_of_bytes(content[:300])
    if suffix == ".mp3":  # as it is without tags
        assert kind_of_bytes(content[content.index(b"\xff\xf3") :]) == "an MP3 file"


def test_samples_do_not_pass_for_a_file(water: np.ndarray) -> None:
    for samples in (water, (water * 32767).round().astype(np.int16), np.zeros(99), -np.arange(99, dtype=np.int16)):
        content = samples.tobytes()
        assert not any(kind_of_bytes(content[start : start + 4096]) for start in range(0, len(content), 512))


def test_a_low_sample_rate_gives_one_warning(recogniser: ain.Recogniser, water: np.ndarray, tmp_path: Path) -> None:
    line = "sampled at 16,000 Hz: the model expects sound up to 12 kHz, and may miss some without it"
    samples = np.zeros(16_000, np.int16)
    assert recogniser.predict(write_wav(tmp_path / "low.wav", samples, 16_000)).warnings == [line]
    with pytest.warns(UserWarning, match=line) as given:
        assert recogniser.predict(samples, sample_rate=16_000).warnings == [line]
        assert recogniser.predict(iter([samples, samples]), sample_rate=16_000).warnings == [line]
        stream = Stream(recogniser, sample_rate=16_000)
        for _ in range(3):
            stream.push(samples)
    assert len(given) == 3
    digits = ain.load("digits", threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model, rate in ((recogniser, 24_000), (recogniser, 22_050), (recogniser, 48_000), (digits, 8_000)):
            silent = np.zeros(rate, np.int16)
            assert not model.predict(silent, sample_rate=rate).warnings
            assert not model.predict(write_wav(tmp_path / "enough.wav", silent, rate)).warnings
            Stream(model, sample_rate=rate).push(silent)


def test_arrays_at_another_rate(recogniser: ain.Recogniser, water: np.ndarray, tmp_path: Path) -> None:
    expected = recogniser.predict(water)
    for rate in (44_100, np.int64(48_000), 16_000.0):
        own = read(SCENE, int(rate), 0, 5)
        found = recogniser.predict(np.stack([own, own], axis=1), sample_rate=rate)
        assert labels(found) == labels(expected) and found.duration == pytest.approx(5)
        blocks = recogniser.predict(iter(np.array_split(own, 9)), sample_rate=rate)
        np.testing.assert_allclose(blocks.probabilities, found.probabilities, atol=1e-4)
        np.testing.assert_allclose(
            recogniser.embed(own, sample_rate=rate)[0],
            recogniser.embed_steps(own, sample_rate=rate).mean(axis=0),
            atol=1e-4,
        )
    for wrong in (np.complex64(44_100), 0, -1, 99, 1e9, float("nan"), 44_100.5, "44100", True):
        with pytest.raises(ParameterError, match=r"^sample_rate is .*: give (100 to 1536000|a whole number of) Hz$"):
            recogniser.predict(water, sample_rate=wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^sample_rate is 44100: only arrays need it"):
        recogniser.predict(write_wav(tmp_path / "a.wav", water, RATE), sample_rate=44_100)
    with pytest.raises(ParameterError, match=r"^track is 1: only files have sound tracks"):
        recogniser.predict(water, track=1)


ANY = st.floats() | st.floats(width=32).map(np.float32) | st.integers(-10, 10) | st.integers(-10, 10).map(np.int64)


@settings(deadline=None)
@given(st.lists(st.tuples(ANY, ANY, ANY), max_size=4), st.lists(ANY, max_size=6), ANY)
def test_json_is_json_whatever_the_numbers(segments: list[tuple], scores: list, duration: Any) -> None:
    result = recognition([Segment(start, end, "a", score) for start, end, score in segments])
    result.clip, result.duration = [Score(f"class {n}", score) for n, score in enumerate(scores)], duration
    found = strict(result.to_json())
    assert len(found["segments"]) == len(segments) and len(found["clip"]) == len(scores)
