"""All settings of a training by name: `section.field`, as in `TrainingConfig` and the dataclasses within it."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from feature_store.settings import Bounds, bounds_of, expected_values, fault_of, type_hints
from training.config import TrainingConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AUTO = "auto"
"""In a file, the value of a setting that follows from something else, such as the encoder's folder."""
OPTIONS = {
    "encoder": "encoder.name",
    "pooling": "encoder.pooling",
    "max_tokens": "encoder.max_tokens",
    "text_prefix": "encoder.text_prefix",
    "tune_encoder": "tuning.kind",
    "vectors_name": "vectors_name",
    "candidates": "retrieval.candidates",
    "exclude_seen": "retrieval.exclude_seen",
    "positive_from": "signals.positive_from",
    "negative_to": "signals.negative_to",
    "positive_events": "signals.positive_events",
    "negative_events": "signals.negative_events",
    "neutral_events": "signals.neutral_events",
    "weight": "event_weights",
    "features": "features",
    "fact_columns": "knowledge.columns",
    "position_debiasing": "ranker.position_debiasing",
    "refit": "refit",
    "folds": "folds",
    "ablate": "ablate",
    "promote": "promote",
    "registered_name": "registered_name",
    "seed": "seed",
}
"""Options of `recmem train` and arguments of `recmem.train`, most also of the MLflow project: the setting of each."""
_SIMILAR = 0.6


@dataclass(frozen=True)
class Setting:
    """One setting: a field of `TrainingConfig` or of a dataclass within it."""

    name: str
    """As a file and `--set` have it: `ranker.leaves`; `seed` for a field of `TrainingConfig` itself."""
    field: Field[Any]
    annotation: Any
    meaning: str
    """The field's docstring as one line."""

    @property
    def section(self) -> str:
        """The table of the file that it stands in: `ranker`; "" for one that stands before all tables."""
        return self.name.rpartition(".")[0]

    @property
    def option(self) -> str:
        """The name of its option, such as `tune_encoder`; "" if it has none."""
        return next((option for option, name in OPTIONS.items() if name == self.name), "")

    @property
    def bounds(self) -> Bounds:
        """What it may be, beside its type."""
        return bounds_of(self.field)

    @property
    def default(self) -> Any:
        """Its value in a file that leaves it as it is: AUTO where that follows from something else."""
        return AUTO if self.bounds.automatic else self.field.default

    @property
    def values(self) -> str:
        """The values that it may have, in words."""
        words = self.bounds.words or expected_values(self.annotation, self.bounds)
        automatic = self.bounds.automatic
        return f'{words}, or "{AUTO}": {automatic}' if automatic else words

    def fault(self, value: Any) -> str:
        """`expected <what>, got <value>. <what to do>` for a value that it cannot have; else ""."""
        return fault_of(self.field, self.annotation, value, automatic=True)


@functools.cache
def all_settings() -> dict[str, Setting]:
    """Every setting by name: first those outside any section, then section by section."""
    return {setting.name: setting for section in sections() for setting in _settings_in(section)}


@functools.cache
def sections() -> dict[str, type[DataclassInstance]]:
    """The dataclass of every section by its name, "" first; a section within another is `outer.inner`."""
    return dict(_sections("", TrainingConfig))


def option_name(name: str) -> str:
    """An option as the command line has it: `--max-tokens` for `max_tokens`."""
    return f"--{name.replace('_', '-')}"


def nearest_settings(name: str) -> list[str]:
    """The settings that were most likely meant by a name that is none; empty if nothing is like it."""
    wanted = name.replace("-", "_")
    last = wanted.rpartition(".")[2]
    if wanted in OPTIONS:
        return [OPTIONS[wanted]]
    called_so = [
        each.name
        for each in all_settings().values()
        if last in (each.name.rpartition(".")[2], *each.bounds.aliases) or (last == each.option and last)
    ]
    if called_so:
        # Several sections have a learning_rate: the one whose section is most like what was written.
        nearest = get_close_matches(wanted, called_so, n=1, cutoff=_SIMILAR) if "." in wanted else []
        return nearest or called_so
    return get_close_matches(wanted, all_settings(), n=1, cutoff=_SIMILAR)


def summary_of(config: type[DataclassInstance]) -> str:
    """The first sentence of the docstring of a section's dataclass."""
    return " ".join((config.__doc__ or "").split()).partition(". ")[0].rstrip(".") + "."


def _sections(name: str, config: type[DataclassInstance]) -> Iterator[tuple[str, type[DataclassInstance]]]:
    yield name, config
    for field, annotation in type_hints(config).items():
        if isinstance(annotation, type) and is_dataclass(annotation):
            yield from _sections(f"{name}.{field}" if name else field, annotation)


def _settings_in(section: str) -> Iterator[Setting]:
    config = sections()[section]
    hints = type_hints(config)
    meanings = _field_docstrings(config)
    for field in fields(config):
        if field.default is not MISSING:
            name = f"{section}.{field.name}" if section else field.name
            yield Setting(name, field, hints[field.name], meanings.get(field.name, ""))


def _field_docstrings(config: type[DataclassInstance]) -> dict[str, str]:
    """The docstring under each field of a dataclass, as one line; Python keeps them in the source only."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef)
    docstrings = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                docstrings[statement.target.id] = " ".join(text.value.split())
    return docstrings
