"""One test of a filter on one Arrow array of whatever type: which of its values it is true of.

Whole numbers, dates, times and decimals are compared exactly, whatever kind of number or text the
filter has; the value meant for a column of floats is rounded to that column's precision first, so
that 0.1 finds the float32 that is shown as 0.1.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from kinfold.arrays import AnyArray, Bools
from kinfold.errors import InputError
from kinfold.search.filters import Exists, OneOf, Range, Test, Value, shown

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:(Z)|([+-])(\d\d):?(\d\d))?)?",
    re.ASCII,
)
_EPOCH = dt.date(1970, 1, 1).toordinal()
_MOST_EXPONENT = 100
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class _WrongValueError(Exception):
    """A value that the column's type cannot be compared with."""

    expected: str


def matches(array: pa.Array, test: Test, name: str) -> Bools:
    """Which values of an array a test is true of, (p,) bool; nulls are what it is not true of.

    Parameters
    ----------
    name:
        Of the column, for messages.

    Raises
    ------
    InputError
        The column's type cannot be tested, or not with such a value.
    """
    kind = array.type
    if kinds.is_dictionary(kind):
        known = matches(array.dictionary, _wanted(test), name)
        codes = _filled(array.indices, 0).to_numpy(zero_copy_only=False)
        inside = known[codes] if known.size else np.zeros(len(array), dtype=np.bool_)
        inside &= _valid(array)
        return inside if _wanted(test) is test else ~inside
    if isinstance(test, Exists):
        present = _valid(array)
        if kinds.is_floating(kind):
            present &= ~np.isnan(_numbers(array))
        return present if test.wanted else ~present
    if _is_list(kind):
        return _any_of_list(array, test, name)
    if kinds.is_null(kind):
        return np.zeros(len(array), dtype=np.bool_)
    try:
        found = _of_plain(array, test)
    except _WrongValueError as wrong:
        value = next(v for v in _values_of(test) if _refused(kind, v))
        raise InputError(
            f"filter: column {name!r} holds {kind}; expected {wrong.expected}, found {shown(value)}"
        ) from None
    if found is None:
        raise InputError(
            f"filter: column {name!r} holds {kind}, which can be tested by 'exists' only"
        )
    return found & _valid(array)


def _wanted(test: Test) -> Test:
    """The test, or of one that asks for no value its contrary."""
    return Exists(test.column, True) if isinstance(test, Exists) and not test.wanted else test


def _values_of(test: OneOf | Range) -> list[Value]:
    if isinstance(test, OneOf):
        return list(test.values)
    return [v for v in (test.gt, test.gte, test.lt, test.lte) if v is not None]


def _refused(kind: pa.DataType, value: Value) -> bool:
    """Whether this value is why a test of such a column was refused."""
    try:
        _of_plain(pa.array([], kind), OneOf("", (value,)))
    except _WrongValueError:
        return True
    return False


def _of_plain(array: pa.Array, test: OneOf | Range) -> Bools | None:
    """`matches` for types without inner values, nulls aside; None: a type that has no tests."""
    kind = array.type
    if kinds.is_boolean(kind):
        numbers = _filled(array, False).cast(pa.uint8()).to_numpy(zero_copy_only=False)
        return _of_wholes(numbers, test, _truth)
    if kinds.is_integer(kind):
        return _of_wholes(_numbers(array), test, _number)
    if kinds.is_floating(kind):
        return _of_floats(_numbers(array), test)
    if kinds.is_date(kind):
        ticks = 1 if kinds.is_date32(kind) else 86_400_000
        wide = array.cast(pa.int32() if kinds.is_date32(kind) else pa.int64())
        return _of_wholes(_numbers(wide), test, lambda value: _date(value) * ticks)
    if kinds.is_timestamp(kind):
        per, zoned = _PER_SECOND[kind.unit], kind.tz is not None
        wide = array.cast(pa.int64())
        return _of_wholes(_numbers(wide), test, lambda value: _time(value, zoned) * per)
    if kinds.is_decimal(kind):
        return _of_decimals(array, test)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return _of_texts(array, test)
    return None


def _of_wholes(data: AnyArray, test: OneOf | Range, exact: Callable[[Value], Fraction]) -> Bools:
    """Tests of whole numbers, by the exact number that a value of the test stands for."""
    limits = np.iinfo(data.dtype)
    if isinstance(test, OneOf):
        wanted = _whole_ones(test, exact, int(limits.min), int(limits.max))
        if len(wanted) == 1:
            return np.asarray(data == data.dtype.type(wanted[0]))
        return np.isin(data, np.array(wanted, dtype=data.dtype))
    low, high = _whole_range(test, exact, int(limits.min), int(limits.max))
    if low > high:
        return np.zeros(data.shape, dtype=np.bool_)
    inside: Bools = (data >= data.dtype.type(low)) & (data <= data.dtype.type(high))
    return inside


def _whole_ones(test: OneOf, exact: Callable[[Value], Fraction], low: int, high: int) -> list[int]:
    """The whole numbers between `low` and `high` that are asked for."""
    numbers = [exact(value) for value in test.values]
    return [int(n) for n in numbers if n.denominator == 1 and low <= n <= high]


def _whole_range(
    test: Range, exact: Callable[[Value], Fraction], low: int, high: int
) -> tuple[int, int]:
    """The first and the last whole number between `low` and `high` that lie in the range."""
    if test.gt is not None:
        low = max(low, math.floor(exact(test.gt)) + 1)
    if test.gte is not None:
        low = max(low, math.ceil(exact(test.gte)))
    if test.lt is not None:
        high = min(high, math.ceil(exact(test.lt)) - 1)
    if test.lte is not None:
        high = min(high, math.floor(exact(test.lte)))
    return low, high


def _of_floats(data: AnyArray, test: OneOf | Range) -> Bools:
    def rounded(value: Value) -> Any:
        with np.errstate(over="ignore"):
            return data.dtype.type(float(_number(value)))

    if isinstance(test, OneOf):
        return np.isin(data, np.array([rounded(value) for value in test.values], data.dtype))
    inside = ~np.isnan(data)
    if test.gt is not None:
        inside &= data > rounded(test.gt)
    if test.gte is not None:
        inside &= data >= rounded(test.gte)
    if test.lt is not None:
        inside &= data < rounded(test.lt)
    if test.lte is not None:
        inside &= data <= rounded(test.lte)
    return inside


def _of_decimals(array: pa.Array, test: OneOf | Range) -> Bools:
    scale, digits = array.type.scale, array.type.precision
    unit, most = Fraction(10**scale) if scale >= 0 else Fraction(1, 10**-scale), 10**digits - 1
    if array.type.byte_width < 16:  # has no comparisons of its own in Arrow
        array = array.cast(pa.decimal128(digits, scale))
    kind = array.type

    def exact(value: Value) -> Fraction:
        return _decimal(value) * unit

    def stored(whole: int) -> Decimal:
        return Decimal(whole).scaleb(-scale, _EXACT)

    if isinstance(test, OneOf):
        wanted = [stored(whole) for whole in _whole_ones(test, exact, -most, most)]
        return _bools(pc.is_in(array, value_set=pa.array(wanted, kind)))
    low, high = _whole_range(test, exact, -most, most)
    if low > high:
        return np.zeros(len(array), dtype=np.bool_)
    return _bools(
        pc.and_(
            pc.greater_equal(array, pa.scalar(stored(low), kind)),
            pc.less_equal(array, pa.scalar(stored(high), kind)),
        )
    )


def _of_texts(array: pa.Array, test: OneOf | Range) -> Bools:
    """Tests of text, which is ordered by its characters' code points."""
    if kinds.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not all(isinstance(value, str) for value in _values_of(test)):
        raise _WrongValueError("text")
    if isinstance(test, OneOf):
        return _bools(pc.is_in(array, value_set=pa.array(test.values, array.type)))
    inside = np.ones(len(array), dtype=np.bool_)
    for bound, compare in (
        (test.gt, pc.greater),
        (test.gte, pc.greater_equal),
        (test.lt, pc.less),
        (test.lte, pc.less_equal),
    ):
        if bound is not None:
            inside &= _bools(compare(array, pa.scalar(bound, array.type)))
    return inside


def _any_of_list(array: pa.Array, test: OneOf | Range, name: str) -> Bools:
    """Which lists hold at least one value that the test is true of."""
    inner = np.concatenate([[0], np.cumsum(matches(array.values, test, name))])
    if isinstance(array, pa.FixedSizeListArray):
        begins = (np.arange(len(array)) + array.offset) * array.type.list_size
        ends = begins + array.type.list_size
    elif isinstance(array, pa.ListViewArray | pa.LargeListViewArray):
        begins = _filled(array.offsets, 0).to_numpy()
        ends = begins + _filled(array.sizes, 0).to_numpy()
    else:
        offsets = array.offsets.to_numpy()
        begins, ends = offsets[:-1], offsets[1:]
    found: Bools = inner[ends] > inner[begins]
    return found & _valid(array)


def _is_list(kind: pa.DataType) -> bool:
    return isinstance(
        kind,
        pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType
        | pa.LargeListViewType,
    )  # fmt: skip


def _truth(value: Value) -> Fraction:
    if not isinstance(value, bool):
        raise _WrongValueError("true or false")
    return Fraction(value)


def _number(value: Value) -> Fraction:
    if isinstance(value, bool | str):
        raise _WrongValueError("a number")
    return Fraction(value)


def _decimal(value: Value) -> Fraction:
    """A number, or its text; a float stands for the shortest decimal that it is shown as."""
    if not isinstance(value, bool):
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("nan")
        if number.is_finite() and len(number.as_tuple().digits) <= _MOST_EXPONENT:
            exponent = number.adjusted()
            if number == 0 or -_MOST_EXPONENT <= exponent <= _MOST_EXPONENT:
                return Fraction(number)
    raise _WrongValueError(f"a number or its text, of at most {_MOST_EXPONENT} digits")


def _date(value: Value) -> Fraction:
    """Days since 1970."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[4] is not None:
        raise _WrongValueError("a date as text such as '2024-05-31'")
    return Fraction(_day(found))


def _time(value: Value, zoned: bool) -> Fraction:
    """Seconds since 1970; of a column with a time zone in UTC."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    has_zone = found is not None and (found[8] is not None or found[9] is not None)
    if found is None or (has_zone and not zoned):
        raise _WrongValueError(
            "a time as text such as '2024-05-31T12:30:00Z' or '2024-05-31'"
            if zoned
            else "a time without zone as text, such as '2024-05-31T12:30:00' or '2024-05-31'"
        )
    hour, minute, second = (int(found[group] or 0) for group in (4, 5, 6))
    ahead = 60 * (60 * int(found[10] or 0) + int(found[11] or 0))
    if hour > 23 or minute > 59 or second > 59 or ahead > 86_400:
        raise _WrongValueError("a time that there is")
    seconds = 86_400 * _day(found) + 3600 * hour + 60 * minute + second
    seconds += ahead if found[9] == "-" else -ahead
    return seconds + Fraction(int((found[7] or "0").ljust(9, "0")), 10**9)


def _day(found: re.Match[str]) -> int:
    try:
        return dt.date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH
    except ValueError:
        raise _WrongValueError("a date that there is") from None


def _valid(array: pa.Array) -> Bools:
    if array.null_count == 0:
        return np.ones(len(array), dtype=np.bool_)
    return np.array(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _filled(array: pa.Array, value: object) -> pa.Array:
    return array.fill_null(value) if array.null_count else array


def _numbers(array: pa.Array) -> AnyArray:
    """Numbers as NumPy has them; what stands for a null is no matter."""
    if kinds.is_float16(array.type):  # Arrow cannot fill its nulls
        halves: AnyArray = np.frombuffer(array.buffers()[1] or b"", dtype=np.float16)
        return halves[array.offset : array.offset + len(array)]
    data: AnyArray = _filled(array, 0).to_numpy(zero_copy_only=False)
    return data


def _bools(array: pa.Array) -> Bools:
    return np.asarray(_filled(array, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
