"""`python -m benchmarks cpu|search|online|serving|memory|encoder_step|gpu`: measures for a table.

`gpu` and `search` take beginnings of the names of parts, to measure these alone, and `gpu` the folder of an encoder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.gpu_parts import RETAIL
from benchmarks.parts import FAILED, Part, chosen, measured
from benchmarks.scorer import scorer_rows
from benchmarks.timing import write, write_as_measured

METHOD = (
    "Medians over rounds in which all ways take turns, after a warm-up. Ratios are to the first way of each shape. "
    "Checked before timing: match scores against float64; searches, counts, gradients and encodings against the other "
    "ways; batch scores against the ranker on its features; a file's scores against those in memory. The large ranker "
    "has random trees."
)
DEMO = Path("runs/demo/bundle")


def main() -> None:
    kind, *others = sys.argv[1:] or [""]
    if others and kind not in ("gpu", "search"):
        raise SystemExit(f"benchmarks: expected no arguments after {kind!r}, got {others[0]!r}.")
    if kind == "gpu":
        if not torch.cuda.is_available():
            raise SystemExit("gpu: expected a CUDA device, got none. Measure with `make bench` instead.")
        from benchmarks.gpu_parts import gpu_parts

        encoders = [given for given in others if is_encoder(given)]
        names = [given for given in others if given not in encoders]
        parts = gpu_parts(torch.device("cuda"), Path(encoders[0]) if encoders else _default_encoder())
        _measure(kind, parts, names, METHOD)
        return
    elif kind == "cpu":
        rows = cpu_rows()
    elif kind == "search":
        from benchmarks import search

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sizes = search.GPU_ITEMS if device.type == "cuda" else (search.N_ITEMS,)
        _measure(kind, search.search_parts(device, sizes), others, search.METHOD)
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


def is_encoder(given: str) -> bool:
    """Whether an argument is the folder of an encoder. A part may be called like another folder, such as `training`."""
    return (Path(given) / "config.json").is_file()


def _measure(kind: str, parts: list[Part], names: list[str], method: str) -> None:
    """Prints and writes the parts' rows, those of some parts to a table of their own; exit code 1 if a part fails."""
    rows = write_as_measured(f"{kind}_parts" if names else kind, measured(chosen(parts, names)), method)
    failed = [row.what for row in rows if row.way == FAILED]
    if failed:
        raise SystemExit(f"{kind}: {len(failed)} parts failed: {', '.join(failed)}. The others were measured.")


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
