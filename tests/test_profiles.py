"""Profiles give every operation its weight, and names are fit for what they name.

The key insight: both are functions of the choices alone, so what must hold is checked over arbitrary choices.
"""

from __future__ import annotations

import keyword
import pickle
import random
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.names import CURATED, ROLES, NameRole, name_for, singular, vocabulary
from grammar.ops import ROWS, TABLE
from grammar.profiles import FLOOR, PROFILES, profile, swarm

WORDED = tuple(role for role in ROLES if role not in ("kernel", "bits_kernel"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_operation_can_be_grown(name: str) -> None:
    assert all((profile(name).weight(op) > 0) == (op.weight > 0) for op in TABLE)


def test_uniform_gives_each_operation_the_weight_of_its_row() -> None:
    assert [profile("uniform").weight(op) for op in TABLE] == [op.weight for op in TABLE]
    assert set(profile("uniform").statements.values()) == {1.0}


def test_natural_multiplies_and_adds_far_more_than_it_takes_logarithms() -> None:
    weight = {key: profile("natural").weight(op) for key, op in ROWS.items()}
    assert weight["mul(float32,float32)"] > 50 * weight["log(float32)"]
    assert weight["add(float32,float32)"] > 3 * weight["max(float32,float32)"] > weight["sqrt(float32)"]
    assert weight["log(float32)"] == FLOOR


def test_natural_tells_the_kinds_of_operands_apart() -> None:
    natural = profile("natural")
    assert natural.weight(ROWS["mod(int32,int32)"]) > 5 * natural.weight(ROWS["mod(float32,float32)"])
    assert natural.weight(ROWS["less(float32,float32)"]) > 3 * natural.weight(ROWS["equal(float32,float32)"])


def test_an_operation_that_is_not_in_the_table_is_weighed_by_the_floor() -> None:
    new = replace(ROWS["sin(float32)"], name="brand_new", weight=0.5)
    assert profile("natural").weight(new) == FLOOR * 0.5


@pytest.mark.parametrize("name", PROFILES)
def test_tables_hold_what_their_names_say(name: str) -> None:
    p = profile(name)
    assert set(p.leaves) == {"constant", "local", "scalar", "read"}
    assert all(weight > 0 for weight in [*p.statements.values(), *p.aug_operators.values(), *p.leaves.values()])
    for sizes in (p.term_heights, p.body_lengths, p.kernel_lengths):
        assert min(sizes) >= 1
        assert all(weight > 0 for weight in sizes.values())
    assert all(2 <= trips <= 64 for trips, _ in p.trip_counts)
    for literals in (p.float_literals, p.int_literals, p.trip_counts):
        weights = [weight for _, weight in literals]
        assert weights == sorted(weights, reverse=True)
    assert all(isinstance(value, float) for value, _ in p.float_literals)
    assert all(isinstance(value, int) for value, _ in p.int_literals)


def test_uniform_is_flatter_than_natural() -> None:
    natural, uniform = profile("natural").float_literals, profile("uniform").float_literals
    assert [value for value, _ in natural] == [value for value, _ in uniform]
    assert natural[0][1] / natural[-1][1] > 10 * uniform[0][1] / uniform[-1][1]


def test_an_unknown_profile_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        profile("fancy")


def test_a_profile_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(profile("natural")))
    assert [again.weight(op) for op in TABLE] == [profile("natural").weight(op) for op in TABLE]


# -- swarm ------------------------------------------------------------------------------------------------------------


def test_swarm_switches_about_half_off_and_differs_from_kernel_to_kernel() -> None:
    base = profile("natural")
    names = {op.name for op in TABLE}
    off = [swarm(base, random.Random(seed).randrange).off for seed in range(20)]
    assert len(set(off)) == 20
    assert 0.4 < sum(map(len, off)) / (20 * len(names)) < 0.6
    assert base.off == frozenset()


def test_what_swarm_leaves_on_keeps_its_weight() -> None:
    base = profile("natural")
    swarmed = swarm(base, random.Random(0).randrange)
    assert swarmed.off
    for op in TABLE:
        assert swarmed.weight(op) == (0.0 if op.name in swarmed.off else base.weight(op))


def test_swarm_with_the_simplest_choices_is_the_base() -> None:
    base = profile("uniform")
    assert asdict(replace(swarm(base, lambda _: 0), name=base.name)) == asdict(base)


def test_swarm_keeps_what_every_kernel_needs_even_if_all_is_switched_off() -> None:
    swarmed = swarm(profile("natural"), lambda n: n - 1)
    assert {kind for kind, weight in swarmed.statements.items() if weight} == {"assign", "store"}
    for group in ("arithmetic", "comparison", "logic"):
        assert any(swarmed.weight(op) for op in TABLE if op.group == group and len(op.params) == 2)


# -- names ------------------------------------------------------------------------------------------------------------


@given(role=st.sampled_from(ROLES), rng=st.randoms(use_true_random=False), n=st.integers(1, 60))
def test_names_are_fresh_valid_and_never_shadow(role: NameRole, rng: random.Random, n: int) -> None:
    taken: set[str] = set()
    for _ in range(n):
        name = name_for(role, rng.randrange, taken)
        assert name not in taken
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in {"float", "int", "bool", "range", "min", "max", "abs", "round", "sum", "len", "wp", "pow"}
        taken.add(name)


@pytest.mark.parametrize("role", WORDED)
def test_the_simplest_choice_is_the_first_word(role: NameRole) -> None:
    assert name_for(role, lambda _: 0, set()) == vocabulary(role)[0]


@pytest.mark.parametrize("role", WORDED)
def test_every_word_can_be_drawn_and_the_first_most_often(role: NameRole) -> None:
    words = vocabulary(role)
    rng = random.Random(1)
    drawn = [name_for(role, rng.randrange, set()) for _ in range(4000)]
    assert drawn.count(words[0]) > 2 * drawn.count(words[-1])
    assert name_for(role, lambda n: n - 1, set()) == words[-1]
    assert len(set(words)) == len(words) >= 5


def test_when_the_words_are_used_up_they_are_numbered_without_a_draw() -> None:
    def no_choice(n: int) -> int:
        raise AssertionError(n)

    words = vocabulary("loop")
    taken = set(words)
    assert name_for("loop", no_choice, taken) == f"{words[0]}1"
    assert name_for("loop", no_choice, taken | {f"{word}1" for word in words}) == f"{words[0]}2"


def test_kernel_names_are_many_and_made_of_words() -> None:
    rng = random.Random(2)
    names = {name_for("kernel", rng.randrange, set()) for _ in range(2000)}
    assert len(names) > 500
    assert all("_" in name and name == name.lower() for name in names)


def test_a_taken_kernel_name_is_numbered() -> None:
    first = name_for("kernel", lambda _: 0, set())
    assert name_for("kernel", lambda _: 0, {first}) == f"{first}1"


def test_positive_quantities_are_kept_out_of_the_names_of_others() -> None:
    assert {"dt", "radius"} <= set(vocabulary("scalar_positive"))
    assert not {"dt", "radius"} & set(vocabulary("scalar"))
    assert not {"out", "output", "result"} & set(vocabulary("array_in"))


def test_real_kernels_rank_the_words() -> None:
    assert vocabulary("scalar_positive") != CURATED["scalar_positive"]
    assert set(vocabulary("scalar_positive")) == set(CURATED["scalar_positive"])
    assert {"end", "v1"} <= set(vocabulary("local_int")) - set(CURATED["local_int"])


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("forces", "force"),
        ("velocities", "velocity"),
        ("masses", "mass"),
        ("vertices", "vertex"),
        ("mass", None),
        ("radius", None),
        ("hashes", "hash"),
        ("boxes", "box"),
        ("ids", None),
        ("density", None),
        ("maps", None),
    ],
)
def test_an_element_is_named_after_its_array(word: str, one: str | None) -> None:
    assert singular(word) == one
