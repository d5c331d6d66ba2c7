"""Which segments raise alerts, and when: thresholds, durations, cooldowns, hours and inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioinceptionnext.alerts import Alerts, load_rules
from audioinceptionnext.alerts.alert import Alert
from audioinceptionnext.alerts.hours import Hours, read_days, read_span
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.types import Segment
from tests.rule_files import LABELS, written

BEGAN = datetime(2026, 11, 27, 21, 59).astimezone()  # a Friday


class Played:
    """Rules of which each prints, and the alerts that they raise."""

    def __init__(self, path: Path, *lines: str) -> None:
        self.shown: list[Alert] = []
        self._alerts = Alerts(load_rules(written(path, *lines), LABELS), show=self.shown.append)

    def event(self, kind: str, number: int, segment: Segment, source: str = "mic", began: datetime = BEGAN) -> None:
        self._alerts.event(source, began, Event(kind, number, segment))  # type: ignore[arg-type]

    def going_on(self, number: int, segment: Segment) -> None:
        self._alerts.going_on("mic", BEGAN, [(number, segment)])

    def whole(self, number: int, start: float, end: float, label: str = "Dog", source: str = "mic") -> None:
        segment = Segment(start, end, label, 0.8)
        self.event("start", number, Segment(start, start + 0.1, label, 0.8), source)
        self.event("end", number, segment, source)

    def alerts(self) -> list[Alert]:
        self._alerts.close()
        return self.shown


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    return lambda *lines: Played(tmp_path / "rules.yaml", *lines)


def test_an_alert_comes_at_the_start_and_once(play: Callable[..., Played]) -> None:
    played = play()
    played.event("start", 1, Segment(2, 2.3, "Dog", 0.6))
    played.going_on(1, Segment(2, 9, "Dog", 0.7))
    played.event("end", 1, Segment(2, 9, "Dog", 0.7))
    played.event("start", 2, Segment(3, 4, "Cat", 0.9))
    (alert,) = played.alerts()
    values = alert.as_dict()
    assert values["time"] == (BEGAN + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    assert {**values, "id": "", "time": "", "raised": ""} == {
        **{"time": "", "rule": "Mine", "source": "mic", "label": "Dog", "score": 0.6},
        **{"start": 2.0, "end": None, "raised": "", "id": ""},
    }


def test_a_minimum_duration_is_waited_for_and_no_longer(play: Callable[..., Played]) -> None:
    played = play("min_duration: 3")
    played.event("start", 1, Segment(0, 1, "Dog", 0.8))
    played.going_on(1, Segment(0, 2.9, "Dog", 0.8))
    assert not played.shown
    played.going_on(1, Segment(0, 3.2, "Dog", 0.8))
    played.event("end", 1, Segment(0, 4, "Dog", 0.8))
    played.whole(2, 10, 12.9)  # too short
    played.event("start", 3, Segment(20, 21, "Dog", 0.8))
    played.event("withdraw", 3, Segment(20, 21, "Dog", 0.8))
    played.whole(4, 30, 33)  # nobody said before that it went on
    alerts = played.alerts()
    assert [(one.start, one.end) for one in alerts] == [(0, None), (30, 33)]
    assert [one.raised - one.time for one in alerts] == [timedelta(seconds=3)] * 2


def test_a_threshold_is_that_of_the_score_as_it_is_known(play: Callable[..., Played]) -> None:
    played = play("threshold: 0.7")
    played.event("start", 1, Segment(0, 1, "Dog", 0.5))
    played.going_on(1, Segment(0, 2, "Dog", 0.7))
    played.event("end", 1, Segment(0, 3, "Dog", 0.4))
    played.event("start", 2, Segment(10, 11, "Dog", 0.5))
    played.event("end", 2, Segment(10, 12, "Dog", 0.9))
    played.event("start", 3, Segment(20, 21, "Dog", 0.5))
    played.event("end", 3, Segment(20, 22, "Dog", 0.6))
    assert [(one.start, one.score) for one in played.alerts()] == [(0, 0.7), (10, 0.9)]


def test_a_cooldown_counts_for_each_input_and_ends_within_a_segment(play: Callable[..., Played]) -> None:
    played = play("cooldown: 60", "groups: Animal")
    played.whole(1, 0, 5)
    played.whole(2, 30, 31)
    played.whole(1, 40, 41, source="garden")
    played.event("start", 3, Segment(50, 51, "Cat", 0.8))
    played.going_on(3, Segment(50, 59, "Cat", 0.8))
    played.going_on(3, Segment(50, 61, "Cat", 0.8))  # it still goes on when the cooldown is over
    played.whole(4, 119.5, 119.9)
    played.whole(5, 121, 122)
    found = [(one.source, one.start, (one.raised - BEGAN).total_seconds()) for one in played.alerts()]
    assert found == [("mic", 0, 0), ("garden", 40, 40), ("mic", 50, 60), ("mic", 121, 121)]


def test_hours_are_those_of_the_sound_and_not_of_now(play: Callable[..., Played]) -> None:
    played = play("hours: 22:00-06:30", "days: fri")
    played.whole(1, 0, 10)
    played.whole(2, 55, 65)  # goes on past ten
    played.whole(3, 8 * 3600, 8 * 3600 + 1)  # on Saturday morning, in the night that began on Friday
    played.whole(4, 9 * 3600, 9 * 3600 + 1)
    played.whole(5, 25 * 3600, 25 * 3600 + 1)
    found = [(one.start, (one.raised - BEGAN).total_seconds()) for one in played.alerts()]
    assert found == [(55, 60), (8 * 3600, 8 * 3600)]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this system takes no time zone from the environment")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_hours_hold_while_clocks_are_set_back_and_alerts_have_the_time_of_the_clock(
    play: Callable[..., Played], berlin: None
) -> None:
    began = datetime(2026, 10, 24, 23).astimezone()  # of summer; at three, clocks are set back to two
    played = play("hours: 22:00-06:30", "min_duration: 0.3")
    played.event("end", 1, Segment(4 * 3600 - 10, 4 * 3600 + 10, "Dog", 0.8), began=began)
    played.event("end", 2, Segment(5 * 3600 + 1 / 7, 5 * 3600 + 1 / 7 + 0.3 - 1e-6, "Dog", 0.8), began=began)
    alerts = played.alerts()
    assert [str(one)[:19] for one in alerts] == ["2026-10-25 02:59:50", "2026-10-25 03:00:00"]
    assert [one.as_dict()["raised"][-6:] for one in alerts] == ["+02:00", "+01:00"]


def test_a_clock_that_is_set_back_silences_no_rule_for_longer_than_its_cooldown(play: Callable[..., Played]) -> None:
    played = play("cooldown: 60")
    played.event("end", 1, Segment(0, 1, "Dog", 0.8), began=BEGAN)
    played.event("end", 2, Segment(30, 31, "Dog", 0.8), began=BEGAN - timedelta(days=365))
    played.event("end", 3, Segment(40, 41, "Dog", 0.8), began=BEGAN - timedelta(days=365))
    assert [one.start for one in played.alerts()] == [0, 30]


def test_inputs_are_told_apart_and_a_new_beginning_of_one_forgets_its_segments(play: Callable[..., Played]) -> None:
    played = play("sources: [mic, 'gar*']")
    for source in ("mic", "garden", "street"):
        played.event("start", 1, Segment(0, 1, "Dog", 0.8), source)
    played.event("start", 1, Segment(0, 1, "Dog", 0.8), "mic", BEGAN + timedelta(hours=1))
    assert [one.source for one in played.alerts()] == ["mic", "garden", "mic"]


@given(
    st.lists(st.tuples(st.integers(0, 47), st.integers(1, 48)), min_size=1, max_size=3),
    st.sets(st.sampled_from(range(7)), min_size=1),
    st.integers(0, 14 * 48),
    st.integers(0, 9 * 48),
)
def test_the_first_moment_within_hours(
    spans: list[tuple[int, int]], days: set[int], begin: int, length: int
) -> None:  # fmt: skip
    """Compared with a look at every half-hour of two weeks."""
    spans = [(start, stop) for start, stop in spans if start != stop] or [(0, 48)]
    inside: set[int] = set()  # half-hours from Monday on
    for week in range(-1, 5):
        for day in days:
            for start, stop in spans:
                first = 48 * (7 * week + day) + start
                inside |= set(range(first, first - start + stop + (48 if stop <= start else 0)))
    monday = datetime(2026, 11, 23)
    expected = next((one for one in range(begin, begin + length + 1) if one in inside), None)
    hours = Hours(tuple((30 * start, 30 * stop) for start, stop in spans), frozenset(days))
    found = hours.first(monday + timedelta(minutes=30 * begin), monday + timedelta(minutes=30 * (begin + length)))
    assert found == (None if expected is None else monday + timedelta(minutes=30 * expected))


def test_hours_and_days_as_people_write_them() -> None:
    assert read_span("7:05 – 24:00") == (425, 1440)
    assert read_days(["Sat-mon", "thursday"]) == {5, 6, 0, 3}
