"""``ainext rules``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.cli.program import Program
from audioinceptionnext.errors import ParameterError, counted, printable
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.alerts.alert import Alert
    from audioinceptionnext.alerts.rules import Rule, Rules

app = Program(help="Check rules for ainext listen. Try: ainext rules check rules.yaml")


@app.callback()
def about() -> None:
    """Check rules for ainext listen. Try: ainext rules check rules.yaml"""


@app.command("check")
def check(
    rules: Annotated[Path, typer.Argument(metavar="RULES.yaml", help="Check this rules file.")],
    recording: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORDING", help="Also show what the rules would have done on this recording.", show_default="none"
        ),
    ] = None,
    model: options.ModelName = DEFAULT_MODEL,
    onset_threshold: options.OnsetThreshold = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            help="Take the recording for what came from the input with this name.",
            show_default="any input that a rule names",
        ),
    ] = None,
    began: Annotated[
        datetime | None,
        typer.Option(
            "--began",
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"],
            metavar="TIME",
            help="Take the recording for one that began then, in local time, as in 2026-11-29T22:00.",
            show_default="now",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a rules file, and show what each rule means and what it would have done on a recording.

    No action is carried out. The recording is recognised as a whole, so that listening to the same sound may find
    slightly other segments.

    Example: [bold]ainext rules check rules.yaml night.wav --began 2026-11-29T22:00[/bold]
    """
    from audioinceptionnext.alerts.reading import load_rules
    from audioinceptionnext.models.load import load

    if recording is None:
        for name, value in (("source", source), ("began", began), ("onset_threshold", onset_threshold)):
            if value:
                raise ParameterError(name, None, "this needs a recording")
    recogniser = load(model)
    read = load_rules(rules, recogniser.label_set)
    document: dict[str, Any] = {"file": str(rules), "model": recogniser.name, "rules": [*map(_as_dict, read.rules)]}
    found: list[tuple[Rule, Alert]] = []
    start = (began or datetime.now()).astimezone()
    if recording is not None:
        settings = options.segmentation_settings(recogniser, onset_threshold, None, None, None, None)
        result = recogniser.predict(str(recording), settings=settings)
        looked_at = read if source else replace(read, rules=tuple(replace(one, sources=()) for one in read.rules))
        found = _alerts(looked_at, result.segments, source or recording.name, start)
        document |= {"recording": str(recording), "began": start.isoformat(timespec="seconds")}
        document["alerts"] = [_alert_as_dict(rule, alert) for rule, alert in found]
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    print(f"{printable(rules)}: {counted(len(read.rules), 'rule')} for the model {recogniser.name}")
    for rule in read.rules:
        print(f"  {printable(rule.name)}: {rule.condition()}")
        print(f"    {', '.join(map(str, rule.actions))}")
    if recording is not None:
        print(f"\n{printable(recording)}, from {start:%Y-%m-%d %H:%M:%S} on: {counted(len(found), 'alert')}")
        for rule, alert in found:
            print(f"  {alert.raised:%H:%M:%S}  {printable(rule.name)}: {alert.label} ({alert.score:.0%})")


def _alerts(rules: Rules, segments: list[Any], source: str, began: datetime) -> list[tuple[Rule, Alert]]:
    from audioinceptionnext.alerts.engine import Judge

    judge = Judge(rules)
    return [one for segment in segments for one in judge.look(source, began, segment, True, set())]


def _alert_as_dict(rule: Rule, alert: Alert) -> dict[str, Any]:
    values = {name: value for name, value in alert.as_dict().items() if name != "id"}
    return values | {"actions": [*map(str, rule.actions)]}


def _as_dict(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "labels": list(rule.labels),
        "sources": list(rule.sources),
        "threshold": rule.threshold,
        "min_duration": rule.min_duration,
        "cooldown": rule.cooldown,
        "hours": None if rule.hours is None else str(rule.hours),
        "actions": [*map(str, rule.actions)],
        "means": rule.condition(),
    }
