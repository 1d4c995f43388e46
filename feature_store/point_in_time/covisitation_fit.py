"""The weights of the item-item models, computed from the events of a log: sparse float32[item, item] each.

Row: an item of the history. Column: a candidate. Events come sorted by user and then by when they became known.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array, Int8Array, IntArray
from feature_store.data_errors import DataError

NEAR_DECAY = 5.0
"""Visits after which a pair weighs 1 / e in `near_weights`."""
LARGEST_VISIT = 2000
"""Events of a visit, above which it makes no pairs: each would weigh next to nothing, and there are millions."""
MOST_OTHERS = 50_000
"""Items beyond the dense part of `ease_weights` that are linked with it, at most."""
OTHERS_AT_ONCE = 2000
"""Of these items, as many are computed at once: bounds the memory."""
OTHERS_LINKS = 50
"""Such an item is linked with so many items of the dense part."""
_INVERTING = Lock()
"""The limit on BLAS's threads is the process's: another thread's would be put back too early."""


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
    ones = np.ones(len(users), np.float32)
    # [visit, item] both: all events of a visit, and the positive ones.
    interacted, user_of_visit = _visit_matrix(users, items, visits, ones, n_items)
    positive, _ = _visit_matrix(users, items, visits, (signs > 0).astype(np.float32), n_items)
    for lag in range(1, lags + 1):
        # Visits of one user lie side by side, so the visit `lag` places on is theirs or another user's.
        earlier = np.flatnonzero(user_of_visit[lag:] == user_of_visit[:-lag])
        if len(earlier):
            total = total + (interacted[earlier].T @ positive[earlier + lag]) / lag
    total.setdiag(0)
    row_scale = 1 / np.sqrt(np.asarray(total.sum(1)).ravel() + 1)
    column_scale = 1 / np.sqrt(np.asarray(total.sum(0)).ravel() + 1)
    return (sp.diags(row_scale) @ total @ sp.diags(column_scale)).tocsr()


def near_weights(
    users: IntArray, items: IntArray, visits: IntArray, counts: sp.csr_matrix, lags: int, shrinkage: float
) -> sp.csr_matrix:
    """How close together users interacted with two items, in either order: a shrunk cosine of weighted pairs.

    A pair of events that lie `lag` visits apart, at most `lags`, weighs exp(-lag / `NEAR_DECAY`), and a visit of n
    events 1 / sqrt(n) for each. The sum is divided by sqrt(n(a) n(b)) + `shrinkage`, with n the items' users on the
    diagonal of `counts`, see `co_occurrence`. `visits` are those of `visit_numbers`. 0 on the diagonal.
    """
    n_items = counts.shape[0]
    if not len(users):
        return sp.csr_matrix((n_items, n_items), dtype=np.float32)
    ones = np.ones(len(users), np.float32)
    interacted, user_of_visit = _visit_matrix(users, items, visits, ones, n_items)
    later = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    for lag in range(1, lags + 1):
        # Visits of one user lie side by side, so the visit `lag` places on is theirs or another user's.
        earlier = np.flatnonzero(user_of_visit[lag:] == user_of_visit[:-lag])
        if len(earlier):
            nearness = np.float32(np.exp(-lag / NEAR_DECAY))
            later = later + (interacted[earlier].T @ interacted[earlier + lag]) * nearness
    pairs = (interacted.T @ interacted + later + later.T).tocoo()
    n_users = counts.diagonal()
    norm = np.sqrt(n_users[pairs.row] * n_users[pairs.col]) + shrinkage
    weight = np.where(pairs.row == pairs.col, 0, pairs.data / norm)
    return sp.csr_matrix((weight, (pairs.row, pairs.col)), shape=pairs.shape, dtype=np.float32)


def _visit_matrix(
    users: IntArray, items: IntArray, visits: IntArray, weights: Float32Array, n_items: int
) -> tuple[sp.csr_matrix, IntArray]:
    """Sparse float32[visit, item], where an event of a visit of n counts `weights` / sqrt(n); and each visit's user.

    The rows of visits of more than `LARGEST_VISIT` events are empty.
    """
    visit_sizes = np.bincount(visits)
    user_of_visit = np.empty(len(visit_sizes), np.int64)
    user_of_visit[visits] = users
    scaled = (1 / np.sqrt(visit_sizes[visits])).astype(np.float32) * weights
    counted = visit_sizes[visits] <= LARGEST_VISIT
    entries = (scaled[counted], (visits[counted], items[counted]))
    return sp.csr_matrix(entries, shape=(len(visit_sizes), n_items)), user_of_visit


def ease_weights(counts: sp.csr_matrix, n_kept: int, ridge: float, words: sp.csr_matrix | None = None) -> sp.csr_matrix:
    """EASE's positive weights among the `n_kept` most frequent items; the other rows and columns are empty.

    With P the inverse of the items' co-occurrence plus `ridge` on the diagonal, B[a, b] = -P[a, b] / P[b, b]
    (Steck, Embarrassingly Shallow Autoencoders, WWW 2019). Negative weights are left out.

    With `words`, sparse float32[item, word], every word counts as a user of the items whose texts have it: their Gram
    matrix is added to the co-occurrence (CEASE: Jeunen et al., Closed-Form Models for Collaborative Filtering with Side
    Information, RecSys 2020), so an item without an event has weights too. So have items beyond the `n_kept`: the ridge
    regression of such an item on the kept ones, P g, where g is its column of the whole Gram matrix.
    """
    by_frequency = np.argsort(-counts.diagonal(), kind="stable")
    kept = np.sort(by_frequency[:n_kept])
    # [kept, kept], dense
    gram = counts[kept][:, kept].toarray() + ridge * np.eye(len(kept), dtype=np.float32)
    if words is not None:
        gram += (words[kept] @ words[kept].T).toarray()
    precision = _inverse(gram)
    weights = -precision / np.diag(precision)[None]
    np.fill_diagonal(weights, 0)
    found = [_positive_entries(weights, kept, kept)]
    if words is not None:
        others = by_frequency[n_kept : n_kept + MOST_OTHERS]
        for begin in range(0, len(others), OTHERS_AT_ONCE):
            part = others[begin : begin + OTHERS_AT_ONCE]
            shared = (counts[kept][:, part] + words[kept] @ words[part].T).toarray()  # [kept, part]
            weights = _largest_per_column(precision @ shared, OTHERS_LINKS)
            found.append(_positive_entries(weights, kept, part))
    data, row, column = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return sp.csr_matrix((data, (row, column)), shape=counts.shape, dtype=np.float32)


def _inverse(matrix: Float32Array) -> Float32Array:
    """The inverse of a symmetric, positive definite matrix, computed in float64.

    By Cholesky's factors, in a third of the time that a general inverse takes. On several threads the last bits would
    depend on their number, and BLAS's threads wait for each other where cores are busy. Raises DataError if the matrix
    is not positive definite: then its ridge is too small.
    """
    # Slow to import, and not needed where models are read from a cache.
    from scipy.linalg import lapack
    from threadpoolctl import threadpool_limits

    # LAPACK wants columns first: of a symmetric matrix, the transposed is the matrix.
    columns = matrix.astype(np.float64).T
    with _INVERTING, threadpool_limits(1, user_api="blas"):
        factor, failed_at = lapack.dpotrf(columns, lower=True, overwrite_a=True)
        if failed_at:
            raise DataError(
                "covisitation.ease_ridge: expected a number that is large enough beside the items' counts to invert "
                "their matrix, got a smaller one. Raise it."
            )
        inverse, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    # Only what is on and below the diagonal has been computed.
    lower = np.tril(inverse).astype(np.float32)
    symmetric: Float32Array = lower + np.tril(lower, -1).T
    return symmetric


def _positive_entries(
    weights: Float32Array, rows: IntArray, columns: IntArray
) -> tuple[Float32Array, IntArray, IntArray]:
    """The positive ones of dense weights between the items `rows` and `columns`: their values, rows and columns."""
    row, column = np.nonzero(weights > 0)
    return weights[row, column], rows[row], columns[column]


def _largest_per_column(weights: Float32Array, keep: int) -> Float32Array:
    """The weights with 0 in place of all but about the `keep` largest of each column."""
    if len(weights) <= keep:
        return weights
    smallest_kept = np.partition(weights, -keep, axis=0)[-keep]  # [column]
    return np.where(weights >= smallest_kept, weights, np.float32(0))


def strongest(weights: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """The `keep` largest entries of each row; positive ones only."""
    weights = weights.tocsr()
    weights.data[weights.data < 0] = 0
    weights.eliminate_zeros()
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    # Millions of entries would take seconds to sort: those that cannot be among the largest are left out before.
    may_stay = np.flatnonzero(weights.data >= _kth_largest(weights, keep)[row])
    # Sorted by row and then by falling weight; an entry's rank is its place within the row.
    order = may_stay[np.lexsort((-weights.data[may_stay], row[may_stay]))]
    begins = np.searchsorted(row[order], np.arange(weights.shape[0]))
    rank = np.arange(len(order)) - begins[row[order]]
    kept = order[rank < keep]
    entries = (weights.data[kept], (row[kept], weights.indices[kept]))
    return sp.csr_matrix(entries, shape=weights.shape, dtype=np.float32)


def _kth_largest(weights: sp.csr_matrix, k: int) -> Float32Array:
    """Of each row, its `k`-th largest entry; 0 for a row with fewer: float32[row]."""
    largest = np.zeros(weights.shape[0], weights.data.dtype)
    for number in np.flatnonzero(np.diff(weights.indptr) > k):
        entries = weights.data[weights.indptr[number] : weights.indptr[number + 1]]
        largest[number] = np.partition(entries, len(entries) - k)[len(entries) - k]
    return largest
