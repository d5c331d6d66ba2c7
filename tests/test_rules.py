"""Rules: what a file may say, what is said of one that is wrong, and which segments raise alerts when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioinceptionnext.alerts import Alerts, load_rules
from audioinceptionnext.alerts.alert import Alert, slug
from audioinceptionnext.alerts.hours import Hours, read_days, read_span
from audioinceptionnext.errors import AinextError, FileError
from audioinceptionnext.inference.events import Event
from audioinceptionnext.models.load import load
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.types import Segment
from tests.browser import SCENE
from tests.command import ainext, refused

LABELS = LabelSet(("Dog", "Cat", "Waves, surf", "Smoke detector"), groups={"Animal": ("Dog", "Cat")})
BEGAN = datetime(2026, 11, 27, 21, 59).astimezone()  # a Friday
ROOT = Path(__file__).parents[1]


def written(path: Path, *lines: str, rule: str = "") -> Path:
    """A rules file with one rule: these lines in place of its labels and actions, as far as they have them."""
    has = {line.split(":")[0] for line in lines}
    rest = [line for line in ("labels: Dog", "actions: [print]") if line.split(":")[0] not in has]
    body = "\n".join(f"    {line}" for line in [*lines, *rest])
    path.write_text(rule or f"rules:\n  - name: Mine\n{body}\n")
    return path


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


# --- The file ---


def test_a_file_with_all_keys_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "hush")
    (tmp_path / "rules.yaml").write_text("""
mqtt: {host: 192.0.2.1, port: 1884, topic: home/ears, qos: 2, discovery: false}
rules:
  - name: Beach
    labels: ["waves, SURF", "c*"]
    groups: animal
    sources: [Garden*]
    threshold: 0.25
    min_duration: 1.5
    cooldown: 60
    hours: ["22:00-06:30", "12:00-13:00"]
    days: mon-fri, Sunday
    actions:
      - print
      - file: found.csv
      - command: [cat, "{label}", 5]
        timeout: 3
      - webhook: https://example.org:8443/word?token=1
        secret_env: HOOK_SECRET
        timeout: 2
        retry_for: 5
        allow_private: true
      - mqtt
""")
    (rule,) = load_rules(tmp_path / "rules.yaml", LABELS, sources=["garden 1", "mic"]).rules
    assert rule.labels == ("Dog", "Cat", "Waves, surf")
    assert (rule.threshold, rule.min_duration, rule.cooldown) == (0.25, 1.5, 60)
    assert rule.concerns("garden 1", "Dog") and not rule.concerns("mic", "Dog")
    described = f"{rule.condition()}: {', '.join(map(str, rule.actions))}"
    assert "22:00-06:30, 12:00-13:00 on mon, tue, wed, thu, fri, sun" in described
    assert "https://example.org:8443 (signed)" in described and "192.0.2.1:1884" in described
    for secret in ("hush", "word", "token"):
        assert secret not in described and secret not in repr(rule)
    assert rule.actions[1].path == tmp_path / "found.csv"  # type: ignore[union-attr]


def test_the_example_is_valid_and_its_commented_lines_are_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = load("everyday").label_set
    example = (ROOT / "examples" / "rules.yaml").read_text()
    assert len(load_rules(ROOT / "examples" / "rules.yaml", labels).rules) == 3
    for name in ("HOOK_SECRET", "MQTT_USER", "MQTT_PASSWORD"):
        monkeypatch.setenv(name, "x")
    uncommented = example.replace("# - ", "- ").replace("#   ", "  ").replace("# mqtt:", "mqtt:")
    (tmp_path / "all.yaml").write_text(uncommented.replace("notify-send", "cat"))
    assert sum(len(rule.actions) for rule in load_rules(tmp_path / "all.yaml", labels).rules) == 7


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("lables: Dog", "rule 'Mine': there is no key 'lables'; did you mean labels?"),
        ("labels: Dgo", "rule 'Mine', labels: no label matches 'Dgo'; did you mean Dog?"),
        ("groups: Animals", "rule 'Mine', groups: no group matches 'group:Animals'; did you mean Animal?"),
        ("labels: 5", "rule 'Mine', labels: 5 is no text"),
        ("labels: []", "labels: the list is empty"),
        ("name: other", "has the key 'name' twice"),
        ("threshold: 80", "threshold: 80 is not possible; give a number from 0 to 1"),
        ("threshold: high", "threshold: 'high' is not possible"),
        ("threshold: .nan", "threshold: nan is not possible"),
        ("cooldown: yes", "cooldown: true is not possible"),
        ("min_duration: -1", "min_duration: -1 is not possible; give a number from 0 to 2592000 seconds"),
        ("hours: 25:00-06:00", "hours: there is no time of day 25:00"),
        ("hours: 22:00", "hours: 1320 is no text"),  # YAML takes this for a number
        ("hours: evening", "hours: 'evening' are no hours; give them as in '22:00-06:30'"),
        ("hours: 22:00-22:00", "hours: '22:00-22:00' begins when it ends"),
        ("days: mon-someday", "days: 'mon-someday' is no day of the week"),
        ("sources: kitchn", "sources: no input is called 'kitchn'; did you mean kitchen?"),
        ("actions: print", "actions: give a list of what to do: print, file, command, webhook, mqtt"),
        ("actions: [prnt]", "actions: there is no action 'prnt'; did you mean print?"),
        ("actions: [print, print]", "actions: print is there twice"),
        ("actions: [{file: a.csv, webhook: 'http://b.c'}]", "is no action; each begins with one of"),
        ("actions: [{file: alerts.txt}]", "rule 'Mine', file: 'alerts.txt': give a file that ends in .csv or .jsonl"),
        ("actions: [{file: nowhere/a.csv}]", "nowhere' does not exist; create it first"),
        ("actions: [{command: notify-send}]", "command: give the program and its arguments as a list"),
        ("actions: [{command: [no-such-program, x]}]", "command: there is no program 'no-such-program'"),
        ("actions: [{command: [./rules.yaml]}]", "there is no program './rules.yaml' that can be run"),
        ("actions: [{command: [cat, '{lable}']}]", "there is no placeholder {lable}; did you mean label?"),
        ("actions: [{command: ['{label}']}]", "the program itself cannot have a placeholder"),
        ("actions: [{command: [cat], timeout: 0}]", "rule 'Mine', command, timeout: 0 is not possible"),
        ("actions: [{webhook: example.org}]", "webhook: give a URL such as https://example.org/hook"),
        ("actions: [{webhook: 'http://a:99999/'}]", "webhook: give a URL"),
        ("actions: [{webhook: 'ftp://a.org/'}]", "webhook: give a URL"),
        ("actions: [{webhook: 'http://a:b@c.org/'}]", "the URL has a user or a password; give a token by token_env"),
        ("actions: [{webhook: 'http://a.org', secret: x}]", "there is no key 'secret'; did you mean secret_env?"),
        ("actions: [{webhook: 'http://a.org', secret_env: UNSET}]", "the environment variable 'UNSET' is not set"),
        ("actions: [mqtt]", "rule 'Mine', mqtt: the file does not say which broker; add a key mqtt"),
        ("actions: [{mqtt: localhost}]", "mqtt takes no value here"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_in_one_line(tmp_path: Path, line: str, complaint: str) -> None:
    path = written(tmp_path / "rules.yaml", line)
    with pytest.raises(FileError) as error:
        load_rules(path, LABELS, sources=["kitchen", "garden"])
    assert complaint in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "give keys with values: rules, mqtt"),
        ("rules: []", "rules: give a list of at least one rule"),
        ("rule: []", "there is no key 'rule'; did you mean rules?"),
        ("rules:\n- labels: Dog", "rule 1, name: this is missing; give one"),
        ("rules:\n- Dog", "rule 1: give keys with values"),
        ("rules:\n- {name: A, actions: [print]}", "rule 'A', labels: give the labels of the rule, or groups"),
        ("rules:\n- {name: A, labels: Dog}", "rule 'A', actions: give a list of what to do"),
        ("rules:\n\t- name", "is not YAML: line 2: found character '\\t' that cannot start any token"),
        ("rules: [", "is not YAML: line 1:"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML: line 1: could not determine a constructor"),
        ("mqtt: {}\nrules: []", "mqtt, host: this is missing; give one"),
        ("mqtt: {host: 'mqtt://a'}", "mqtt, host: 'mqtt://a' is no host"),
        ("mqtt: {host: a, port: 70000}", "mqtt, port: 70000 is not possible; give a whole number from 1 to 65535"),
        ("mqtt: {host: a, topic: a/#}", "mqtt, topic: 'a/#' is no topic"),
        ("mqtt: {host: a, password: x}", "mqtt: there is no key 'password'; did you mean password_env?"),
        ("mqtt: {host: a, ca_file: none.pem}", "mqtt, ca_file: there is no such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(FileError, match=r"^[^\n]+$") as error:
        load_rules(tmp_path / "rules.yaml", LABELS)
    assert complaint in str(error.value)


def test_a_file_that_is_no_text_or_not_there_and_names_that_are_used_twice(tmp_path: Path) -> None:
    for content, complaint in ((b"\xff\xfe\x00", "it is not utf-8"), (None, "no such file")):
        path = tmp_path / f"{content is None}.yaml"
        if content:
            path.write_bytes(content)
        with pytest.raises(FileError, match=complaint):
            load_rules(path, LABELS)
    rule = "- {{name: {}, labels: Dog, actions: [print]}}\n"
    (tmp_path / "twice.yaml").write_text(f"rules:\n{rule.format('My dog')}{rule.format('my DOG')}")
    with pytest.raises(FileError, match="rule 'my DOG': another rule has this name"):
        load_rules(tmp_path / "twice.yaml", LABELS)
    assert slug("煙探知機") != slug("犬") and slug("Été") == "ete" and "/" not in slug("a/b#+")


def test_a_file_for_alerts_that_has_other_lines_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    rules = load_rules(written(tmp_path / "rules.yaml", "actions: [{file: notes.csv}]"), LABELS)
    with pytest.raises(AinextError, match="has other lines than alerts"):
        Alerts(rules)
    assert (tmp_path / "notes.csv").read_text() == "a,b\n1,2\n"


# --- Which segments raise alerts ---


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


# --- The command ---


def write(path: Path, rules: Iterable[str]) -> Path:
    path.write_text("rules:\n" + "".join(f"- {{{rule}, actions: [print, {{file: a.csv}}]}}\n" for rule in rules))
    return path


def test_check_shows_what_rules_mean_and_would_have_done(tmp_path: Path) -> None:
    rules = write(
        tmp_path / "rules.yaml",
        ["name: Water, labels: water*, sources: kitchen", "name: Late, labels: '*', hours: 03:00-04:00, cooldown: 5"],
    )
    common = ("rules", "check", rules, "--model", "kitchen20-small")
    shown = ainext(*common)
    assert shown.code == 0 and "water-flowing, from kitchen" in shown.out and f"{tmp_path}/a.csv" in shown.out
    document = ainext(*common, SCENE, "--began", "2026-11-28T02:59:50", "--json").json
    assert [one["name"] for one in document["rules"]] == ["Water", "Late"]
    segments = ainext("predict", SCENE, "--model", "kitchen20-small", "--json").json[0]["segments"]
    water = [one for one in segments if one["label"] == "water-flowing"]
    alerts = document["alerts"]
    assert [one["start"] for one in alerts if one["rule"] == "Water"] == [one["start"] for one in water] != []
    late = [datetime.fromisoformat(one["raised"]) for one in alerts if one["rule"] == "Late"]
    assert late and min(late) >= datetime(2026, 11, 28, 3).astimezone()
    assert all(after - before >= timedelta(seconds=5) for before, after in pairwise(late))
    elsewhere = ainext(*common, SCENE, "--source", "garden", "--json").json
    assert not [one for one in elsewhere["alerts"] if one["rule"] == "Water"]
    text = ainext(*common, SCENE)
    assert "Water: water-flowing" in text.out
    assert not (tmp_path / "a.csv").exists()  # no action is carried out
    json.dumps(document)


def test_listen_raises_alerts_and_prints_them_among_its_lines(tmp_path: Path) -> None:
    rules = written(tmp_path / "rules.yaml", "labels: '*'", "actions: [print, {file: a.jsonl}]")
    outcome = ainext("listen", SCENE, "--model", "kitchen20-small", "--rules", rules, "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    ended = [one for one in lines if one["event"] == "end"]
    shown = [{name: one[name] for name in one if name != "event"} for one in lines if one["event"] == "alert"]
    stored = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert shown == stored and [one["label"] for one in stored] == [one["label"] for one in ended] != []
    assert outcome.code == 0 and all(one["source"] == str(SCENE) for one in stored)
    text = ainext("listen", SCENE, "--model", "kitchen20-small", "--rules", rules, "--stop-after", 8)
    assert text.code == 0 and "  Mine: " in text.out
    sources = written(tmp_path / "rules.yaml", "labels: '*'", "sources: garden")
    line = refused("listen", f"kitchen={SCENE}", "--model", "kitchen20-small", "--rules", sources)
    assert line.endswith("rule 'Mine', sources: no input is called 'garden'; choose from kitchen")


def test_check_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    rules = write(tmp_path / "rules.yaml", ["name: A, labels: Smoke*"])
    common = ("--model", "kitchen20-small")
    line = refused("rules", "check", rules, *common)
    assert line.startswith(f"ainext: {rules}: rule 'A', labels: no label matches 'Smoke*'")
    assert "--source: this needs a recording" in refused("rules", "check", rules, "--source", "kitchen")
    assert "gone.yaml: cannot be read" in refused("rules", "check", tmp_path / "gone.yaml", *common)
