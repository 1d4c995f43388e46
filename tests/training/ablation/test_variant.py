"""A variant as a run that shares what the training has read."""

from __future__ import annotations

from dataclasses import replace

from small_ablation import small_run
from training.ablation.variant import Variant
from training.configuration.effective import with_values


def test_a_variant_has_its_own_folder_and_reads_what_the_training_has_read_and_encoded() -> None:
    run = small_run()
    variant = Variant("retrieved", with_values(run.config, {"memory.retrieved": 10})).run_within(run)
    assert variant.out == run.out / "ablation" / "retrieved"
    assert variant.training_data is run.training_data
    assert variant.folder("tune") == run.folder("tune")
    assert variant.folder("match") == variant.out / "work" / "match"
    assert variant.pinned.versions() == run.pinned.versions()


def test_one_that_rereads_has_training_data_of_its_own() -> None:
    run = small_run()
    variant = Variant("knowledge", run.config, rereads=True).run_within(run)
    assert variant.training_data is not run.training_data


def test_one_whose_encoder_stays_frozen_does_not_read_the_tuned_one() -> None:
    run = small_run()
    run.config = with_values(run.config, {"tuning.kind": "last"})
    variant = Variant("tuned_encoder", with_values(run.config, {"tuning.kind": "off"}))
    assert variant.run_within(run).folder("tune") != run.folder("tune")
    assert variant.own_steps(run) == ("tune", "match")


def test_features_alone_need_no_step() -> None:
    run = small_run()
    assert Variant("ease_text", run.config, retrains=False).own_steps(run) == ()
    assert Variant("control", replace(run.config, seed=1)).own_steps(run) == ("match",)
