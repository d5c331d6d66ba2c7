"""Measures how long after the onset of a sound its alert arrives, and what is lost while targets are away.

    python benchmarks/alert_latency.py --minutes 20 --outage 60

A recording is played in real time, again and again, through a pipe into ``ainext listen - --rules …``. There is a rule
for each label of the CSV file beside the recording, which lists what sounds in it. Each rule prints, appends to a file,
calls a webhook and publishes by MQTT, to a mosquitto and a web server on loopback; the segments go into a database.
Half-way, the broker is killed and the web server closed for ``--outage`` seconds. An alert was raised if `listen`
printed it. Its latency is the time from the onset of its segment, as it was played, to the moment at which the target
had it: a subscriber of the broker, the web server, a reader of the file. Alerts of the outage, and of the half-minute
after it in which the targets are found again, have figures of their own.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from audioinceptionnext.audio import decode
from audioinceptionnext.history.database import History
from audioinceptionnext.models.load import load
from tests.brokers import MqttBroker, Subscriber, WebServer

ROOT = Path(__file__).parents[1]
BLOCK_S = 0.1
AFTER_S = 30.0  # from the end of the outage to the last attempt to reach a target, at most
SETTLE_S = 20.0  # for what arrives after the last sound


@dataclass
class Received:
    """The alerts that a target got: when each came first, and how many came again."""

    first: dict[str, float] = field(default_factory=dict)
    again: int = 0

    def add(self, alert: dict[str, Any], at: float) -> None:
        if alert["id"] in self.first:
            self.again += 1
        self.first.setdefault(alert["id"], at)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recording", type=Path, default=ROOT / "examples" / "everyday-scene.flac", help="play this")
    parser.add_argument("--model", default="everyday", help="use this model: a name or an ONNX file")
    parser.add_argument("--minutes", type=float, default=20, help="play for so long")
    parser.add_argument("--outage", type=float, default=60, help="kill the targets for so many seconds; 0 for none")
    parser.add_argument("--warm-up", type=float, default=10, help="give the process so many seconds to start")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options, Path(folder))
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rate = load(options.model).sample_rate
    sound = (np.clip(decode.read(options.recording, rate), -1, 1) * 32767).astype("<i2")
    broker, server = MqttBroker(folder), WebServer()
    broker.start()
    names = write_rules(folder, options.recording.with_suffix(".csv"), broker.port, server.url)
    command = [sys.executable, "-m", "audioinceptionnext", "listen", "-", "--json", "--model", options.model]
    command += ["--sample-rate", str(rate), "--threads", "1", "--history", str(folder / "history.db")]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*command, "--rules", str(folder / "rules.yaml")], stdin=pipe, stdout=pipe, stderr=pipe, text=False
    )
    raised: dict[str, dict[str, Any]] = {}
    said: list[str] = []
    file = Received()
    over = threading.Event()
    readers = [
        threading.Thread(target=read_lines, args=(process.stdout, raised)),
        threading.Thread(target=lambda: said.extend(line.decode().strip() for line in process.stderr or ())),
        threading.Thread(target=follow, args=(folder / "alerts.jsonl", file, over)),
    ]
    for reader in readers:
        reader.start()
    servers = [server]
    with Subscriber(broker.port) as home:
        time.sleep(options.warm_up)
        half, away = options.minutes * 30, (0.0, 0.0)
        began = time.monotonic()

        def interrupt() -> None:
            time.sleep(half)
            broker.kill()
            servers[-1].close()
            time.sleep(options.outage)
            broker.start()
            servers.append(WebServer(port=server.port))

        if options.outage:
            away = (half, half + options.outage)
            threading.Thread(target=interrupt).start()
        play(process, sound, rate, options.minutes * 60, began)
        time.sleep(SETTLE_S)
        assert process.stdin
        process.stdin.close()
        process.wait(60)
        time.sleep(1)  # for the last message to arrive
        over.set()
        for reader in readers:
            reader.join(10)
        mqtt = Received()
        for (topic, payload, _), at in zip(home.messages, home.times, strict=True):
            if topic.endswith("/alert"):
                mqtt.add(json.loads(payload), at)
        states: dict[str, str] = {}
        turned_on = 0
        for topic, payload, _ in home.messages:
            if topic.endswith("/state"):
                turned_on += payload == "ON" and states.get(topic) != "ON"  # states are repeated on connecting
                states[topic] = payload
    web = Received()
    for one in servers:
        for body, at in zip(one.bodies, one.times, strict=True):
            web.add(body, at)
    servers[-1].close()
    broker.kill()
    with closing(History(folder / "history.db", read_only=True)) as history:
        stored = history.number()
    targets = {"mqtt": mqtt, "webhook": web, "file": file}
    return {
        "minutes": options.minutes,
        "outage_seconds": options.outage,
        "rules": len(names),
        "raised": len(raised),
        "segments_in_database": stored,
        "sensors_turned_on": turned_on,
        "sensors_left_on": sum(payload == "ON" for payload in states.values()),
        "targets": {name: figures(one, raised, began, away) for name, one in targets.items()},
        "said": [line for line in said if "warning" in line],
    }


def write_rules(folder: Path, annotations: Path, port: int, url: str) -> list[str]:
    labels = list(dict.fromkeys(row["label"] for row in csv.DictReader(annotations.open())))
    actions: list[Any] = ["print", {"file": "alerts.jsonl"}, {"webhook": url}, "mqtt"]
    rules = [{"name": f"Rule for {label}", "labels": [label], "actions": actions} for label in labels]
    mqtt = {"host": "127.0.0.1", "port": port}
    (folder / "rules.yaml").write_text(json.dumps({"mqtt": mqtt, "rules": rules}))
    return labels


def play(process: subprocess.Popen[bytes], sound: np.ndarray, rate: int, seconds: float, began: float) -> None:
    """Write each block when its last sample would have been recorded."""
    assert process.stdin
    size = round(BLOCK_S * rate)
    for number in range(round(seconds / BLOCK_S)):
        time.sleep(max(0.0, began + (number + 1) * BLOCK_S - time.monotonic()))
        places = np.arange(number * size, (number + 1) * size) % len(sound)
        process.stdin.write(sound[places].tobytes())
        process.stdin.flush()


def read_lines(lines: Iterable[bytes] | None, raised: dict[str, dict[str, Any]]) -> None:
    for line in lines or ():
        if (found := json.loads(line))["event"] == "alert":
            raised[found["id"]] = found


def follow(path: Path, received: Received, over: threading.Event) -> None:
    """Read the file as it grows."""
    while not path.exists() and not over.wait(0.01):
        pass
    with path.open() as file:
        rest = ""
        while not over.wait(0.01):
            at, rest = time.monotonic(), rest + file.read()
            *whole, rest = rest.split("\n")
            for line in whole:
                received.add(json.loads(line), at)


def figures(
    received: Received, raised: dict[str, dict[str, Any]], began: float, away: tuple[float, float]
) -> dict[str, Any]:  # fmt: skip
    latencies: dict[bool, list[float]] = {False: [], True: []}
    for number, alert in raised.items():
        if (at := received.first.get(number)) is not None:
            during = away[0] - 5 <= alert["start"] <= away[1] + AFTER_S
            latencies[during].append(at - began - alert["start"])
    latencies = {during: sorted(values) for during, values in latencies.items()}
    return {
        "arrived": len(received.first.keys() & raised.keys()),
        "missing": len(raised.keys() - received.first.keys()),
        "twice": received.again,
        "latency_median": quantile(latencies[False], 0.5),
        "latency_95": quantile(latencies[False], 0.95),
        "outage_alerts": len(latencies[True]),
        "outage_latency_median": quantile(latencies[True], 0.5),
        "outage_latency_most": quantile(latencies[True], 1.0),
    }


def quantile(values: list[float], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 2) if values else None


def as_text(report: dict[str, Any]) -> str:
    plain = {name: value for name, value in report.items() if name not in ("targets", "said")}
    lines = [f"{name.replace('_', ' '):24}{value}" for name, value in plain.items()]
    for target, values in report["targets"].items():
        lines += ["", target, *(f"  {name.replace('_', ' '):22}{value}" for name, value in values.items())]
    return "\n".join([*lines, "", "said on stderr:", *(f"  {line}" for line in report["said"])])


if __name__ == "__main__":
    main()
