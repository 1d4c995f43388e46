"""Rows of a float16 table times a panel, in vector registers: LLVM IR written out, because numba's own loops spill.

    widen_rows(table, rows, out):
        out[r] = table[rows[r]] as float32

    times_panel(group, column, width, panel, line, out):
        out[r, s] = sum over d < width of group[r, column + d] * panel[line + d, s]

    fill_panel(table, rows, panel):
        panel[d, s] = table[rows[s], d] as float32, and the last row's for the lanes after it

    prefetch_row(table, row):
        starts to load a row into the cache, so that it is there when it is read

A table is float16[item, width], given as int16, since numba has no float16 on a CPU. A panel is float32[width, lane],
contiguous: vectors stand in columns, side by side, and lanes are padded to a multiple of `LANES`. `times_panel` sums
the `ROWS` rows of a group times as many lanes as there are registers for at once: each number of a row is spread over a
vector and multiplied into the panel's line. Every lane is a sum of its own in the order of d, so a product is the same
number to the bit whatever stands beside it.

The builder functions below emit IR. Their docstrings give it as pseudocode: `f16` and `f32` are floats, `v16` a vector
of `LANES` floats of 32 bits, `addr` a 64-bit address. A function decorated with `intrinsic` is called from numba like a
function; its inner `generate` emits the body.

Addresses have no Python type, so the functions are left out of type checks.
"""

from __future__ import annotations

from platform import machine
from typing import Any, no_type_check

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Numbers of a vector; a processor with shorter ones takes several."""
ROWS = 4
"""Rows of a group, which are multiplied together: a line of the panel is read once for all of them."""
TILE_VECTORS = 4 if binding.get_host_cpu_features().get("avx512f", False) else 1
"""Vectors of a tile: each of its `ROWS` x `TILE_VECTORS` sums has a register, of 32 long ones or of 16 short ones."""

CAN_WIDEN = machine() not in ("x86_64", "AMD64") or bool(binding.get_host_cpu_features().get("f16c", False))
"""Whether the processor widens float16. Without the instruction, LLVM finds no function for it and ends the process."""

_NUMBER = ir.FloatType()
_HALF = ir.HalfType()
_WORD = ir.IntType(64)
_INDEX = ir.IntType(32)
_VECTOR = ir.VectorType(_NUMBER, LANES)
_NUMBER_BYTES = 4
_HALF_BYTES = 2
_ADDRESS_BYTES = 8
_LINE_BYTES = 64
"""A line of the cache."""
_PREFETCH_HINTS = (0, 2, 1)
"""Of llvm.prefetch: for reading, temporal locality (0 to 3), data rather than instructions."""


def check_processor() -> None:
    """Raises RuntimeError on a processor that cannot widen float16: to be called before the functions here."""
    if not CAN_WIDEN:
        raise RuntimeError("backend: expected a processor with F16C for numba, got one without. Use 'auto' or 'torch'.")


def _tile(n_vectors: int) -> Any:
    """The intrinsic of `n_vectors` x `LANES` lanes: tile(panel, stride, row, row, row, row, width, out).

    panel, row and out are addresses; stride is the panel's lanes, width the numbers of a row.
    """

    @intrinsic
    @no_type_check
    def tile(context, panel, stride, row0, row1, row2, row3, width, out):
        def generate(context, builder, signature, arguments):
            panel, stride, *rows, width, out = arguments
            _emit_tile(builder, n_vectors, panel, stride, rows, width, out)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return tile


@no_type_check
def _emit_tile(build, n_vectors, panel, stride, rows, width, out):
    """Emits one loop over the width, whose sums stay in registers and are stored once.

    before:
        goto loop
    loop:                                                   # phi: value on entry, value from the last turn
        place = phi(0, following)
        line  = phi(panel, line + 4 * stride)               # address of the panel's line `place`
        sum[r][v] = phi(0, new[r][v])                       # v16, for every row r and vector v
        column[v] = load v16 at line + 4 * LANES * v
        number[r] = spread(load f32 at row[r] + 4 * place)  # v16
        new[r][v] = fmuladd(number[r], column[v], sum[r][v])
        following = place + 1
        if following < width goto loop else done
    done:
        store new[r][v] at out + 4 * (r * stride + LANES * v)
    """
    before = build.block
    loop = build.append_basic_block("width")
    done = build.append_basic_block("done")
    build.branch(loop)

    build.position_at_end(loop)
    place = build.phi(_WORD)
    line = build.phi(_WORD)
    sums = [[build.phi(_VECTOR) for _ in range(n_vectors)] for _ in rows]
    columns = [_load(build, _at(build, line, LANES * vector), _VECTOR) for vector in range(n_vectors)]
    numbers = [_spread(build, _load(build, build.add(row, _bytes(build, place)), _NUMBER)) for row in rows]
    new = _emit_products(build, numbers, columns, sums)
    following = build.add(place, _WORD(1))

    # A phi names the block that each of its values comes from.
    _add_incoming(place, before, _WORD(0), loop, following)
    _add_incoming(line, before, panel, loop, build.add(line, _bytes(build, stride)))
    zeros = ir.Constant(_VECTOR, [0.0] * LANES)
    for old_of_row, new_of_row in zip(sums, new, strict=True):
        for old_sum, new_sum in zip(old_of_row, new_of_row, strict=True):
            _add_incoming(old_sum, before, zeros, loop, new_sum)
    build.cbranch(build.icmp_signed("<", following, width), loop, done)

    build.position_at_end(done)
    for number, row in enumerate(new):
        begin = build.add(out, _bytes(build, build.mul(stride, _WORD(number))))
        for vector, values in enumerate(row):
            _store(build, values, _at(build, begin, LANES * vector))


@no_type_check
def _emit_products(build, numbers, columns, sums):
    """Emits new[r][v] = llvm.fmuladd(numbers[r], columns[v], sums[r][v]).

    fmuladd is fused where the processor has the instruction, and two operations where it would have to be imitated.
    """
    multiply_add = cgutils.get_or_insert_function(
        build.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    return [
        [build.call(multiply_add, [number, column, old]) for column, old in zip(columns, sums_of_row, strict=True)]
        for number, sums_of_row in zip(numbers, sums, strict=True)
    ]


@no_type_check
def _add_incoming(phi, before, first, loop, later):
    """phi = `first` when entered from the block `before`, `later` when from the block `loop`."""
    phi.add_incoming(first, before)
    phi.add_incoming(later, loop)


@no_type_check
def _bytes(build, n_numbers):
    """4 * n_numbers, of a value that is known at run time."""
    return build.mul(n_numbers, _WORD(_NUMBER_BYTES))


@no_type_check
def _at(build, address, n_numbers):
    """address + 4 * n_numbers, of a number that is known now."""
    return build.add(address, _WORD(_NUMBER_BYTES * n_numbers))


@no_type_check
def _load(build, address, kind):
    """load `kind` at `address`. Vectors are aligned as numbers are: a table's rows begin anywhere."""
    return build.load(build.inttoptr(address, kind.as_pointer()), align=_NUMBER_BYTES)


@no_type_check
def _store(build, values, address):
    """store v16 `values` at `address`, aligned as numbers are."""
    build.store(values, build.inttoptr(address, _VECTOR.as_pointer()), align=_NUMBER_BYTES)


@no_type_check
def _spread(build, number):
    """v16 with `number` in every lane: insert into lane 0, then shuffle lane 0 everywhere."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    in_first_lane = build.insert_element(nothing, number, _INDEX(0))
    return build.shuffle_vector(in_first_lane, nothing, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


def _widen(n_numbers: int) -> Any:
    """The intrinsic that widens `n_numbers` numbers, one or `LANES`: widen(source, target), both addresses."""

    @intrinsic
    @no_type_check
    def widen(context, source, target):
        def generate(context, build, signature, arguments):
            """Emits store (fpext (load f16s at source)) at target."""
            source, target = arguments
            halves, numbers = (kind if n_numbers == 1 else ir.VectorType(kind, n_numbers) for kind in (_HALF, _NUMBER))
            loaded = build.load(build.inttoptr(source, halves.as_pointer()), align=_HALF_BYTES)
            widened = build.fpext(loaded, numbers)
            build.store(widened, build.inttoptr(target, numbers.as_pointer()), align=_NUMBER_BYTES)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return widen


_widen_vector = _widen(LANES)
_widen_number = _widen(1)
_tile_1 = _tile(1)
_tile_2 = _tile(2)
_tile_3 = _tile(3)
_tile_4 = _tile(4)


@njit(nogil=True)
@no_type_check
def widen_rows(table, rows, out):
    """See the module: `out` is float32[row, width], contiguous."""
    width = table.shape[1]
    whole = width // LANES * LANES  # numbers that are widened as vectors; the rest one by one
    for place in range(len(rows)):
        source = table.ctypes.data + _HALF_BYTES * rows[place] * width
        target = out.ctypes.data + _NUMBER_BYTES * place * width
        for number in range(0, whole, LANES):
            _widen_vector(source + _HALF_BYTES * number, target + _NUMBER_BYTES * number)
        for number in range(whole, width):
            _widen_number(source + _HALF_BYTES * number, target + _NUMBER_BYTES * number)


@njit(nogil=True, inline="never")
@no_type_check
def times_panel(group, column, width, panel, line, out):
    """See the module: `group` is [ROWS, number], `out` is [ROWS, lane]; all float32 and contiguous."""
    stride = panel.shape[1]
    row0 = group.ctypes.data + _NUMBER_BYTES * column
    row1 = row0 + _NUMBER_BYTES * group.shape[1]
    row2 = row1 + _NUMBER_BYTES * group.shape[1]
    row3 = row2 + _NUMBER_BYTES * group.shape[1]
    begin = panel.ctypes.data + _NUMBER_BYTES * line * stride
    end = out.ctypes.data
    lane = 0
    # The widest tiles first. TILE_VECTORS is a constant to the compiler: with short registers the last loop remains.
    while TILE_VECTORS == 4 and lane + 4 * LANES <= stride:
        _tile_4(begin + _NUMBER_BYTES * lane, stride, row0, row1, row2, row3, width, end + _NUMBER_BYTES * lane)
        lane += 4 * LANES
    while TILE_VECTORS == 4 and lane + 3 * LANES <= stride:
        _tile_3(begin + _NUMBER_BYTES * lane, stride, row0, row1, row2, row3, width, end + _NUMBER_BYTES * lane)
        lane += 3 * LANES
    while TILE_VECTORS == 4 and lane + 2 * LANES <= stride:
        _tile_2(begin + _NUMBER_BYTES * lane, stride, row0, row1, row2, row3, width, end + _NUMBER_BYTES * lane)
        lane += 2 * LANES
    while lane < stride:
        _tile_1(begin + _NUMBER_BYTES * lane, stride, row0, row1, row2, row3, width, end + _NUMBER_BYTES * lane)
        lane += LANES


@intrinsic
@no_type_check
def _transpose(context, rows, out, stride):
    """Transposes the next LANES numbers of LANES rows: out[d, s] = row_s[d].

    `rows` is the address of the rows' addresses; `out` that of the square's corner in a panel of `stride` lanes.
    """

    def generate(context, build, signature, arguments):
        """Emits

        vector[s] = load v16 at (load addr at rows + 8 * s)
        four times: vector = interleave(vector[:8], vector[8:])
        store vector[d] at out + 4 * d * stride
        """
        rows, out, stride = arguments
        slots_of_addresses = [build.add(rows, _WORD(_ADDRESS_BYTES * lane)) for lane in range(LANES)]
        addresses = [build.load(build.inttoptr(slot, _WORD.as_pointer())) for slot in slots_of_addresses]
        vectors = [_load(build, address, _VECTOR) for address in addresses]

        # Interleaving the first half of the vectors with the second, log2(LANES) times, transposes the square. Of a
        # pair (a, b) `low` takes a0 b0 a1 b1 ..., `high` the same from the middle; lanes of b count from LANES.
        low = [lane // 2 + LANES * (lane % 2) for lane in range(LANES)]
        high = [lane + LANES // 2 for lane in low]
        masks = [ir.Constant(ir.VectorType(_INDEX, LANES), mask) for mask in (low, high)]
        for _ in range(LANES.bit_length() - 1):
            pairs = list(zip(vectors[: LANES // 2], vectors[LANES // 2 :], strict=True))
            vectors = [build.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]

        for line, values in enumerate(vectors):
            _store(build, values, build.add(out, _bytes(build, build.mul(stride, _WORD(line)))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@njit(nogil=True)
@no_type_check
def fill_panel(table, rows, panel):
    """See the module: `rows` are one row of the table or more, at most as many as the panel has lanes."""
    width, stride = panel.shape
    whole = width // LANES * LANES  # numbers that are transposed in squares; the rest is copied one by one
    block = np.empty(LANES, np.int64)
    widened = np.empty((LANES, width), np.float32)
    addresses = np.empty(LANES, np.int64)
    for first in range(0, stride, LANES):
        for lane in range(LANES):
            block[lane] = rows[min(first + lane, len(rows) - 1)]
        widen_rows(table, block, widened)
        for lane in range(LANES):
            addresses[lane] = widened.ctypes.data + _NUMBER_BYTES * lane * width
            for place in range(whole, width):
                panel[place, first + lane] = widened[lane, place]
        for place in range(0, whole, LANES):
            corner = panel.ctypes.data + _NUMBER_BYTES * (place * stride + first)
            _transpose(addresses.ctypes.data, corner, stride)
            for lane in range(LANES):
                addresses[lane] += _NUMBER_BYTES * LANES


@intrinsic
@no_type_check
def _prefetch(context, address):
    """Starts to load the cache line at an address."""

    def generate(context, build, signature, arguments):
        """Emits call llvm.prefetch(address, *_PREFETCH_HINTS)."""
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INDEX, _INDEX, _INDEX])
        prefetch = cgutils.get_or_insert_function(build.module, kind, "llvm.prefetch.p0")
        hints = [_INDEX(hint) for hint in _PREFETCH_HINTS]
        build.call(prefetch, [build.inttoptr(arguments[0], pointer), *hints])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@njit(nogil=True)
@no_type_check
def prefetch_row(table, row):
    """See the module."""
    first = table.ctypes.data + _HALF_BYTES * row * table.shape[1]
    for place in range(0, _HALF_BYTES * table.shape[1], _LINE_BYTES):
        _prefetch(first + place)
