"""A study from its plan to its report."""

from __future__ import annotations

import datetime
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.benchmark import hardware
from audioinceptionnext.evaluation.report_folder import check_can_report
from audioinceptionnext.studies import estimate, report_page, sentences
from audioinceptionnext.studies.cost import costs
from audioinceptionnext.studies.plan import Plan, Unit
from audioinceptionnext.studies.report_page import Circumstances
from audioinceptionnext.studies.results import Row, as_dicts, collect
from audioinceptionnext.studies.runner import Runner, duration
from audioinceptionnext.studies.worker import is_done
from audioinceptionnext.training.fit import MODEL

CACHE = "cache"


@dataclass(frozen=True)
class Expected:
    """``seconds`` of each run that is to be done, on one after another; ``jobs`` of them go at a time."""

    units: list[Unit]
    seconds: dict[Path, float]
    jobs: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values()) / min(self.jobs, max(1, len(self.seconds)))


@dataclass(frozen=True)
class Found:
    """``failed``: runs that could not be done, and why."""

    plan: Plan
    rows: list[Row]
    page: Path
    failed: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "study": self.plan.study.name,
            "question": self.plan.study.question,
            "conclusion": sentences.conclusion(self.plan, self.rows),
            "rows": as_dicts(self.rows),
            "failed": self.failed,
            "report": str(self.page),
        }

    def as_text(self) -> str:
        width = max([len(row.name) for row in self.rows] + [7])
        lines = [
            self.plan.study.question,
            f"{'variant':{width}}   top-1            95 %   over the reference        p   log loss",
        ]
        for row in self.rows:
            gain = row.gain
            against = f"{gain.mean:+6.1f} ({gain.low:+.1f} to {gain.high:+.1f})" if gain else ""
            one = row.top1
            lines.append(
                f"{row.name:{width}}   {one.mean:5.1f}   {one.low:5.1f} to {one.high:5.1f}   {against:22}"
                f"{f'{row.p:.3f}' if gain else '':>6}   {row.mean_nll.mean:8.3f}"
            )
        lines += ["", *sentences.conclusion(self.plan, self.rows)]
        lines += [f"failed: {name}: {why}" for name, why in self.failed.items()]
        return "\n".join([*lines, f"report: {self.page}"])


class Conduct:
    """
    Args:
        jobs, threads: runs at a time and the CPU threads of each; None is one a GPU, or one, and all cores shared out.
        cache: a folder for decoded audio; None is one beside the runs.
        commands: that repeat the study, as here and at base size.
    """

    def __init__(
        self, plan: Plan, jobs: int | None, threads: int | None, cache: Path | None, commands: tuple[str, str]
    ) -> None:
        self.plan, self.commands = plan, commands
        self.units = plan.units
        self.cores = hardware.pinned_cores(None)
        self.gpus = torch.cuda.device_count()
        self.jobs = jobs or max(1, self.gpus)
        self.threads = threads or max(1, len(self.cores) // self.jobs)
        self.cache = cache or plan.out / CACHE
        self.folder = plan.out / plan.study.name

    def expected(self) -> Expected:
        """Times a step of every variant that has runs to do. Raises AinextError for one that cannot be trained."""
        return Expected(self.units, estimate.seconds(self.units, self.cores[: self.threads], _tell), self.jobs)

    def run(self) -> Found:
        """Does what is not done, and reports. Raises AinextError for an interruption, after which it can go on."""
        check_can_report(self.folder)
        failed: dict[str, str] = {}
        if not all(map(is_done, self.units)):
            expected = self.expected()
            _tell(f"{len(expected.seconds)} of {len(self.units)} runs to do, about {duration(expected.total)}")
            runner = Runner(self.jobs, self.threads, self.cache, self.gpus, tell=_tell)
            runner.run(self.units)
            failed = runner.failed
        return self.report(failed)

    def report(self, failed: dict[str, str] | None = None, again: bool = False) -> Found:
        """Of the runs that are done.

        Args:
            again: measure time and memory anew, on a machine that is quieter than it was.
        """
        check_can_report(self.folder)
        weights: dict[str, Path] = {}
        for unit in self.units:
            if unit.fold is not None and is_done(unit):
                weights.setdefault(unit.variant, unit.folder / MODEL)
        details = hardware.describe(self.cores)
        measured = costs(weights, self.folder, self.cores, again, _tell) if weights else {}
        rows = collect(self.plan, measured)
        about = Circumstances(*self.commands, hardware.line(details), datetime.date.today().isoformat(), failed or {})
        return Found(self.plan, rows, report_page.write(self.folder, self.plan, rows, about), failed or {})


def show(expected: Expected, as_json: bool) -> str:
    """The plan: every run, whether it is done, and how long it will take."""
    runs = [
        {
            "variant": unit.variant,
            "seed": unit.seed,
            "fold": unit.fold,
            "done": unit.folder not in expected.seconds,
            "seconds": round(expected.seconds.get(unit.folder, 0.0)),
            "folder": str(unit.folder),
        }
        for unit in expected.units
    ]
    if as_json:
        total = {"runs": runs, "jobs": expected.jobs, "seconds": round(expected.total)}
        return json.dumps(total, ensure_ascii=False, indent=2)
    lines = [
        f"{unit.name}: {'done' if unit.folder not in expected.seconds else duration(expected.seconds[unit.folder])}"
        for unit in expected.units
    ]
    at_a_time = f", {expected.jobs} at a time" if expected.jobs > 1 else ""
    return "\n".join([*lines, f"{len(expected.seconds)} runs to do, about {duration(expected.total)}{at_a_time}"])


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
