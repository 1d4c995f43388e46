from __future__ import annotations

from debian_model import trained_model
from described_users import describe_users
from recmem.audit.user_changes import UserChanges


def test_rows_are_fed_once_and_in_the_order_in_which_they_became_known() -> None:
    model = trained_model().model()
    describe_users(model, trained_model().events)
    changes = UserChanges.of(model.dataset)
    n_rows = len(model.dataset.profiles.table)
    middle = int(changes.known[n_rows // 2])
    first = changes.known_at_first(middle).table
    undated = model.dataset.profiles.table["timestamp"].null_count()
    assert undated < len(first) == int((changes.known <= middle).sum())
    assert changes.since_last(middle).is_empty()
    assert changes.since_last(middle - 1).is_empty()
    later = changes.since_last(int(changes.known[-1]))
    assert len(first) + len(later) == n_rows
    assert later["timestamp"].null_count() == 0
