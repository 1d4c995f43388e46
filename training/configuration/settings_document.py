"""The document of all settings: `python -m training.configuration.settings_document > docs/configuration.md`."""

from __future__ import annotations

from training.configuration.all_settings import Setting, all_settings, option_name, sections, summary_of
from training.configuration.config_text import toml_value

_HEAD = """\
# Configuration

All settings of a training. Generated from the dataclasses of `TrainingConfig` (`training/config.py`) with
`python -m training.configuration.settings_document > docs/configuration.md`.

    recmem config > recmem.toml                             # a file with every setting, its meaning and its default
    recmem config --config recmem.toml                      # checks a file
    recmem train --items I --events E --out OUT --config recmem.toml --set ranker.leaves=31

In Python: `recmem.train(..., config="recmem.toml")`, or a dict such as `config={"ranker.leaves": 31}`. With MLflow:
`mlflow run mlflow_projects -P config=recmem.toml -P set="ranker.leaves=31; seed=3" ...`.

A file needs only the settings that differ from their defaults. What comes later overrides what comes before:

1. the defaults below
2. the file of `--config`
3. `--set`, in the order in which it is given
4. other options, such as `--seed`, and arguments of `recmem.train`

A file is TOML. `"auto"` stands for a value that follows from something else, such as the encoder's folder. A value of
`--set` is written as in the file, or as text without quotes: `--set tuning.kind=last`,
`--set signals.negative_events=skip,return`. All faults are reported at once, before anything is read or written. Paths
start from the working folder.

Every run leaves its whole configuration in `OUT/recmem.toml`, with the pooling and length that the encoder was saved
with; fed back, it gives the same configuration. MLflow has the same file as an artifact of the run, and every setting
as a parameter under its name here (`training.seed` for `seed`, since `mlflow run` has a parameter `seed` of its own). A
step of the training is run again only if a setting that it reads, or what an earlier step left, has changed.
"""


def settings_markdown() -> str:
    """All settings as a Markdown document with a table per section."""
    lines = [_HEAD]
    for section, config in sections().items():
        summary = summary_of(config) if section else "These stand before all sections of the file."
        lines += [f"## {f'[{section}]' if section else 'Without a section'}", "", summary, ""]
        lines += ["| setting | default | values | meaning |", "|---|---|---|---|"]
        lines += [_row(setting) for setting in all_settings().values() if setting.section == section]
        lines.append("")
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    option = f" Option: `{option_name(setting.option)}`." if setting.option else ""
    cells = (f"`{setting.name}`", f"`{toml_value(setting.default)}`", setting.values, f"{setting.meaning}{option}")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(settings_markdown(), end="")
