from __future__ import annotations

from dated_items import with_item_changes
from debian_model import model_of, trained_model
from feature_store.point_in_time.as_of_join import when_known
from recmem.audit.item_changes import ItemChanges


def test_only_the_changes_that_were_known_at_a_time_are_there() -> None:
    dataset = with_item_changes(model_of(trained_model().events)).dataset
    known = dataset.item_changes.select(known=when_known())["known"].sort()
    changes = ItemChanges(dataset)
    none = changes.known_at(known[0] - 1, dataset).item_history
    some = changes.known_at(known[len(known) // 2], dataset).item_history
    every = changes.known_at(known[-1], dataset).item_history
    assert none is not every
    assert some is not every
    assert changes.known_at(known[-1], dataset).item_history is every
