"""The types of the kernel language: scalars, composites of them such as vectors and tiles, and arrays of either.

The key insight: a type is a value with the three facts everything else asks of it: how NumPy stores it, how a person
spells it in a kernel's signature, and to which family it belongs. Overloads of the table are comprehensions over these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import ml_dtypes  # noqa: F401 # by which NumPy has bfloat16
import numpy as np


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A scalar type, named as Warp names it (`float32`, `int32`, …). There is one of each: compare by identity."""

    name: str
    spelling: str
    """How kernels spell it in annotations and casts: `float`, `int`, `bool`, or `wp.float64` and the like."""

    dtype: np.dtype[Any] = field(init=False)
    is_own: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.name))

    @property
    def bits(self) -> int:
        return 8 * self.dtype.itemsize

    @property
    def scalar(self) -> Scalar:
        return self

    @property
    def width(self) -> int:
        """The number of scalars in it."""
        return 1

    def __reduce__(self) -> tuple[Callable[[str], Element], tuple[str]]:
        return type_named, (self.name,)

    def __repr__(self) -> str:
        return self.name


F32 = Scalar("float32", "float")
F64 = Scalar("float64", "wp.float64")
F16 = Scalar("float16", "wp.float16")
BF16 = Scalar("bfloat16", "wp.bfloat16")
I32 = Scalar("int32", "int")
I64, I16, I8 = (Scalar(name, f"wp.{name}") for name in ("int64", "int16", "int8"))
U32, U64, U16, U8 = (Scalar(name, f"wp.{name}") for name in ("uint32", "uint64", "uint16", "uint8"))
BOOL = Scalar("bool", "bool")

FLOATS = (F32, F64, F16, BF16)
HALVES = (F16, BF16)
"""Of two bytes: what is done with them is done in float32 and rounded."""
SIGNED, UNSIGNED = (I32, I64, I16, I8), (U32, U64, U16, U8)
INTEGERS = (*SIGNED, *UNSIGNED)
NUMBERS = (*FLOATS, *INTEGERS)
SCALARS = (*NUMBERS, BOOL)

ATOMIC = (*FLOATS, I32, I64, U32, U64)
"""Types that atomic operations, and so updates of elements in place, exist for."""
ORDERED = (F32, F64, BF16, I32, I64, U32, U64)
"""Those that the atomic minimum and maximum exist for."""
BITS = (I32, I64, U32, U64)
"""Those that the atomic operations on bits exist for."""
BARE = (F32, I32, BOOL)
"""Types of Python's own literals: a constant of any other is cast, `wp.uint8(3)`."""


LETTERS = "xyzw"
"""Of the scalars of a vector that has no more."""

Kind = Literal["vector", "matrix", "quaternion", "transform", "twist", "tile"]


@dataclass(frozen=True, eq=False, slots=True)
class Composite:
    """A type made of scalars of one type, named as Warp names it (`vec3f`, `mat33f`). There is one of each."""

    name: str
    spelling: str
    """How kernels spell it in annotations and constructors: `wp.vec3`, or `mat23` if the module itself defines it."""
    scalar: Scalar
    shape: tuple[int, ...]
    """(3,) for a vector of three; (rows, columns) for a matrix."""
    rotation: int | None = None
    """From this scalar on it is a quaternion, which is a rotation where its length is 1."""
    is_tile: bool = False
    """The threads of a block hold it together: it is a part of an array, of any dimensions."""
    of_threads: bool = False
    """Of a tile: that it is no part of an array but has a scalar of each thread, or is what these come to."""
    vectors: Composite | None = None
    """Of a tile: what it is made of if not of scalars, which the last axis of its shape numbers then."""

    @property
    def width(self) -> int:
        """The number of scalars in it, which are numbered row by row."""
        return math.prod(self.shape)

    @property
    def element(self) -> Element:
        """Of a tile: what the array holds that it is a part of."""
        return self.vectors or self.scalar

    @property
    def extent(self) -> tuple[int, ...]:
        """Of a tile: how many elements it has along each axis."""
        return self.shape[:-1] if self.vectors else self.shape

    @property
    def is_own(self) -> bool:
        """Whether modules define it, as Warp has no name for it: `vec5 = wp.types.vector(length=5, dtype=float)`."""
        return not self.spelling.startswith("wp.")

    @property
    def is_rigid(self) -> bool:
        """Quaternions and transforms are multiplied where others are added."""
        return self.rotation is not None

    @property
    def kind(self) -> Kind:
        if self.is_tile:
            return "tile"
        if self.rotation is None:
            return "matrix" if len(self.shape) == 2 else "twist" if self.width == 6 else "vector"
        return "quaternion" if self.width == 4 else "transform"

    @property
    def has_letters(self) -> bool:
        """Whether each of its scalars may be meant by a letter, `v.x`."""
        return self.kind == "vector" and self.width <= len(LETTERS)

    def indices(self, place: int) -> tuple[int, ...]:
        """Of the scalar with that number."""
        return (place,) if len(self.shape) == 1 else divmod(place, self.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its scalars."""
        return self.scalar.dtype

    def __reduce__(self) -> tuple[Callable[[str], Element], tuple[str]]:
        return type_named, (self.name,)

    def __repr__(self) -> str:
        return self.name


Element = Scalar | Composite
"""What a local, a scalar parameter or an element of an array can be."""


def _vectors(scalar: Scalar, letter: str, suffix: str) -> tuple[Composite, ...]:
    return tuple(Composite(f"vec{n}{letter}", f"wp.vec{n}{suffix}", scalar, (n,)) for n in (2, 3, 4))


def _pair(name: str, shape: tuple[int, ...], rotation: int | None = None) -> tuple[Composite, Composite]:
    """The type of that name in float32, for which Warp has a short name, and in float64."""
    single, double = f"{name}f", f"{name}d"
    return (
        Composite(single, f"wp.{name}", F32, shape, rotation),
        Composite(double, f"wp.{double}", F64, shape, rotation),
    )


VECTORS = (*_vectors(F32, "f", ""), *_vectors(F64, "d", "d"), *_vectors(F16, "h", "h"))
INT_VECTORS = _vectors(I32, "i", "i")
MATRICES = tuple(M for n in (2, 3, 4) for M in _pair(f"mat{n}{n}", (n, n)))


def vector_of(scalar: Scalar, size: int) -> Composite:
    """The builtin vector of so many floats."""
    return next(V for V in VECTORS if V.scalar is scalar and V.width == size)


def _own(name: str, *shape: int) -> tuple[Composite, Composite]:
    """A type that modules define, in float32 and in float64."""
    return Composite(f"{name}f", name, F32, shape), Composite(f"{name}d", f"{name}d", F64, shape)


LONG_VECTORS = _own("vec5", 5)
RECTANGULAR = (
    *(*_own("mat23", 2, 3), *_own("mat32", 3, 2)),
    *(Composite(f"mat{r}{c}f", f"mat{r}{c}", F32, (r, c)) for r, c in ((3, 4), (4, 3))),
)
"""Matrices of other shapes than squares."""
QUATERNIONS = _pair("quat", (4,), 0)
TRANSFORMS = _pair("transform", (7,), 3)
"""A position, then a quaternion."""
TWISTS = _pair("spatial_vector", (6,))
"""Two vectors of three: of angular and of linear motion, or of torque and force."""
SPATIAL_MATRICES = _pair("spatial_matrix", (6, 6))
COMPOSITES: tuple[Composite, ...] = (
    *(*VECTORS, *INT_VECTORS, *MATRICES),
    *(*QUATERNIONS, *TRANSFORMS, *TWISTS, *SPATIAL_MATRICES),
    *(*LONG_VECTORS, *RECTANGULAR),
)


def _tile(shape: tuple[int, ...], scalar: Scalar, letter: str) -> Composite:
    return Composite(f"tile{'x'.join(map(str, shape))}{letter}", "wp.tile", scalar, shape, is_tile=True)


TILE_SHAPES = ((1,), (4,), (8,), (1, 4), (2, 4), (4, 2), (4, 4))
"""Small ones: each of their scalars is worked out and differentiated by itself."""
TILES = (
    *(_tile(shape, F32, "f") for shape in TILE_SHAPES),
    *(_tile(shape, F64, "d") for shape in ((1,), (4,))),
)
INT_TILES = tuple(_tile(shape, I32, "i") for shape in ((1,), (4,)))


def _tile_of_vectors(extent: tuple[int, ...], vectors: Composite) -> Composite:
    name = f"tile{'x'.join(map(str, extent))}{vectors.name}"
    return Composite(name, "wp.tile", vectors.scalar, (*extent, vectors.width), is_tile=True, vectors=vectors)


_OF_VECTORS = {V.name: V for V in VECTORS}
VECTOR_TILES = tuple(_tile_of_vectors(extent, _OF_VECTORS["vec3f"]) for extent in ((1,), (4,)))
SIGNAL_TILES = tuple(_tile_of_vectors(extent, _OF_VECTORS["vec2f"]) for extent in ((1, 8), (2, 4)))
"""Of complex numbers: a row of them is a signal."""


def _tiles_of_threads(word: str) -> tuple[Composite, ...]:
    scalars = ((F32, "f"), (F64, "d"), (I32, "i"))
    return tuple(
        Composite(f"tile{word}{letter}", "wp.tile", scalar, (1,), is_tile=True, of_threads=True)
        for scalar, letter in scalars
    )


THREAD_TILES = _tiles_of_threads("threads")
"""A scalar of each thread of a block: on the CPU, where a block is one thread, a single one."""
BLOCK_TILES = _tiles_of_threads("block")
"""What the scalars of a block's threads come to: a different number for each size of blocks."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array of one to four dimensions. One of tiles is an array of scalars, cut into tiles that lie side by side."""

    element: Element
    dimensions: int = 1

    @property
    def laid_out(self) -> Array:
        """What Warp is given: of tiles, an array of their elements."""
        if not isinstance(self.element, Composite) or not self.element.is_tile:
            return self
        return Array(self.element.element, max(self.dimensions, len(self.element.extent)))

    def __repr__(self) -> str:
        return f"array{f'{self.dimensions}d' * (self.dimensions > 1)}({self.element!r})"


_TILES = (*TILES, *INT_TILES, *VECTOR_TILES, *SIGNAL_TILES, *THREAD_TILES, *BLOCK_TILES)
_ALL: tuple[Element, ...] = (*SCALARS, *COMPOSITES, *_TILES)
ELEMENTS: Mapping[str, Element] = {type.name: type for type in _ALL}


def type_named(name: str) -> Element:
    return ELEMENTS[name]


Type = Element | Array

WARPS: Mapping[str, float] = {
    "wp.pi": math.pi,
    "wp.half_pi": math.pi / 2,
    "wp.tau": 2 * math.pi,
    "wp.inf": math.inf,
}
"""Constants of Warp's own."""
