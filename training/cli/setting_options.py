"""The options of `train`, `tune` and `features` that are settings of a training, each declared once, in one table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from recmem.cli.error_handling import UsageError
from recmem.cli.ingest import Features
from recmem.cli.options import names_of
from recmem.cli.vector_options import VectorsName
from training.cli.config import Assignments, Config
from training.cli.encoder_options import Encoder, MaxTokens, Pooling, TextPrefix
from training.event_options import (
    NegativeEvents,
    NegativeTo,
    NeutralEvents,
    PositionDebiasing,
    PositiveEvents,
    PositiveFrom,
    Weight,
    weights_of,
)

if TYPE_CHECKING:
    from training.config import TrainingConfig

Command = TypeVar("Command", bound=Callable[..., None])

TuneEncoder = Annotated[
    str,
    typer.Option(
        metavar="auto|off|last|full|lora|adalora|ia3|prefix",
        help="What of the text encoder learns from the log, if that pays on a held-out part: nothing (off), its "
        "last layer (last; enough for a CPU), all of it (full), or adapters (the others, with recmem[peft]). "
        "auto: full with a CUDA device, else off.",
    ),
]
Candidates = Annotated[int, typer.Option(metavar="N", help="Items retrieved and ranked per query.")]
ExcludeSeen = Annotated[
    bool,
    typer.Option(
        help="Rank only items that are new to the user. With --no-exclude-seen, items that the user has had are "
        "ranked, learned and measured too, as repeats."
    ),
]
FactColumns = Annotated[
    str,
    typer.Option(
        metavar="COLUMN,...|auto",
        help="Text columns of the items whose values are facts too, such as author,brand; auto: those of few words "
        "that repeat among items.",
        show_default=False,
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        help="Once the model is measured, let the one that ships learn from the whole log. --no-refit: the measured "
        "one ships."
    ),
]
TestFolds = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Measure the same training on N test windows, one after the other; takes up to N times as long.",
    ),
]
Ablate = Annotated[
    bool,
    typer.Option(
        help="First switch each kind of memory and of text features over and measure what it is worth, then train with "
        "what pays on validation queries; takes as long as several trainings."
    ),
]
Promote = Annotated[
    str,
    typer.Option(
        metavar="better|not-worse|always|never",
        help="When the new version takes the champion's place in MLflow's registry. Both rank the same test queries; "
        "the new one must be significantly better (better) or not significantly worse (not-worse), and worse on no "
        "slice.",
    ),
]
RegisteredName = Annotated[
    str, typer.Option(metavar="NAME", help="The registered model in MLflow that gets a new version.")
]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Random seed. The same tables, options and seed give the same figures.")
]

SETTING_OPTIONS: dict[str, tuple[Any, Any]] = {
    "config": (Config, None),
    "assignments": (Assignments, None),
    "encoder": (Encoder, None),
    "pooling": (Pooling, None),
    "max_tokens": (MaxTokens, None),
    "text_prefix": (TextPrefix, ""),
    "vectors_name": (VectorsName, ""),
    "tune_encoder": (TuneEncoder, "auto"),
    "candidates": (Candidates, 300),
    "exclude_seen": (ExcludeSeen, True),
    "positive_from": (PositiveFrom, 4.0),
    "negative_to": (NegativeTo, 2.0),
    "positive_events": (PositiveEvents, ""),
    "negative_events": (NegativeEvents, ""),
    "neutral_events": (NeutralEvents, ""),
    "weight": (Weight, None),
    "features": (Features, ""),
    "fact_columns": (FactColumns, ""),
    "position_debiasing": (PositionDebiasing, False),
    "refit": (Refit, True),
    "folds": (TestFolds, 1),
    "ablate": (Ablate, False),
    "promote": (Promote, "not-worse"),
    "registered_name": (RegisteredName, "recmem"),
    "seed": (Seed, 0),
}
"""The annotation of each option, and what is shown as its default, in the order of `--help`."""
OF_THE_WHOLE = (
    *("fact_columns", "tune_encoder", "candidates", "exclude_seen"),
    *("refit", "folds", "ablate", "promote", "registered_name"),
)
"""Those that only a training from beginning to end takes."""
OF_THE_RANKER = ("features", "position_debiasing")
_LISTS = ("positive_events", "negative_events", "neutral_events", "features", "fact_columns")
"""Options that hold names with commas between."""


def takes_settings(*, but: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Gives a command the options of the table, after its own; it gets their values by name, as `**options`.

    `but`: those that it does not take. `settings_given` makes a configuration of the values.
    """

    def with_options(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in SETTING_OPTIONS.items()
            if name not in but
        ]
        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        # What typer reads; the function itself stays as it is.
        command.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
        return command

    return with_options


def settings_given(context: typer.Context, options: Mapping[str, Any], **fixed: Any) -> TrainingConfig:
    """The configuration of a command's `options`, --set and --config; `fixed` overrides them, by names of options.

    Raises UsageError with all faults.
    """
    from training.configuration.all_settings import OPTIONS, option_name
    from training.configuration.effective import effective_config
    from training.configuration.given_settings import ConfigError

    # The context tells an option that was given from one that is left to the file.
    given = {name: value for name, value in options.items() if name in OPTIONS and _was_given(context, name)}
    given |= {name: names_of(given[name]) for name in _LISTS if name in given}
    if "weight" in given:
        given["weight"] = weights_of(given["weight"])
    try:
        return effective_config(
            options["config"], assignments=options["assignments"] or (), options=given | fixed, label=option_name
        )
    except ConfigError as error:
        raise UsageError(str(error)) from error


def require_tables(items: object, events: object, store: object) -> None:
    """Raises UsageError if there is nothing to learn from: neither both tables nor a store."""
    if store is None and (items is None or events is None):
        raise UsageError(
            "--items, --events: expected both, or a --store that holds them, got neither. Give the two tables."
        )


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether the option of this name was given, and not left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
