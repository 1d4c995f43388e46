"""A training with an ablation, from the choice to the bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import polars as pl
import pytest

import cross_fit_log
import small_ablation
from training.ablation import ablate as ablate_module
from training.ablation.worth import deciding_interval
from training.api import train
from training.configuration.effective import effective_config
from training.evaluation.ablation import Ablation
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH, Ledger


def of(ledger: Ledger) -> Ablation:
    return Ablation.from_document(ledger.ablation)


def test_every_kind_has_its_worth_and_the_ledger_has_it_all() -> None:
    result = small_ablation.trained()
    ablation = of(Ledger.from_json((result.out / "ledger.json").read_text()))
    assert {"learned_match", "text_similarity", "ease_text"} <= {kind.name for kind in ablation.kinds}
    assert ablation == of(result.ledger)
    split = result.ledger.protocol
    assert ablation.queries["test"] == split.queries
    assert ablation.users["test"] == split.users
    assert ablation.changed == {}
    assert ablation.control["validation"].difference != 0


def test_the_worth_of_a_kind_is_what_was_given_minus_what_is_left_without_it() -> None:
    ablation = of(small_ablation.trained().ledger)
    for kind in ablation.kinds:
        for part, worth in kind.parts.items():
            assert worth.all.with_ == ablation.figures[part]


def test_a_training_without_an_ablation_has_the_same_figures(tmp_path: Path) -> None:
    out = tmp_path / "run"
    # Steps that do not depend on the ablation are there already.
    shutil.copytree(small_ablation.trained().out, out)
    plain = train(cross_fit_log.items(), cross_fit_log.events(), out=out, config=small_ablation.CONFIG)
    assert not plain.ledger.ablation
    document = json.loads(small_ablation.trained().ledger.to_json())
    del document["ablation"]
    assert json.loads(plain.ledger.to_json()) == document


def speaking_against_ease_text(out: Path, *, again: bool) -> Path:
    """A training whose validation speaks against EASE with texts, with the other seed too or not.

    Its folder has the measured variants.
    """
    shutil.copytree(small_ablation.trained().out, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ablate_module, "to_switch", lambda kinds, control: [kind for kind in kinds if kind.name == "ease_text"]
        )
        patch.setattr(ablate_module, "passes_again", lambda kind: again)
        small_ablation.trained_in(out)
    return out


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_against_ease_text(tmp_path_factory.mktemp("switched") / "run", again=True)


def test_a_kind_that_does_not_pass_with_the_other_seed_is_not_switched(tmp_path: Path) -> None:
    out = speaking_against_ease_text(tmp_path / "run", again=False)
    ablation = of(Ledger.from_json((out / "ledger.json").read_text()))
    assert ablation.switched == []
    assert ablation.changed == {}
    report = (out / "report.html").read_text()
    assert "no kind is significantly worse than its alternative with both seeds" in report


def test_with_the_other_seed_a_kind_is_compared_with_the_control(switched: Path) -> None:
    ablation = of(Ledger.from_json((switched / "ledger.json").read_text()))
    measured = {kind.name: kind.again for kind in ablation.kinds}
    assert [name for name, again in measured.items() if again is not None] == ["ease_text"]

    def figures(variant: str) -> pl.DataFrame:
        return pl.read_parquet(switched / "ablation" / variant / "work" / "figures" / "figures.parquet")

    control = figures("control")
    without = figures("ease_text-control")
    assert measured["ease_text"] == deciding_interval(without, control, n_kinds=len(ablation.kinds), seed=0)
    # It has the control's match module, and not the reference's.
    assert not (switched / "ablation" / "ease_text-control" / "work" / "match").exists()
    assert not without["figure"].equals(figures("ease_text")["figure"])


def test_the_training_goes_on_with_what_was_chosen(switched: Path) -> None:
    ledger = Ledger.from_json((switched / "ledger.json").read_text())
    ablation = of(ledger)
    assert [kind.name for kind in ablation.switched] == ["ease_text"]
    assert ablation.changed == {"ranker.leave_out": ["ease_text", "ease_text_recent"]}
    # The figure that the variant had on the test is that of the model.
    row = ledger.row(WITH_MATCH)
    assert row is not None
    assert row.metrics[HEADLINE_METRIC] == pytest.approx(ablation.chosen["test"].with_, abs=1e-6)
    assert ablation.chosen["test"].without == of(small_ablation.trained().ledger).figures["test"]
    for ranker in (WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH):
        features = json.loads((switched / "work" / "rank" / f"{ranker}.ranker.json").read_text())["features"]
        assert ("similarity_max" in features) == (ranker != WITHOUT_MATCH)
        assert not {"ease_text", "ease_text_recent"} & set(features)


def test_the_settings_that_were_chosen_train_the_same_model_without_an_ablation(switched: Path) -> None:
    config = effective_config(switched / "recmem.toml")
    assert not config.ablate
    assert config.ranker.leave_out == ("ease_text", "ease_text_recent")
    report = (switched / "report.html").read_text()
    assert "ranker.leave_out=[&#34;ease_text&#34;, &#34;ease_text_recent&#34;]" in report
    assert "--ablate" not in report


def test_mlflow_says_what_was_given_what_was_chosen_and_what_each_kind_is_worth(switched: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{switched / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recmem")
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], "tags.`recmem.run` = 'training'")[0]
    data = newest.data
    assert data.tags["recmem.ablation"].startswith("Switched over, since that pays on validation: EASE with texts")
    assert data.params["ranker.leave_out"] in ("()", "[]")
    assert "ease_text_recent" in data.params["chosen.ranker.leave_out"]
    assert data.metrics.keys() >= {"ablation_validation/ease_text", "ablation_test/learned_match"}


def test_folds_and_an_ablation_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"ablate, folds: expected one of them, got both \(folds 2\)"):
        effective_config(options={"ablate": True, "folds": 2})
