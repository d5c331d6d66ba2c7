"""From a YAML file to `Rules`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

from audioinceptionnext.alerts.alert import PLACEHOLDER, PLACEHOLDERS, slug
from audioinceptionnext.alerts.fields import Fields, read_yaml, shown
from audioinceptionnext.alerts.hours import Hours, read_days, read_span
from audioinceptionnext.alerts.rules import Action, Broker, Command, Print, Rule, Rules, ToFile, Webhook
from audioinceptionnext.errors import ParameterError, printable, suggest
from audioinceptionnext.results.labels import GROUP, LabelSet

_TOP = ("rules", "mqtt")
_RULE = (
    *("name", "labels", "groups", "sources", "threshold", "min_duration", "cooldown", "hours", "days", "actions"),
)  # fmt: skip
_BROKER = ("host", "port", "tls", "ca_file", "user_env", "password_env", "topic", "qos", "discovery")
_NAMES = 100  # characters of a rule's name, at most


def load_rules(path: str | PathLike[str], labels: LabelSet, sources: Sequence[str] | None = None) -> Rules:
    """Read and check a rules file.

    Args:
        path: of the YAML file; docs/alerts.md describes its keys.
        labels: of the model that listens.
        sources: names of the inputs that there will be; a rule may name any unless they are given.

    Raises:
        FileError: what the file says is not possible; the error names the rule and the key.
        MissingDependencyError: PyYAML is not installed.

    >>> from audioinceptionnext.models.load import load
    >>> [rule.name for rule in load_rules("rules.yaml", load("everyday").label_set).rules]
    ['Smoke alarm', 'Baby at night']
    """
    path = Path(path)
    top = Fields(path, "", read_yaml(path), _TOP)
    broker = _broker(Fields(path, "mqtt", top.raw("mqtt"), _BROKER)) if top.has("mqtt") else None
    listed = top.raw("rules")
    if not isinstance(listed, list) or not listed:
        top.fail("rules", "give a list of at least one rule, each of which begins with '- name:'")
    rules: list[Rule] = []
    for number, values in enumerate(listed, start=1):
        name = values.get("name") if isinstance(values, dict) else None
        where = f"rule {shown(name)}" if isinstance(name, str) and name.strip() else f"rule {number}"
        rule = _rule(Fields(path, where, values, _RULE), where, labels, sources, broker)
        if any(slug(rule.name) == slug(other.name) for other in rules):
            top.fail(where, "another rule has this name already; give each its own")
        rules.append(rule)
    return Rules(path, tuple(rules))


def _rule(
    fields: Fields, where: str, labels: LabelSet, sources: Sequence[str] | None, broker: Broker | None
) -> Rule:  # fmt: skip
    name = fields.text("name")
    if len(name) > _NAMES:
        fields.fail("name", f"it has more than {_NAMES} characters; give a shorter one")
    return Rule(
        name=name,
        labels=_labels(fields, labels),
        actions=_actions(fields, where, broker),
        sources=_sources(fields, sources),
        threshold=fields.number("threshold", 0.0, 0.0, 1.0, unit=""),
        min_duration=fields.number("min_duration", 0.0, 0.0),
        cooldown=fields.number("cooldown", 0.0, 0.0),
        hours=_hours(fields),
    )


def _hours(fields: Fields) -> Hours | None:
    spans, days = Hours().spans, Hours().days
    try:
        if texts := fields.texts("hours"):
            spans = tuple(map(read_span, texts))
    except ValueError as error:
        fields.fail("hours", str(error))
    try:
        if texts := fields.texts("days"):
            days = read_days(texts)
    except ValueError as error:
        fields.fail("days", str(error))
    return Hours(spans, days) if fields.has("hours") or fields.has("days") else None


def _labels(fields: Fields, known: LabelSet) -> tuple[str, ...]:
    """The labels that ``labels`` and ``groups`` of a rule stand for."""
    found: set[int] = set()
    key = "labels"
    try:
        if texts := fields.texts("labels"):
            found.update(known.choose(texts))
        key = "groups"
        for text in fields.texts("groups"):
            found.update(known.find_or_raise(GROUP + text.removeprefix(GROUP), "groups"))
    except ParameterError as error:
        fields.fail(key, error.reason)
    if not found:
        fields.fail("labels", "give the labels of the rule, or groups; '*' stands for all labels")
    return tuple(known.names[place] for place in sorted(found))


def _sources(fields: Fields, known: Sequence[str] | None) -> tuple[str, ...]:
    wanted = fields.texts("sources")
    for name in wanted if known is not None else ():
        rule = Rule("", ("",), (), (name,))
        if not any(rule.concerns(one, "") for one in known or ()):
            fields.fail("sources", f"no input is called {shown(name)}; {suggest(name, known or ())}")
    return wanted


def _actions(fields: Fields, where: str, broker: Broker | None) -> tuple[Action, ...]:
    listed = fields.raw("actions")
    if not isinstance(listed, list) or not listed:
        fields.fail("actions", f"give a list of what to do: {', '.join(_ACTIONS)}")
    actions: list[Action] = []
    for one in listed:
        values = {one: True} if isinstance(one, str) else one
        kinds = [kind for kind in _ACTIONS if isinstance(values, dict) and kind in values]
        if len(kinds) != 1:
            if isinstance(values, dict) and values and not kinds:
                first = str(next(iter(values)))[:80]
                fields.fail("actions", f"there is no action {shown(first)}; {suggest(first, _ACTIONS)}")
            fields.fail("actions", f"{shown(one)} is no action; each begins with one of {', '.join(_ACTIONS)}")
        keys, read = _ACTIONS[kinds[0]]
        part = Fields(fields.path, f"{where}, {kinds[0]}", values, (kinds[0], *keys))
        action = read(part, broker)
        if action in actions:
            fields.fail("actions", f"{kinds[0]} is there twice with the same values; give it once")
        actions.append(action)
    return tuple(actions)


def _print(fields: Fields, _: Broker | None) -> Action:
    if fields.raw("print") not in (True, None):
        fields.fail("", "print takes no value; write '- print'")
    return Print()


def _file(fields: Fields, _: Broker | None) -> Action:
    path = fields.place("file")
    if path.suffix not in (".csv", ".jsonl"):
        fields.fail("", f"{shown(path.name)}: give a file that ends in .csv or .jsonl")
    if not path.parent.is_dir():
        fields.fail("", f"the folder {printable(path.parent)} does not exist; create it first")
    return ToFile(path)


def _command(fields: Fields, _: Broker | None) -> Action:
    given = fields.raw("command")
    if not isinstance(given, list) or not given:
        fields.fail("", "give the program and its arguments as a list, such as [notify-send, '{label}']; no shell runs")
    for one in given:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            fields.fail("", f"{shown(one)} is no argument; write it in quotes")
        if unknown := next((name for name in PLACEHOLDER.findall(str(one)) if name not in PLACEHOLDERS), None):
            fields.fail("", f"there is no placeholder {{{unknown}}}; {suggest(unknown, PLACEHOLDERS)}")
    program, *arguments = map(str, given)
    folder = fields.path.parent
    if PLACEHOLDER.search(program):
        fields.fail("", "the program itself cannot have a placeholder; give its name or path")
    named = os.sep in program or "/" in program  # rather than looked for in PATH
    found = shutil.which(folder / Path(program).expanduser() if named else program)
    if found is None:
        fields.fail("", f"there is no program {shown(program)} that can be run; give its path, or install it")
    timeout = fields.number("timeout", 30.0, 0.1)
    return Command((str(Path(found).absolute()), *arguments), timeout, folder.absolute())


def _webhook(fields: Fields, _: Broker | None) -> Action:
    url = fields.text("webhook")
    parts = urlsplit("")
    with suppress(ValueError):
        parts = urlsplit(url)
        _ = parts.port  # type: ignore[assignment]  # complains about those that there are not
    try:
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or re.search(r"[\s\x00-\x1f]", url) or not url.isascii():
        fields.fail("", "give a URL such as https://example.org/hook, in ASCII and without spaces")
    if "@" in parts.netloc:
        fields.fail("", "the URL has a user or a password; give a token by token_env, or have it signed by secret_env")
    if not (token := fields.secret("token_env")).isascii():
        fields.fail("token_env", "the token has letters that are not ASCII, which no header can have")
    return Webhook(
        url=url,
        secret=fields.secret("secret_env"),
        token=token,
        timeout=fields.number("timeout", 10.0, 0.1),
        retry_for=fields.number("retry_for", 600.0, 0.0),
        allow_private=fields.flag("allow_private", False),
    )


def _mqtt(fields: Fields, broker: Broker | None) -> Action:
    if fields.raw("mqtt") not in (True, None):
        fields.fail("", "mqtt takes no value here; the broker is described by the key mqtt beside rules")
    if broker is None:
        fields.fail("", "the file does not say which broker; add a key mqtt with its host beside rules")
    return broker


def _broker(fields: Fields) -> Broker:
    host = fields.text("host")
    if re.search(r"[\s/]", host):
        fields.fail("host", f"{shown(host)} is no host; give a name or an address, without mqtt:// and port")
    tls = fields.flag("tls", fields.has("ca_file"))
    if fields.has("ca_file") and (not tls or not fields.place("ca_file").is_file()):
        fields.fail("ca_file", "there is no such file" if tls else "this is only for tls: true; leave out one of them")
    topic = fields.text("topic", "ainext").strip("/")
    discovery = "" if fields.raw("discovery") is False else fields.text("discovery", "homeassistant").strip("/")
    for key, value in (("topic", topic), ("discovery", discovery)):
        if re.search(r"[#+\x00-\x1f]", value) or (key == "topic" and not value):
            fields.fail(key, f"{shown(value)} is no topic; give one without + and #")
    return Broker(
        host=host,
        port=fields.whole("port", 8883 if tls else 1883, 1, 65535),
        tls=tls,
        ca_file=fields.place("ca_file") if fields.has("ca_file") else None,
        user=fields.secret("user_env"),
        password=fields.secret("password_env"),
        topic=topic,
        qos=fields.whole("qos", 1, 0, 2),
        discovery=discovery,
    )


# What an action may say besides its own key, and what reads it.
_ACTIONS: dict[str, tuple[tuple[str, ...], Callable[[Fields, Broker | None], Action]]] = {
    "print": ((), _print),
    "file": ((), _file),
    "command": (("timeout",), _command),
    "webhook": (("secret_env", "token_env", "timeout", "retry_for", "allow_private"), _webhook),
    "mqtt": ((), _mqtt),
}
