"""exp in float32 for numba's kernels, without a branch or a call, so that a loop over it becomes vectors.

Numbers have no dtype in Python's types, so the functions are left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

COMPILED = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}
"""Options of the kernels: products and sums may be fused and reordered; NaN and infinity stay what they are."""

# Typed, for numba would compute in float64 with Python's numbers.
_HALF = np.float32(0.5)
_ONE = np.float32(1)
# Coefficients of Cephes' expf, see `exp`. log 2 is in two parts, of which the first has few bits.
_LOG2_E = np.float32(1.44269504)
_LOG_2_HIGH = np.float32(0.693359375)
_LOG_2_LOW = np.float32(-2.12194440e-4)
_E2 = np.float32(5.0000001201e-1)
_E3 = np.float32(1.6666665459e-1)
_E4 = np.float32(4.1665795894e-2)
_E5 = np.float32(8.3334519073e-3)
_E6 = np.float32(1.3981999507e-3)
_E7 = np.float32(1.9875691500e-4)
_EXPONENT_BIAS = np.int32(127)
_MANTISSA_BITS = np.int32(23)


@intrinsic
@no_type_check
def _float_of_bits(context, bits):
    """The float32 of these 32 bits (an int32)."""

    def generate(context, builder, signature, arguments):
        """Emits bitcast i32 to f32."""
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(**COMPILED)
@no_type_check
def exp(x):
    """exp(x) within 2 ulp, |x| <= LOGIT_LIMIT: 2^n exp(r) with n = round(x / log 2), r = x - n log 2."""
    n = np.floor(x * _LOG2_E + _HALF)
    remainder = x - n * _LOG_2_HIGH - n * _LOG_2_LOW
    # |r| <= log(2) / 2, where exp(r) = 1 + r + r^2 (E2 + E3 r + ... + E7 r^5)
    series = ((((_E7 * remainder + _E6) * remainder + _E5) * remainder + _E4) * remainder + _E3) * remainder + _E2
    # 2^n: n goes into the exponent's bits.
    power = _float_of_bits((np.int32(n) + _EXPONENT_BIAS) << _MANTISSA_BITS)
    return (series * remainder * remainder + remainder + _ONE) * power
