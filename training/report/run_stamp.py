"""What a report says of its run at the top: date, duration, model version, verdict, and where MLflow has it.

The model's version is known only once the model is registered, and the page is written before: it has a place for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from training.report.number_text import duration_text, minute_text

PLACE = "<!--run-->"
"""Where the page takes the stamp. Texts of the data cannot contain it: they are escaped."""
_TEMPLATE = "run_stamp.html.j2"
_OF_ABLATION = "ablation "
"""Begins the names of an ablation's steps."""


@dataclass(frozen=True)
class RunStamp:
    """The facts of a run that has ended."""

    finished_at: str
    """ISO 8601."""
    duration_s: float
    reused: tuple[str, ...]
    """The steps whose results are those of an earlier run, since nothing had changed."""
    model: str
    """The registered model and its version."""
    registration: str
    """What became of the version: a sentence or two."""
    verdict: str
    """A few words, see `Verdict.words`."""
    run_id: str
    """MLflow's."""
    run_url: str = ""
    """The run's page; empty if there is no server with pages of known addresses."""
    server_command: str = ""
    """The command that serves that page; empty if a server runs."""


def stamped(html: str, stamp: RunStamp) -> str:
    """The page with the facts of its run at their place."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("training.report").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    facts = environment.from_string(text).render(
        stamp=stamp,
        reused=_in_short(stamp.reused),
        date=minute_text(stamp.finished_at),
        duration=duration_text(stamp.duration_s),
        verdict=stamp.verdict[:1].upper() + stamp.verdict[1:],
    )
    return html.replace(PLACE, facts, 1)


def _in_short(steps: Sequence[str]) -> list[str]:
    """The steps by name; those of an ablation, which are many, as their number."""
    of_ablation = [step for step in steps if step.startswith(_OF_ABLATION)]
    names = [step for step in steps if step not in of_ablation]
    if of_ablation:
        noun = "step" if len(of_ablation) == 1 else "steps"
        names.append(f"{len(of_ablation)} {noun} of the ablation")
    return names
