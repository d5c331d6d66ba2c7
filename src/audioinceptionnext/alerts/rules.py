"""What a rules file says, as data: rules, the actions that they set off, and the broker for those by MQTT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from audioinceptionnext.alerts.hours import Hours
from audioinceptionnext.results.types import Segment

_MANY = 4  # labels that a description lists


@dataclass(frozen=True)
class Print:
    """Print a line."""

    def __str__(self) -> str:
        return "print a line"


@dataclass(frozen=True)
class ToFile:
    """Append a line to a file."""

    path: Path

    def __str__(self) -> str:
        return f"append to {self.path}"


@dataclass(frozen=True)
class Command:
    """Run a program, without a shell.

    Attributes:
        arguments: the program and its arguments, with placeholders such as ``{label}``.
        timeout: seconds after which it is ended.
        folder: in which it runs.
    """

    arguments: tuple[str, ...]
    timeout: float
    folder: Path

    def __str__(self) -> str:
        return f"run {Path(self.arguments[0]).name}"


@dataclass(frozen=True)
class Webhook:
    """Send the alert to a URL, as JSON.

    Attributes:
        url: of http or https.
        secret: signs the body; empty for no signature.
        token: is sent to the URL's server, as a bearer token; empty for none.
        timeout: seconds for one attempt.
        retry_for: seconds from the alert on in which a failed attempt is repeated.
        allow_private: whether a redirect may lead to an address that is not public.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False)
    timeout: float
    retry_for: float
    allow_private: bool

    @property
    def server(self) -> str:
        """The beginning of the URL. The rest may be a secret, so that no message has it."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{re.split('[/?#]', rest)[0]}"

    def __str__(self) -> str:
        return f"post to {self.server}{' (signed)' if self.secret else ''}"


@dataclass(frozen=True)
class Broker:
    """An MQTT broker, and what is published there.

    Attributes:
        user, password: empty for none.
        tls: whether the connection is encrypted.
        ca_file: certificates that count in place of the system's.
        topic: with which all topics begin.
        discovery: with which the topics of Home Assistant's discovery begin; empty for no discovery.
    """

    host: str
    port: int
    tls: bool
    ca_file: Path | None
    user: str = field(repr=False)
    password: str = field(repr=False)
    topic: str
    qos: int
    discovery: str

    def __str__(self) -> str:
        return f"publish to {self.host}:{self.port} by MQTT"


Action = Print | ToFile | Command | Webhook | Broker


@dataclass(frozen=True)
class Rule:
    """Which segments raise an alert, and what happens then.

    Attributes:
        labels: in the model's order.
        sources: names of inputs, or patterns such as ``garden*``; empty for all.
        threshold: the score that the segment must reach.
        min_duration: seconds that it must last.
        cooldown: seconds from one alert of an input to the next.
        hours: in which alerts are raised; None for any.
    """

    name: str
    labels: tuple[str, ...]
    actions: tuple[Action, ...]
    sources: tuple[str, ...] = ()
    threshold: float = 0.0
    min_duration: float = 0.0
    cooldown: float = 0.0
    hours: Hours | None = None

    def concerns(self, source: str, label: str) -> bool:
        """Whether the rule looks at segments of this label and input."""
        if label not in self.labels:
            return False
        name = source.casefold()
        return not self.sources or any(fnmatchcase(name, pattern.casefold()) for pattern in self.sources)

    def moment(self, began: datetime, segment: Segment, last: datetime | None) -> datetime | None:
        """When a segment raises the alert: the first moment of it at which all conditions hold; None if there is none.

        Args:
            began: the time of day of second 0.
            segment: as it is known by now; it may go on.
            last: when the rule raised its last alert for this input.
        """
        start, end = (began + timedelta(seconds=seconds) for seconds in (segment.start, segment.end))
        earliest = start + timedelta(seconds=self.min_duration)
        cooldown = timedelta(seconds=self.cooldown)
        if last is not None and end > last - cooldown:  # else the clock was set back since
            earliest = max(earliest, last + cooldown)
        # Ten microseconds are no reason to wait: 0.1 + 0.2 is more than 0.3.
        if segment.score < self.threshold or earliest > end + timedelta(microseconds=10):
            return None
        if self.hours is None:
            return earliest
        # The end has the same offset, though clocks may be set back within the segment.
        local = earliest.astimezone()
        until = max(earliest, end).astimezone(local.tzinfo)
        found = self.hours.first(local.replace(tzinfo=None), until.replace(tzinfo=None))
        return None if found is None else local + (found - local.replace(tzinfo=None))

    def __str__(self) -> str:
        return f"{self.name}: {self.condition()}: {', '.join(map(str, self.actions))}"

    def condition(self) -> str:
        """What has to be for an alert, in words."""
        more = [f"{len(self.labels) - _MANY} more labels"] if len(self.labels) > _MANY + 1 else []
        listed = self.labels if not more else self.labels[:_MANY]
        parts = ["; ".join([*listed, *more])]
        if self.sources:
            parts.append(f"from {', '.join(self.sources)}")
        if self.threshold:
            parts.append(f"with a score of at least {self.threshold:g}")
        if self.min_duration:
            parts.append(f"that lasts at least {self.min_duration:g} s")
        if self.hours:
            parts.append(f"within {self.hours}")
        if self.cooldown:
            parts.append(f"at most every {self.cooldown:g} s for an input")
        return ", ".join(parts)


@dataclass(frozen=True)
class Rules:
    """All that a rules file says: the file's name, and its rules in order."""

    path: Path
    rules: tuple[Rule, ...]

    @property
    def labels(self) -> Sequence[str]:
        """The labels that any of the rules looks for, each once."""
        return list(dict.fromkeys(label for rule in self.rules for label in rule.labels))
