"""The topics of MQTT, and what Home Assistant's discovery is told of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from audioinceptionnext.alerts.alert import slug
from audioinceptionnext.alerts.rules import Broker, Rule

ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Topics:
    """The topics of one process, all of which begin with ``base``."""

    base: str

    @property
    def availability(self) -> str:
        """``online``, or ``offline`` when the process has ended or the connection is lost. Retained."""
        return f"{self.base}/availability"

    def state(self, rule: str) -> str:
        """``ON`` while a segment that raised an alert goes on, else ``OFF``. Retained."""
        return f"{self.base}/rule/{slug(rule)}/state"

    def alert(self, rule: str) -> str:
        """The JSON object of each alert."""
        return f"{self.base}/rule/{slug(rule)}/alert"

    def label(self, label: str) -> str:
        """The score of a label whose segment goes on, in percent, else 0. Retained."""
        return f"{self.base}/label/{slug(label)}/score"

    @property
    def device(self) -> str:
        """What tells this process from others in Home Assistant."""
        return f"ainext_{slug(self.base)}" if self.base != "ainext" else "ainext"

    def announced(self, prefix: str) -> str:
        """The pattern of the topics with which all sensors of the device are announced."""
        return f"{prefix}/+/{self.device}/+/config"


def discovery(broker: Broker, rules: Iterable[Rule], labels: Iterable[str]) -> dict[str, str]:
    """The messages that announce a binary sensor for each rule and a sensor for each label, by topic.

    >>> [*discovery(broker, rules, ["Dog"])][-1]
    'homeassistant/sensor/ainext/label_dog/config'
    """
    topics = Topics(broker.topic)
    device = {
        "identifiers": [topics.device],
        "name": "AudioInceptionNeXt" if topics.base == "ainext" else f"AudioInceptionNeXt {topics.base}",
        "model": "ainext listen",
    }
    shared = {"availability_topic": topics.availability, "device": device, "origin": {"name": "audioinceptionnext"}}
    found: dict[str, str] = {}

    def add(kind: str, name: str, shown: str, values: dict[str, object]) -> None:
        identity = {"name": shown, "unique_id": f"{topics.device}_{name}"}
        found[f"{broker.discovery}/{kind}/{topics.device}/{name}/config"] = json.dumps(identity | values | shared)

    for rule in rules:
        state, alert = topics.state(rule.name), topics.alert(rule.name)
        values: dict[str, object] = {"state_topic": state, "json_attributes_topic": alert, "device_class": "sound"}
        add("binary_sensor", f"rule_{slug(rule.name)}", rule.name, values)
    for label in labels:
        values = {"state_topic": topics.label(label), "unit_of_measurement": "%", "state_class": "measurement"}
        add("sensor", f"label_{slug(label)}", label, values | {"icon": "mdi:waveform"})
    return found
