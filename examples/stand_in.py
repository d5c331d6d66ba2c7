"""Write invented data in the layouts of VGG-Sound and EPIC-SOUNDS, to try the paper's recipes without either data set.

python examples/stand_in.py OUT [--train 2] [--test 309] [--annotations EPIC-SOUNDS [--videos all]]

``OUT/vggsound``: `vggsound.csv` of 309 invented class names, and one FLAC file per clip, 5 to 8 s at 16 kHz.
``OUT/epic-sounds``: the published lists with the real 44 class names and ids, and `EPIC_audio.hdf5` at 24 kHz. The list
of videos for detection names those of the test list.
``OUT/epic-kitchens``: lists of EPIC-KITCHENS-100 with 97 verbs and 300 nouns of invented names, and the recordings.
With ``--annotations``, the validation and test lists hold the real rows of a few short videos, whose sound is invented
too. ``--videos all`` takes all videos of the validation list, 13 hours of sound, and invents two hours of overlapping
segments to train on: 2.6 GB, of which one recording at a time is in memory. A class is a pair of pulsing tones in
noise, which any network can learn, so scores on this data say nothing about real sound. The same call always writes
the same samples.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

import av
import h5py
import numpy as np

from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS

VGG_RATE, EPIC_RATE = 16_000, 24_000
VGG_CLASSES = 309
# Seconds of one EPIC-SOUNDS segment after another: shorter than a clip of 2.08 s, equal, and longer.
LENGTHS = (0.31, 1.0, 2.08, 0.745, 4.2, 1.534)
GAP = 0.1  # seconds between segments
BLOCK = 1 << 16  # samples that are computed at once, so that they stay in the processor's cache
LISTS = {
    "train": "EPIC_Sounds_train.csv",
    "validation": "EPIC_Sounds_validation.csv",
    "test": "EPIC_Sounds_recognition_test_timestamps.csv",
}
DETECTION_LIST = "EPIC_Sounds_detection_test_videos.csv"
POSITION_COLUMNS = (
    "annotation_id",
    "participant_id",
    "video_id",
    "start_timestamp",
    "stop_timestamp",
    "start_sample",
    "stop_sample",
)
LABEL_COLUMNS = ("description", "class", "class_id")
Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--train", type=int, default=2, help="number of VGG-Sound training clips per class")
    parser.add_argument(
        "--test", type=int, default=VGG_CLASSES, help="number of VGG-Sound test clips, at most one per class"
    )
    parser.add_argument("--annotations", type=Path, metavar="DIR", help="folder of the real EPIC-SOUNDS lists")
    parser.add_argument("--videos", default="3", metavar="N|all", help="number of videos of each EPIC-SOUNDS list")
    options = parser.parse_args()
    if options.videos == "all":
        if options.annotations is None:
            parser.error("--videos all needs --annotations")
        print(write_epic_sounds_of_real_size(options.out / "epic-sounds", options.annotations))
        return
    print(write_vggsound(options.out / "vggsound", options.train, options.test))
    folder = options.out / "epic-sounds"
    print(write_epic_sounds(folder, videos=int(options.videos), annotations=options.annotations))
    print(write_epic_kitchens(options.out / "epic-kitchens"))


def sound(data: int, label: int, number: int, seconds: float, rate: int) -> np.ndarray:
    """One clip of a class, (samples,) float32 below half of the full scale.

    Args:
        data: number of the data set.
        label: number of the class.
        number: of the clip within the class.
        seconds: duration.
        rate: in Hz.
    """
    of_class, own = np.random.default_rng((data, label)), np.random.default_rng((data, label, number))
    tones, pulse = np.exp(of_class.uniform(np.log(150), np.log(6000), 2)), of_class.uniform(1, 12)
    tones, phases, level = tones * own.uniform(0.97, 1.03, 2), own.random(3), own.uniform(0.1, 0.2)
    samples = 0.01 * own.standard_normal(round(seconds * rate), np.float32)
    for first in range(0, len(samples), BLOCK):
        time = np.arange(first, min(first + BLOCK, len(samples))) / rate
        tone = sum(np.sin(2 * np.pi * (f * time + phase)) for f, phase in zip(tones, phases[:2], strict=True))
        loudness = 0.5 + 0.5 * np.sin(2 * np.pi * (pulse * time + phases[2]))
        samples[first : first + BLOCK] += level * loudness * tone
    return samples


def vgg_names() -> list[str]:
    """309 names that no data set has, some with a comma, as in the real list."""
    kinds = ("paper", "copper", "glass", "wooden", "rubber", "frozen", "hollow", "loose", "distant", "wet", "spinning")
    things = ("kite", "gear", "lantern", "drum, snare", "hinge", "marble", "sail", "whisk", "valve", "spring", "rope",
              "lid", "wheel", "chain", "shutter", "pendulum", "kettle", "tray", "bolt", "reed, reeds", "pulley", "mat",
              "crank", "slate", "cork", "tile", "bellows", "oar", "spool")  # fmt: skip
    return [f"{kind} {thing} of invention" for kind, thing in itertools.product(kinds, things)][:VGG_CLASSES]


def write_vggsound(
    folder: Path, train: int = 2, test: int = VGG_CLASSES, seconds: tuple[float, float] = (5.0, 8.0)
) -> Path:
    """Write the list and the clips, and return the folder.

    Args:
        train: number of clips of each of the 309 classes.
        test: total number of clips, at most one per class.
        seconds: minimum and maximum duration of a clip.
    """
    names = vgg_names()
    clips = [(label, number, "train") for label in range(len(names)) for number in range(train)]
    clips += [(label, train, "test") for label in range(min(test, len(names)))]
    (folder / "video").mkdir(parents=True, exist_ok=True)
    with (folder / "vggsound.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for label, number, split in clips:
            name, start = f"stand{label:03d}_{number}", 10 * number
            length = np.random.default_rng((3, label, number)).uniform(*seconds)
            _write_flac(folder / "video" / f"{name}_{start:06d}.flac", sound(1, label, number, length, VGG_RATE))
            writer.writerow([name, start, names[label], split])
    return folder


def write_epic_sounds(
    folder: Path, train: int = 3, validation: int = 1, test: int = 24, videos: int = 3, annotations: Path | None = None
) -> Path:
    """Write the lists and `EPIC_audio.hdf5`, and return the folder.

    Args:
        train, validation: number of segments of each of the 44 classes.
        test: total number of segments.
        videos: number of videos in each list.
        annotations: folder of the real lists. The validation and test lists then hold the real rows of this many short
            videos.
    """
    classes = len(EPIC_SOUNDS_LABELS)
    rows = {"train": list(_invented_rows("P01", train * classes, videos))}
    if annotations is None:
        rows["validation"] = list(_invented_rows("P02", validation * classes, videos))
        rows["test"] = list(_invented_rows("P03", test, videos))
    else:
        rows |= {split: _real_rows(annotations / LISTS[split], videos) for split in ("validation", "test")}
    return _write_lists_and_recordings(folder, rows)


def write_epic_sounds_of_real_size(folder: Path, annotations: Path, train: int = 60, videos: int = 12) -> Path:
    """Write all real rows of the validation list, with sound for all of its videos, and a training list; no test list.

    Args:
        annotations: folder of the real lists.
        train: number of training segments of each of the 44 classes.
        videos: number of training videos.
    """
    rows = {
        # No real participant: a video of two lists would have the sounds of both.
        "train": list(_overlapping_rows("P00", train * len(EPIC_SOUNDS_LABELS), videos)),
        "validation": _real_rows(annotations / LISTS["validation"]),
    }
    return _write_lists_and_recordings(folder, rows, "i2")


def _write_lists_and_recordings(folder: Path, rows: dict[str, list[Row]], dtype: str = "f4") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, own in rows.items():
        with (folder / LISTS[split]).open("w", newline="", encoding="utf-8") as file:
            columns = POSITION_COLUMNS if split == "test" else POSITION_COLUMNS + LABEL_COLUMNS
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(own)
    if "test" in rows:
        _write_rows(folder / DETECTION_LIST, [["video_id"], *([video] for video in _by_video(rows["test"]))])
    with h5py.File(folder / "EPIC_audio.hdf5", "w") as file:
        for video, own in _by_video(itertools.chain(*rows.values())).items():
            samples = _recording(own)
            file.create_dataset(video, data=samples if dtype == "f4" else _as_int16(samples))
    return folder


def write_epic_kitchens(
    folder: Path, train: int = 600, validation: int = 300, test: int = 24, *, verbs: int = 97, nouns: int = 300
) -> Path:
    """Write lists of EPIC-KITCHENS-100 and `EPIC_audio.hdf5`, with one video for each list, and return the folder.

    Args:
        train, validation, test: number of segments.
        verbs, nouns: how many of the 97 verbs and 300 nouns occur.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for task, count in {"verb": 97, "noun": 300}.items():
        names = [("id", "key", "instances", "category"), *((n, f"{task}-{n}", "[]", "invented") for n in range(count))]
        _write_rows(folder / f"EPIC_100_{task}_classes.csv", names)
    columns = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    with h5py.File(folder / "EPIC_audio.hdf5", "w") as file:
        for person, (name, count) in enumerate(
            {"train": train, "validation": validation, "test_timestamps": test}.items()
        ):
            video, end, rows = f"P{person + 1:02d}_01", GAP, []
            samples = [np.zeros(round(GAP * EPIC_RATE), np.float32)]
            for number in range(count):
                start, end = end, end + round(LENGTHS[number % len(LENGTHS)], 2)
                own = 10_000 * person + number  # no clip is in two lists
                of_verb = sound(3, number % verbs, own, end - start, EPIC_RATE)
                samples += [of_verb + sound(4, number % nouns, own, end - start, EPIC_RATE), samples[0]]
                stamps = [f"00:{int(time // 60):02d}:{time % 60:05.2f}" for time in (start, end)]
                rows.append((f"{video}_{number}", video, *stamps, number % verbs, number % nouns))
                end += GAP
            file.create_dataset(video, data=np.concatenate(samples))
            kept = 4 if name.startswith("test") else None  # the classes of the test list are not published
            _write_rows(folder / f"EPIC_100_{name}.csv", [row[:kept] for row in (columns, *rows)])
    return folder


def _write_rows(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _invented_rows(person: str, count: int, videos: int) -> Iterator[Row]:
    """Rows of one segment after another in each video, and of one class after another."""
    ends = [GAP] * videos
    for number in range(count):
        video, label, length = number % videos, number % len(EPIC_SOUNDS_LABELS), LENGTHS[number % len(LENGTHS)]
        yield _row(person, video, number // videos, ends[video], length, label)
        ends[video] += length + GAP


def _overlapping_rows(person: str, count: int, videos: int) -> Iterator[Row]:
    """Rows in a random order of the classes, which begin 2.5 s after one another in the mean and often overlap."""
    random = np.random.default_rng(5)
    starts = [0.0] * videos
    for number, shuffled in enumerate(random.permutation(count)):
        video, length = number % videos, float(np.exp(random.normal(0, 1)).clip(0.2, 20))
        starts[video] += random.exponential(2.5)
        yield _row(person, video, number // videos, starts[video], length, int(shuffled) % len(EPIC_SOUNDS_LABELS))


def _row(person: str, video: int, number: int, start: float, seconds: float, label: int) -> Row:
    name, stop = f"{person}_{video + 1:02d}", round(start + seconds, 3)  # as the time stamps have them
    start = round(start, 3)
    return {
        "annotation_id": f"{name}_{number}",
        "participant_id": person,
        "video_id": name,
        "start_timestamp": _timestamp(start),
        "stop_timestamp": _timestamp(stop),
        "start_sample": str(round(start * EPIC_RATE)),
        "stop_sample": str(round(stop * EPIC_RATE)),
        "description": "invented",
        "class": EPIC_SOUNDS_LABELS[label],
        "class_id": str(label),
    }


def _real_rows(path: Path, videos: int | None = None, min_segments: int = 8) -> list[Row]:
    """The unchanged rows of the shortest videos that have at least ``min_segments`` segments; of all by default."""
    with path.open(newline="", encoding="utf-8") as file:
        by_video = _by_video(csv.DictReader(file))
    if videos is None:
        return list(itertools.chain(*by_video.values()))
    enough = [rows for rows in by_video.values() if len(rows) >= min_segments]
    return list(itertools.chain(*sorted(enough, key=_samples)[:videos]))


def _by_video(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["video_id"], []).append(row)
    return found


def _samples(rows: list[Row]) -> int:
    """The length of a recording that holds these segments and half a second more."""
    return max(int(row["stop_sample"]) for row in rows) + EPIC_RATE // 2


def _recording(rows: list[Row]) -> np.ndarray:
    """The samples, float32: each segment has the sound of its class, or of any class if the list does not name it."""
    video = 0.003 * np.random.default_rng(4).standard_normal(_samples(rows), np.float32)
    for number, row in enumerate(rows):
        start, stop = int(row["start_sample"]), int(row["stop_sample"])
        label = int(row.get("class_id") or number % len(EPIC_SOUNDS_LABELS))
        own = crc32(row["annotation_id"].encode())
        video[start:stop] += sound(2, label, own, (stop - start) / EPIC_RATE, EPIC_RATE)
    return video


def _as_int16(samples: np.ndarray) -> np.ndarray:
    return (samples.clip(-1, 1) * 32767).round().astype(np.int16)


def _timestamp(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"00:{int(minutes):02d}:{rest:06.3f}"


def _write_flac(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("flac", rate=VGG_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(_as_int16(samples)[None], "s16", "mono")
        frame.sample_rate = VGG_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)


if __name__ == "__main__":
    main()
