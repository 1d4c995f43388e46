"""What an ablation measures: the configuration that was given, a control, and each kind switched over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.ablation.kinds import KINDS, Kind
from training.ablation.variant import Variant
from training.configuration.effective import with_values
from training.configuration.given_settings import ConfigError
from training.run import Run

REFERENCE = "reference"
CONTROL = "control"


@dataclass(frozen=True)
class Plan:
    """The variants of an ablation in the order in which they are measured."""

    reference: Variant
    """What was given."""
    control: Variant
    """The same with another seed: how much chance alone makes of a training."""
    tried: tuple[tuple[Kind, Variant], ...]
    """The kinds that may matter on this data, each switched over. First those that share the reference's pairs."""
    not_tried: dict[str, str]
    """The words of the others, and why."""

    @property
    def variants(self) -> list[Variant]:
        """All of them."""
        return [self.reference, *(variant for _, variant in self.tried), self.control]

    def with_another_seed(self, variant: Variant) -> Variant:
        """One of the kinds' variants with the seed of the control."""
        config = replace(variant.config, seed=self.control.config.seed)
        match_of = None if variant.retrains else self.control
        return replace(variant, name=f"{variant.name}-{CONTROL}", config=config, match_of=match_of)

    @property
    def n_modules(self) -> int:
        """How many match modules are trained at least."""
        return sum(variant.retrains for variant in self.variants)


def plan_of(run: Run) -> Plan:
    """The plan for a run whose encoder is tuned, if it is to be."""
    given = replace(run.config, ablate=False)
    tried: list[tuple[Kind, Variant]] = []
    not_tried: dict[str, str] = {}
    for kind in KINDS:
        reason = kind.why_not(run)
        if not reason:
            try:
                config = with_values(given, kind.switched(given))
            except ConfigError as error:
                reason = f"the other settings do not allow it ({error})"
            else:
                tried.append((kind, Variant(kind.name, config, retrains=kind.retrains, rereads=kind.rereads)))
        if reason:
            not_tried[kind.words] = reason
    control = replace(given, seed=given.seed + 1 if given.seed == 0 else given.seed - 1)
    return Plan(
        Variant(REFERENCE, given),
        Variant(CONTROL, control),
        tuple(sorted(tried, key=lambda each: each[1].retrains)),
        not_tried,
    )
