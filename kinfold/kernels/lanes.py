"""Sixteen vectors side by side: what one does to a graph's node is done to all sixteen at once.

A matrix X of (n, LANES) float32, row-major and flat, holds one vector a column. Whoever multiplies
a sparse matrix with it reads every edge once for sixteen products that fit one or two registers.
Numba does not write such code by itself (its compiler unrolls a loop of sixteen before it looks for
vectors), so the loops are given to LLVM as they are meant. Each lane adds in the order written and
knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kinfold.arrays import Float32s, Ints

LANES = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_WORD = ir.IntType(64)


class _Lanes:
    """Vectors of `LANES` floats in flat arrays, for writing loops over them."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        self.builder = builder
        self._values = []
        for kind, value in zip(kinds, arguments, strict=True):
            if isinstance(kind, types.Array):
                self._values.append(context.make_array(kind)(context, builder, value).data)
            elif isinstance(kind, types.Integer):
                self._values.append(context.cast(builder, value, kind, types.uint64))
            else:
                self._values.append(value)

    def __iter__(self) -> Any:
        return iter(self._values)

    def place(self, array: Any, row: Any) -> Any:
        """Where the lanes of a row lie."""
        first = self.builder.mul(row, ir.Constant(_WORD, LANES))
        pointer = self.builder.gep(array, [first])
        return self.builder.bitcast(pointer, _VECTOR.as_pointer())

    def load(self, array: Any, row: Any) -> Any:
        """The lanes of a row."""
        return self.builder.load(self.place(array, row), align=4)

    def store(self, array: Any, row: Any, value: Any) -> None:
        """Set the lanes of a row."""
        self.builder.store(value, self.place(array, row), align=4)

    def add_product(self, total: Any, left: Any, right: Any) -> Any:
        """The sum total + left * right, fused where the processor can."""
        flags = ("contract",)
        product = self.builder.fmul(left, right, flags=flags)
        return self.builder.fadd(total, product, flags=flags)

    def negative(self, value: Any) -> Any:
        """All lanes with the other sign."""
        return self.builder.fneg(value)

    def everywhere(self, scalar: Any) -> Any:
        """The same number in every lane."""
        lane = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, lane)
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, undefined, mask)

    def sum(self) -> Any:
        """A place for a running sum, zero; stays in a register."""
        untyped: Any = cgutils
        place = untyped.alloca_once(self.builder, _VECTOR)
        self.builder.store(ir.Constant(_VECTOR, [0.0] * LANES), place)
        return place

    def loop(self, count: Any) -> Any:
        """Rows 0 to `count`, as a context of the row's number."""
        return cgutils.for_range(self.builder, count)

    def number(self, array: Any, place: Any) -> Any:
        """An entry of a flat array; whole numbers widened."""
        value = self.builder.load(self.builder.gep(array, [place]))
        if isinstance(value.type, ir.IntType) and value.type.width < _WORD.width:
            value = self.builder.zext(value, _WORD)
        return value


def _generated(returns: Any, write: Callable[[Any, _Lanes], Any]) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write(builder, _Lanes(context, builder, signature.args, arguments))
        return context.get_dummy_value()

    return generate


if TYPE_CHECKING:

    def system_product(
        indptr: Ints, indices: Ints, values: Float32s, size: int,
        x: Float32s, out: Float32s, inner: Float32s,
    ) -> None:  # fmt: skip
        """See below."""

    def descend(
        size: int, step: Float32s, p: Float32s, q: Float32s, x: Float32s, r: Float32s,
        squares: Float32s,
    ) -> None:  # fmt: skip
        """See below."""

    def turn(size: int, ratio: Float32s, r: Float32s, p: Float32s) -> None:
        """See below."""

else:

    @intrinsic
    def system_product(typing, indptr, indices, values, size, x, out, inner):
        """Out = (I - M) X of the first `size` rows, M a CSR matrix; inner = sum of X * out a lane.

        indptr, indices: (size + 1,) and (stored,) unsigned; values: (stored,) float32; X and out:
        flat (size * LANES,) float32; inner: (LANES,) float32, written.
        """

        def write(builder, lanes):
            starts, columns, data, count, source, target, products = lanes
            total = lanes.sum()
            with lanes.loop(count) as row:
                begin = lanes.number(starts, row.index)
                end = lanes.number(starts, builder.add(row.index, ir.Constant(_WORD, 1)))
                mine = lanes.load(source, row.index)
                left = cgutils.alloca_once(builder, _VECTOR)
                builder.store(mine, left)
                with lanes.loop(builder.sub(end, begin)) as edge:
                    place = builder.add(begin, edge.index)
                    other = lanes.load(source, lanes.number(columns, place))
                    weight = lanes.everywhere(builder.fneg(lanes.number(data, place)))
                    builder.store(lanes.add_product(builder.load(left), weight, other), left)
                result = builder.load(left)
                lanes.store(target, row.index, result)
                builder.store(lanes.add_product(builder.load(total), mine, result), total)
            lanes.store(products, ir.Constant(_WORD, 0), builder.load(total))

        signature = types.void(indptr, indices, values, size, x, out, inner)
        return signature, _generated(types.void, write)

    @intrinsic
    def descend(typing, size, step, p, q, x, r, squares):
        """X += step * P and R -= step * Q, lane by lane; squares = sum of R * R a lane.

        step, squares: (LANES,) float32; the others flat (size * LANES,) float32.
        """

        def write(builder, lanes):
            count, steps, along, product, solution, rest, norms = lanes
            zero = ir.Constant(_WORD, 0)
            forward = lanes.load(steps, zero)
            back = lanes.negative(forward)
            total = lanes.sum()
            with lanes.loop(count) as row:
                at = row.index
                moved = lanes.add_product(lanes.load(solution, at), forward, lanes.load(along, at))
                lanes.store(solution, at, moved)
                left = lanes.add_product(lanes.load(rest, at), back, lanes.load(product, at))
                lanes.store(rest, at, left)
                builder.store(lanes.add_product(builder.load(total), left, left), total)
            lanes.store(norms, zero, builder.load(total))

        signature = types.void(size, step, p, q, x, r, squares)
        return signature, _generated(types.void, write)

    @intrinsic
    def turn(typing, size, ratio, r, p):
        """P = R + ratio * P, lane by lane.

        ratio: (LANES,) float32; the others flat (size * LANES,) float32.
        """

        def write(builder, lanes):
            count, ratios, rest, along = lanes
            factor = lanes.load(ratios, ir.Constant(_WORD, 0))
            with lanes.loop(count) as row:
                at = row.index
                turned = lanes.add_product(lanes.load(rest, at), factor, lanes.load(along, at))
                lanes.store(along, at, turned)

        return types.void(size, ratio, r, p), _generated(types.void, write)


__all__ = ["LANES", "descend", "system_product", "turn"]
