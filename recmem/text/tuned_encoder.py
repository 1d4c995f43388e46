"""The tuned encoder of a trained model: what was learned, put into the frozen encoder, or refused in words."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from feature_store import DataError
from recmem.text.encoder import TextEncoder
from recmem.text.encoder_tuning import EncoderTuning


def tuned_encoder(
    frozen: TextEncoder, tuning: EncoderTuning, tensors: Mapping[str, Tensor], *, fingerprint: str
) -> TextEncoder:
    """The tuned encoder with this fingerprint. `tensors` may be in half precision, as `halved` leaves them.

    Raises DataError if the tensors are not those of this tuning of this encoder, they are not those that the
    fingerprint names, or the extra for such a tuning is not installed.
    """
    try:
        encoder = frozen.tuned(tuning, {name: tensor.float() for name, tensor in tensors.items()})
    except (ImportError, ValueError) as error:
        raise DataError(f"The model's tuned text encoder cannot be used. {error}") from error
    if encoder.fingerprint != fingerprint:
        raise DataError(
            f"encoder: expected what was learned under fingerprint {fingerprint}, got {encoder.fingerprint}. Copy the "
            "bundle again, or train again: vectors of two encoders cannot be mixed."
        )
    return encoder


def rounded(tensor: Tensor) -> Tensor:
    """The float32 tensor, rounded to what float16 can hold: 11 bits, three more than the weights in bfloat16 have.

    One with a number beyond float16's range stays as it is.
    """
    half = tensor.half()
    return half.float() if bool(torch.isfinite(half).all()) else tensor


def halved(tensor: Tensor) -> Tensor:
    """The tensor in float16 if that is exact, else as it is."""
    half = tensor.detach().cpu().half().contiguous()
    return half if torch.equal(half.float(), tensor.detach().cpu().float()) else tensor.detach().cpu().contiguous()
