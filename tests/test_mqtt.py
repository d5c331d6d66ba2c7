"""Alerts by MQTT, with a real broker that is away, comes back, and asks who is there."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from audioinceptionnext.alerts import Alerts, load_rules
from audioinceptionnext.errors import FileError
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.types import Segment
from tests.brokers import MqttBroker, Subscriber, broker, until, write_certificate

pytestmark = pytest.mark.needs("mosquitto")
BEGAN = datetime(2026, 11, 27, 21, 59).astimezone()
LABELS = LabelSet(("Dog", "Cat", "Waves, surf"))
STATE, ALERT, DOG = "ainext/rule/my_dog/state", "ainext/rule/my_dog/alert", "ainext/label/dog/score"


class Listening:
    """Alerts whose rules publish by MQTT, the lines that they warn with, and sounds to raise alerts."""

    def __init__(self, folder: Path, port: int, rules: dict[str, str] | None = None, **settings: Any) -> None:
        path = folder / "rules.yaml"
        found = [
            {"name": name, "labels": labels, "actions": ["mqtt"]}
            for name, labels in (rules or {"My dog": "Dog"}).items()
        ]
        path.write_text(json.dumps({"mqtt": {"host": "127.0.0.1", "port": port} | settings, "rules": found}))
        self.lines: list[str] = []
        self.alerts = Alerts(load_rules(path, LABELS), warn=self.lines.append)

    def event(self, kind: Any, number: int, score: float = 0.8, label: str = "Dog") -> None:
        self.alerts.event("mic", BEGAN, Event(kind, number, Segment(number, number + 1, label, score)))

    def sound(self, number: int) -> None:
        self.event("start", number)
        self.event("end", number)

    def is_there(self) -> bool:
        return any("connect" in line for line in self.lines)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listening]]:
    made: list[Listening] = []

    def start(*arguments: Any, **settings: Any) -> Listening:
        made.append(Listening(tmp_path, *arguments, **settings))
        return made[-1]

    yield start
    for one in made:
        one.alerts.close()


def test_home_assistant_finds_a_sensor_for_each_rule_and_label(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    with broker(tmp_path) as running, Subscriber(running.port) as home:
        one = listen(running.port, {"My dog": "Dog", "At sea": "Waves*, Dog"})
        until(lambda: home.of("ainext/availability") == ["online"])
        configured = {topic: json.loads(text) for topic, text in home.last().items() if topic.endswith("/config")}
        binary = configured["homeassistant/binary_sensor/ainext/rule_my_dog/config"]
        assert binary["name"] == "My dog" and binary["device_class"] == "sound"
        assert (binary["state_topic"], binary["json_attributes_topic"]) == (STATE, ALERT)
        sensor = configured["homeassistant/sensor/ainext/label_waves_surf/config"]
        assert (sensor["name"], sensor["unit_of_measurement"]) == ("Waves, surf", "%")
        assert len(configured) == 4  # of the rules' labels, not of the model's
        assert {value["availability_topic"] for value in configured.values()} == {"ainext/availability"}
        assert len({value["unique_id"] for value in configured.values()}) == 4
        assert len({json.dumps(value["device"]) for value in configured.values()}) == 1
        assert home.of(STATE) == ["OFF"] and home.of(DOG) == ["0"]

        one.event("start", 1, score=0.63)
        until(lambda: home.of("ainext/rule/at_sea/state") == ["OFF", "ON"])
        assert home.of(STATE) == ["OFF", "ON"]
        (alert,) = map(json.loads, home.of(ALERT))
        assert (alert["rule"], alert["label"], alert["score"], alert["end"]) == ("My dog", "Dog", 0.63, None)
        one.event("start", 2, label="Cat")  # which no rule looks for
        one.event("start", 3, score=0.9)
        one.event("withdraw", 3)
        one.event("end", 1)
        until(lambda: home.of("ainext/rule/at_sea/state")[-1:] == ["OFF"])
        until(lambda: home.of(STATE)[2:] == ["ON", "OFF"])  # a second alert, and none that goes on
        until(lambda: home.of(DOG) == ["0", "63", "90", "63", "0"])

        one.alerts.close()
        until(lambda: home.of("ainext/availability") == ["online", "offline"])
        with Subscriber(running.port) as late:
            until(lambda: late.of(STATE) == ["OFF"])
            assert not late.of(ALERT)  # an alert is not retained: nobody is alarmed twice

        # A rule that there is no more leaves no sensor behind.
        listen(running.port, {"My dog": "Dog"})
        gone = "homeassistant/binary_sensor/ainext/rule_at_sea/config"
        until(lambda: home.of(gone)[-1] == "")
        until(lambda: home.of("homeassistant/sensor/ainext/label_waves_surf/config")[-1] == "")
        assert home.of("homeassistant/sensor/ainext/label_dog/config")[-1] != ""
        assert not one.lines


def test_alerts_wait_for_a_broker_that_comes_late_or_back(listen: Callable[..., Listening], tmp_path: Path) -> None:
    running = MqttBroker(tmp_path)
    one = listen(running.port)
    one.sound(1)
    until(lambda: one.lines)
    reason = "the broker cannot be reached (connection refused); trying again"
    assert one.lines == [f"mqtt 127.0.0.1:{running.port}: {reason}"]
    try:
        running.start()
        with Subscriber(running.port) as home:
            until(lambda: len(home.of(ALERT)) == 1 or one.is_there())
            one.sound(2)
            until(lambda: home.of(ALERT) and json.loads(home.of(ALERT)[-1])["start"] == 2)
            running.kill()
            for number in range(3, 8):
                one.sound(number)
            one.event("start", 8)  # this one still goes on
            running.start()
            until(lambda: home.of(ALERT) and json.loads(home.of(ALERT)[-1])["start"] == 8)
            starts = [json.loads(text)["start"] for text in home.of(ALERT)]
            assert starts == sorted(starts)  # what came before the subscriber was back is not among them
            until(lambda: home.last().get(STATE) == "ON")
            until(lambda: home.last().get(DOG) == "80" and home.last()["ainext/availability"] == "online")
            (target,) = one.alerts.targets.values()
            assert (target.delivered, target.dropped) == (8, 0)
    finally:
        running.kill()


def test_a_listener_that_is_killed_is_offline(tmp_path: Path) -> None:
    """Nothing is said at the end: the broker publishes the last will."""
    with broker(tmp_path) as running, Subscriber(running.port) as home:
        rule = {"name": "Any", "labels": "*", "actions": ["mqtt"]}
        settings = {"mqtt": {"host": "127.0.0.1", "port": running.port}, "rules": [rule]}
        (tmp_path / "rules.yaml").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "audioinceptionnext", "listen", "-", "--model", "kitchen20-small"]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        process = subprocess.Popen(
            [*command, "--rules", tmp_path / "rules.yaml"], stdin=pipe, stdout=nowhere, stderr=nowhere
        )
        assert process.stdin
        try:
            until(lambda: home.of("ainext/availability") == ["online"])
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
        until(lambda: home.of("ainext/availability") == ["online", "offline"])


def test_a_broker_that_is_away_to_the_end_delays_it_little_and_drops_are_said(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    one = listen(MqttBroker(tmp_path).port)
    one.sound(1)
    one.sound(2)
    until(lambda: one.lines)
    one.alerts.close()
    assert "alert dropped" in one.lines[1] or "alerts dropped" in one.lines[1]
    (target,) = one.alerts.targets.values()
    assert (target.delivered, target.dropped) == (0, 2)


def password_line(user: str, password: str) -> str:
    """A line of mosquitto's password file."""
    salt = b"some salt 12"
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101, 64)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"


def test_user_and_password_come_from_the_environment_and_a_refusal_is_said(
    listen: Callable[..., Listening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "users"
    users.write_text(password_line("ear", "hush"))
    keys = {"user_env": "EAR_USER", "password_env": "EAR_PASSWORD", "topic": "home/ear", "discovery": False}
    monkeypatch.setenv("EAR_USER", "ear")
    with broker(tmp_path, "allow_anonymous false", f"password_file {users}", "user root") as running:
        monkeypatch.setenv("EAR_PASSWORD", "wrong")
        one = listen(running.port, **keys)
        until(lambda: one.lines)
        reason = "the broker refuses the connection: not authorized; trying again"
        assert one.lines == [f"mqtt 127.0.0.1:{running.port}: {reason}"]
        one.alerts.close()
        monkeypatch.setenv("EAR_PASSWORD", "hush")
        one = listen(running.port, **keys)
        one.sound(1)
        one.alerts.close()  # waits for the connection, which has only just begun
        (target,) = one.alerts.targets.values()
        assert (target.delivered, target.dropped, one.lines) == (1, 0, [])


@pytest.mark.needs("openssl")
def test_tls_trusts_the_given_certificate_and_no_other(listen: Callable[..., Listening], tmp_path: Path) -> None:
    ours, _ = (write_certificate(tmp_path / name) for name in ("ours.pem", "other.pem"))
    with broker(tmp_path, f"certfile {ours}", f"keyfile {ours.with_suffix('.key')}", "user root") as running:
        one = listen(running.port, ca_file="other.pem")
        until(lambda: one.lines)
        assert "the broker cannot be reached (self" in one.lines[0]  # signed certificate
        one.alerts.close()
        one = listen(running.port, tls=True, ca_file="ours.pem")
        one.sound(1)
        one.alerts.close()
        (target,) = one.alerts.targets.values()
        assert (target.delivered, one.lines) == (1, [])
    shutil.copy(tmp_path / "rules.yaml", tmp_path / "none.pem")
    with pytest.raises(FileError, match="holds no certificates"):
        listen(running.port, ca_file="none.pem")
