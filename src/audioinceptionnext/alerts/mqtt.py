"""Alerts by MQTT: messages that wait while the broker is away, and sensors that Home Assistant finds by itself."""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from audioinceptionnext.alerts.delivery import RETRY_FIRST_S, RETRY_MOST_S, Item, Target, Undelivered, Warn
from audioinceptionnext.alerts.home_assistant import OFFLINE, ONLINE, Topics, discovery
from audioinceptionnext.alerts.rules import Broker, Rule
from audioinceptionnext.errors import FileError, MissingDependencyError, printable

_POLL_S = 0.25  # how long the end may go unnoticed while the broker is away
_GOODBYE_S = 1.0  # for the last message
_KEEP_ALIVE_S = 30  # a broker that has said nothing for one and a half times this long is gone


class MqttTarget(Target):
    """Publishes alerts and what is recognised to a broker.

    An alert is a message on the rule's topic, and turns the rule's sensor on. The sensor goes off when no segment that
    raised an alert goes on. These messages wait in the queue while the broker is away. The score of a label is a
    retained message that only states what is so now.

    Args:
        broker: where to, and how.
        rules: those with this action.
        warn: as for `Target`.

    Raises:
        FileError: the file of certificates cannot be used.
        MissingDependencyError: paho-mqtt is not installed.
    """

    def __init__(self, broker: Broker, rules: Iterable[Rule], warn: Warn) -> None:
        try:
            from paho.mqtt.client import Client, MQTTv311
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError:
            raise MissingDependencyError("a rule with mqtt", "audioinceptionnext[alerts]") from None
        self._broker, self.topics, rules = broker, Topics(broker.topic), tuple(rules)
        labels = dict.fromkeys(label for rule in rules for label in rule.labels)
        self._announced = discovery(broker, rules, labels) if broker.discovery else {}
        # Retained messages, as the broker should have them. A label's is changed by the caller's thread.
        self._states = {self.topics.state(rule.name): "OFF" for rule in rules}
        self._states |= {self.topics.label(label): "0" for label in labels}
        self._labels = frozenset(labels)
        self._lock = threading.Lock()
        self._connected, self._left = threading.Event(), threading.Event()
        self._failing = False  # whether the last attempt to connect failed, or the connection was lost
        self._client: Any = Client(
            CallbackAPIVersion.VERSION2, client_id=f"ainext-{secrets.token_hex(6)}", protocol=MQTTv311
        )
        if broker.user or broker.password:
            self._client.username_pw_set(broker.user or None, broker.password or None)
        if broker.tls:
            self._client.tls_set_context(_certificates(broker))
        self._client.will_set(self.topics.availability, OFFLINE, qos=1, retain=True)
        self._client.reconnect_delay_set(int(RETRY_FIRST_S), int(RETRY_MOST_S))
        self._client.max_queued_messages_set(4 * len(self._states) + 100)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_connect_fail, self._client.on_message = self._on_connect_fail, self._on_message
        super().__init__(f"mqtt {printable(broker.host)}:{broker.port}", warn)
        self._client.connect_async(broker.host, broker.port, keepalive=_KEEP_ALIVE_S)
        self._client.loop_start()

    def deliver(self, item: Item) -> None:
        rule = item.alert.rule
        if not item.ended:
            self._publish(self.topics.alert(rule), json.dumps(item.alert.as_dict(), ensure_ascii=False))
        topic, state = self.topics.state(rule), "OFF" if item.ended else "ON"
        self._publish(topic, state, retain=True)
        with self._lock:
            self._states[topic] = state

    def recognised(self, label: str, score: float) -> None:
        """State the score of a label whose segment goes on, or 0 for none. Other labels than the rules' are ignored."""
        if label in self._labels:
            topic, percent = self.topics.label(label), f"{100 * score:.0f}"
            with self._lock:
                changed = self._states[topic] != percent
                self._states[topic] = percent
                if changed and self._connected.is_set():
                    self._client.publish(topic, percent, self._broker.qos, retain=True)

    def release(self) -> None:
        connected = self._connected.is_set()
        self._left.clear()
        if connected:
            with suppress(RuntimeError, ValueError):  # the connection is just lost, and the broker publishes our will
                self._client.publish(self.topics.availability, OFFLINE, 1, retain=True).wait_for_publish(_GOODBYE_S)
        self._client.disconnect()
        if connected:
            self._left.wait(_GOODBYE_S)

    def _publish(self, topic: str, payload: str, retain: bool = False) -> None:
        """Publish a message, and wait until the broker has it. Raises `Undelivered` at the end."""
        from paho.mqtt.enums import MQTTErrorCode

        while True:
            while not self._connected.wait(_POLL_S):
                self._give_up_at_the_end()
            info = self._client.publish(topic, payload, self._broker.qos, retain)
            lost = info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN
            if not info.rc or (lost and self._broker.qos):
                break
            time.sleep(_POLL_S)
        info.rc = MQTTErrorCode.MQTT_ERR_SUCCESS  # paho keeps the message, and sends it when it is connected again
        while not info.is_published() and (self._broker.qos or self._connected.is_set()):
            self._give_up_at_the_end()
            info.wait_for_publish(_POLL_S)

    def _give_up_at_the_end(self) -> None:
        if self.closing.is_set() and self._failing and not self._connected.is_set():
            raise Undelivered("the broker is away")

    # What paho calls, in its thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._fail(f"the broker refuses the connection: {str(reason).lower()}")
            return
        with self._lock:  # so that no newer state is published before an older one
            for topic, payload in (self._announced | self._states | {self.topics.availability: ONLINE}).items():
                client.publish(topic, payload, 1, retain=True)
            self._connected.set()
        if self._broker.discovery:
            client.subscribe(self.topics.announced(self._broker.discovery))
        if self._failing:
            self._say("recovered", "connected to the broker")
        self._failing = False

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._left.set()
        if self._connected.is_set():
            self._connected.clear()
            self._fail("the connection to the broker is lost")

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exception()  # paho calls this where it handles one
        reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error or "")
        self._fail(f"the broker cannot be reached{f' ({reason.lower()})' if reason else ''}")

    def _fail(self, reason: str) -> None:
        self._failing = True
        if not self.closing.is_set():
            self._say("failed", f"{reason}; trying again")

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        """Remove a sensor that an earlier run announced for a rule or a label that there is no more."""
        if message.payload and message.topic not in self._announced:
            client.publish(message.topic, b"", 1, retain=True)


def _certificates(broker: Broker) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=broker.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise FileError(str(broker.ca_file), "holds no certificates; give a file in PEM format") from error
