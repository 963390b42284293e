"""Makes a failing plan smaller: leaves out tables, acts, deviations, settings and steps, as long as
it fails in the same way (the letter of what is broken)."""

import copy
import time

from tests.shapes.trial import try_seed

_PARTS = ["tables", "acts", "deviations", "database_settings", "role_settings", "steps"]


def _letters(outcome):
    return {line[0] for line in outcome.broken}


def _halves(items):
    """Parts that may be left out, large ones first."""
    size = len(items) // 2
    while size >= 1:
        for begin in range(0, len(items), size):
            yield items[:begin] + items[begin + size:]
        size //= 2
    if len(items) == 1:
        yield []


def _without(plan, part, items):
    smaller = copy.deepcopy(plan)
    setattr(smaller, part, copy.deepcopy(items))
    smaller.keep({table.number for table in smaller.tables})
    return smaller


def shrink(stack, plan, outcome, seconds=300):
    """Returns the smallest plan that was found within the time, and what it breaks."""
    deadline = time.monotonic() + seconds
    wanted = _letters(outcome)
    improved = True
    while improved and time.monotonic() < deadline:
        improved = False
        for part in _PARTS:
            for items in _halves(getattr(plan, part)):
                if time.monotonic() > deadline:
                    return plan, outcome
                candidate = _without(plan, part, items)
                found = try_seed(stack, copy.deepcopy(candidate))
                if _letters(found) & wanted:
                    plan, outcome, improved = candidate, found, True
                    break
    return plan, outcome
