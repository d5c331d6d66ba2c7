"""A loaded model: what its file says of it, and which of its labels are looked for."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.inference.backends import Backend, open_session
from audioinceptionnext.inference.steps import FILE_FORMAT, Mode, StepPredictor
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.languages import names_of
from audioinceptionnext.results.settings import BY_CLASS, SegmentationSettings, is_number
from audioinceptionnext.results.thresholds import Threshold, settings_for


class Model:
    """What every use of a loaded model needs. `Recogniser` describes its arguments and attributes."""

    def __init__(
        self,
        content: bytes,
        source: str,
        name: str | None = None,
        threads: int | None = None,
        backend: Backend = "auto",
        mode: Mode | None = None,
    ) -> None:
        self._session, self._source = open_session(content, source, backend, threads), source
        self.metadata: dict[str, str] = dict(self._session.metadata)
        if self.metadata.get("input") != "waveform" or "labels" not in self.metadata:
            raise ModelError(
                source, "does not take a waveform, or has no labels; `ainext export` writes files that fit"
            )
        if self.metadata.get("format") != FILE_FORMAT:
            raise ModelError(source, "was exported by another version; export it again with `ainext export`")
        try:
            self._use(LabelSet.from_metadata(self.metadata))
            self._all_labels, self._columns = self._label_set, list(range(len(self.labels)))
            self.name = name or self.metadata["name"]
            self.multi_label = self.metadata["kind"] == "multi-label"
            self.mode: str = mode or self.metadata["mode"]
            own_mode = self.metadata["mode"]
            self.sample_rate = int(self.metadata["sample_rate"])
            self._predictor = StepPredictor(self._session, self.metadata, self.mode)
            grid, windows = self._predictor.grid, self._predictor.windows
            self.frame_wise = self.multi_label and windows.clip_frames <= windows.step_frames
            # A clip has as many samples as give its frames and no further one: one less than a whole number of hops.
            self.window_seconds = (int(self.metadata["clip_samples"]) + 1) / self.sample_rate
            self._step_window = grid.clip / self.sample_rate if self._predictor.fine else self.window_seconds
            # What the file states of its fine timeline; the windows of the other modes are another thing.
            stated = json.loads(self.metadata.get("segmentation", "{}")) if self._predictor.fine else {}
            self._own_thresholds = tuple(stated.pop("thresholds", self.thresholds))
            self._segmentation: dict[str, Any] = stated
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(source, f"its metadata are incomplete or damaged ({error}); export it again") from error
        if self.mode not in ("clips", own_mode):
            raise ParameterError("mode", self.mode, f"{source} can be used as {own_mode} or as clips")
        self.step_seconds = self._predictor.grid.step / self.sample_rate
        self._origin: tuple[Callable[..., Any], tuple[Any, ...]] | None = None

    def __repr__(self) -> str:
        steps = f"one step every {self.step_seconds:g} s"
        return f"<Recogniser {self.name!r}: {len(self.labels)} labels, {self.sample_rate} Hz, {self.mode}, {steps}>"

    def _use(self, labels: LabelSet) -> None:
        self._label_set, self.labels, self.thresholds = labels, labels.names, labels.thresholds
        self.identifiers, self.groups = labels.identifiers, dict(labels.groups)
        self.tasks, self.task_of = dict(labels.tasks), labels.task_of
        self.names = {label: labels.translations[label] for label in labels.names if label in labels.translations}

    @property
    def label_set(self) -> LabelSet:
        """The labels, with the groups and whatever else the model's file says of them."""
        return self._label_set

    def choose(self, labels: str | Iterable[str] | None = None, ignore: str | Iterable[str] | None = None) -> Self:
        """The same model with some of its labels. It shares the network, and leaves the probabilities as they are.

        Args:
            labels: names of labels, patterns such as ``Smoke detector*``, or groups such as ``group:Animal``: a list,
                or a text in which commas separate them. All labels unless given.
            ignore: the same, of labels that are left out. None unless given.

        Raises:
            ParameterError: a name matches no label (the nearest are suggested), or no label is left.

        >>> load("kitchen20").choose("water*, blender").labels
        ('blender', 'water-flowing')
        """
        places = self._label_set.choose(labels, ignore)
        chosen = self._copy()
        chosen._use(self._label_set.take(places))
        chosen._columns = [self._columns[place] for place in places]
        if self._origin is not None:
            chosen._origin = _load_and_choose, (*self._origin, chosen.labels)
        return chosen

    def _copy(self) -> Self:
        new = object.__new__(type(self))  # `copy` would pickle, and load the model again
        new.__dict__.update(self.__dict__)
        return new

    def label_names(self, language: str) -> dict[str, str]:
        """What the labels and groups are called in a language. What has no name there keeps its label.

        Args:
            language: its code, such as ``de`` or ``pt-BR``. `audioinceptionnext.list_languages` gives those that names
                come with; a table beside the model's file, such as ``mine.it.tsv`` beside ``mine.onnx``, adds others.

        Raises:
            ParameterError: there are no names in this language.
            FileError: the table beside the model's file is not one of names.

        >>> load("everyday").label_names("de")["Dog"]
        'Hund'
        """
        known = [*self._all_labels.names, *self._all_labels.groups]
        return dict(zip(known, known, strict=True)) | names_of(known, language, self._source)

    def in_language(self, language: str) -> Self:
        """The same model with names for people in another language. It shares the network.

        Tables, subtitles and pictures of its results show the names; JSON and CSV have them besides the labels. Labels
        can be chosen, and thresholds be given, by either. Labels without a name keep theirs, with a warning.

        Args:
            language: as for `label_names`, which also lists the errors.

        >>> print(load("everyday").in_language("de").predict("dinner.mp4"))
        """
        every, own = self._all_labels, self._label_set
        known = [*every.names, *every.groups]
        names = names_of(known, language, self._source)
        # Digits are the same in all languages.
        nameless = [label for label in own.names if label not in names and any(map(str.isalpha, label))]
        if nameless:
            line = f"{len(nameless)} of {len(own.names)} labels have no name in {language}, such as {nameless[0]!r}"
            warnings.warn(f"{self.name}: {line}", stacklevel=2)
        names = dict(zip(known, known, strict=True)) | names
        found = self._copy()
        found._all_labels = replace(every, translations=names)
        found._use(replace(own, translations=names))
        if self._origin is not None:
            found._origin = _load_in_language, (*self._origin, language)
        return found

    def segmentation_settings(self, threshold: Threshold | None = None, **others: Any) -> SegmentationSettings:
        """This model's own settings, except where others are given.

        Args:
            threshold: as for `predict`. It may also name labels that `choose` left out, and be a list of mappings, of
                which each counts before those ahead of it.
            others: as for `SegmentationSettings`; None is as good as none. An ``onset_threshold`` holds for all labels
                that ``threshold`` does not name. In place of all, ``settings`` of the whole model become those of the
                chosen labels.

        Raises:
            ParameterError: the model has no such label, a value is out of range, or ``settings`` are for another number
                of labels.

        >>> settings = model.segmentation_settings({"blender": 0.9}, min_duration=1.0)
        >>> model.predict("kitchen-scene.flac", settings=settings).segments
        """
        every = self._all_labels
        settings = settings_for(
            every.names,
            self._own_thresholds,
            threshold,
            groups=every.groups,
            translations=every.translations,
            stated=self._segmentation,
            **others,
        )
        counts = {len(own) for name in BY_CLASS.values() if (own := getattr(settings, name))}
        if counts == {len(every.names)}:
            return settings.take(self._columns)
        if counts - {len(self.labels)}:
            reason = f"they have values for {max(counts)} labels, but {self.name} has"
            instead = "make them with the segmentation_settings of the same choice of labels"
            raise ParameterError("settings", None, f"{reason} {len(self.labels)} here; {instead}")
        return settings

    def _settings_for(self, chosen: Self, threshold: Threshold | None, **others: Any) -> SegmentationSettings:
        """Settings for some of this model's labels, from what this model's `segmentation_settings` takes."""
        settings = self.segmentation_settings(threshold, **others)
        return settings.take([self._columns.index(column) for column in chosen._columns])

    def __deepcopy__(self, memo: Any) -> Self:
        """The recogniser itself, since nothing in it changes. scikit-learn copies the steps of a pipeline."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._origin is None:
            raise TypeError(f"{self!r} was made from bytes; one that audioinceptionnext.load made can be pickled")
        return self._origin

    def loaded_by(self, loader: Callable[..., Any], *arguments: Any) -> Self:
        """Remember how to load this model again, which is what pickling does. Returns the recogniser itself."""
        self._origin = loader, arguments
        return self

    def check_step(
        self,
        step_seconds: float | None,
        on_warning: Callable[[str], None] | None = None,
        predictor: StepPredictor | None = None,
    ) -> int:
        """The distance from one step to the next, in samples.

        Above the model's own, it is the nearest multiple of it, with a warning if that is more than 1 % away.

        Raises:
            ParameterError: ``step_seconds`` is not the model's own, a multiple of it, or a fraction of whole frames;
                of a fine timeline, which has steps enough, no fraction.
        """
        predictor = self._predictor if predictor is None else predictor
        grid, fine, seconds = predictor.grid, predictor.fine, predictor.grid.step / self.sample_rate
        if step_seconds is None:
            return grid.step
        if is_number(step_seconds) and seconds * 0.999 <= step_seconds <= 3600:  # false for NaN
            multiple = round(step_seconds / seconds)
            if not math.isclose(multiple * seconds, step_seconds, rel_tol=0.01):
                asked = f"a step every {step_seconds:g} s is no multiple of the {seconds:g} s of {self.name}"
                line = f"{asked}; there is one every {multiple * seconds:g} s"
                warnings.warn(line, stacklevel=2) if on_warning is None else on_warning(line)
            return multiple * grid.step
        if not fine and is_number(step_seconds) and 0.999 * grid.hop <= step_seconds * self.sample_rate < grid.step:
            parts = round(seconds / step_seconds)
            if grid.step_frames % parts == 0 and math.isclose(parts * step_seconds, seconds, rel_tol=0.01):
                return grid.step // parts
        others = "or a multiple of it" if fine else "a multiple of it, or a fraction of it such as one half"
        reason = f"{self.name} has a step every {seconds:g} s; give that, {others}"
        raise ParameterError("step_seconds", step_seconds, reason)


def _load_and_choose(loader: Callable[..., Any], arguments: tuple[Any, ...], labels: tuple[str, ...]) -> Any:
    """What loads a recogniser again whose labels were chosen."""
    return loader(*arguments).choose(labels)


def _load_in_language(loader: Callable[..., Any], arguments: tuple[Any, ...], language: str) -> Any:
    """What loads a recogniser again that has names in a language."""
    return loader(*arguments).in_language(language)
