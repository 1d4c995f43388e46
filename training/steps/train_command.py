"""The command line that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from feature_store.addresses import without_secrets
from recmem.cli.options import names_of
from recmem.serving.champions import REGISTERED_NAME
from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.config_text import toml_value, value_of
from training.run import Run


def train_command(run: Run) -> str:
    """The `recmem train` command of this run: its tables, its store and its options, without secrets.

    An ablation is not repeated: the settings that it has chosen are named. A table that was given as a frame has no
    path: a name in capitals stands for it, with a comment that says so.
    """
    command = " \\\n  ".join(["recmem train", *_places(run), *_options(run.config)])
    frames = [_file_of_frame(name) for name, table in run.tables.given().items() if not isinstance(table, str)]
    return f"# {', '.join(frames)}: frames that were given from Python\n{command}" if frames else command


def _places(run: Run) -> Iterator[str]:
    """Where the run reads and writes."""
    for name, table in run.tables.given().items():
        yield f"--{name} {_shown(table) if isinstance(table, str) else _file_of_frame(name)}"
    if run.store.path != str(run.out / "store") or not run.tables.given():
        yield f"--store {_shown(run.store.path)}"
    yield f"--out {_shown(str(run.out))}"


def _file_of_frame(name: str) -> str:
    return f"{name.upper()}.parquet"


def _options(config: TrainingConfig) -> Iterator[str]:
    signals = config.signals
    yield from _text_options(config)
    yield f"--candidates {config.retrieval.candidates}"
    yield "--exclude-seen" if config.retrieval.exclude_seen else "--no-exclude-seen"
    yield f"--positive-from {signals.positive_from:g}"
    yield f"--negative-to {signals.negative_to:g}"
    yield from _names("--positive-events", "signals.positive_events", signals.positive_events)
    yield from _names("--negative-events", "signals.negative_events", signals.negative_events)
    yield from _names("--neutral-events", "signals.neutral_events", signals.neutral_events)
    yield from _names("--weight", "event_weights", config.event_weights)
    yield from _names("--features", "features", config.features)
    if config.ranker.position_debiasing:
        yield "--position-debiasing"
    if not config.refit:
        yield "--no-refit"
    if config.folds > 1:
        yield f"--folds {config.folds}"
    if config.promote != "not-worse":
        yield f"--promote {config.promote}"
    if config.registered_name != REGISTERED_NAME:
        yield f"--registered-name {shlex.quote(config.registered_name)}"
    yield f"--seed {config.seed}"
    yield from _settings_without_option(config)


def _text_options(config: TrainingConfig) -> Iterator[str]:
    """What encodes texts, or the name of the vectors in its place."""
    if config.vectors_name:
        yield f"--vectors-name {shlex.quote(config.vectors_name)}"
        return
    encoder = config.encoder
    yield f"--encoder {shlex.quote(encoder.name)}"
    yield f"--pooling {encoder.pooling}"
    yield f"--max-tokens {encoder.max_tokens}"
    if encoder.text_prefix:
        yield f"--text-prefix {shlex.quote(encoder.text_prefix)}"
    yield f"--tune-encoder {config.tuning.kind}"


def _names(option: str, setting: str, names: Sequence[str]) -> Iterator[str]:
    """A list as its option takes it; by `--set` where a name would not survive the commas between."""
    joined = ",".join(names)
    if names_of(joined) != tuple(names):
        yield f"--set {shlex.quote(f'{setting}={toml_value(tuple(names))}')}"
    elif names:
        yield f"{option} {shlex.quote(joined)}"


def _settings_without_option(config: TrainingConfig) -> Iterator[str]:
    """`--set NAME=VALUE` for each setting that has no option of its own and is not at its default."""
    for each in all_settings().values():
        value = value_of(config, each)
        if not each.option and value != each.default:
            yield f"--set {shlex.quote(f'{each.name}={toml_value(value)}')}"


def _shown(place: str) -> str:
    """A path or an address for the command line: without secrets, and from the working folder if it lies there."""
    if "://" in place:
        return shlex.quote(without_secrets(place))
    path = Path(place)
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
