"""Rules: what a file may say, what is said of one that is wrong, and what the commands make of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from audioinceptionnext.alerts import Alerts, load_rules
from audioinceptionnext.alerts.alert import slug
from audioinceptionnext.errors import AinextError, FileError
from audioinceptionnext.models.load import load
from tests.browser import SCENE
from tests.command import ainext, refused
from tests.rule_files import LABELS, written

ROOT = Path(__file__).parents[1]


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
        ("actions: [{file: nowhere/a.csv}]", "nowhere does not exist; create it first"),
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
        ("", "is empty; give keys with values: rules, mqtt"),
        ("rules: []", "rules: give a list of at least one rule"),
        ("rule: []", "there is no key 'rule'; did you mean rules?"),
        ("rules:\n- labels: Dog", "rule 1, name: this is missing; give one"),
        ("rules:\n- Dog", "rule 1: is a single value; give keys with values"),
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


# --- The command ---


def test_a_secret_that_no_header_can_have_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, key, complaint in (
        ("hush\n", "token_env", "the environment variable 'HOOK' has a line break or the like; set it without"),
        ("hush\n", "secret_env", "the environment variable 'HOOK' has a line break or the like; set it without"),
        ("hush\u20ac", "token_env", "the token has letters that are not ASCII"),
    ):
        monkeypatch.setenv("HOOK", value)
        with pytest.raises(FileError, match=f"webhook, {key}: {complaint}") as error:
            load_rules(written(tmp_path / "rules.yaml", f"actions: [{{webhook: 'http://a.org', {key}: HOOK}}]"), LABELS)
        assert "hush" not in str(error.value)


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
