"""`recmem.load`: the model of a folder, of an object store, or of MLflow's registry."""

from __future__ import annotations

from pathlib import Path

from feature_store import Store
from feature_store.forked_process import refuse_forked
from recmem.dataset.shared_memories import RedisMemories
from recmem.serving.model import Model
from recmem.serving.registry import bundle_at


def load(
    source: str | Path,
    *,
    store: str | Path | Store | None = None,
    online: str | RedisMemories | None = None,
    device: str = "auto",
) -> Model:
    """The model in a bundle folder, at its URL on an object store, or in MLflow's registry: `models:/recmem@champion`.

    `store`: where items and events are read, at their newest versions; by default those that the model was trained on.
    `online`: memories and counters that several processes share, as `recmem publish` has written them: a URL
    redis://host:port/db, or a `RedisMemories`. The store then gives items, co-visitation and impressions.
    `device`: where texts are encoded, the match is computed and many pairs are ranked; "auto" takes CUDA if there is a
    GPU.

    Raises DataError if there is no such model, it fails its self-test, or the store or the shared memories cannot be
    read.
    """
    refuse_forked()
    with bundle_at(source) as folder:
        return Model.load(folder, store=store, online=online, device=device)
