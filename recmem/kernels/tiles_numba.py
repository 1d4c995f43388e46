"""Rows of a table times a panel of others, kept in vector registers: what numba's own loops do not reach.

    times_panel(table, rows, column, width, panel, line, out):
        out[r, s] = sum over d < width of table[rows[r], column + d] * panel[line + d, s]

    fill_panel(table, rows, panel):
        panel[d, s] = table[rows[s], d], and of the last row for the lanes after it
    fetch_row(table, row):
        asks for a row that is read soon, so that it comes while others are worked on

A panel holds columns side by side: [width, lane], contiguous, its lanes padded to a multiple of `LANES`. Four rows
times as many lanes as there are registers for are summed at once: each number of a row is read from where the table
lies, spread over a vector and multiplied into the panel's line. Every lane is a sum of its own, in the order of d, so
that a product is the same number to the bit whatever stands beside it.

Addresses have no Python type, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Numbers of a vector; a processor with shorter ones takes several."""
ROWS = 4
"""Rows of the table that are taken together: a line of the panel is read once for all of them."""
WIDE = 4 if binding.get_host_cpu_features().get("avx512f", False) else 1
"""Vectors of a tile: with `ROWS` rows each has a register of its own, of 32 long ones or of 16 short ones."""

_NUMBER, _WORD = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_NUMBER, LANES)
_NUMBER_BYTES, _LINE_BYTES = 4, 64


def _tile(n_vectors: int) -> Any:
    """The tile of `n_vectors` x `LANES` lanes: tile(panel, stride, row, row, row, row, width, out), all addresses."""

    @intrinsic
    @no_type_check
    def tile(context, panel, stride, row0, row1, row2, row3, width, out):
        def generate(context, builder, signature, arguments):
            _generate(builder, n_vectors, *arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return tile


@no_type_check
def _generate(build, n_vectors, panel, stride, *others):
    """One loop over the width; the sums stay in registers and are written once."""
    *rows, width, out = others
    before, loop = build.block, build.append_basic_block("width")
    done = build.append_basic_block("done")
    build.branch(loop)
    build.position_at_end(loop)
    place, line = build.phi(_WORD), build.phi(_WORD)
    sums = [[build.phi(_VECTOR) for _ in range(n_vectors)] for _ in rows]
    columns = [_load(build, _at(build, line, LANES * vector), _VECTOR) for vector in range(n_vectors)]
    spread = [_spread(build, _load(build, build.add(row, _bytes(build, place)), _NUMBER)) for row in rows]
    # Fused where the processor does that at once, and not where it would have to be imitated.
    multiply_add = cgutils.get_or_insert_function(
        build.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    new = [
        [build.call(multiply_add, [one, column, old]) for column, old in zip(columns, olds, strict=True)]
        for one, olds in zip(spread, sums, strict=True)
    ]
    following = build.add(place, _WORD(1))
    changes = [(place, _WORD(0), following), (line, panel, build.add(line, _bytes(build, stride)))]
    changes += [
        (old, ir.Constant(_VECTOR, [0.0] * LANES), now)
        for olds, nows in zip(sums, new, strict=True)
        for old, now in zip(olds, nows, strict=True)
    ]
    for phi, first, later in changes:
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    build.cbranch(build.icmp_signed("<", following, width), loop, done)
    build.position_at_end(done)
    for number, row in enumerate(new):
        begin = build.add(out, _bytes(build, build.mul(stride, _WORD(number))))
        for vector, values in enumerate(row):
            build.store(values, build.inttoptr(_at(build, begin, LANES * vector), _VECTOR.as_pointer()), align=4)


@no_type_check
def _bytes(build, numbers):
    return build.mul(numbers, _WORD(_NUMBER_BYTES))


@no_type_check
def _at(build, address, n_numbers):
    return build.add(address, _WORD(_NUMBER_BYTES * n_numbers))


@no_type_check
def _load(build, address, kind):
    return build.load(build.inttoptr(address, kind.as_pointer()), align=_NUMBER_BYTES)


@no_type_check
def _spread(build, number):
    nothing, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    one = build.insert_element(nothing, number, index(0))
    return build.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(index, LANES), [0] * LANES))


_tile_1, _tile_2, _tile_3, _tile_4 = _tile(1), _tile(2), _tile(3), _tile(4)


@njit(nogil=True, inline="never")
@no_type_check
def times_panel(table, rows, column, width, panel, line, out):
    """See the module: `rows` are `ROWS` rows of the table, `out` is [ROWS, lane]; all float32 and contiguous."""
    stride = panel.shape[1]
    row0 = table.ctypes.data + _NUMBER_BYTES * (rows[0] * table.shape[1] + column)
    row1 = table.ctypes.data + _NUMBER_BYTES * (rows[1] * table.shape[1] + column)
    row2 = table.ctypes.data + _NUMBER_BYTES * (rows[2] * table.shape[1] + column)
    row3 = table.ctypes.data + _NUMBER_BYTES * (rows[3] * table.shape[1] + column)
    begin, end = panel.ctypes.data + _NUMBER_BYTES * line * stride, out.ctypes.data
    lane = 0
    while WIDE == 4 and lane + 4 * LANES <= stride:
        _tile_4(begin + 4 * lane, stride, row0, row1, row2, row3, width, end + 4 * lane)
        lane += 4 * LANES
    while WIDE == 4 and lane + 3 * LANES <= stride:
        _tile_3(begin + 4 * lane, stride, row0, row1, row2, row3, width, end + 4 * lane)
        lane += 3 * LANES
    while WIDE == 4 and lane + 2 * LANES <= stride:
        _tile_2(begin + 4 * lane, stride, row0, row1, row2, row3, width, end + 4 * lane)
        lane += 2 * LANES
    while lane < stride:
        _tile_1(begin + 4 * lane, stride, row0, row1, row2, row3, width, end + 4 * lane)
        lane += LANES


@intrinsic
@no_type_check
def _turn(context, rows, out, stride):
    """Sixteen rows' next sixteen numbers, turned: `rows` is the address of the rows' addresses."""

    def generate(context, build, signature, arguments):
        rows, out, stride = arguments
        addresses = [
            build.load(build.inttoptr(build.add(rows, _WORD(8 * lane)), _WORD.as_pointer())) for lane in range(LANES)
        ]
        vectors = [_load(build, address, _VECTOR) for address in addresses]
        # Four rounds of interleaving the first half of the vectors with the second turn the square.
        low, high = ([lane // 2 + half + LANES * (lane % 2) for lane in range(LANES)] for half in (0, LANES // 2))
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask) for mask in (low, high)]
        for _ in range(LANES.bit_length() - 1):
            pairs = list(zip(vectors[: LANES // 2], vectors[LANES // 2 :], strict=True))
            vectors = [build.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]
        for line, values in enumerate(vectors):
            address = build.add(out, _bytes(build, build.mul(stride, _WORD(line))))
            build.store(values, build.inttoptr(address, _VECTOR.as_pointer()), align=_NUMBER_BYTES)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@njit(nogil=True)
@no_type_check
def fill_panel(table, rows, panel):
    """See the module: `rows` are one row of the table or more, no more than the panel has lanes."""
    width, stride = panel.shape
    whole = width // LANES * LANES
    addresses = np.empty(LANES, np.int64)
    for first in range(0, stride, LANES):
        for lane in range(LANES):
            row = rows[min(first + lane, len(rows) - 1)]
            addresses[lane] = table.ctypes.data + _NUMBER_BYTES * row * width
            for place in range(whole, width):
                panel[place, first + lane] = table[row, place]
        for place in range(0, whole, LANES):
            _turn(addresses.ctypes.data, panel.ctypes.data + _NUMBER_BYTES * (place * stride + first), stride)
            for lane in range(LANES):
                addresses[lane] += _NUMBER_BYTES * LANES


@intrinsic
@no_type_check
def _fetch(context, address):
    """Asks for the cache line at an address."""

    def generate(context, build, signature, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        ask = cgutils.get_or_insert_function(build.module, kind, "llvm.prefetch.p0")
        build.call(ask, [build.inttoptr(arguments[0], pointer), number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@njit(nogil=True)
@no_type_check
def fetch_row(table, row):
    """See the module."""
    first = table.ctypes.data + _NUMBER_BYTES * row * table.shape[1]
    for place in range(0, _NUMBER_BYTES * table.shape[1], _LINE_BYTES):
        _fetch(first + place)


@intrinsic
@no_type_check
def float_of_bits(context, bits):
    """The float32 of these 32 bits (an int32)."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], _NUMBER)

    return types.float32(types.int32), generate
