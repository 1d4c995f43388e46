"""The weights of the item-item models, computed from the events of a log: sparse float32[item, item] each.

Row: an item of the history. Column: a candidate. Events come sorted by user and then by when they became known.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Int8Array, IntArray


def co_occurrence(users: IntArray, items: IntArray, n_items: int, history: int) -> sp.csr_matrix:
    """How many users interacted with both items, counting each user's newest `history` events."""
    # [event]: where the events of its user end.
    end_of_user = np.searchsorted(users, users, side="right")
    n_newer_or_same = end_of_user - np.arange(len(users))
    recent = n_newer_or_same <= history
    n_users = int(users.max(initial=-1)) + 1
    ones = np.ones(int(recent.sum()), np.float32)
    # [user, item]: 1 where the user interacted with the item, however often.
    interacted = sp.csr_matrix((ones, (users[recent], items[recent])), shape=(n_users, n_items))
    interacted.sum_duplicates()
    interacted.data[:] = 1
    return (interacted.T @ interacted).tocsr()


def shrunk_cosine(counts: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    """Cosine of the items' users, n(a, b) / (sqrt(n(a) n(b)) + shrinkage); 0 on the diagonal."""
    n_users = counts.diagonal()
    pairs = counts.tocoo()
    norm = np.sqrt(n_users[pairs.row] * n_users[pairs.col]) + shrinkage
    weight = np.where(pairs.row == pairs.col, 0, pairs.data / norm)
    return sp.csr_matrix((weight, (pairs.row, pairs.col)), shape=pairs.shape, dtype=np.float32)


def visit_numbers(users: IntArray, times: IntArray) -> IntArray:
    """Numbers the visits, runs of one user and time: int64[event], 0, 0, 1, ..."""
    if not len(users):
        return np.empty(0, np.int64)
    begins = np.r_[True, (users[1:] != users[:-1]) | (times[1:] != times[:-1])]
    return np.cumsum(begins) - 1


def follow_weights(
    users: IntArray, items: IntArray, signs: Int8Array, visits: IntArray, n_items: int, lags: int
) -> sp.csr_matrix:
    """How often a positive event followed an item within `lags` visits: 1 / lag each, scaled by both items' totals.

    A visit of n events weighs 1 / sqrt(n) for each, on either side. `visits` are those of `visit_numbers`.
    """
    total = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    if not len(users):
        return total
    visit_sizes = np.bincount(visits)
    n_visits = len(visit_sizes)
    user_of_visit = np.empty(n_visits, np.int64)
    user_of_visit[visits] = users
    weight = (1 / np.sqrt(visit_sizes[visits])).astype(np.float32)
    # [visit, item] both: all events of a visit, and the positive ones.
    interacted = sp.csr_matrix((weight, (visits, items)), shape=(n_visits, n_items))
    positive = sp.csr_matrix((weight * (signs > 0), (visits, items)), shape=(n_visits, n_items))
    for lag in range(1, lags + 1):
        # Visits of one user lie side by side, so the visit `lag` places on is theirs or another user's.
        earlier = np.flatnonzero(user_of_visit[lag:] == user_of_visit[:-lag])
        if len(earlier):
            total = total + (interacted[earlier].T @ positive[earlier + lag]) / lag
    total.setdiag(0)
    row_scale = 1 / np.sqrt(np.asarray(total.sum(1)).ravel() + 1)
    column_scale = 1 / np.sqrt(np.asarray(total.sum(0)).ravel() + 1)
    return (sp.diags(row_scale) @ total @ sp.diags(column_scale)).tocsr()


def ease_weights(counts: sp.csr_matrix, n_kept: int, ridge: float) -> sp.csr_matrix:
    """EASE's positive weights among the `n_kept` most frequent items; the other rows and columns are empty.

    With P the inverse of the items' co-occurrence plus `ridge` on the diagonal, B[a, b] = -P[a, b] / P[b, b]
    (Steck, Embarrassingly Shallow Autoencoders, WWW 2019). Negative weights are left out.
    """
    kept = np.sort(np.argsort(-counts.diagonal(), kind="stable")[:n_kept])
    # [kept, kept], dense
    gram = counts[kept][:, kept].toarray() + ridge * np.eye(len(kept), dtype=np.float32)
    precision = np.linalg.inv(gram)
    weights = -precision / np.diag(precision)[None]
    np.fill_diagonal(weights, 0)
    small = sp.coo_matrix(np.where(weights > 0, weights, 0))
    return sp.csr_matrix((small.data, (kept[small.row], kept[small.col])), shape=counts.shape, dtype=np.float32)


def strongest(weights: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """The `keep` largest entries of each row; positive ones only."""
    weights = weights.tocsr()
    weights.data[weights.data < 0] = 0
    weights.eliminate_zeros()
    lengths = np.diff(weights.indptr)
    row = np.repeat(np.arange(weights.shape[0]), lengths)
    # Sorted by row and then by falling weight; an entry's rank is its place within the row.
    order = np.lexsort((-weights.data, row))
    rank = np.arange(len(order)) - np.repeat(weights.indptr[:-1], lengths)
    kept = order[rank < keep]
    entries = (weights.data[kept], (row[kept], weights.indices[kept]))
    return sp.csr_matrix(entries, shape=weights.shape, dtype=np.float32)
