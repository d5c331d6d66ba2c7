"""Clips reach training exactly, in an order that depends on the seed, and unreadable ones do not stop it."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_all_start_methods, set_start_method
from pathlib import Path
from typing import Any

import h5py
import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

import audioinceptionnext
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import FULL_SCALE, Reader, to_float, to_int16
from audioinceptionnext.data.sampling import Draw, EpochOrder
from audioinceptionnext.data.waveforms import Batch, Failure, Item, Keep, Waveforms, loader
from audioinceptionnext.errors import AinextError, MediaError
from tests.audio_files import chirp, encode, write_wav

RATE = 24_000
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """12 s, quantised to 16 bits."""
    return (np.rint(chirp(12, RATE, 100, 6000) * 32_768) / 32_768).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(sound: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "audio.hdf5"
    with h5py.File(path, "w") as file:
        file["P01_01"] = sound
        file["double"] = sound.astype(np.float64)
        file["short"] = np.rint(sound * 32_768).astype(np.int16)
        file["byte"] = np.arange(256).astype(np.uint8)
        file["broken"] = np.array([0.5, np.nan, np.inf, -1e30, -0.5])
        file["stereo"] = np.zeros((2, 9))
        file["group/inner"] = sound
    return path


@pytest.fixture(scope="module")
def clips(recordings: Path, sound: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Ten of all kinds and lengths; the fourth cannot be read."""
    folder = tmp_path_factory.mktemp("clips")
    wav = write_wav(folder / "a.wav", sound, RATE)
    opus = encode(folder / "b.opus", sound[: 3 * RATE], RATE)
    (folder / "text.wav").write_text("no sound")
    made = [Clip(wav, 0), Clip(opus, 1), Clip(wav, 0, 10.5, 11.0), Clip(folder / "text.wav", 1), Clip(wav, 1, 2, 9)]
    made += [Clip(recordings, number % 2, number, number + 0.4 * number, key="P01_01") for number in range(1, 6)]
    return made


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.failures == b.failures and all(torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
        for a, b in zip(one, other, strict=True)
    )


def test_hdf5_gives_exactly_the_requested_samples(recordings: Path, sound: np.ndarray) -> None:
    reader = Reader(RATE)
    for first, stop in ((0, 5), (1, 49_919), (92_520, 99_408), (143_809, 168_211), (287_999, 288_000)):
        clip = Clip(recordings, 0, first / RATE, stop / RATE, key="P01_01")
        np.testing.assert_array_equal(reader.read(clip), sound[first:stop])
        assert reader.samples(clip) == stop - first
        for start in (1, 7, 333):  # relative to the clip, and never beyond its end
            found = reader.read(clip, start / RATE, 6000 / RATE)
            np.testing.assert_array_equal(found, sound[first + start : min(stop, first + start + 6000)])
    beyond = Clip(recordings, 0, 11.5, 20, key="P01_01")
    assert reader.samples(beyond) == len(reader.read(beyond)) == RATE // 2
    for key in ("double", "short"):
        np.testing.assert_array_equal(reader.read(Clip(recordings, 0, 1, 2, key=key)), sound[RATE : 2 * RATE])
    np.testing.assert_array_equal(reader.read(Clip(recordings, 0, key="byte")), (np.arange(256) - 128) / 128)
    np.testing.assert_array_equal(reader.read(Clip(recordings, 0, key="broken")), [0.5, 0, 0, 0, -0.5])


def test_sixteen_bits_stay_as_they_are() -> None:
    every = np.arange(-32_768, 32_768, dtype=np.int16)
    samples = (every / 32_768).astype(np.float32)  # as FFmpeg decodes them
    np.testing.assert_array_equal(to_int16(samples), every)
    np.testing.assert_array_equal(to_float(every), samples)
    np.testing.assert_array_equal(
        to_int16(np.float32([-7, -1, 0.99999, 1, 9])), [-32_768, -32_768, 32_767, 32_767, 32_767]
    )


@pytest.mark.parametrize("rate", [24_000, 16_000, 22_050, 48_000])
def test_a_file_and_hdf5_give_the_same_samples(recordings: Path, sound: np.ndarray, tmp_path: Path, rate: int) -> None:
    wav = write_wav(tmp_path / "a.wav", sound * 32_768 / 32_767, RATE)
    reader = Reader(rate)
    whole = reader.read(Clip(recordings, 0, key="P01_01"))
    for start, end in ((0.0, None), (0.0, 3.3), (1.2345, 4.0), (10.9, 11.7), (11.999, None)):
        file, hdf5 = Clip(wav, 0, start, end), Clip(recordings, 0, start, end, key="P01_01")
        assert reader.samples(file) == reader.samples(hdf5) == len(reader.read(hdf5))
        np.testing.assert_allclose(reader.read(file), reader.read(hdf5), atol=1e-6)
        for clip in (file, hdf5):
            *blocks, last = reader.read_blocks(clip, 1.1)
            assert {len(block) for block in blocks} <= {round(1.1 * rate)} and 0 < len(last) <= round(1.1 * rate)
            np.testing.assert_allclose(np.concatenate([*blocks, last]), reader.read(clip), atol=1e-6)
        for inner in (0.0, 0.31):
            found = reader.read(hdf5, inner, 0.25)
            first = round(start * rate) + round(inner * rate)
            stop = min(first + round(0.25 * rate), len(whole) if end is None else round(end * rate))
            np.testing.assert_allclose(found, whole[first:stop], atol=1e-6)  # as if the whole recording had been read
            np.testing.assert_allclose(reader.read(file, inner, 0.25), found, atol=1e-6)


def test_only_the_slice_is_read(sound: np.ndarray, tmp_path: Path) -> None:
    """Both sides of a damaged part of a recording can be read; reading the part itself is an error."""
    path = tmp_path / "damaged.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("v", data=sound, chunks=(RATE,), fletcher32=True)
        place = data.id.get_chunk_info(5).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place + 1000)
        raw.write(b"damage")
    reader = Reader(RATE)
    for second in (4, 6):
        clip = Clip(path, 0, second, second + 1, key="v")
        np.testing.assert_array_equal(reader.read(clip), sound[second * RATE : (second + 1) * RATE])
    with pytest.raises(MediaError, match=r"damaged\.hdf5:v \(5\.500-6\.500 s\): damaged: .*; get a complete copy"):
        reader.read(Clip(path, 0, 5.5, 6.5, key="v"))


def test_clips_that_cannot_be_read_are_one_line(recordings: Path, tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.hdf5", tmp_path / "text.hdf5"
    cut.write_bytes(recordings.read_bytes()[:100_000])
    text.write_text("no HDF5")
    wav = write_wav(tmp_path / "a.wav", np.zeros(RATE), RATE)
    cases = [
        (Clip(recordings, 0, key="P99_99"), "P99_99: no such recording among the 7 there"),
        (Clip(recordings, 0, key="group"), "group: not a recording"),
        (Clip(recordings, 0, key="stereo"), "stereo: not a recording"),
        (Clip(recordings, 0, 12.0, 13.0, key="P01_01"), "P01_01 (12.000-13.000 s): the recording has no sound there"),
        (Clip(recordings, 0, 2.0, 2.0, key="P01_01"), "no sound there"),
        (Clip(wav, 0, 1.5, 3.0), "a.wav (1.500-3.000 s): the recording has no sound there"),
        (Clip(cut, 0, key="P01_01"), "cut.hdf5: not a complete HDF5 file"),
        (Clip(text, 0, key="P01_01"), "text.hdf5: not a complete HDF5 file"),
        (Clip(tmp_path, 0, key="P01_01"), "not a complete HDF5 file"),
        (Clip(tmp_path / "none.hdf5", 0, key="P01_01"), "none.hdf5: no such file"),
    ]
    for clip, message in cases:
        for _ in range(2):
            with pytest.raises(MediaError) as raised:
                Reader(RATE).read(clip)
            assert message in str(raised.value) and "\n" not in str(raised.value), raised.value


@pytest.fixture
def no_worker_left() -> Iterator[None]:
    """Ends the workers of a test. The garbage collector would wait 5 s for each of them, in whatever test it runs."""
    yield
    for one in gc.get_objects():
        if type(one) is _MultiProcessingDataLoaderIter:
            one._shutdown_workers()


@pytest.mark.usefixtures("no_worker_left")
@pytest.mark.parametrize("keep", ["nothing", "disk", "memory"])
def test_workers_give_the_same_batches(clips: list[Clip], tmp_path: Path, keep: Keep) -> None:
    epochs: dict[int, list[list[Batch]]] = {}
    for workers in (0, 2):
        cache = tmp_path / str(workers)
        waveforms = Waveforms(clips, Reader(RATE), 1.5, seed=3, keep=keep, cache=cache, workers=workers)
        assert isinstance(waveforms[9], Item)  # opens the HDF5 file before there are workers
        order = EpochOrder(len(clips), 4, seed=3)
        batches = loader(waveforms, 4, order=order, workers=workers)
        state = torch.get_rng_state()
        epochs[workers] = []
        for epoch in range(3):
            order.set_epoch(epoch)
            epochs[workers].append(list(batches))
        assert torch.equal(torch.get_rng_state(), state)
    assert all(same(one, other) for one, other in zip(epochs[0], epochs[2], strict=True))
    for batches_of_epoch in epochs[0]:
        assert sorted(torch.cat([batch.indices for batch in batches_of_epoch]).tolist()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        ((index, reason),) = [failure for batch in batches_of_epoch for failure in batch.failures]
        assert index == 3 and "text.wav" in reason
    for batch in epochs[0][0]:
        for waveform, length, label, index in zip(*batch[:4], strict=True):
            clip = clips[index]
            assert label == clip.label and length == min(RATE * 3 // 2, len(Reader(RATE).read(clip)))
            assert not waveform[length:].any() and waveform[:length].any()
    assert not same(epochs[0][0], epochs[0][1])


def test_an_unreadable_clip_is_a_failure_and_a_bug_is_raised(clips: list[Clip]) -> None:
    waveforms = Waveforms([clips[3], clips[3]], Reader(RATE), keep="nothing")
    assert isinstance(waveforms[0], Failure)
    (batch,) = loader(waveforms, 4)
    assert batch.waveforms.shape[0] == len(batch.labels) == 0 and [index for index, _ in batch.failures] == [0, 1]

    class Buggy(Reader):
        def read(self, clip: Clip, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Waveforms(clips, Buggy(RATE), keep="nothing")[0]
    with pytest.raises(ZeroDivisionError):
        Waveforms(clips, Buggy(RATE), keep="memory")


@pytest.mark.parametrize("keep", ["nothing", "memory"])
def test_a_stretch_depends_on_seed_epoch_and_clip_alone(clips: list[Clip], sound: np.ndarray, keep: Keep) -> None:
    waveforms = Waveforms(clips, Reader(RATE), 1.5, seed=1, keep=keep)

    def stretch(draw: Draw, of: Waveforms = waveforms) -> np.ndarray:
        item = of[draw]
        assert isinstance(item, Item)
        return item.waveform.numpy()

    def place(draw: Draw, of: Waveforms = waveforms) -> int:
        """The first sample of the stretch; no two places of the chirp are alike."""
        windows = np.lib.stride_tricks.sliding_window_view(sound, 8)
        return int(np.abs(windows - stretch(draw, of)[:8]).max(axis=1).argmin())

    places = [place(Draw(epoch, 4)) for epoch in range(8)]
    assert len(set(places)) == 8 and min(places) >= 2 * RATE and max(places) <= 7.5 * RATE
    assert max(places) - min(places) > 2 * RATE
    copy = pickle.loads(pickle.dumps(waveforms))  # as in a spawned worker
    assert [place(Draw(epoch, 4), copy) for epoch in reversed(range(8))] == places[::-1]
    assert place(Draw(0, 4), Waveforms(clips[:5], Reader(RATE), 1.5, seed=1, keep=keep)) == places[0]
    assert place(Draw(0, 4, repeat=1)) != places[0] != place(Draw(0, 4), Waveforms(clips, Reader(RATE), 1.5, seed=2))
    assert len(stretch(Draw(0, 2))) == RATE // 2  # a clip that is shorter is given whole
    whole = Waveforms(clips, Reader(RATE), keep=keep)
    np.testing.assert_allclose(stretch(Draw(7, 4), whole), Reader(RATE).read(clips[4]), atol=0.6 / FULL_SCALE)


def test_a_stretch_is_found_if_the_list_states_too_late_an_end(clips: list[Clip]) -> None:
    waveforms = Waveforms([Clip(clips[1].path, 0, 1.0, 500.0)], Reader(RATE), 1.5, keep="nothing")
    for epoch in range(5):
        item = waveforms[Draw(epoch, 0)]
        assert isinstance(item, Item) and len(item.waveform) == RATE * 3 // 2


class Counting(Reader):
    reads = 0

    def read(self, clip: Clip, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        self.reads += 1
        return super().read(clip, start, seconds)


def test_disk_cache_is_used_repaired_and_follows_the_recording(clips: list[Clip], tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", chirp(2, RATE), RATE)
    mine = [Clip(wav, 0), Clip(wav, 0, 0.5, 1), clips[5], clips[3]]
    reader = Counting(RATE)
    waveforms = Waveforms(mine, reader, keep="disk", cache=tmp_path / "cache")

    def epoch() -> tuple[list[np.ndarray | str], int]:
        before = reader.reads
        items = [waveforms[index] for index in range(len(mine))]
        found = [item.waveform.numpy() if isinstance(item, Item) else str(item.error) for item in items]
        return found, reader.reads - before

    first, reads = epoch()
    second, reads_again = epoch()
    assert (reads, reads_again) == (4, 1)  # the unreadable clip is tried again
    for one, other, clip in zip(first, second, mine, strict=True):
        np.testing.assert_array_equal(one, other)
        if isinstance(one, np.ndarray):
            np.testing.assert_allclose(one, Reader(RATE).read(clip), atol=0.6 / FULL_SCALE)

    cached = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(cached) == 3
    cached[0].write_bytes(cached[0].read_bytes()[:-50])
    cached[1].write_bytes(b"")
    np.save(cached[2], np.zeros(9))
    third, reads = epoch()
    assert reads == 4 and all(np.array_equal(one, other) for one, other in zip(first, third, strict=True))
    assert epoch()[1] == 1

    write_wav(wav, chirp(1, RATE, 500), RATE)
    fourth, reads = epoch()
    assert reads == 3 and len(fourth[0]) == RATE
    assert not list((tmp_path / "cache").rglob("*.tmp"))


@pytest.mark.usefixtures("no_worker_left")
def test_disk_cache_is_shared(clips: list[Clip], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    loaders = [
        loader(Waveforms(clips * 3, Reader(RATE), keep="disk", cache=cache), 3, order=EpochOrder(30, 3, 0), workers=2)
        for _ in range(2)
    ]
    one, other = zip(*zip(*loaders, strict=True), strict=True)  # four workers write the same clips at the same time
    plain = list(loader(Waveforms(clips * 3, Reader(RATE), keep="memory"), 3, order=EpochOrder(30, 3, 0)))
    assert same(list(one), list(other)) and same(list(one), plain)
    assert len(list(cache.rglob("*.npy"))) == 9 and not list(cache.rglob("*.tmp"))


def test_a_full_disk_only_costs_time(clips: list[Clip], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX limits the size of files")
    waveforms = Waveforms(clips[:3], Reader(RATE), keep="disk", cache=tmp_path / "cache")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))  # writes fail as on a full disk
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [waveforms[index] for index in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert all(isinstance(item, Item) for item in found)
    (warning,) = caught
    assert "cache" in str(warning.message) and "no longer kept" in str(warning.message)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

    (tmp_path / "file").write_text("")
    with pytest.raises(AinextError, match="file: cannot keep decoded clips here"):
        Waveforms(clips, Reader(RATE), keep="disk", cache=tmp_path / "file")


def test_memory_is_the_default_if_it_suffices(clips: list[Clip], tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    waveforms = Waveforms(clips, Reader(RATE), progress=lambda done, of: calls.append((done, of)))
    assert waveforms.keep == "memory" and calls == [(n + 1, 10) for n in range(10)]
    day = replace(clips[0], end=86_400.0)
    assert Waveforms([day], Reader(RATE)).keep == "nothing"
    assert Waveforms([day], Reader(RATE), cache=tmp_path).keep == "disk"


class Collecting(Reader):
    """Runs the garbage collector at each read, as Python does from time to time."""

    def read(self, clip: Clip, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        gc.collect()
        return super().read(clip, start, seconds)


def read_beside_garbage(path: str, keep: Keep) -> None:
    """Read with two workers while this process has an ONNX Runtime session that only the collector can free."""
    set_start_method("fork")  # the default on Linux up to Python 3.13
    gc.disable()
    model: Any = audioinceptionnext.load("digits", threads=2)
    model.itself = model
    del model
    waveforms = Waveforms([Clip(Path(path), 0)] * 4, Collecting(RATE), keep=keep, workers=2)
    assert [len(batch.labels) for batch in loader(waveforms, 2, workers=2)] == [2, 2]


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="this system does not fork")
@pytest.mark.parametrize("keep", ["nothing", "memory"])
def test_workers_leave_the_garbage_of_their_parent_alone(clips: list[Clip], keep: Keep) -> None:
    """A session's destructor waits for its threads; in a forked worker, which lacks them, it would wait for ever."""
    code = f"import tests.test_loading as t; t.read_beside_garbage({str(clips[0].path)!r}, {keep!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True) as process:
        try:
            assert process.wait(timeout=120) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers too, if they hang


class Recorder(L.LightningModule):
    """Records its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.sums: dict[int, list[float]] = {}

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        assert isinstance(batch, Batch) and isinstance(batch.failures, list)
        sums = (batch.indices + batch.waveforms.square().mean(1)).tolist()
        self.sums.setdefault(self.current_epoch, []).extend(sums)
        return self.weight * 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_gets_the_batches_of_an_uninterrupted_one(
    clips: list[Clip], tmp_path: Path, workers: int
) -> None:
    waveforms = Waveforms(clips, Reader(RATE), 1.5, keep="nothing")

    def run(epochs: int, resume: Path | None = None) -> tuple[Recorder, L.Trainer]:
        module = Recorder()
        trainer = L.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        )  # fmt: skip
        batches = loader(waveforms, 4, order=EpochOrder(len(clips), 4, 0), workers=workers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, batches, ckpt_path=None if resume is None else str(resume))
        return module, trainer

    whole, _ = run(4)
    _, stopped = run(2)
    stopped.save_checkpoint(tmp_path / "two.ckpt")
    resumed, _ = run(4, tmp_path / "two.ckpt")
    assert sorted(resumed.sums) == [2, 3] and len(whole.sums[0]) == 9
    assert resumed.sums == {epoch: whole.sums[epoch] for epoch in (2, 3)}


def test_reading_needs_no_torch() -> None:
    code = "import sys, audioinceptionnext.data.reader; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
