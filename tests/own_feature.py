"""A model for tests of serving that reads a feature of the caller's own, which its ranker makes nothing of."""

from __future__ import annotations

from dataclasses import replace

from debian_model import trained_model
from recmem.dataset.candidate_features import CandidateFeature
from recmem.serving.model import Model

FEATURES = (CandidateFeature("ctr"), CandidateFeature("device", ("app", "web")))


def model_with(*features: CandidateFeature) -> Model:
    """A model of its own whose candidates bring these features along."""
    model = trained_model().model()
    model.dataset = replace(model.dataset, config=replace(model.dataset.config, candidate_features=features))
    return model
