"""`python -m benchmarks cpu|search|online|serving|memory|encoder_step|gpu [ENCODER FOLDER]`: measures for a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.scorer import scorer_rows
from benchmarks.timing import Row, write, write_as_measured

METHOD = (
    "Medians over rounds in which all ways take turns, after a warm-up. Ratios are to the first way of each shape. "
    "Checked before timing: match scores against float64; searches, counts, gradients and encodings against the other "
    "ways; batch scores against the ranker on its features; a file's scores against those in memory. The large ranker "
    "has random trees."
)
DEMO = Path("runs/demo/bundle")
RETAIL = Path("runs/online_retail/bundle")
"""Optional: recmem train --items examples/online_retail/items.parquet --events ... --out runs/online_retail"""


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) in (2, 3) else ""
    if kind == "gpu":
        if not torch.cuda.is_available():
            raise SystemExit("gpu: expected a CUDA device, got none. Measure with `make bench` instead.")
        write_as_measured(kind, gpu_rows(Path(sys.argv[2]) if len(sys.argv) == 3 else _default_encoder()), METHOD)
        return
    elif kind == "cpu":
        rows = cpu_rows()
    elif kind == "search":
        from benchmarks import search

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sizes = search.GPU_ITEMS if device.type == "cuda" else (search.N_ITEMS,)
        parts = (part for n_items in sizes for part in search.approximate_rows(device, n_items))
        write_as_measured(kind, parts, search.METHOD)
        return
    elif kind == "online":
        from benchmarks import online

        print(write(kind, online.online_rows(_demo()), online.METHOD).read_text())
        return
    elif kind == "serving":
        from benchmarks import serving

        print(write(kind, serving.serving_rows(_demo()), serving.METHOD).read_text())
        return
    elif kind == "encoder_step":
        from benchmarks import encoder_step

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        print(write(kind, encoder_step.encoder_rows(device), encoder_step.METHOD).read_text())
        return
    elif kind == "memory":
        from benchmarks import peak_memory

        print(write(kind, peak_memory.memory_rows(_demo()), peak_memory.METHOD).read_text())
        return
    else:
        raise SystemExit(
            f"benchmarks: expected cpu, gpu, search, online, serving, memory or encoder_step, got {kind!r}. "
            "Use make bench or make bench-gpu."
        )
    print(write(kind, rows, METHOD).read_text())


def gpu_rows(encoder: Path | None) -> Iterator[list[Row]]:
    """Kernels and encoding first, which need torch and triton alone; then the product, if there is a model of it."""
    from benchmarks.gpu import kernel_rows

    yield from kernel_rows(torch.device("cuda"), encoder)
    for bundle in (DEMO, RETAIL):
        if bundle.exists():
            from benchmarks.batch import batch_rows
            from benchmarks.on_device import device_rows, one_user_rows

            yield one_user_rows(bundle, 100)
            yield device_rows(bundle, 5_000, 100)
            yield batch_rows(bundle, 5_000, 100)


def _default_encoder() -> Path | None:
    """The folder of MiniLM if its package is installed."""
    from recmem.text.encoder_files import DEFAULT_ENCODER, encoder_folder

    try:
        return encoder_folder(DEFAULT_ENCODER)
    except FileNotFoundError:
        return None


def cpu_rows():  # type: ignore[no-untyped-def]
    # What a bare GPU machine lacks is imported here only.
    from benchmarks.as_of import as_of_rows
    from benchmarks.batch import batch_rows
    from benchmarks.encoding import encoding_rows
    from benchmarks.search import search_rows
    from benchmarks.training_step import training_rows

    demo = _demo()
    rows = scorer_rows(torch.device("cpu")) + training_rows() + search_rows() + as_of_rows()
    rows += encoding_rows() + batch_rows(demo, 2_000, 100)
    return rows + (batch_rows(RETAIL, 2_000, 1_000) if RETAIL.exists() else [])


def _demo() -> Path:
    if not DEMO.exists():
        raise SystemExit(f"bundle: expected one in {DEMO}, got none. Run `make demo` first.")
    return DEMO


if __name__ == "__main__":
    main()
