"""What an ablation will measure and what that takes, as a line on the terminal."""

from __future__ import annotations

from recmem.cli.console import say
from training.ablation.plan import Plan


def show_plan(plan: Plan) -> None:
    """Prints the line."""
    say(plan_sentence(plan))


def plan_sentence(plan: Plan) -> str:
    """How many kinds are tried, and how often match module and ranker are fitted for that."""
    n_kinds = len(plan.tried)
    kinds = "1 kind" if n_kinds == 1 else f"{n_kinds} kinds"
    n_alone = len(plan.variants) - plan.n_modules
    alone = f", {n_alone} of the ranker alone" if n_alone else ""
    return (
        f"Ablation of {kinds}: {plan.n_modules} trainings of match module and ranker (as given, with another seed, and "
        f"for each kind that needs one){alone}; then that of the model. If it is interrupted, the same command goes on."
    )
