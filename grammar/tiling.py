"""Growing what kernels of tiles do beyond a term: sums of whole tiles, along rows, and products of matrices.

The key insight: what a block computes is what any thread does, only wider, so terms of tiles grow like all others. But
a tile is loaded under a name of its own, and one of a single scalar is what is left of a larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, add_param, define, local, nested, run
from grammar.folds import sum_over
from grammar.literal import number, zero
from grammar.menus import offered
from grammar.op import Op
from grammar.ops import CHANGERS, ROWS, tile, vector_tile
from grammar.params import Param, Role
from grammar.terms import attempt, grow_leaf, grow_term, new_scalar, reduced
from grammar.tiles import is_of_threads, is_single, is_tile
from grammar.tree import Apply, Assign, At, AugAssign, Const, For, Read, Term, Var
from grammar.types import F32, I32, SIGNAL_TILES, TILES, Array, Composite, Element, type_named

TRIPS = ((3, 4.0), (4, 4.0), (2, 3.0))
"""Tiles along a row that loops go through."""

SYSTEM: frozenset[Element] = frozenset(type_named(name) for name in ("tile1f", "tile4f", "tile4x4f"))
"""A matrix, what is solved with it, and what that comes to."""

MOST_READ = 64
"""Scalars that the loop of a product reads: of more, not all gradients would be checked."""


def tile_reduced(draft: Draft, type: Element, height: int) -> Grown:
    """What a larger tile comes to; of any other type than that of a single scalar, a term.

    But signals are transformed, and where there are square matrices, systems of equations are solved as well.
    """
    assert isinstance(type, Composite)
    room = max(1, height - 1)
    if type in SIGNAL_TILES:
        return _spectrum(draft, type)
    if _square_beside(draft, type) and draft.choose(2):
        return tile_solved(draft, type, height)
    return reduced(draft, type, room) if is_single(type) else grow_term(draft, type, room)


def _spectrum(draft: Draft, type: Composite) -> Grown:
    """`wp.tile_fft(x)`, or the inverse; perhaps what is made of that is turned back."""
    names = ["tile_fft", "tile_ifft"]
    if chance(draft.choose, 0.25):
        names.reverse()
    signal = _new_tile(draft, type)
    spectrum = _transformed(draft, names[0], signal if draft.choose(2) else _filtered(draft, signal))
    back = chance(draft.choose, 0.5)
    return _transformed(draft, names[1], _filtered(draft, spectrum)) if back else spectrum


def _filtered(draft: Draft, signal: Grown) -> Grown:
    """Scaled, or together with another one."""
    type = signal.term.type
    scale = ROWS[f"mul({type.name},float32)"]
    both = [ROWS[f"{name}({type.name},{type.name})"] for name in ("tile_map[wp.cw_mul]", "add", "sub")]
    op = weighted(draft.choose, [(scale, 2.0), *zip(both, (2.0, 1.0, 1.0), strict=True)])
    filtered = attempt(draft, op, [signal, _given(draft, op.params[1])])
    return filtered or draft.grown(Apply(scale, (signal.term, _given(draft, F32).term)))


def _transformed(draft: Draft, name: str, signal: Grown) -> Grown:
    """In place, under a name that nothing has read."""
    term = signal.term if isinstance(signal.term, Var) else define(draft, "local_tile", signal).term
    assert isinstance(term, Var)
    run(draft, Assign(term.name, Apply(ROWS[f"{name}({term.type.name})"], (term,))))
    return local(draft, term.name, term.type)


def _named(draft: Draft, tile: Term) -> Grown:
    return define(draft, "local_tile", draft.grown(tile))


ALIKE = 0.2
"""How often all blocks load the same tile."""


def _new_tile(draft: Draft, type: Composite) -> Grown:
    """Loaded from an array of its own, under a name."""
    alike = chance(draft.choose, ALIKE)
    size, index = (1, Const(I32, 0)) if alike else (None, draft.own)
    param = add_param(draft, Param(draft.name("tile_in"), Array(type), Role.VALUE, *_range(draft), size))
    return _named(draft, Read(param.name, index, type))


SORTED = 5.0
"""How much rather a tile is sorted than changed otherwise, as that is for those who don't mind the gradient."""


def _keys(draft: Draft, op: Op) -> Grown:
    """By which a tile is sorted: any whole numbers, no two of which are the same."""
    type = op.params[1]
    param = add_param(draft, Param(draft.name("array_int"), Array(type), Role.VALUE, *ANY_KEY))
    return _named(draft, Read(param.name, draft.own, type))


ANY_KEY = (-(2.0**30), 2.0**30 - 1)
"""Of which differences are whole numbers of 32 bits, too."""


def tile_changed(draft: Draft, type: Element, height: int) -> Grown:
    """`wp.tile_axpy(alpha, x, y)` or `wp.tile_assign(y, x, …)` of a tile y that was just loaded; perhaps its sum."""
    names = ("tile_axpy", "tile_assign", *["tile_sort"] * draft.tolerant)
    ops = [op for op in CHANGERS if op.name in names and op.result in draft.kin]
    ops = [op for op in ops if op.result is type or _sum_of(op.result, type) is not None]
    if not ops or not is_tile(type):
        return tile_reduced(draft, type, height)
    shares = ((op, SORTED if op.name == "tile_sort" else 1.0) for op in ops)
    op = weighted(draft.choose, [(op, share / sum(op.name == other.name for other in ops)) for op, share in shares])
    others = [_keys(draft, op)] if op.name == "tile_sort" else [_given(draft, wanted) for wanted in op.params[1:]]
    assert isinstance(op.result, Composite)
    old = _new_tile(draft, op.result)
    assert isinstance(old.term, Var)
    run(draft, Assign(old.term.name, Apply(op, (old.term, *(other.term for other in others)))))
    if op.name == "tile_sort":
        draft.scope.remove(others[0].term)  # type: ignore[arg-type] # a local, and sorted as well
    changed = local(draft, old.term.name, op.result)
    if op.result is type:
        return changed
    total = _sum_of(op.result, type)
    assert total is not None
    return _named(draft, Apply(total, (changed.term,)))


TILE_ROWS = (*tile.ROWS, *vector_tile.ROWS)

SELDOM = frozenset(
    (
        *("tile_arange", "tile_ones", "tile_from_thread", "tile_astype", "tile_view", "tile_reshape", "tile_squeeze"),
        *("tile_argmin", "tile_argmax", "tile_upper_solve", "tile_extract", "extract", "untile"),
    )
)
"""Operations on tiles that other kernels hardly come to."""


def tile_seldom(draft: Draft, type: Element, height: int) -> Grown:
    """What an operation gives that few kernels have, each as likely as any other; as it is, or what it comes to."""
    assert isinstance(type, Composite)
    rows = _seldom(type)
    if not rows:
        return tile_reduced(draft, type, height)
    op = pick(draft.choose, pick(draft.choose, rows))
    args = [_of_any(draft, wanted, op) for wanted in op.params]
    certain = not args or op.name in ("tile_reshape", "tile_squeeze")  # the same numbers, seen otherwise
    grown = draft.grown(Apply(op, tuple(arg.term for arg in args))) if certain else attempt(draft, op, args)
    if grown is None:
        return tile_reduced(draft, type, height)
    if op.result is type and args:
        return define(draft, "local_tile", grown)
    if is_tile(op.result) and op.result is not type and args:
        total = _sum_of(op.result, type)
        assert total is not None
        return _named(draft, Apply(total, (define(draft, "local_tile", grown).term,)))
    sign = ROWS[f"{'mul' if args else 'add'}({type.name},{op.result.name})"]
    return attempt(draft, sign, [grow_leaf(draft, type), grown]) or tile_reduced(draft, type, height)


def _of_any(draft: Draft, wanted: Element, op: Op) -> Grown:
    """A tile, the index of one of its scalars, or a number."""
    if wanted is I32 and op.name in ("extract", "tile_extract"):
        assert isinstance(op.params[0], Composite)
        return draft.grown(Const(I32, draft.choose(min(op.params[0].shape))))
    return _given(draft, wanted)


@cache
def _seldom(type: Composite) -> tuple[tuple[Op, ...], ...]:
    """By name, the rows of which something of the type can be made."""
    found: dict[str, list[Op]] = {}
    for op in TILE_ROWS:
        made = op.result is type and (bool(op.params) or type.vectors is None)  # of vectors, nobody makes ones
        made = made or (bool(op.params) and _sum_of(op.result, type) is not None)
        made = made or (op.result is type.scalar and f"mul({type.name},{op.result.name})" in ROWS)
        made = made and not (op.params and op.params[0] in SIGNAL_TILES)  # what lies in registers is transformed
        if made and op.name in SELDOM and not any(map(is_of_threads, (op.result, *op.params))):
            found.setdefault(op.name, []).append(op)
    return tuple(map(tuple, found.values()))


def _sum_of(whole: Element, type: Element) -> Op | None:
    """What adds up the scalars of a tile to one of that type."""
    found = ROWS.get(f"tile_sum({whole.name})")
    return found if found is not None and found.result is type else None


def _given(draft: Draft, type: Element) -> Grown:
    """A tile, or a number that is the same in all blocks."""
    if isinstance(type, Composite):
        return grow_leaf(draft, type)
    if draft.choose(2):
        return draft.grown(Var(new_scalar(draft, type, (0.5, 4.0)).name, type))
    return draft.grown(number(type, pick(draft.choose, FACTORS)))


FACTORS = (2.0, 0.5, -1.0, 0.1, 3.0)


def tile_folded(draft: Draft, type: Element, height: int) -> Grown:
    """Scaled by the sum of another tile's scalars, which a loop adds up."""
    flat = [
        T for T in TILES if T in draft.kin and f"len({T.name})" in ROWS and f"mul({type.name},{T.scalar.name})" in ROWS
    ]
    if not flat:
        return tile_reduced(draft, type, height)
    scaled = grow_leaf(draft, type)
    total = sum_over(draft, _new_tile(draft, pick(draft.choose, flat)))
    return attempt(draft, ROWS[f"mul({type.name},{total.term.type.name})"], [scaled, total]) or scaled


# -- loops ------------------------------------------------------------------------------------------------------------


def row_reduced(draft: Draft, type: Element, height: int) -> Grown:
    """Tiles along a row of a matrix are added up, then their scalars."""
    assert isinstance(type, Composite)
    piece = next((T for T in draft.kin if isinstance(T, Composite) and T.shape == (1, 4)), None)
    if not is_single(type) or piece is None:
        return tile_reduced(draft, type, height)
    stop, trips = _bound(draft)
    param = add_param(draft, Param(draft.name("tile_in"), Array(piece, 2), Role.VALUE, *_range(draft), trips))

    def added(counter: Var) -> Grown:
        read = _named(draft, Read(param.name, At((draft.thread, counter)), piece))
        return grow_with_one(draft, read, height - 2)

    summed = _accumulated(draft, piece, stop, added)
    op = offered(draft, [op for op in TILE_ROWS if op.result is type and op.params == (piece,)]).spin(draft.choose)
    assert op is not None
    return _named(draft, Apply(op, (summed.term,)))


def tile_solved(draft: Draft, type: Element, height: int) -> Grown:
    """What solves a system of equations, or how long that is in some direction."""
    assert isinstance(type, Composite)
    if type in SYSTEM:
        draft.kin |= SYSTEM
    square = _square_beside(draft, type)
    if square is None:
        return tile_reduced(draft, type, height)
    if type.width > 1:
        return _solution(draft, square, type)
    line = next(T for T in draft.kin if is_tile(T) and T.shape == square.shape[1:])
    solution, other = _solution(draft, square, line), grow_leaf(draft, line)
    dot = ROWS[f"tile_dot({line.name},{line.name})"]
    return _named(draft, Apply(dot, (solution.term, other.term)))


def _square_beside(draft: Draft, type: Composite) -> Composite | None:
    """The square matrices that the kernel computes in, if the type is that of their rows, or of a single scalar."""
    squares = (T for T in draft.kin if is_tile(T) and T.vectors is None and len(T.shape) == 2)
    square = next((T for T in squares if T.shape[0] == T.shape[1]), None)
    return square if square is not None and (type.width == 1 or type.shape == square.shape[1:]) else None


def _solution(draft: Draft, square: Composite, type: Composite) -> Grown:
    """Of a system with that kind of matrix, which is made symmetric and positive."""
    matrix = grow_leaf(draft, square)
    turned = ROWS[f"tile_transpose({square.name})"]
    product = ROWS[f"tile_matmul({square.name},{square.name})"]
    diagonal = add_param(draft, Param(draft.name("tile_in"), Array(type), Role.VALUE, 1.0, 4.0))
    shift = _named(draft, Read(diagonal.name, draft.own, type))
    spread = Apply(product, (matrix.term, Apply(turned, (matrix.term,))))
    system = _named(draft, Apply(_on(square, "tile_diag_add"), (spread, shift.term)))
    solvers = pick(draft.choose, SOLVERS)
    if draft.tolerant and chance(draft.choose, 0.75):
        return _solved_in_place(draft, square, system, type, solvers)
    factor = _named(draft, Apply(_on(square, "tile_cholesky"), (system.term,))).term
    halves, value = _halves(draft, square, factor, solvers), grow_leaf(draft, type)
    for name in solvers:
        value = _named(draft, Apply(_on(square, name), (halves.get(name, factor), value.term)))
    return value


UPPER = "tile_upper_solve"
SOLVERS = (("tile_cholesky_solve",), ("tile_lower_solve", UPPER), ("tile_lower_solve",))
"""What solves a system of which the Cholesky factor is known: at once, half by half, or only so far."""


def _halves(draft: Draft, square: Composite, factor: Term, solvers: Sequence[str]) -> Mapping[str, Term]:
    """By solver, the matrix that it takes in place of the factor; under a name before anything reads the factor."""
    turned = Apply(ROWS[f"tile_transpose({square.name})"], (factor,))
    return {UPPER: _named(draft, turned).term} if UPPER in solvers else {}


def _solved_in_place(draft: Draft, square: Composite, system: Grown, type: Composite, solvers: Sequence[str]) -> Grown:
    """`wp.tile_cholesky_inplace(system)`, then `wp.tile_cholesky_solve_inplace(system, y)` or the like."""
    assert isinstance(system.term, Var)
    factor: Term = system.term
    if UPPER in solvers:  # no tile is changed in place that is transposed later
        factor = _named(draft, Apply(_on(square, "tile_cholesky"), (factor,))).term
    else:
        run(draft, Assign(system.term.name, Apply(ROWS[f"tile_cholesky_inplace({square.name})"], (factor,))))
    halves, side = _halves(draft, square, factor, solvers), _new_tile(draft, type).term
    assert isinstance(side, Var)
    for name in solvers:
        op = ROWS[f"{name}_inplace({type.name},{square.name})"]
        run(draft, Assign(side.name, Apply(op, (side, halves.get(name, factor)))))
    return local(draft, side.name, type)


def _on(type: Composite, name: str) -> Op:
    return next(op for op in TILE_ROWS if op.name == name and op.params[0] is type)


def grow_with_one(draft: Draft, read: Grown, height: int) -> Grown:
    """A tile that was just loaded, or what an operation on it alone gives."""
    if height < 2 or chance(draft.choose, 0.4):
        return read
    type = read.term.type
    ops = [op for op in TILE_ROWS if op.result is type and op.params == (type,)]
    op = offered(draft, ops).spin(draft.choose) if ops else None
    square = ROWS.get(f"mul({type.name},{type.name})")
    grown = None if op is None or draft.choose(2) else attempt(draft, op, [read])
    return grown or (attempt(draft, square, [read, read]) if square is not None else None) or read


def tile_product(draft: Draft, type: Element, height: int) -> Grown:
    """`acc += wp.tile_matmul(a, b)` in a loop over the tiles of a row of one matrix and a column of another."""
    op = pick(draft.choose, [op for op in TILE_ROWS if op.name == "tile_matmul" and op.result is type])
    i, j = draft.indices[:2]
    left, right = (
        add_param(draft, Param(draft.name("tile_in"), Array(T, 2), Role.VALUE, *_range(draft))) for T in op.params
    )

    def added(counter: Var) -> Grown:
        places = (At((i, counter)), At((counter, j)))
        tiles = [
            _named(draft, Read(param.name, place, T))
            for param, place, T in zip((left, right), places, op.params, strict=True)
        ]
        factors = [grow_with_one(draft, tile, height - 2) if chance(draft.choose, CHANGED) else tile for tile in tiles]
        return draft.grown(Apply(op, tuple(factor.term for factor in factors)))

    stop, _ = _bound(draft, MOST_READ // sum(T.width for T in op.params))
    sign = "[-1.0]" if chance(draft.choose, 0.1) else ""
    into = ROWS[f"tile_matmul{sign}({','.join(T.name for T in (type, *op.params))})"]
    summed = _accumulated(draft, type, stop, added, into if sign or chance(draft.choose, 0.5) else None)
    return _finished(draft, summed) if chance(draft.choose, FINISHED) else summed


def _finished(draft: Draft, summed: Grown) -> Grown:
    """What an operation gives of a tile and whatever else it takes, such as `alpha * acc` or `acc + bias`."""
    type = summed.term.type
    ops = [op for op in TILE_ROWS if op.result is type and op.params[:1] == (type,) and op.name not in SELDOM]
    op = offered(draft, ops).spin(draft.choose)
    grown = None if op is None else attempt(draft, op, [summed, *(_given(draft, wanted) for wanted in op.params[1:])])
    return summed if grown is None else _named(draft, grown.term)


FINISHED = 0.6
"""How often something becomes of a product before anything else does."""
CHANGED = 0.3
"""How often something becomes of a tile before it is multiplied."""


def _range(draft: Draft) -> tuple[float, float]:
    return (-1.0, 1.0) if draft.choose(2) else (0.0, 2.0)


def _accumulated(
    draft: Draft, type: Element, stop: Term, added: Callable[[Var], Grown], into: Op | None = None
) -> Grown:
    """`acc = wp.tile_zeros(…)`, and what each trip of a loop adds to it, perhaps as `wp.tile_matmul(a, b, acc)`."""
    name = draft.name("accumulator")
    run(draft, Assign(name, zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        draft.interpreter.env[counter.name] = draft.interpreter.counter(0)
        draft.indices.append(counter)
        value = added(counter)
        if into is not None and isinstance(value.term, Apply):
            draft.block.append(Assign(name, Apply(into, (Var(name, type), *value.term.args))))
        else:
            draft.block.append(AugAssign(name, ROWS[f"add({type.name},{type.name})"], value.term))
    run(draft, For(counter.name, None, stop, tuple(body)))
    return local(draft, name, type)


def _bound(draft: Draft, most: int = 4) -> tuple[Term, int]:
    """Where a loop stops, a number or a parameter, and how many trips it makes at most."""
    if most < 3 or not chance(draft.choose, 0.4):
        trips = weighted(draft.choose, [(trips, share) for trips, share in TRIPS if trips <= most])
        return Const(I32, trips), trips
    param = add_param(draft, Param(draft.name("int_scalar"), I32, Role.VALUE, 2, most))
    return Var(param.name, I32), int(param.high)
