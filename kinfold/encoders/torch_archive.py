"""Tensors of a file that torch wrote before 2020, read without unpickling anything.

Such a file is five pickles one behind the other (a magic number, a version, what machine wrote it,
the names and shapes of the tensors, the keys of their storages), then every storage as a length
and raw values. A pickle is a program. Here it is only taken apart, by the standard library's
`pickletools`, and the few instructions that these files have are followed by hand: values, tuples,
lists and dictionaries are made, and names of classes stay names. Nothing is imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST_STEPS = 1_000_000
_MOST_VALUES = 1 << 30
_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_ORDERED, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_KNOWN = {_ORDERED, _TENSOR, *_DTYPES}


@dataclass(frozen=True, slots=True)
class _Name:
    """A class or function that a pickle names."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """Where values of a tensor lie."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A part of a storage, with a shape."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """A place on the stack."""


def read_tensors(path: Path) -> dict[str, AnyArray]:
    """The tensors of a file by name, float32 or int64.

    Raises
    ------
    InputError
        The file is of another kind, or damaged.
    """
    try:
        with path.open("rb") as file:
            if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
                raise ValueError("it does not begin as such a file does")
            _load(file)
            tensors, keys = _load(file), _load(file)
            wanted = {name: value for name, value in tensors.items() if isinstance(value, _Tensor)}
            storages = _read_storages(file, keys, {t.storage for t in wanted.values()})
        return {name: _made(tensor, storages) for name, tensor in wanted.items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: expected tensors as torch wrote them: {error}") from None


def _read_storages(file: IO[bytes], keys: list[str], known: set[_Storage]) -> dict[str, AnyArray]:
    by_key = {storage.key: storage for storage in known}
    found = {}
    for key in keys:
        storage = by_key[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.count or count > _MOST_VALUES:
            raise ValueError(f"storage {key}: expected {storage.count} values, found {count}")
        content = file.read(count * np.dtype(storage.dtype).itemsize)
        found[key] = np.frombuffer(content, dtype=storage.dtype, count=count)
    return found


def _made(tensor: _Tensor, storages: dict[str, AnyArray]) -> AnyArray:
    values = storages[tensor.storage.key]
    steps = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((length - 1) * stride for length, stride in steps)
    if tensor.offset < 0 or not all(length > 0 and stride >= 0 for length, stride in steps):
        raise ValueError(f"a tensor of shape {tensor.shape} and strides {tensor.strides}")
    if last >= values.shape[0] or prod(tensor.shape) > _MOST_VALUES:
        raise ValueError(f"a tensor of shape {tensor.shape} leaves its storage")
    places = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :], tensor.shape, places, writeable=False
    ).copy()


def _load(file: IO[bytes]) -> Any:
    """Follow the instructions of one pickle; what it stands for is what is left at its end."""
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if number > _MOST_STEPS:
            raise ValueError("it has too many instructions")
        if opcode.name == "STOP":
            return machine.pop()
        machine.step(opcode.name, argument)
    raise ValueError("it has no end")


class _Machine:
    """The stack and the memory that a pickle's instructions work with."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def pop(self) -> Any:
        """Take the value on top."""
        return self._stack.pop()

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction; raises `ValueError` for one that has no place here."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _MADE:
            self._stack.append(_MADE[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memory[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memory[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif name == "TUPLE":
            self._stack.append(tuple(self._since_mark()))
        elif name == "APPENDS":
            items = self._since_mark()
            _expect(self._stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self._since_mark()
            _expect(self._stack[-1], dict).update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "GLOBAL":
            if argument not in _KNOWN:
                raise ValueError(f"it names {argument!r}, which no tensor needs")
            self._stack.append(_Name(argument))
        elif name == "REDUCE":
            given = self.pop()
            self._stack.append(_reduced(self.pop(), given))
        elif name == "BINPERSID":
            self._stack.append(_storage(self.pop()))
        elif name == "BUILD":
            self.pop()  # what it would hang on the dictionary of tensors is not needed
        elif name != "PROTO":
            raise ValueError(f"it has the instruction {name}, which no tensor needs")

    def _since_mark(self) -> list[Any]:
        place = max(i for i, value in enumerate(self._stack) if isinstance(value, _Mark))
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values


_VALUES = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": _Mark,
}


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"expected a {kind.__name__}, found a {type(value).__name__}")
    return value


def _reduced(name: Any, given: Any) -> Any:
    """What a call would have made, of the two that are known."""
    if name == _Name(_ORDERED):
        return {}
    if name != _Name(_TENSOR):
        raise ValueError("it calls something that makes no tensor")
    storage, offset, shape, strides = given[:4]
    numbers = (offset, *shape, *strides)
    if not all(type(number) is int for number in numbers):
        raise ValueError("a tensor has a shape that is none")
    return _Tensor(_expect(storage, _Storage), offset, tuple(shape), tuple(strides))


def _storage(given: Any) -> _Storage:
    kind, name, key, _, count, _ = given
    if kind != "storage" or type(key) is not str or type(count) is not int:
        raise ValueError("a storage is none")
    return _Storage(key, _DTYPES[name.text], count)
