"""The detection challenge of EPIC-SOUNDS: its figures, its file, and detections from a timeline."""

from __future__ import annotations

import csv
import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.epic_sounds import videos
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation import detect as detect_module
from audioinceptionnext.evaluation.challenge_file import read_zip
from audioinceptionnext.evaluation.detection import IOUS, score_detections
from audioinceptionnext.evaluation.detection_file import Detections, read_detections, write_detections
from audioinceptionnext.evaluation.finished_videos import FinishedVideos
from audioinceptionnext.evaluation.submission import check_submission
from audioinceptionnext.results.detection import DetectionSettings, find_detections
from audioinceptionnext.results.types import Segment
from tests.audio_files import sine, write_wav
from tests.command import ainext, python, refused

SHARED = Path(__file__).parents[2] / "shared"
ANNOTATIONS = SHARED / "data" / "epic-sounds" / "EPIC_Sounds_validation.csv"
SCORES = SHARED / "reference" / "epic-sounds-detection-scores.json"
KEYS = [f"map_at_0{tenths}" for tenths in range(1, 6)] + ["map_avg"]
LEVELS = {"sls_pt": 2, "sls_tl": 3, "sls_td": 4}
BACKGROUND = 13
Found = tuple[int, float, float, float]  # class id, score, start and end in seconds


def detection(interaction: Any, score: Any, *segment: Any) -> dict[str, Any]:
    return {"interaction": interaction, "score": score, "segment": list(segment)}


def write_json(path: Path, results: Any) -> Path:
    path.write_text(json.dumps({"version": "0.1", "results": results}))
    return path


def write_list(path: Path, annotations: list[tuple[str, int, float, float]]) -> Path:
    """Annotations as the published CSV has them: video, class, start and end in seconds."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["annotation_id", "video_id", "start_timestamp", "stop_timestamp", "class_id"])
        for number, (video, label, start, end) in enumerate(annotations):
            writer.writerow([f"{video}_{number}", video, stamp(start), stamp(end), label])
    return path


def stamp(seconds: float) -> str:
    minutes, rest = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"


def scored(
    tmp_path: Path, results: dict[str, list[Found]], annotations: list[tuple[str, int, float, float]]
) -> dict[str, Any]:
    written = {video: [detection(*one) for one in found] for video, found in results.items()}
    found = read_detections(write_json(tmp_path / "d.json", written))
    return score_detections(found, write_list(tmp_path / "a.csv", annotations))


def assert_refused(call: Callable[[], object], *texts: str) -> None:
    with pytest.raises(AinextError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    for text in texts:
        assert text in message, message


# ---------------------------------------------------------------------------------------------------------- figures


@pytest.mark.needs("reference", "data")
def test_the_challenges_own_figures(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("seeded_detections", SCORES.with_name("seeded_detections.py"))
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(seeded := importlib.util.module_from_spec(spec))
    results = seeded.detections(7, pandas.read_csv(ANNOTATIONS))
    theirs = json.loads(SCORES.read_text())["7"]
    ours = score_detections(read_detections(write_json(tmp_path / "7.json", results)), ANNOTATIONS)
    for key in KEYS:
        assert ours[key] == pytest.approx(theirs[key], abs=1e-9), key
    assert ours["detections"] == theirs["detections"] and ours["annotations"] == 8002 and ours["unknown_videos"] == 0
    assert len(ours["per_class"]) == 43 and sum(one["annotations"] for one in ours["per_class"].values()) == 8002
    assert ours["left_out"] == sum(one["interaction"] == BACKGROUND for found in results.values() for one in found)


TWO = [("a", 4, 0.0, 10.0), ("a", 4, 20.0, 30.0)]
# Detections and annotations, with the average precision of class 4 in % at each IoU, by hand.
BY_HAND: dict[str, tuple[dict[str, list[Found]], list[tuple[str, int, float, float]], list[float]]] = {
    "all right": ({"a": [(4, 0.9, 0, 10), (4, 0.1, 20, 30)]}, TWO, [100] * 5),
    "exactly at a threshold": ({"a": [(4, 0.9, 0, 3)]}, TWO[:1], [100, 100, 100, 0, 0]),
    "below, then right": ({"a": [(4, 0.9, 40, 41), (4, 0.8, 0, 10)]}, TWO, [25] * 5),
    "a duplicate": ({"a": [(4, 0.9, 0, 10), (4, 0.8, 0, 10), (4, 0.7, 20, 30)]}, TWO, [100 * (1 + 2 / 3) / 2] * 5),
    # Monotone: right, wrong, right, right has precisions 1, 1/2, 2/3, 3/4, of which 2/3 becomes 3/4.
    "precision made monotone": (
        {"a": [(4, 0.9, 0, 10), (4, 0.8, 50, 60), (4, 0.7, 20, 30), (4, 0.6, 40, 45)]},
        [*TWO, ("a", 4, 40.0, 45.0)],
        [100 * (1 + 3 / 4 + 3 / 4) / 3] * 5,
    ),
    # Of equal scores the last one in the file comes first, also across videos.
    "equal scores": ({"a": [(4, 0.5, 0, 10), (4, 0.5, 40, 50)]}, TWO[:1], [50] * 5),
    "equal scores, reversed": ({"a": [(4, 0.5, 40, 50), (4, 0.5, 0, 10)]}, TWO[:1], [100] * 5),
    "equal scores in two videos": ({"a": [(4, 0.5, 0, 10)], "b": [(4, 0.5, 0, 10)]}, TWO[:1], [50] * 5),
    # 5 to 15 overlaps both by a third; it takes the later one, so that the second detection finds nothing left.
    "equal overlaps": (
        {"a": [(4, 0.9, 5, 15), (4, 0.8, 10, 20)]},
        [("a", 4, 0.0, 10.0), ("a", 4, 10.0, 20.0)],
        [50, 50, 50, 25, 25],
    ),
    # The second one overlaps the first annotation more, which is taken: it gets the other one up to an IoU of 0.4.
    "the next unclaimed annotation": (
        {"a": [(4, 0.9, 0, 10), (4, 0.8, 0, 10)]},
        [("a", 4, 0.0, 10.0), ("a", 4, 0.0, 4.0)],
        [100, 100, 100, 100, 50],
    ),
    "another class": ({"a": [(3, 0.9, 0, 10), (4, 0.5, 0, 10)]}, TWO[:1], [100] * 5),
    "classes that the annotations lack": (
        {"a": [(99, 0.9, 0, 10), (-5, 0.9, 0, 10), (44, 0.9, 0, 10), (7, 0.9, 0, 10), (4, 0.5, 0, 10)]},
        TWO[:1],
        [100] * 5,
    ),
    "a video that the annotations lack": ({"z": [(4, 0.9, 0, 10)], "a": [(4, 0.5, 0, 10)]}, TWO[:1], [50] * 5),
    "a video without detections": ({"a": [(4, 0.5, 0, 10)], "b": []}, [TWO[0], ("b", 4, 0.0, 1.0)], [50] * 5),
    "a video that the file lacks": ({"a": [(4, 0.5, 0, 10)]}, [TWO[0], ("b", 4, 0.0, 1.0)], [50] * 5),
    "nothing": ({}, TWO, [0] * 5),
    "background": (
        {"a": [(BACKGROUND, 0.9, 0, 10), (4, 0.5, 0, 10)]},
        [TWO[0], ("a", BACKGROUND, 0.0, 10.0)],
        [100] * 5,
    ),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_average_precision_by_hand(what: str, tmp_path: Path) -> None:
    results, annotations, expected = BY_HAND[what]
    found = scored(tmp_path, results, annotations)
    assert [found[key] for key in KEYS] == pytest.approx([*expected, sum(expected) / 5])
    of_class = found["per_class"]["rustle"]  # class 4
    assert [of_class[key.replace("map", "ap")] for key in KEYS] == [found[key] for key in KEYS]
    assert list(found["per_class"]) == ["rustle"]
    assert found["detections"] == of_class["detections"] + found["left_out"] == sum(map(len, results.values()))
    assert found["unknown_videos"] == ("z" in results or ("b" in results and bool(results["b"])))


def test_a_class_without_detections_counts_as_zero(tmp_path: Path) -> None:
    found = scored(tmp_path, {"a": [(4, 0.5, 0, 10)]}, [TWO[0], ("a", 3, 0.0, 10.0), ("b", 2, 0.0, 1.0)])
    assert found["map_avg"] == pytest.approx(100 / 3)
    assert found["per_class"]["open / close"] == pytest.approx(
        {key.replace("map", "ap"): 0 for key in KEYS} | {"annotations": 1, "detections": 0}
    )


TIMES = st.integers(0, 12)
SOME = st.lists(
    st.tuples(st.integers(3, 5), st.integers(0, 3).map(lambda n: n / 4), TIMES, st.integers(1, 6)), max_size=6
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[str, list[Found]], list[tuple[str, int, float, float]]]:
    """Detections and annotations of three videos, with many equal scores and overlaps."""
    results = {name: [(c, s, t, t + length) for c, s, t, length in draw(SOME)] for name in "abc"}
    annotations = [(name, c, float(t), float(t + n)) for name in "abd" for c, _, t, n in draw(SOME)]
    return results, [*annotations, ("a", 3, 0.0, 4.0)]


def arrays(results: dict[str, list[Found]]) -> Detections:
    rows = [(number, *one) for number, found in enumerate(results.values()) for one in found]
    table = np.array(rows, float).reshape(-1, 5)
    return Detections(tuple(results), table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2], table[:, 3:])


@settings(max_examples=60, deadline=None)
@given(problems(), st.randoms())
def test_figures_by_the_definition(tmp_path_factory: pytest.TempPathFactory, problem: Any, random: Any) -> None:
    """One detection after the other, as the challenge describes it; and what the figures must not depend on."""
    results, annotations = problem
    path = write_list(tmp_path_factory.mktemp("list") / "a.csv", annotations)
    found = score_detections(arrays(results), path)
    for iou, key in zip(IOUS, KEYS, strict=False):
        aps = [by_definition(results, annotations, label, iou) for label in sorted({one[1] for one in annotations})]
        assert found[key] == pytest.approx(100 * float(np.mean(aps)))
    # One more detection that comes last of all and is wrong changes nothing.
    worse = {"c": [(3, -1.0, 90.0, 91.0)], **{name: list(own) for name, own in results.items() if name != "c"}}
    worse["c"] += results["c"]
    other = {name: results[name] for name in worse} | {}
    before, after = score_detections(arrays(other), path), score_detections(arrays(worse), path)
    assert all(after[key] == pytest.approx(before[key]) for key in KEYS)
    # With distinct scores, the order of the videos and of their detections does not matter.
    distinct = {
        n: [(c, s + 0.001 * (i + 50 * "abc".index(n)), a, b) for i, (c, s, a, b) in enumerate(own)]
        for n, own in results.items()
    }
    shuffled = {name: random.sample(distinct[name], len(distinct[name])) for name in random.sample("abc", 3)}
    one, two = score_detections(arrays(distinct), path), score_detections(arrays(shuffled), path)
    assert all(one[key] == pytest.approx(two[key]) for key in KEYS)


def by_definition(results: Any, annotations: Any, label: int, threshold: float) -> float:
    ranked = [
        (score, n, video, a, b)
        for n, (video, c, score, a, b) in enumerate((video, *one) for video, own in results.items() for one in own)
        if c == label
    ]
    true = [(number, video, a, b) for number, (video, c, a, b) in enumerate(annotations) if c == label]
    claimed: set[int] = set()
    precisions, hits = [], []
    for _, _, video, a, b in sorted(ranked, reverse=True):
        near = []
        for number, other, c, d in true:
            common = max(0.0, min(b, d) - max(a, c))
            iou = common / ((b - a) + (d - c) - common)
            if other == video and iou >= threshold and number not in claimed:
                near.append((iou, number))
        claimed |= {max(near)[1]} if near else set()
        hits.append(bool(near))
        precisions.append(sum(hits) / len(hits))
    return sum(max(precisions[n:]) for n, hit in enumerate(hits) if hit) / len(true)


# ------------------------------------------------------------------------------------------------------------ files


def test_a_file_is_what_the_challenge_describes(tmp_path: Path) -> None:
    """As JSON and as a zip, with a video without detections, which is read back."""
    results = {"P01_1": [Segment(0.16, 2.0800001, "rustle", 0.123456789)], "P02_9": []}
    write_detections(tmp_path / "new" / "test.json", results, **LEVELS)
    write_detections(tmp_path / "test.zip", results, **LEVELS)
    document = json.loads((tmp_path / "new" / "test.json").read_text())
    head = {"version": "0.1", "challenge": "audio_based_interaction_detection"} | LEVELS | {"t_mod": 0}
    assert document == head | {"results": {"P01_1": [detection(4, 0.123457, 0.16, 2.08)], "P02_9": []}}
    with zipfile.ZipFile(tmp_path / "test.zip") as archive:
        assert archive.namelist() == ["test.json"] and json.loads(archive.read("test.json")) == document
    for path in (tmp_path / "new" / "test.json", tmp_path / "test.zip"):
        found = read_detections(path)
        assert found.videos == ("P01_1", "P02_9") and found.video.tolist() == [0] and found.interaction.tolist() == [4]
        assert found.segment.tolist() == [[0.16, 2.08]] and found.score.tolist() == [0.123457]
    assert_refused(lambda: write_detections(tmp_path / "test.zip", {}, sls_pt=6, sls_tl=0, sls_td=0), "sls_pt is 6")
    assert check_submission(tmp_path / "test.zip") == []


NAN, INFINITY = float("nan"), float("inf")
BAD_DETECTIONS = {
    "a number": (7, "that is not an object"),
    "no score": ({"interaction": 4, "segment": [0, 1]}, "without score"),
    "text": (detection("4", 0.5, 0, 1), "with an interaction that is not a whole number"),
    "true": (detection(True, 0.5, 0, 1), "with an interaction that is not a whole number"),
    "NaN as a score": (detection(4, NAN, 0, 1), "with a score that is not a finite number"),
    "a score as text": (detection(4, "0.5", 0, 1), "with a score that is not a finite number"),
    "an enormous score": (detection(4, 10**400, 0, 1), "with a score that is not a finite number"),
    "the end first": (detection(4, 0.5, 2, 1), "with a segment that is not [start, end]"),
    "no length": (detection(4, 0.5, 2, 2), "with a segment that is not [start, end]"),
    "three times": (detection(4, 0.5, 0, 1, 2), "with a segment that is not [start, end]"),
    "NaN as a time": (detection(4, 0.5, NAN, 1), "with a segment that is not [start, end]"),
    "an infinite time": (detection(4, 0.5, 0, INFINITY), "with a segment that is not [start, end]"),
    "no segment": (detection(4, 0.5) | {"segment": None}, "with a segment that is not [start, end]"),
}


@pytest.mark.parametrize("what", BAD_DETECTIONS)
def test_bad_detections(what: str, tmp_path: Path) -> None:
    """They are not scored, and `check` counts them."""
    entry, fault = BAD_DETECTIONS[what]
    results = {"P01_1": [detection(4, 0.5, 0, 1)], "P02_9": [detection(4, 0.5, 0, 1), entry, entry]}
    path = write_json(tmp_path / "d.json", results)
    assert_refused(lambda: read_detections(path), "d.json", fault, "number 1 of P02_9")
    (problem,) = check_submission(submission(tmp_path / "d.zip", results=results))
    assert problem.startswith(f"2 detections {fault}") and problem.endswith("e.g. number 1 of P02_9")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "not JSON"),
        ("[]", "a list, not an object"),
        ("{}", 'no "results"'),
        ('{"results": []}', 'no "results"'),
        ('{"results": {"P01_1": {}}}', "results of P01_1 is a dict, not a list"),
    ],
)
def test_files_that_hold_something_else(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(content)
    assert_refused(lambda: read_detections(tmp_path / "d.json"), "d.json", text)
    assert_refused(lambda: read_detections(tmp_path / "none.json"), "none.json: no such file")


@pytest.mark.parametrize(
    ("start", "stop", "text"),
    [
        ("00:00:01.000", "1.5", "a_0 is from '00:00:01.000' to '1.5'"),
        ("00:00:02.000", "00:00:01.000", "a_0 stops at 00:00:01.000, before it starts at 00:00:02.000"),
        ("00:00:nan", "00:00:01.000", "time stamps are like"),
        ("00:00:00.000", "00:00:75.000", "time stamps are like"),
        ("00:00:00.000", "00:00:1e1", "time stamps are like"),
    ],
)
def test_bad_time_stamps(start: str, stop: str, text: str, tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.csv", TWO[:1])
    path.write_text(path.read_text().replace("00:00:00.000", start).replace("00:00:10.000", stop))
    assert_refused(lambda: score_detections(arrays({}), path), "a.csv", text)


def test_annotations_that_cannot_be_scored_against(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.csv", [("a", BACKGROUND, 0.0, 1.0)])
    assert_refused(lambda: score_detections(arrays({}), path), "no segments of another class than background")
    path.write_text("annotation_id,video_id,start_timestamp\n1,a,00:00:00.000\n")
    assert_refused(lambda: score_detections(arrays({}), path), "no column class_id")


def submission(path: Path, **changes: Any) -> Path:
    head = {"version": "0.1", "challenge": "audio_based_interaction_detection"} | LEVELS | {"t_mod": 0}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("test.json", json.dumps(head | {"results": {"a": [detection(4, 0.5, 0, 1)]}} | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"sls_pt": 6, "t_mod": None}, ["sls_pt is 6", "t_mod is None"]),
        ({"results": {}}, ["results is not an object with one key per video"]),
        ({"results": {"a": 3}}, ["results of a is a int, not a list of detections"]),
        ({"results": {"a": [detection(44, 0.5, 0, 1)]}}, ["1 detection with an interaction that is not a class id"]),
        ({"results": {"a": [detection(4, 0.5, -0.5, 1)]}}, ["1 detection with a segment that starts before the video"]),
        ({"results": {"b": []}}, ["1 of 1 video missing, e.g. a", "1 video unknown, e.g. b"]),
    ],
)
def test_what_the_challenge_would_refuse(changes: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    timestamps = write_list(tmp_path / "test.csv", TWO)
    found = check_submission(submission(tmp_path / "d.zip", **changes), timestamps)
    assert len(found) == len(expected), found
    assert all(problem.startswith(start) for start, problem in zip(expected, found, strict=True)), found


def write_videos(path: Path, *videos: str) -> Path:
    """The list of the test videos, as it is published."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("\n".join(("video_id", *videos, "")))
    return path


def test_videos_that_must_be_in_a_submission(tmp_path: Path) -> None:
    """Those of the published list, as CSV or pickle; that of the test segments for recognition has other videos."""
    path = submission(tmp_path / "d.zip", results={"P01_101": [], "P99_1": []})
    expected = ["1 of 2 videos missing, e.g. P12_102", "1 video unknown, e.g. P99_1"]
    test = write_videos(tmp_path / "EPIC_Sounds_detection_test_videos.csv", "P01_101", "P12_102")
    table = pandas.read_csv(test)
    table.to_pickle(tmp_path / "plain.pkl")
    table.set_index("video_id").to_pickle(tmp_path / "index.pkl")
    for of_test in (test, tmp_path / "plain.pkl", tmp_path / "index.pkl"):
        assert check_submission(path, of_test) == expected
    segments = tmp_path / "EPIC_Sounds_recognition_test_timestamps.csv"
    segments.write_text("annotation_id,video_id\nP02_1_0,P02_1\n")
    line = refused("epic-sounds", "check", path, segments)
    assert "lists segments for recognition; give EPIC_Sounds_detection_test_videos.csv" in line
    assert_refused(lambda: check_submission(path, write_videos(tmp_path / "none.csv")), "lists no videos")
    assert_refused(lambda: check_submission(path, tmp_path / "nowhere.csv"), "no such file")


def test_videos_of_the_test_set(tmp_path: Path) -> None:
    """They have a list of their own, which is looked for as the others are, and which nothing else reads."""
    (root := tmp_path / "EPIC").mkdir()
    for name in ("P02_1", "P01_101"):
        write_wav(root / f"{name}.wav", sine(440, 2, 24_000), 24_000)
    segments = root / "EPIC_Sounds_recognition_test_timestamps.csv"
    segments.write_text(
        "annotation_id,video_id,start_timestamp,stop_timestamp\nP02_1_0,P02_1,00:00:00.000,00:00:01.000\n"
    )
    with pytest.raises(AinextError) as error:
        videos(root, "test")
    assert "EPIC_Sounds_detection_test_videos.csv or .pkl" in str(error.value) and "\n" not in str(error.value)
    before = load_dataset("epic-sounds", root)
    test = write_videos(root / "a" / "b" / "EPIC_Sounds_detection_test_videos.csv", "P12_102", "P01_101")
    for path in (test, test.with_suffix(".pkl")):
        clips = videos(root, "test")
        assert list(clips) == ["P12_102", "P01_101"] and clips["P12_102"] is None, path
        assert clips["P01_101"] is not None and clips["P01_101"].path == root / "P01_101.wav"
        if path == test:
            pandas.read_csv(test).to_pickle(test.with_suffix(".pkl"))
            test.unlink()
    assert load_dataset("epic-sounds", root) == before and [clip.id for clip in before.clips] == ["P02_1_0"]


def test_the_document_alone_is_checked(tmp_path: Path) -> None:
    """With a warning, since the server takes a zip."""
    path, test = tmp_path / "d.json", write_videos(tmp_path / "test.csv", "a", "b")
    write_detections(path, {"a": [Segment(0, 1, "rustle", 0.5)], "b": []}, **LEVELS)
    found = ainext("epic-sounds", "check", path, test)
    assert found.code == 0 and found.out == f"{path}: complete and in order for the detection challenge\n"
    assert len(found.complaints) == 1 and "takes a zip" in found.err
    write_detections(path, {"a": []}, **LEVELS)
    found = ainext("epic-sounds", "check", path, test)
    assert found.code == 1 and found.out.splitlines() == [
        f"{path}: 1 of 2 videos missing, e.g. b",
        f"{path}: 1 problem for the detection challenge",
    ]
    path.write_text("[")
    assert "the file is not JSON" in ainext("epic-sounds", "check", path, test).out
    zipped = submission(tmp_path / "d.zip", results={"a": [], "b": []})
    assert not ainext("epic-sounds", "check", zipped, test).complaints


def test_finished_videos_are_kept(tmp_path: Path) -> None:
    """Every digit of them, until the output is there; half a line of a killed process is none."""
    target, call = tmp_path / "new" / "d.zip", {"model": "a"}
    found = [Segment(1 / 3, 2 / 3, "rustle", 0.1 + 0.2)]
    with pytest.raises(KeyboardInterrupt), FinishedVideos(target, call) as finished:
        finished.add("P01_1", found)
        finished.add("P01_2", [])
        raise KeyboardInterrupt
    with finished.path.open("a") as file:
        file.write('{"video": "P01_3", "detec')
    assert_refused(lambda: FinishedVideos(target, {"model": "b"}), "d.zip.unfinished", "a call with another model")
    with pytest.raises(KeyboardInterrupt), FinishedVideos(target, call) as finished:
        assert finished.results == {"P01_1": found, "P01_2": []}
        finished.add("P01_3", found)
        raise KeyboardInterrupt
    with FinishedVideos(target, call) as finished:
        assert list(finished.results) == ["P01_1", "P01_2", "P01_3"]
    assert not finished.path.exists()
    with pytest.raises(KeyboardInterrupt), FinishedVideos(target, call) as finished:
        raise KeyboardInterrupt
    assert not finished.path.exists()
    finished.path.write_text("my own notes\n")
    assert_refused(lambda: FinishedVideos(target, call), "d.zip.unfinished")
    assert finished.path.read_text() == "my own notes\n"


# ------------------------------------------------------------------------------------------- from a timeline


STEP = 0.16
ONE = ("tap",)


def found_in(values: list[float], **changes: float) -> list[Segment]:
    """Detections of one label whose steps, which see nothing else, have these probabilities."""
    column = np.array(values, np.float32)[:, None]
    settings = DetectionSettings(**{"smoothing": 0.0, **changes})
    return find_detections(column, STEP, STEP, STEP * len(values), ONE, settings)


def test_a_sound_is_found_where_it_is() -> None:
    """The best candidate is the sound itself, neither the tip of its peak nor a run that faint steps lengthen."""
    values = [0.01] * 10 + [0.1] + [0.8, 0.9, 0.95, 0.9, 0.85] + [0.1] + [0.01] * 20 + [0.3] * 3 + [0.01] * 10
    best, second = found_in(values)
    assert (best.start, best.end) == pytest.approx((11 * STEP, 16 * STEP))
    assert (second.start, second.end) == pytest.approx((37 * STEP, 40 * STEP))
    assert 0 < second.score < best.score < 1


def test_candidates_overlap_as_far_as_they_may() -> None:
    values = [0.01] * 5 + [0.3] * 8 + [0.9] * 4 + [0.01] * 5
    assert len(found_in(values, max_overlap=0)) == 1
    wide, narrow = sorted(found_in(values, max_overlap=0.5), key=lambda one: one.start)
    assert (wide.start, narrow.start) == pytest.approx((5 * STEP, 13 * STEP))
    assert wide.end == narrow.end == pytest.approx(17 * STEP)


def test_the_end_of_the_recording() -> None:
    """Steps with a window of 2.08 s: the first and the last stand for all that no other step covers."""
    probabilities = np.full((20, 1), 0.9, np.float32)
    (found,) = find_detections(probabilities, STEP, 2.08, 5.2, ONE)
    assert (found.start, found.end) == (0, 5.2)
    assert not find_detections(probabilities[:0], STEP, 2.08, 5.2, ONE)
    assert not find_detections(0 * probabilities, STEP, 2.08, 5.2, ONE)
    with pytest.raises(ValueError, match="2 labels"):
        find_detections(probabilities, STEP, 2.08, 5.2, ("tap", "plate"))


def test_a_last_step_of_less_than_a_millisecond(tmp_path: Path) -> None:
    """It is no sound of its own, which would have no length in the file, but it may be the end of one."""
    duration = (50 * 3840 + 5) / 24_000
    probabilities = np.full((51, 2), 0.01, np.float32)
    probabilities[50], probabilities[45:50, 1] = 0.9, 0.9
    unsmoothed = DetectionSettings(smoothing=0)
    found = find_detections(probabilities, STEP, STEP, duration, ("tap", "rustle"), unsmoothed)
    assert [(one.start, one.end, one.label) for one in found] == [(pytest.approx(45 * STEP), duration, "rustle")]
    write_detections(tmp_path / "d.json", {"a": found}, **LEVELS)
    assert read_detections(tmp_path / "d.json").segment.tolist() == [[7.2, 8.0]]
    assert check_submission(tmp_path / "d.json") == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.integers(1, 40))
def test_what_all_detections_have_in_common(seed: int, steps: int, max_overlap: float, most: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.full(3, 0.3), size=steps).astype(np.float32)
    labels, duration = ("a", "b", "c"), steps * STEP
    chosen = DetectionSettings(max_overlap=max_overlap, max_detections=10_000)
    found = find_detections(probabilities, STEP, STEP, duration, labels, chosen)
    assert all(0 <= one.start < one.end <= duration and 0 < one.score <= 1 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for label in labels:
        own = [one for one in found if one.label == label]
        for i, one in enumerate(own):
            for other in own[:i]:
                common = min(one.end, other.end) - max(one.start, other.start)
                assert common <= (max_overlap + 1e-9) * (max(one.end, other.end) - min(one.start, other.start))
    # The best alone; without a label; and each label by itself.
    fewer = DetectionSettings(max_overlap=max_overlap, max_detections=most)
    assert find_detections(probabilities, STEP, STEP, duration, labels, fewer) == found[:most]
    others = find_detections(probabilities, STEP, STEP, duration, labels, chosen, leave_out=("b",))
    assert others == [one for one in found if one.label != "b"]
    alone = find_detections(probabilities[:, :1], STEP, STEP, duration, labels[:1], chosen)
    assert alone == [one for one in found if one.label == "a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"lowest_threshold": 0.0},
        {"lowest_threshold": NAN},
        {"threshold_ratio": 1.0},
        {"smoothing": -1.0},
        {"context": INFINITY},
        {"length_power": NAN},
        {"max_overlap": 1.1},
        {"max_detections": 0},
    ],
)
def test_settings_out_of_range(changes: dict[str, Any]) -> None:
    (name,) = changes
    assert_refused(lambda: DetectionSettings(**changes), name)


# ----------------------------------------------------------------------------------------------------- command line


def test_the_command_score_detection(tmp_path: Path) -> None:
    annotations = write_list(tmp_path / "a.csv", TWO)
    results = {"a": [detection(4, 0.9, 0, 10), detection(BACKGROUND, 0.9, 0, 10)], "z": [detection(4, 0.1, 0, 1)]}
    path = submission(tmp_path / "d.zip", results=results)
    found = ainext("epic-sounds", "score-detection", path, annotations, "--json")
    assert found.code == 0 and found.json == score_detections(read_detections(path), annotations)  # every digit
    assert list(found.json)[:6] == KEYS and found.json["map_avg"] == 50
    assert "1 video not in the annotations, where every detection is wrong" in found.complaints[0]
    table = ainext("epic-sounds", "score-detection", path, annotations).out
    assert "3 detections, 2 annotated segments; 1 detection of other classes left out" in table and "50.00 %" in table
    write_json(path, {"a": [7]})
    assert "d.zip: has a detection that is not an object" in refused(
        "epic-sounds", "score-detection", path, annotations
    )


def test_scoring_needs_no_extra(tmp_path: Path) -> None:
    path, annotations = submission(tmp_path / "d.zip"), write_list(tmp_path / "a.csv", TWO)
    code = (
        "import sys; from audioinceptionnext.cli.epic_sounds import app; "
        f"app(['score-detection', {str(path)!r}, {str(annotations)!r}], standalone_mode=False); "
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas', 'h5py'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.out.splitlines()[-1] == "[]", done.err


@pytest.fixture(scope="module")
def epic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two invented videos in each list, with their sound."""
    from examples.stand_in import write_epic_sounds

    return write_epic_sounds(tmp_path_factory.mktemp("epic"), train=1, validation=1, test=8, videos=2)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network of random weights: softmax over windows; and multi-label and dense, with its labels reversed."""
    import torch

    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network import create_model
    from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
    from audioinceptionnext.network.storage import StoredModel
    from tests.networks import with_statistics

    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", 44, depths=(1, 1, 1, 1)))
    net.classifier.weight.data.mul_(30)
    folder = tmp_path_factory.mktemp("models")
    models = {
        "windows": StoredModel(net, EPIC_SOUNDS_LABELS),
        "multi-label": StoredModel(net, EPIC_SOUNDS_LABELS[::-1], mode="dense", multi_label=True),
    }
    return {name: export_onnx(model, folder / f"{name}.onnx") for name, model in models.items()}


@pytest.mark.workshop
@pytest.mark.parametrize("kind", ["windows", "multi-label"])
def test_from_recordings_to_figures(kind: str, epic: Path, untrained: dict[str, Path], tmp_path: Path) -> None:
    out, annotations = tmp_path / "d.zip", epic / "EPIC_Sounds_validation.csv"
    common = ("epic-sounds", "detect", out, "--root", epic, "--model", untrained[kind], "--split", "validation")
    done = ainext(*common, "--sls-td", 5, "--json")
    assert done.code == 0 and not done.complaints, done.err
    found = read_detections(out)
    assert done.json == {
        "file": str(out),
        "videos": 2,
        "detections": len(found.score),
        "without_recording": [],
        "damaged": {},
        "lowest_threshold": 0.02,
        "sls_pt": 2,
        "sls_tl": 3,
        "sls_td": 5,
    }
    assert found.videos == ("P02_01", "P02_02") and set(found.video) == {0, 1} and BACKGROUND not in found.interaction
    assert ainext("epic-sounds", "check", out, annotations).code == 0
    figures = ainext("epic-sounds", "score-detection", out, annotations, "--json").json
    assert figures["detections"] == len(found.score) and figures["left_out"] == figures["unknown_videos"] == 0

    # They are those of the timeline of the whole recording.
    from audioinceptionnext.data.clip import Clip
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.models.load import load

    model = load(untrained[kind])
    whole = model.predict(Reader(24_000).read(Clip(epic / "EPIC_audio.hdf5", -1, key="P02_02")))
    expected = find_detections(
        whole.probabilities, whole.step_seconds, 2.08, whole.duration, whole.labels, leave_out=["background"]
    )
    write_detections(tmp_path / "expected.json", {"P02_02": expected}, **LEVELS)
    results = json.loads((tmp_path / "expected.json").read_text())["results"]
    assert json.loads(read_zip(out))["results"]["P02_02"] == results["P02_02"]

    assert ainext(*common, "--max-detections", 3).out == (
        f"{out}: 6 detections in 2 videos, from a probability of 0.02 on, supervision levels 2 3 4\n"
    )
    assert read_detections(out).video.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.workshop
@pytest.mark.parametrize("kind", ["windows", "multi-label"])
def test_recordings_that_are_no_whole_number_of_steps(kind: str, untrained: dict[str, Path], tmp_path: Path) -> None:
    """Their last steps stand for 5 samples, half a step and all but a sample of one."""
    out, rest = tmp_path / "d.zip", {"P01_101": 5, "P01_102": 1920, "P01_103": 3839}
    test = write_videos(tmp_path / "EPIC_Sounds_detection_test_videos.csv", *rest)
    for number, (name, samples) in enumerate(rest.items()):
        noise = np.random.default_rng(number).normal(0, 0.1, 50 * 3840 + samples)
        noise[-2000:] *= 5  # something else at the end
        write_wav(tmp_path / f"{name}.wav", noise, 24_000)
    done = ainext("epic-sounds", "detect", out, "--root", tmp_path, "--model", untrained[kind])
    assert done.code == 0, done.err
    assert (
        ainext("epic-sounds", "check", out, test).out == f"{out}: complete and in order for the detection challenge\n"
    )
    found = read_detections(out)
    for number, samples in enumerate(rest.values()):
        assert found.segment[found.video == number].max() == round((50 * 3840 + samples) / 24_000, 3)


@pytest.mark.workshop
def test_an_interrupted_call_goes_on(
    epic: Path, untrained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.json", tmp_path / "d.json"
    options = ("--root", epic, "--model", untrained["windows"])
    assert ainext("epic-sounds", "detect", whole, *options).code == 0
    asked: list[str | None] = []
    real = detect_module.detect_video

    def interrupted(recogniser: Any, clip: Any, *arguments: Any) -> Any:
        asked.append(clip.id)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(recogniser, clip, *arguments)

    monkeypatch.setattr(detect_module, "detect_video", interrupted)
    done = ainext("epic-sounds", "detect", out, *options)
    assert done.code == 130 and not out.exists() and "1 of 2 videos are finished" in done.complaints[0]
    assert done.complaints[1:] == ["ainext: interrupted"]
    line = refused("epic-sounds", "detect", out, *options, "--max-detections", 3)
    assert "d.json.unfinished: holds the finished videos of a call with another model, list or options" in line
    done = ainext("epic-sounds", "detect", out, *options)
    assert done.code == 0 and "1 of 2 videos were finished before" in done.complaints[0] and len(done.complaints) == 1
    assert asked == ["P03_01", "P03_02", "P03_02"] and out.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("d.json")] == ["d.json"]


@pytest.mark.workshop
def test_an_output_that_cannot_be_written_is_refused_at_once(
    epic: Path, untrained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect_module, "detect_video", lambda *_: pytest.fail("a video was read"))
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("folder.zip", "file/d.zip"):
        line = refused("epic-sounds", "detect", tmp_path / name, "--root", epic, "--model", untrained["windows"])
        assert f"{name}: cannot be written: " in line


@pytest.mark.workshop
def test_recordings_that_cannot_be_read(epic: Path, untrained: dict[str, Path], tmp_path: Path) -> None:
    """One line each; the others go on, and the submission has all videos."""
    out, audio = tmp_path / "d.json", tmp_path / "audio"
    audio.mkdir()
    common = ("epic-sounds", "detect", out, "--root", epic, "--audio", audio, "--model", untrained["windows"])
    assert "has no recording of the 2 videos of the test list" in refused(*common)
    write_wav(audio / "P03_02.wav", sine(440, 3, 16_000), 16_000)
    done = ainext(*common)
    assert done.code == 1 and [line for line in done.complaints if "P03_01" in line] == done.complaints
    (audio / "P03_01.flac").write_bytes(b"no sound")
    done = ainext(*common)
    assert done.code == 1 and len(done.complaints) == 1 and "P03_01.flac" in done.complaints[0]
    found = read_detections(out)
    assert found.videos == ("P03_01", "P03_02") and set(found.video) == {1} and found.segment.max() <= 3
    # One that was cut short is detected as far as it goes, and says so.
    (audio / "P03_01.flac").unlink()
    (audio / "P03_01.wav").write_bytes((audio / "P03_02.wav").read_bytes()[: 44 + 2 * 24_000])
    done = ainext(*common, "--json")
    assert done.code == 0 and list(done.json["damaged"]) == ["P03_01"]
    assert "P03_01.wav: ends early: decoded 1.5 s of 3.0 s" in done.complaints[0]


@pytest.mark.workshop
def test_calls_that_detect_refuses(epic: Path, tmp_path: Path) -> None:
    common = ("epic-sounds", "detect", tmp_path / "d.zip", "--root", epic)
    assert "does not know" in refused(*common, "--model", "kitchen20")
    assert "must end in .zip or .json" in refused(
        "epic-sounds", "detect", tmp_path / "d.pkl", "--root", epic, "--model", "kitchen20"
    )
    (tmp_path / "EPIC_Sounds_train.csv").write_text("")
    line = refused("epic-sounds", "detect", "d.zip", "--root", tmp_path, "--model", "kitchen20")
    assert line.startswith("ainext: --split test") and "has a list for train" in line
