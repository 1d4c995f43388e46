"""All that `python -m benchmarks gpu` measures, in order. Parts import what a bare GPU machine may lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from benchmarks.gpu import kernel_parts
from benchmarks.parts import Part
from benchmarks.timing import Row

BUNDLES = (Path("runs/demo/bundle"), Path("runs/gpu_benchmark/encoder_frozen/bundle"))
"""Of `make demo`; where there is none, that of the part which trains."""
RETAIL = Path("runs/online_retail/bundle")
"""Optional: recmem train --items examples/online_retail/items.parquet --events ... --out runs/online_retail"""
N_USERS = 5_000
N_CANDIDATES = 100


def gpu_parts(device: torch.device, encoder: Path | None) -> list[Part]:
    """Kernels and encoding, which need torch and triton alone; then the product."""
    parts = kernel_parts(device, encoder)
    parts += [Part("match training step", match_step_rows, (device,)), Part("training", training_rows)]
    parts.append(Part("encoder tuning step", encoder_step_rows, (device,)))
    for bundle in (None, *([RETAIL] if RETAIL.exists() else [])):
        suffix = "" if bundle is None else f", {bundle.parent.name}"
        measures = {
            "one user": one_user_rows,
            "rank": rank_rows,
            "recommend and load": user_rows,
            "batch": batch_rows,
            "files": file_rows,
        }
        parts += [Part(f"{name}{suffix}", rows, (device, bundle)) for name, rows in measures.items()]
    return parts


def match_step_rows(device: torch.device) -> Iterator[list[Row]]:
    """On the CPU and on the device."""
    from benchmarks.training_step import training_rows as step_rows

    yield step_rows(torch.device("cpu"))
    yield step_rows(device)


def training_rows() -> Iterable[list[Row]]:
    """Whole trainings."""
    from benchmarks.product import training_rows as rows

    return rows()


def encoder_step_rows(device: torch.device) -> Iterator[list[Row]]:
    """A step of encoder tuning."""
    from benchmarks.encoder_step import encoder_rows

    yield encoder_rows(device)


def one_user_rows(device: torch.device, bundle: Path | None) -> Iterable[list[Row]]:
    """One user's request."""
    from benchmarks.on_device import one_user_rows as rows

    return rows(_trained(bundle), N_CANDIDATES, str(device))


def rank_rows(device: torch.device, bundle: Path | None) -> Iterable[list[Row]]:
    """From ids to scores, part by part."""
    from benchmarks.on_device import device_rows

    return device_rows(_trained(bundle), N_USERS, N_CANDIDATES, str(device))


def user_rows(device: torch.device, bundle: Path | None) -> Iterable[list[Row]]:
    """Recommendations, and loading."""
    from benchmarks.product import user_rows as rows

    return rows(_trained(bundle), str(device))


def batch_rows(device: torch.device, bundle: Path | None) -> Iterator[list[Row]]:
    """`Model.rank` and `Model.match` beside LightGBM alone; the model is where `recmem.load` puts it."""
    from benchmarks.batch import batch_rows as rows

    yield rows(_trained(bundle), N_USERS, N_CANDIDATES)


def file_rows(device: torch.device, bundle: Path | None) -> Iterable[list[Row]]:
    """Files of candidates."""
    from benchmarks.product import file_rows as rows

    return rows(_trained(bundle), str(device))


def _trained(bundle: Path | None) -> Path:
    """This bundle, or the first of `BUNDLES` that is there."""
    found = [path for path in (BUNDLES if bundle is None else [bundle]) if path.exists()]
    if not found:
        raise FileNotFoundError(f"bundle: expected one of {', '.join(map(str, BUNDLES))}, got none. Run `make demo`.")
    return found[0]
