# SPDX-License-Identifier: GPL-2.0-or-later
"""Frozen dataclasses as JSON and back, by their type hints: no class needs code of its own.

A dataclass becomes `[name, field, field, ...]`, its fields in their order; a tuple a list, a set a
sorted list, bytes their hex digits, an enumeration its value. What the fields of each name were
when a file was written stands in the file (`shapes`), so that fields may come and go later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from haagent.blackbox import RecordingError

Shapes = Mapping[str, list[str]]
"""By the name of a class: its fields, in their order in a list."""
Reader = Callable[[Any], Any]


def classes_in(hint: Any, found: dict[str, type] | None = None) -> dict[str, type]:
    """Every dataclass that a value of that type can hold, by name.

    Args:
        hint: A dataclass, a union of them, or anything built of them.
        found: Those known already; extended.
    """
    found = {} if found is None else found
    if is_dataclass(hint):
        assert isinstance(hint, type)
        assert found.get(hint.__name__, hint) is hint, f"two classes are called {hint.__name__}"
        if hint.__name__ not in found:
            found[hint.__name__] = hint
            for inner in get_type_hints(hint).values():
                classes_in(inner, found)
    for inner in get_args(hint):
        classes_in(inner, found)
    return found


class Encoder:
    """Makes one line of JSON of a value.

    Args:
        hint: The type of all that will be encoded.
    """

    def __init__(self, hint: Any) -> None:
        classes = classes_in(hint)
        self.shapes: Shapes = {
            name: [field.name for field in fields(of)] for name, of in sorted(classes.items())
        }
        self._plain: dict[type, Callable[[Any], object]] = {
            of: _listing(of) for of in classes.values()
        }
        self._plain |= {bytes: bytes.hex, frozenset: sorted}
        # The library's own C code walks the values: this runs thirty times a second for a lifetime.
        self.encode = json.JSONEncoder(
            ensure_ascii=False, check_circular=False, separators=(",", ":"), default=self._default
        ).encode
        """The value's JSON, without a line break."""

    def _default(self, value: object) -> object:
        return self._plain[type(value)](value)


def _listing(of: type) -> Callable[[Any], list[object]]:
    name, names = of.__name__, [field.name for field in fields(of)]
    if not names:
        return lambda _: [name]
    if len(names) == 1:
        only = attrgetter(names[0])
        return lambda value: [name, only(value)]
    values = attrgetter(*names)
    return lambda value: [name, *values(value)]


class Decoder:
    """Makes a value of the parsed JSON of a file; what does not fit its type is refused.

    Args:
        hint: The type of the values.
        shapes: Of the file.
    """

    def __init__(self, hint: Any, shapes: Shapes) -> None:
        self._shapes = shapes
        self._readers: dict[Any, Reader] = {}
        self._read = self._reader(hint)
        self.unknown: set[str] = set()
        """Fields in the file that this release does not have; they are left out."""

    def decode(self, value: object) -> Any:
        """The value.

        Raises:
            RecordingError: It is none of that type.
        """
        try:
            return self._read(value)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise RecordingError(f"not what this release records: {error}") from error

    def place(self, name: str, field: str) -> int:
        """Where a field stands in the list of a value."""
        try:
            return self._shapes[name].index(field) + 1
        except (KeyError, ValueError):
            raise RecordingError(f"{name} has no {field}") from None

    def _reader(self, hint: Any) -> Reader:
        if hint not in self._readers:
            # First a way round for types that hold themselves, then the real one.
            self._readers[hint] = lambda value: self._readers[hint](value)  # noqa: PLW0108  # later
            self._readers[hint] = self._make(hint)
        return self._readers[hint]

    def _make(self, hint: Any) -> Reader:  # one arm for each kind of type
        origin = get_origin(hint)
        if is_dataclass(hint):
            assert isinstance(hint, type)
            return self._dataclass(hint)
        if origin in {Union, UnionType}:
            return self._union(hint)
        if origin is Literal:
            return _one_of(get_args(hint))
        if origin is tuple:
            return self._tuple(get_args(hint))
        if origin is frozenset:
            each = self._reader(get_args(hint)[0])
            return lambda value: frozenset(map(each, _a(list, value)))
        if origin is Mapping:
            return lambda value: _a(dict, value)
        if hint is bytes:
            return bytes.fromhex
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint
        assert hint in {int, bool, str, NoneType}, f"cannot record a {hint}"
        return lambda value: _a(hint, value)

    def _dataclass(self, of: type) -> Reader:
        name, shape = of.__name__, self._shapes.get(of.__name__)
        if shape is None:
            return _refusal(f"the file says nothing of {name}")
        ours: tuple[Field[Any], ...] = fields(of)
        hints = get_type_hints(of)
        places: list[tuple[int, Reader]] = []
        wanted = []
        for field in ours:
            if field.name in shape:
                places.append((shape.index(field.name) + 1, self._reader(hints[field.name])))
                wanted.append(field.name)
            elif field.default is MISSING and field.default_factory is MISSING:
                return _refusal(f"its {name} has no {field.name}")
        strange = {f"{name}.{known}" for known in shape} - {f"{name}.{one.name}" for one in ours}

        def read(value: Any) -> Any:
            if value[0] != name or len(value) != len(shape) + 1:
                raise RecordingError(f"a {name} was expected")
            self.unknown |= strange
            values = [each(value[place]) for place, each in places]
            return of(**dict(zip(wanted, values, strict=True)))

        return read

    def _union(self, hint: Any) -> Reader:
        """By the name in a list; everything else by the one member that is no dataclass."""
        members = get_args(hint)
        named = {one.__name__: self._reader(one) for one in members if is_dataclass(one)}  # type: ignore[union-attr]
        plain = [one for one in members if not is_dataclass(one) and one is not NoneType]
        assert len(plain) <= 1, f"cannot tell the members of {hint} apart"
        other = self._reader(plain[0]) if plain else _refusal("an unknown kind of value")

        def read(value: Any) -> Any:
            if value is None and NoneType in members:
                return None
            if named and isinstance(value, list):
                return named[value[0]](value)
            return other(value)

        return read

    def _tuple(self, members: tuple[Any, ...]) -> Reader:
        if len(members) == 2 and members[1] is Ellipsis:
            each = self._reader(members[0])
            return lambda value: tuple(map(each, _a(list, value)))
        readers = [self._reader(one) for one in members]
        return lambda value: tuple(
            read(one) for read, one in zip(readers, _a(list, value), strict=True)
        )


def _one_of(allowed: tuple[object, ...]) -> Reader:
    return lambda value: allowed[allowed.index(value)]


def _refusal(text: str) -> Reader:
    def refuse(_: object) -> Any:
        raise RecordingError(text)

    return refuse


def _a(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise RecordingError(f"{value!r:.40} is no {kind.__name__}")
    return value


def differences(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where two values of a type differ, a line each: the path of fields, then both."""
    if was == now:
        return
    if type(was) is type(now) and is_dataclass(was):
        for field in fields(was):
            inner = f"{path}.{field.name}" if path else field.name
            yield from differences(getattr(was, field.name), getattr(now, field.name), inner)
    elif isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    else:
        yield f"{path}: recorded {was!r}, now {now!r}"
