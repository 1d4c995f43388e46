"""What the step `tune` leaves for later steps: the tuned tensors, or why the encoder stayed frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from feature_store.atomic_files import write_text_atomically
from recmem.text.encoder_tuning import EncoderTuning
from recmem.text.tuned_encoder import rounded
from training.evaluation.encoder_choice import EncoderChoice

SUMMARY = "summary.json"
NAMES = ("base", "final")
NOT_TUNED = "The text encoder stayed frozen: tuning was off."


@dataclass(frozen=True)
class TunedEncoders:
    """The outcome of a tuning in its folder."""

    folder: Path
    tuning: EncoderTuning | None
    """What was tuned; None if tuning was off."""
    choice: EncoderChoice | None
    """Whether it was kept, with the figures; None if tuning was off."""

    @classmethod
    def read(cls, folder: Path) -> TunedEncoders:
        """What `write` left; tuning was off where nothing was left."""
        path = folder / SUMMARY
        summary = json.loads(path.read_text()) if path.is_file() else {"tuning": None, "choice": None}
        tuning = summary["tuning"] and EncoderTuning(**summary["tuning"])
        return cls(folder, tuning, summary["choice"] and EncoderChoice(**summary["choice"]))

    def write(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Writes the outcome, with the tuned tensors by name if they are kept; what another outcome left goes."""
        for name in NAMES:
            path = self.folder / f"{name}.safetensors"
            path.unlink(missing_ok=True)
            if name in tensors:
                # As the bundle holds them, so that training and serving encode with the same numbers.
                path.write_bytes(save({part: rounded(tensor) for part, tensor in tensors[name].items()}))
        summary = {
            "tuning": self.tuning and asdict(self.tuning),
            "choice": self.choice and asdict(self.choice),
            "sentence": self.sentence,
        }
        write_text_atomically(self.folder / SUMMARY, json.dumps(summary, indent=1))

    def tensors(self, name: str) -> tuple[EncoderTuning, dict[str, Tensor]] | None:
        """The tuning and its tensors, `base` or `final`; None if the encoder stayed frozen."""
        if self.tuning is None or self.choice is None or not self.choice.is_tuned:
            return None
        return self.tuning, load_file(self.folder / f"{name}.safetensors")

    @property
    def sentence(self) -> str:
        """The outcome and its figures in words."""
        if self.tuning is None or self.choice is None:
            return NOT_TUNED
        choice = self.choice
        outcome = "was tuned" if choice.is_tuned else "stayed frozen"
        figures = (
            f"on {choice.n_queries:,} held-out queries, NDCG@10 of the match alone was {choice.frozen_ndcg:.3f} with "
            f"the frozen one and {choice.tuned_ndcg:.3f} with the tuned one ({self.tuning.kind}; the difference is at "
            f"least {choice.low:+.3f}, one-sided 90%)"
        )
        cold = ""
        if choice.n_cold:
            cold = (
                f", Recall@10 of {choice.n_cold:,} positives without earlier events {choice.frozen_cold:.3f} and "
                f"{choice.tuned_cold:.3f}"
            )
        # Without figures there were too few queries to measure anything.
        measured = f" {figures[0].upper()}{figures[1:]}{cold}." if choice.frozen_ndcg or choice.tuned_ndcg else ""
        return f"The text encoder {outcome}: {choice.why}.{measured}"
