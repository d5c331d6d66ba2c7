"""A study from its plan to its report."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.benchmark import hardware
from audioinceptionnext.errors import counted, writing
from audioinceptionnext.evaluation.report_folder import check_can_report
from audioinceptionnext.studies import sentences
from audioinceptionnext.studies.cost import measure_costs
from audioinceptionnext.studies.estimate import estimate_seconds
from audioinceptionnext.studies.plan import Plan, Unit
from audioinceptionnext.studies.report_page import Circumstances, write_report
from audioinceptionnext.studies.results import Row, as_dicts, collect
from audioinceptionnext.studies.runner import Runner, format_duration
from audioinceptionnext.studies.worker import is_done
from audioinceptionnext.training.run_folder import MODEL

CACHE = "cache"
LISTED_RUNS = 10  # in the text of a forecast; with more, only the variants are listed


@dataclass(frozen=True)
class Forecast:
    """How long a study will take.

    Attributes:
        units: all runs.
        seconds: of each run that is not done, by its folder.
        jobs: runs at a time.
    """

    units: list[Unit]
    seconds: dict[Path, float]
    jobs: int

    @property
    def total(self) -> float:
        """Seconds until all runs are done."""
        return sum(self.seconds.values()) / min(self.jobs, max(1, len(self.seconds)))

    @property
    def shortened(self) -> bool:
        """Whether there are too many runs for the text, so that only `as_dict` has every one."""
        return len(self.units) > LISTED_RUNS

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every run, whether it is done, and how long it will take."""
        runs = [
            {
                "variant": unit.variant,
                "seed": unit.seed,
                "fold": unit.fold,
                "done": unit.folder not in self.seconds,
                "seconds": round(self.seconds.get(unit.folder, 0.0)),
                "folder": str(unit.folder),
            }
            for unit in self.units
        ]
        return {"runs": runs, "jobs": self.jobs, "seconds": round(self.total)}

    def as_text(self) -> str:
        """The same for people: a summary, then a line for each variant, and for each run if there are only a few."""
        at_a_time = f", {self.jobs} at a time" if self.jobs > 1 else ""
        done = len(self.units) - len(self.seconds)
        before = f" ({done:,} of {len(self.units):,} are done)" if done else ""
        lines = [f"{counted(len(self.seconds), 'run')} to do, about {format_duration(self.total)}{at_a_time}{before}"]
        by_variant: dict[str, list[Unit]] = {}
        for unit in self.units:
            by_variant.setdefault(unit.variant, []).append(unit)
        for variant, units in by_variant.items():
            seconds = [self.seconds[unit.folder] for unit in units if unit.folder in self.seconds]
            rest = f"about {format_duration(sum(seconds))}" if seconds else "done"
            lines.append(f"  {variant}: {counted(len(units), 'run')}, {rest}")
        if self.shortened:
            return "\n".join(lines)
        lines.append("")
        for unit in self.units:
            own = self.seconds.get(unit.folder)
            lines.append(f"{unit.name}: {'done' if own is None else format_duration(own)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        rows: see `results.collect`.
        page: the report.
        failed: runs that failed, and why.
    """

    plan: Plan
    rows: list[Row]
    page: Path
    failed: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "study": self.plan.study.name,
            "question": self.plan.study.question,
            "conclusion": sentences.conclusion(self.plan, self.rows),
            "rows": as_dicts(self.rows),
            "failed": self.failed,
            "report": str(self.page),
        }

    def as_text(self) -> str:
        """The same for people: a table and the conclusion."""
        width = max([len(row.name) for row in self.rows] + [7])
        lines = [
            self.plan.study.question,
            f"{'variant':{width}}   top-1            95 %   over the reference        p   log loss",
        ]
        for row in self.rows:
            gain, top1 = row.gain, row.top1
            over = f"{gain.mean:+6.1f} ({gain.low:+.1f} to {gain.high:+.1f})" if gain else ""
            lines.append(
                f"{row.name:{width}}   {top1.mean:5.1f}   {top1.low:5.1f} to {top1.high:5.1f}   {over:22}"
                f"{f'{row.p:.3f}' if gain else '':>6}   {row.mean_nll.mean:8.3f}"
            )
        lines += ["", *sentences.conclusion(self.plan, self.rows)]
        lines += [f"failed: {name}: {why}" for name, why in self.failed.items()]
        return "\n".join([*lines, f"report: {self.page}"])


class StudySession:
    """A study from its plan to its report.

    Args:
        plan: the study, and the runs that it needs.
        jobs: runs at a time; None is one per GPU, or one.
        threads: CPU threads per run; None shares out all cores.
        cache: a folder for decoded audio; None is one beside the runs.
        commands: for the report; they repeat the study, as it is and at base size.
    """

    def __init__(
        self, plan: Plan, *, jobs: int | None, threads: int | None, cache: Path | None, commands: tuple[str, str]
    ) -> None:
        self.plan, self.commands = plan, commands
        self.units = plan.units
        self.cores = hardware.pinned_cores(None)
        self.gpus = torch.cuda.device_count()
        self.jobs = jobs or max(1, self.gpus)
        self.threads = threads or max(1, len(self.cores) // self.jobs)
        self.cache = cache or plan.out / CACHE
        self.folder = plan.out / plan.study.name

    def forecast(self) -> Forecast:
        """Time a training step of every variant that has runs to do.

        Raises:
            AinextError: a variant cannot be trained.
        """
        return Forecast(self.units, estimate_seconds(self.units, self.cores[: self.threads], _log), self.jobs)

    def run(self) -> StudyResult:
        """Do the runs that are not done, and report.

        Raises:
            AinextError: a variant cannot be trained, or it was interrupted. Calling this again goes on.
        """
        check_can_report(self.folder)
        failed: dict[str, str] = {}
        if not all(map(is_done, self.units)):
            forecast = self.forecast()
            runs = f"{len(forecast.seconds)} of {counted(len(self.units), 'run')}"
            _log(f"{runs} to do, about {format_duration(forecast.total)}")
            runner = Runner(self.jobs, self.threads, self.cache, self.gpus, log=_log)
            runner.run(self.units)
            failed = runner.failed
        return self.report(failed)

    def report(self, failed: dict[str, str] | None = None, *, again: bool = False) -> StudyResult:
        """Report on the runs that are done.

        Args:
            failed: runs that failed, and why.
            again: measure time and memory anew, for instance because the computer was busy.

        Raises:
            FileError: the report cannot be written.
        """
        check_can_report(self.folder)
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        weights: dict[str, Path] = {}
        for unit in self.units:
            if unit.fold is not None and is_done(unit):
                weights.setdefault(unit.variant, unit.folder / MODEL)
        machine = hardware.summarise(hardware.describe_hardware(self.cores))
        costs = measure_costs(weights, self.folder, self.cores, again=again, log=_log) if weights else {}
        rows = collect(self.plan, costs)
        circumstances = Circumstances(*self.commands, machine, datetime.date.today().isoformat(), failed or {})
        page = write_report(self.folder, self.plan, rows, circumstances)
        return StudyResult(self.plan, rows, page, failed or {})


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
