from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cancelled_logs import Cancellation, cancellations, expected_queries, frame_of, without
from feature_store import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from five_item_dataset import CONFIG as DATASET_CONFIG
from five_item_dataset import catalogue
from recmem.dataset.dataset import Dataset
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig, Slots
from recmem.text.unit_vectors import exact_units
from slow_reference import Event, is_known
from strategies import ITEMS, LAST_TIME, N_ITEMS, USERS, event_log, impression_frame, logs
from tolerances import close
from training.fitting.match_batches import Batch, BatchConfig, MatchBatches, recency_weights
from training.queries import queries_between
from training.target_weights import TargetWeights

FEWER = settings(max_examples=40)  # each draws several steps
CONFIG = BatchConfig(queries=6, negatives=3, positives=2)
MEMORY = MemoryConfig(recent=3, negatives=True)


def batches(log: EventLog, *, until: int = 3 * LAST_TIME, seed: int = 0, config: BatchConfig = CONFIG) -> MatchBatches:
    return MatchBatches(log, N_ITEMS, until=until, memory=MEMORY, config=config, seed=seed)


def batches_of(dataset: Dataset, until: int, config: BatchConfig = CONFIG) -> MatchBatches:
    return MatchBatches(
        dataset.log_at(until),
        N_ITEMS,
        until=until,
        memory=MEMORY,
        config=config,
        seed=0,
        reads=dataset.reads,
        cancelled=dataset.cancelled,
    )


def dataset_with(log: list[Event], cancels: list[Cancellation]) -> Dataset:
    return Dataset.of(catalogue(), frame_of(log, cancels), impression_frame([]), DATASET_CONFIG)


def memories(batch: Batch) -> list[list[int]]:
    counts = torch.bincount(batch.slots.memory_index, minlength=batch.slots.n_memories).tolist()
    return [rows.tolist() for rows in torch.split(batch.slots.rows, counts)]


def marked(batch: Batch, mask: torch.Tensor) -> list[set[int]]:
    return [set(batch.candidates[row].tolist()) for row in mask]


def same(a: Batch, b: Batch) -> bool:
    pairs = [(a.slots.rows, b.slots.rows), (a.candidates, b.candidates), (a.positives, b.positives)]
    return all(torch.equal(first, second) for first, second in pairs)


@FEWER
@given(logs(min_size=4, max_size=24), st.integers(0, 3))
def test_every_query_has_a_positive_and_a_memory_that_does_not_hold_it(log: list[Event], seed: int) -> None:
    drawn = batches(event_log(log), seed=seed)
    for _ in range(3 if drawn.n_examples else 0):
        batch = drawn.draw()
        assert batch.slots.n_memories == len(batch.positives) == CONFIG.queries
        assert batch.candidates.tolist() == sorted(set(batch.candidates.tolist()))
        assert not (batch.positives & batch.excluded).any()
        for memory, wanted, excluded in zip(
            memories(batch), marked(batch, batch.positives), marked(batch, batch.excluded), strict=True
        ):
            assert 1 <= len(wanted) <= CONFIG.positives
            assert 1 <= len(memory) <= 3
            assert not wanted & set(memory)
            assert set(memory) & set(batch.candidates.tolist()) <= excluded


@FEWER
@given(logs(min_size=4, max_size=20), logs(from_time=LAST_TIME + 1), st.integers(0, 3))
def test_events_after_the_period_change_no_step(past: list[Event], future: list[Event], seed: int) -> None:
    # Events of the period that arrive after it belong to the later part, too.
    past = [event for event in past if is_known(event, LAST_TIME + 1)]
    first, second = (batches(event_log(log), until=LAST_TIME, seed=seed) for log in (past, past + future))
    assert first.n_examples == second.n_examples
    assert all(same(first.draw(), second.draw()) for _ in range(2 if first.n_examples else 0))


def test_a_step_of_a_user_with_a_past_by_hand() -> None:
    log = event_log([Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 2), Event(0, 3, 2), Event(1, 4, 2)])
    batch = batches(log, config=BatchConfig(queries=1, negatives=200, positives=1)).draw()
    assert batch.candidates.tolist() == list(range(N_ITEMS))
    assert memories(batch) == [[0]]
    (wanted,) = marked(batch, batch.positives)
    assert len(wanted) == 1
    assert wanted < {1, 2, 3}
    # Neither the memory nor the positives that this step leaves out are negatives: only 4 is one.
    assert marked(batch, batch.excluded) == [{0, 1, 2, 3} - wanted]


def test_where_repeats_count_items_that_the_user_had_are_wanted_or_negatives() -> None:
    # One query with a history: item 0 again, and 2.
    log = event_log([Event(0, 0, 1), Event(0, 1, 1), Event(0, 0, 2), Event(0, 2, 2), Event(1, 4, 3)])
    config = BatchConfig(queries=30, negatives=200, positives=1)
    drawn = MatchBatches(log, N_ITEMS, until=9, memory=MEMORY, config=config, seed=0, repeats=True)
    batch = drawn.draw()
    parts = zip(memories(batch), marked(batch, batch.positives), marked(batch, batch.excluded), strict=True)
    seen = set()
    for memory, wanted, excluded in parts:
        (item,) = wanted
        if sorted(memory) == [0, 1]:
            # A positive that the step leaves out is no negative, and of what the user had only 1 is.
            assert excluded == {0, 2} - wanted
            seen.add(item)
        else:
            # Part of the first basket: what was bought together is no negative of each other.
            assert len(memory) == 1
            assert excluded | wanted == {0, 1}
    assert seen == {0, 2}


def test_at_most_half_of_a_first_basket_is_held_out_and_the_rest_is_the_memory() -> None:
    log = event_log([Event(0, item, 5) for item in range(5)])
    drawn = batches(log, config=BatchConfig(queries=40, negatives=2, positives=4))
    assert drawn.n_examples == 1
    batch = drawn.draw()
    sizes = set()
    for memory, wanted in zip(memories(batch), marked(batch, batch.positives), strict=True):
        assert 1 <= len(wanted) <= 2
        assert not wanted & set(memory)
        sizes.add((len(memory), len(wanted)))
    assert {size for size, _ in sizes} == {1, 2, 3}
    assert {wanted for _, wanted in sizes} == {1, 2}


def test_a_first_basket_of_one_item_is_no_example() -> None:
    assert batches(event_log([Event(0, 1, 5), Event(1, 2, 6)])).n_examples == 0


def test_first_baskets_of_which_parts_arrive_late_are_no_examples() -> None:
    log = [Event(0, 1, 5), Event(0, 2, 5, available=9), Event(1, 1, 5, available=8), Event(1, 2, 5, available=9)]
    drawn = batches(event_log([*log, Event(2, 1, 5), Event(2, 3, 5)]))
    assert drawn.n_examples == 1
    assert all(sorted(memory) in ([1], [3]) for memory in memories(drawn.draw()))


def test_an_item_without_any_event_yet_is_no_negative() -> None:
    log = event_log([Event(0, 0, 1), Event(0, 1, 2), Event(1, 2, 2, "skip"), Event(1, 3, 9)])
    batch = batches(log, until=2, config=BatchConfig(queries=1, negatives=200, positives=1)).draw()
    assert batch.candidates.tolist() == [0, 1, 2]


def test_popular_items_are_drawn_more_often_and_corrected_for() -> None:
    log = event_log([Event(user, 0, user) for user in range(3)] + [Event(0, 1, 7)])
    drawn = batches(log, config=BatchConfig(queries=1, negatives=1, positives=1, popularity_power=1.0))
    counts = np.zeros(N_ITEMS)
    n_steps = 1000
    for _ in range(n_steps):
        batch = (
            drawn.draw()
        )  # the only example has the positive 1; the other candidate, if any, is the negative that was drawn
        counts[batch.candidates.numpy()] += 1
    share = np.array([4, 2, 0, 0, 0]) / 6
    negatives = [0, 2, 3, 4]
    assert np.abs(counts[negatives] / n_steps - share[negatives]).max() < 0.06  # four standard deviations
    expected = share + (np.array([3, 1, 0, 0, 0]) + 0.1) / (4 + 0.5)
    close(batch.log_draws, np.log(np.minimum(expected, 1))[batch.candidates.numpy()], "float32")


def test_a_small_catalogue_is_taken_whole_and_uncorrected() -> None:
    # Four of the five items have events.
    log = event_log([Event(0, 0, 1), Event(0, 1, 2), Event(1, 2, 3), Event(1, 3, 4), Event(1, 0, 5)])
    whole = batches(log, config=BatchConfig(queries=1, negatives=4)).draw()
    assert whole.candidates.tolist() == [0, 1, 2, 3]
    assert whole.log_draws.tolist() == [0, 0, 0, 0]
    drawn = batches(log, config=BatchConfig(queries=1, negatives=3)).draw()
    assert (drawn.log_draws < 0).any()


def test_a_query_weighs_half_for_each_half_life_of_queries_that_came_later() -> None:
    times = np.array([1, 1, 2, 3])  # two of four queries, a half, come after the first two; equal times, equal weights
    close(recency_weights(times, 0.25), np.array([0.25, 0.25, 0.5, 1.0]), "float32")
    close(recency_weights(times, np.inf), np.ones(4), "exact")
    assert len(recency_weights(times[:0], 0.25)) == 0


def test_recent_queries_are_drawn_more_often_if_they_are_preferred() -> None:
    log = event_log([Event(0, 0, 1), Event(0, 1, 2), Event(1, 2, 3), Event(1, 1, 4)])
    config = BatchConfig(queries=4000, negatives=2, positives=1, half_life=0.25)

    def share_of_the_later(*, prefers_recent: bool) -> float:
        drawn = MatchBatches(
            log,
            N_ITEMS,
            until=9,
            memory=MemoryConfig(negatives=True),
            config=config,
            seed=0,
            prefers_recent=prefers_recent,
        )
        # The later query's memory holds item 2, the earlier one's item 0.
        return float((drawn.draw().slots.rows == 2).double().mean())

    # Weights 1 and 1/4, or equal ones; the tolerances are more than three standard deviations.
    assert abs(share_of_the_later(prefers_recent=True) - 0.8) < 0.02
    assert abs(share_of_the_later(prefers_recent=False) - 0.5) < 0.03


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_gives_the_same_steps(seed: int) -> None:
    log = event_log([Event(user, (user + step) % N_ITEMS, step // 2) for user in range(3) for step in range(5)])
    first = batches(log, seed=seed)
    second = batches(log, seed=seed)
    third = batches(log, seed=seed + 1)
    steps = [(first.draw(), second.draw(), third.draw()) for _ in range(5)]
    assert all(same(a, b) for a, b, _ in steps)
    assert not all(same(a, c) for a, _, c in steps)


def test_cancelled_events_are_in_the_memories_of_queries_before_their_cancellation() -> None:
    dataset = dataset_with([Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 5), Event(0, 3, 8)], [Cancellation(0, 6)])
    drawn = batches_of(dataset, 9, BatchConfig(queries=60, negatives=2, positives=1))
    assert drawn.n_examples == 3  # item 0 itself is cancelled by then: no positive
    batch = drawn.draw()
    wanted = [min(items) for items in marked(batch, batch.positives)]
    assert {(tuple(sorted(memory)), item) for memory, item in zip(memories(batch), wanted, strict=True)} == {
        ((0,), 1),
        ((0, 1), 2),
        ((1, 2), 3),
    }


def test_older_events_take_the_places_of_negative_ones_that_are_left_out() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 3, "skip"), Event(0, 3, 4, "skip"), Event(0, 4, 5)]
    config = BatchConfig(queries=20, negatives=2, positives=2)
    drawn = MatchBatches(event_log(log), N_ITEMS, until=9, memory=MemoryConfig(recent=2), config=config, seed=0)
    batch = drawn.draw()
    last = [
        memory for memory, wanted in zip(memories(batch), marked(batch, batch.positives), strict=True) if 4 in wanted
    ]
    assert last
    assert all(memory == [0, 1] for memory in last)


def test_item_of_a_first_basket_that_is_cancelled_later_is_remembered_and_no_positive() -> None:
    dataset = dataset_with([Event(0, item, 5) for item in range(4)], [Cancellation(0, 7)])
    batch = batches_of(dataset, 9, BatchConfig(queries=60, negatives=2, positives=4)).draw()
    wanted = marked(batch, batch.positives)
    assert set().union(*wanted) == {1, 2, 3}
    assert any(0 in memory for memory in memories(batch))


@FEWER
@given(logs(late=False, min_size=4, max_size=14), cancellations(), st.integers(4, 2 * LAST_TIME))
def test_memories_are_those_that_serving_reads_at_the_time_of_the_query(
    log: list[Event], cancels: list[Cancellation], until: int
) -> None:
    frame, dataset = frame_of(log, cancels), dataset_with(log, cancels)
    warm: list[tuple[list[int], set[int]]] = []
    first: list[tuple[set[int], set[int]]] = []
    for time, user, positives, had in expected_queries(frame, -1, until):
        wanted = {ITEMS.to_list().index(item) for item in positives}
        for at, kept in ((time, had), (time + 1, not had)):
            then = EventLog.from_frame(without(frame, at), USERS, ITEMS, DATASET_CONFIG.signals)
            row = np.array([USERS.to_list().index(user)])
            items = then.past(row, np.array([at]), 3 if had else None).items.values.tolist()
            if kept and had:
                warm.append((items, wanted))
            elif kept:
                first.append((set(items), wanted))
    drawn = batches_of(dataset, until, BatchConfig(queries=12, negatives=2, positives=99))
    assert drawn.n_examples == len(warm) + sum(len(wanted) >= 2 for _, wanted in first)
    batch = drawn.draw() if drawn.n_examples else None
    for memory, wanted in zip(memories(batch), marked(batch, batch.positives), strict=True) if batch else ():
        assert (memory, wanted) in warm or any(set(memory) <= basket and wanted < new for basket, new in first)


@FEWER
@given(logs(min_size=4, max_size=20), st.integers(0, 3))
def test_without_cancellations_a_log_that_could_hold_some_gives_the_same_steps(log: list[Event], seed: int) -> None:
    read = event_log(log)
    settings_ = {"until": LAST_TIME, "memory": MEMORY, "config": CONFIG, "seed": seed}
    plain = MatchBatches(read, N_ITEMS, **settings_)
    other = MatchBatches(read, N_ITEMS, **settings_, reads=OnlineLog(read, event_log([]), USERS))
    assert all(same(plain.draw(), other.draw()) for _ in range(2 if plain.n_examples else 0))


def test_the_generators_state_says_which_steps_come_next() -> None:
    log = event_log([Event(user, item, 1 + item) for user in range(3) for item in range(4)])
    first = batches(log)
    second = batches(log, seed=1)
    assert not same(first.draw(), second.draw())
    second.generator.bit_generator.state = first.generator.bit_generator.state
    assert all(same(first.draw(), second.draw()) for _ in range(3))


class _ByItem(TargetWeights):
    """Weighs a positive by its item's row + 1."""

    def __init__(self) -> None:
        pass

    def of_positives(self, users: np.ndarray, times: np.ndarray, positives: Ragged) -> np.ndarray:
        assert len(users) == len(times) == len(positives)
        return (positives.values + 1).astype(np.float32)


@FEWER
@given(logs(min_size=4, max_size=24), st.integers(0, 3))
def test_positives_carry_their_weights_over_the_mean_and_nothing_else_changes(log: list[Event], seed: int) -> None:
    events = event_log(log)
    until = 3 * LAST_TIME
    plain = batches(events, seed=seed)
    weighted = MatchBatches(events, N_ITEMS, until=until, memory=MEMORY, config=CONFIG, seed=seed, weights=_ByItem())
    warm, first = (queries_between(events, -1, until, with_history=with_history) for with_history in (True, False))
    for _ in range(3 if plain.n_examples else 0):
        before = plain.draw()
        batch = weighted.draw()
        assert same(batch, before)
        assert before.weights is None
        assert batch.weights is not None
        assert ((batch.weights > 0) == batch.positives).all()
        scale = (batch.weights / (batch.candidates + 1))[batch.positives]
        close(scale.max(), scale.min(), "float32")
        if not len(first):
            close(1 / scale.max(), (warm.positives.values + 1).mean(), "float32")


@FEWER
@given(
    st.lists(st.lists(st.integers(-3, N_ITEMS - 1), max_size=4), min_size=1, max_size=4),
    st.sets(st.integers(0, N_ITEMS - 1), min_size=1),
)
def test_a_step_over_its_own_texts_has_the_scores_of_a_table_of_all(
    remembered: list[list[int]], candidates: set[int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=8, n_heads=2, head_dim=4), generator)
    with torch.no_grad():
        for weight in module.parameters():
            weight += torch.randn(weight.shape, generator=generator)
    items = exact_units(torch.randn((N_ITEMS, 8), generator=generator))
    own = exact_units(torch.randn((3, 8), generator=generator))
    rows = torch.tensor([row for memory in remembered for row in memory], dtype=torch.int64)
    owner = torch.tensor([place for place, memory in enumerate(remembered) for _ in memory], dtype=torch.int64)
    slots = Slots(rows, torch.zeros_like(rows), torch.zeros_like(rows), owner, len(remembered), own=own)
    candidate_rows = torch.tensor(sorted(candidates))
    none = torch.zeros((len(remembered), len(candidate_rows)), dtype=torch.bool)
    batch = Batch(slots, candidate_rows, positives=none, excluded=none, log_draws=torch.zeros(len(candidate_rows)))

    texts, roles, step = batch.over_its_texts(torch.device("cpu"))
    tables = module.tables(slots.vectors_of(items, texts), roles=roles)

    # A text of the slots' own has its row after those of the items.
    whole = slots.moved_to(torch.where(rows < 0, N_ITEMS - 1 - rows, rows))
    expected = module(module.tables(torch.cat([items, own])), whole, candidate_rows)
    close(module(tables, step.slots, step.candidates), expected, "float32")
    assert sorted(texts.tolist()) == sorted({*rows.tolist(), *candidates})
    # Nothing is computed of a text that its role does not need.
    assert not tables.key[: roles.first_remembered].any()
    assert not tables.query[roles.n_candidates :].any()
