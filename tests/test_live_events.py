"""When segments of a stream begin and end: announced, early or not, and then ended or withdrawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from websockets.sync import client as websockets

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.capture import LiveInput
from audioinceptionnext.cli.live_loop import LiveLoop
from audioinceptionnext.cli.live_printer import Printer
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference.events import TOLERANCE_S, Announcer, Event
from audioinceptionnext.inference.steps import EARLY_MIRRORED_FRAMES
from audioinceptionnext.inference.stream import Step, Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.results.types import Segment
from tests.audio_files import write_wav
from tests.browser import SCENE
from tests.command import ainext
from tests.networks import LABELS, with_statistics
from tests.served import serving

RATE = 24_000


def scene(seconds: float) -> np.ndarray:
    return decode.read(SCENE, RATE)[: round(seconds * RATE)]


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a fine timeline that has learnt nothing, with thresholds that some of a scene's steps reach."""
    torch.manual_seed(1)
    net = with_statistics(create_model("tiny", 3, depths=(1, 1, 1, 1), timeline_channels=8))
    net.timeline.classifier.weight.data.mul_(3)
    path = tmp_path_factory.mktemp("fine") / "fine.onnx"
    model = StoredModel(net, LABELS, mode="dense")
    model.segmentation = {"offset_share": 0.95, "smoothing": 0.06, "min_duration": 0.1, "merge_gap": 0.1}
    export_onnx(model, path)
    model.thresholds = tuple(np.quantile(load(path).predict(scene(12)).probabilities, 0.8, axis=0).tolist())
    return export_onnx(model, path)


def played(stream: Stream, waveform: np.ndarray, size: int) -> tuple[list[Step], list[tuple[float, Event]]]:
    """All steps, and the events with the second at which they came."""
    steps: list[Step] = []
    events: list[tuple[float, Event]] = []
    for at in range(0, len(waveform), size):
        steps += stream.push(waveform[at : at + size])
        events += [(stream.seconds, event) for event in stream.events]
    steps += stream.finish()
    return steps, events + [(stream.seconds, event) for event in stream.events]


def segments_of(steps: list[Step]) -> list[Segment]:
    return [segment for step in steps for segment in step.segments]


def check(events: list[Event], steps: list[Step]) -> None:
    """Every segment of the steps ends once and in order, and every start has one end or withdrawal, which follows."""
    assert [event.segment for event in events if event.kind == "end"] == segments_of(steps)
    going_on: dict[int, Segment] = {}
    for event in events:
        if event.kind == "start":
            assert event.id == 1 + max([0, *(one.id for one in events[: events.index(event)])])
            going_on[event.id] = event.segment
        else:
            announced = going_on.pop(event.id)
            assert announced.label == event.segment.label
            if event.kind == "withdraw":
                assert event.segment == announced
    assert not going_on


# --- The library ---


@pytest.mark.parametrize("size", [1999, 4800, RATE * 3, RATE * 60])
def test_events_agree_with_the_segments_and_change_none(fine: Path, size: int) -> None:
    waveform, recogniser = scene(12), load(fine)
    plain = Stream(recogniser, start=7.0)
    steps, late = played(plain, waveform, RATE)
    found, events = played(Stream(recogniser, start=7.0, early=True), waveform, size)
    assert segments_of(found) == segments_of(steps) and len(segments_of(found)) > 3
    assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(found, steps, strict=True))
    assert [step.open for step in found] == [step.open for step in steps]
    check([event for _, event in events], found)
    check([event for _, event in late], steps)
    assert all(event.kind != "withdraw" for _, event in late)
    lag = [time + 7.0 - event.segment.start for time, event in late if event.kind == "start"]
    assert min(lag[:-3]) > plain.delay - 0.8  # a turn
    if size < RATE:
        lag = [time + 7.0 - event.segment.start for time, event in events if event.kind == "start"]
        assert np.median(lag) < 1.5


def test_what_goes_on_was_announced_and_has_neither_ended_nor_been_withdrawn(fine: Path) -> None:
    stream, open_ids, longest = Stream(load(fine), start=7.0, early=True), set[int](), 0.0
    for at in range(0, RATE * 12, 4800):
        stream.push(scene(12)[at : at + 4800])
        for event in stream.events:
            (open_ids.add if event.kind == "start" else open_ids.discard)(event.id)
        going_on = stream.going_on()
        assert {number for number, _ in going_on} == open_ids
        assert all(7 <= one.start < one.end < 7 + stream.seconds + 0.5 for _, one in going_on)  # and a step
        longest = max([longest, *(one.end - one.start for _, one in going_on)])
    stream.finish()
    assert not stream.going_on() and longest > 0.5


@pytest.mark.parametrize("mode", ["dense", "clips"])
def test_without_a_fine_timeline_early_changes_nothing(files: dict[str, Path], mode: Any) -> None:
    recogniser = load(files["dense"], mode=mode)
    streams = [Stream(recogniser, early=early) for early in (False, True)]
    (steps, late), (_, events) = (played(stream, scene(9), 2400) for stream in streams)
    assert late == events and late
    check([event for _, event in late], steps)


LEVEL = 0.9  # of a sound, and so the probability of the first label


def scripted(stream: Stream, monkeypatch: pytest.MonkeyPatch, *, from_label: int = 0) -> None:
    """The level of a step is the probability of the first label, and early predictions say so of another one, too."""
    hop = stream._grid.hop

    def predict_turn(
        waveform: np.ndarray, places: np.ndarray, unit: int, mirrored: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = np.zeros((len(places), len(LABELS)), np.float32)
        for row, place in zip(rows, places, strict=True):
            level = float(np.abs(waveform[place * unit : (place + 1) * unit]).mean())
            row[0] = level
            if mirrored == EARLY_MIRRORED_FRAMES * hop:
                row[from_label] = level
        return rows, np.zeros((-(-len(waveform) // hop), 1), np.float32)

    monkeypatch.setattr(stream._predictor, "predict_turn", predict_turn)


def sounds(*times: tuple[float, float], seconds: float = 12.0) -> np.ndarray:
    waveform = np.zeros(round(seconds * RATE), np.float32)
    for start, end in times:
        waveform[round(start * RATE) : round(end * RATE)] = LEVEL
    return waveform


def test_a_sound_is_announced_while_it_begins(fine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser = load(fine)
    stream = Stream(recogniser, early=True, threshold=0.5)
    scripted(stream, monkeypatch)
    waveform = sounds((2.0, 3.0), (3.7, 4.2), (6.0, 11.0))  # the second begins within a second of the first's end
    _, events = played(stream, waveform, 2400)
    for kind, late in (("start", 0.5), ("end", 0.5 + stream.delay + 0.3)):
        found = [one for one in events if one[1].kind == kind]
        assert [event.id for _, event in found] == [1, 2, 3]
        for (time, event), onset, offset in zip(found, (2.0, 3.7, 6.0), (3.0, 4.2, 11.0), strict=True):
            assert event.segment.start == pytest.approx(onset, abs=0.15)
            moment = onset if kind == "start" else offset
            assert moment < time < moment + late
    first = events[0][1]
    start, score = round(first.segment.start, 3), round(first.segment.score, 4)
    assert first.as_dict() == {"event": "start", "id": 1, "start": start, "label": "tap", "score": score}


def test_what_only_early_predictions_have_is_withdrawn(fine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(load(fine), early=True, threshold=0.5, start=100.0)
    scripted(stream, monkeypatch, from_label=1)
    sounding: list[list[str]] = []
    events: list[tuple[float, Event]] = []
    waveform = sounds((2.0, 3.0), (11.0, 12.0))
    for at in range(0, len(waveform), 2400):
        stream.push(waveform[at : at + 2400])
        sounding.append([one.label for one in stream.open_segments()])
        events += [(stream.seconds, event) for event in stream.events]
    stream.finish()
    last = stream.events
    wrong = [(event.kind, event.id) for _, event in events if event.segment.label == LABELS[1]]
    assert wrong == [("start", 1), ("withdraw", 1), ("start", 3)]  # by label, where they begin together
    withdrawn = next(time for time, event in events if event.kind == "withdraw")
    # When the steps know that nothing begins within a second of the announced start.
    assert 2.0 + TOLERANCE_S < withdrawn < 3.0 + TOLERANCE_S + stream.delay + 1
    assert [(event.kind, event.id) for event in last] == [("end", 4), ("withdraw", 3)]
    assert last[0].segment.start == pytest.approx(111, abs=0.15)
    assert last[1].as_dict() == {
        "event": "withdraw", "id": 3, "start": round(last[1].segment.start, 3), "label": LABELS[1],
    }  # fmt: skip
    assert sounding[24] == [LABELS[1], LABELS[0]] and sounding[40] == []
    assert stream.events == last and stream.finish() == [] and stream.events == []


def test_announcements_are_matched_by_time_one_to_one() -> None:
    announcer = Announcer()

    def at(start: float, end: float, label: str = "tap") -> Segment:
        return Segment(start, end, label, 0.5)

    def kinds(events: list[Event]) -> list[tuple[str, int]]:
        return [(event.kind, event.id) for event in events]

    assert kinds(announcer.see([at(10, 10.4), at(10, 10.4, "peel")])) == [("start", 1), ("start", 2)]
    assert kinds(announcer.see([at(10.1, 10.4), at(10.9, 11.2)])) == [("start", 3)]  # two at a time are two
    assert kinds(announcer.see([at(10.9, 11.6)])) == []
    assert kinds(announcer.complete([at(10.8, 12)], lambda label: 10.5)) == [("end", 3)]
    assert kinds(announcer.complete([], lambda label: 12 if label == "tap" else 10.5)) == [("withdraw", 1)]
    assert kinds(announcer.complete([at(11.05, 13, "peel")], lambda label: 13)) == [
        ("start", 4),
        ("end", 4),
        ("withdraw", 2),
    ]
    # What was seen for long may begin much later than it was announced.
    assert kinds(announcer.see([at(20, 23)])) == [("start", 5)]
    assert kinds(announcer.complete([], lambda label: 22)) == []
    assert kinds(announcer.complete([at(22.5, 25)], lambda label: 25)) == [("end", 5)]


def test_hours_take_no_more_memory(fine: Path) -> None:
    stream = Stream(load(fine, threads=1), early=True)
    held = []
    for number in range(60):
        stream.push(scene(0.3))
        held.append((stream.held, len(stream._ahead)))
        assert sum(map(len, stream._announcer._announced.values())) < 20 and len(stream.events) < 20
        if number == 30:
            most = np.max(held, axis=0)
    assert (np.max(held, axis=0) == most).all() and most[1] <= (stream.delay + 0.4) / stream.step_seconds


# --- The command line ---


@pytest.fixture(scope="module")
def options(fine: Path) -> tuple[object, ...]:
    return ("--model", fine)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_of_starts_and_ends(options: tuple[object, ...], fine: Path, tmp_path: Path) -> None:
    path, log = write_wav(tmp_path / "a.wav", scene(15), RATE), tmp_path / "log.jsonl"
    before = datetime.now().astimezone() - timedelta(seconds=5)  # the first sound is taken to be just over
    found = ainext("listen", path, *options, "--json", "--log", log)
    assert found.code == 0
    lines, journal = lines_of(found.out), lines_of(log.read_text())
    stream = Stream(load(fine))
    segments = segments_of(played(stream, scene(15), RATE)[0])
    ended = [line for line in lines if line["event"] == "end"]
    assert [(one["label"], one["start"]) for one in ended] == [(one.label, round(one.start, 3)) for one in segments]
    assert [(one["label"], one["start"]) for one in journal] == [(one["label"], one["start"]) for one in ended]
    assert set(journal[0]) == {"source", "began", "start", "end", "label", "score"}
    began = datetime.fromisoformat(journal[0]["began"])
    assert before < began < datetime.now().astimezone()
    names = {"start": "event id time start label score", "withdraw": "event id time start label"}
    names["end"] = "event id time start end label score"
    for line in lines:
        assert list(line) == names[line["event"]].split()
        time = datetime.fromisoformat(line["time"])
        assert time.tzinfo is not None and len(line["time"]) == len("2026-11-28T22:00:00.000+00:00")
        assert (time - began).total_seconds() == pytest.approx(line["start"], abs=0.002)
    starts = [line["id"] for line in lines if line["event"] == "start"]
    assert starts == list(range(1, len(starts) + 1))
    assert sorted(line["id"] for line in lines if line["event"] != "start") == starts
    assert found.complaints[-1].endswith(f"{len(segments)} segments")
    late = ainext("listen", path, *options, "--json", "--no-early")
    assert [line["event"] for line in lines_of(late.out)].count("withdraw") == 0
    text = ainext("listen", path, *options)
    assert len(text.out.splitlines()) == len(segments)


def test_a_pipe_in_real_time_announces_what_is_still_sounding(options: tuple[object, ...]) -> None:
    command = [sys.executable, "-m", "audioinceptionnext", "listen", "-", "--json", *map(str, options), "--sample-rate"]
    process = subprocess.Popen(
        [*command, str(RATE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin and process.stdout
    process.stdin.write((scene(3) * 32767).astype("<i2").tobytes())
    process.stdin.flush()  # and it stays open: no step is complete yet
    first = json.loads(process.stdout.readline())
    assert first["event"] == "start" and first["start"] < 3
    process.stdin.close()
    assert process.wait(60) == 0


def test_ids_go_on_after_sound_was_skipped(
    fine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recogniser = load(fine)

    def blocks() -> Iterator[np.ndarray]:
        yield from (scene(1) for _ in range(30))

    loop = LiveLoop(
        LiveInput("flood", blocks(), waits=True),
        lambda start: Stream(recogniser, start=start, early=True),
        Printer(True, False),
        RATE,
        drop=True,
    )
    assert loop.run()
    out, err = capsys.readouterr()
    lines = lines_of(out)
    starts = [line["id"] for line in lines if line["event"] == "start"]
    assert starts == list(range(1, len(starts) + 1)) and "skipped" in err
    assert sorted(line["id"] for line in lines if line["event"] != "start") == starts
    assert max(line["start"] for line in lines) > 20


# --- The server ---


def test_a_server_sends_events_on_request(fine: Path) -> None:
    waveform = scene(6)
    with serving(models=(str(fine),)) as server:

        def messages(query: str) -> list[dict[str, Any]]:
            url = f"{server.url.replace('http', 'ws')}/v1/listen?encoding=f32le&{query}"
            with websockets.connect(url, ping_interval=None) as socket:  # however busy this computer is
                for at in range(0, len(waveform), 4800):
                    socket.send(waveform[at : at + 4800].tobytes())
                socket.send('{"type": "end"}')
                return [json.loads(message) for message in socket]

        plain, found = messages(""), messages("include=events")
    steps = [message for message in found if "label" in message]
    assert [{**step, "events": 0} for step in steps] == [{**step, "events": 0} for step in plain]
    assert not any("events" in step for step in plain)
    alone = [message for message in found if "label" not in message]
    assert alone and all(list(message) == ["events"] for message in alone)
    events = [event for message in found for event in message.get("events", ())]
    ended = [
        {k: v for k, v in event.items() if k not in ("event", "id")} for event in events if event["event"] == "end"
    ]
    assert ended == [segment for step in plain for segment in step["segments"]] and ended
    starts = [event["id"] for event in events if event["event"] == "start"]
    assert sorted(event["id"] for event in events if event["event"] != "start") == starts
    assert starts == list(range(1, len(starts) + 1)) and events[0]["event"] == "start"
