"""Strange databases by seed (tests/shapes): each is a test, and its number is all that it takes.

A seed that breaks is looked at by hand: `python3 -m tests.shapes --seed N --shrink`.
"""

import os

import pytest

from tests.integration.conftest import STREAM, is_long
from tests.shapes.plan import Plan
from tests.shapes.trial import try_seed

if is_long():
    _COUNT = 300 if STREAM == "direct" else 40
else:
    _COUNT = 15 if STREAM == "direct" else 0
_FIRST = int(os.environ.get("LOCKSTEP_SHAPES_SEED", "1"))


@pytest.fixture(scope="module", autouse=True)
def no_fsync(stack):
    """Each seed makes and drops three databases, and no seed cuts the power."""
    for cluster in (stack.source, stack.target):
        cluster.alter("fsync = off")
    yield
    for cluster in (stack.source, stack.target):
        cluster.alter("fsync = on")


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _COUNT))
def test_a_strange_database(stack, seed):
    """Nothing breaks on the source, and what is synced and not named is equal."""
    plan = Plan.of(seed, STREAM)
    outcome = try_seed(stack, plan)
    assert not outcome.broken, f"{plan}\n{outcome}"
