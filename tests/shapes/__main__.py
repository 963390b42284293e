"""python3 -m tests.shapes [--seed N] [--count N] [--stream direct|debezium] [--shrink]"""

import argparse
import copy
import sys
import time

from tests.lab.stack import Stack, end_on_signals
from tests.shapes.shrink import shrink
from tests.shapes.plan import Plan
from tests.shapes.trial import try_seed


def main():
    parser = argparse.ArgumentParser(prog="tests.shapes")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--stream", default="direct", choices=["direct", "debezium"])
    parser.add_argument("--shrink", action="store_true", help="make each failing seed smaller")
    parser.add_argument("--show", action="store_true", help="print each seed's plan")
    arguments = parser.parse_args()
    end_on_signals()
    failed = []
    with Stack(kafka=arguments.stream == "debezium") as stack:
        for cluster in (stack.source, stack.target):
            cluster.alter("fsync = off")  # Each seed makes and drops three databases.
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            begun = time.monotonic()
            plan = Plan.of(seed, arguments.stream)
            if arguments.show:
                print(plan)
            outcome = try_seed(stack, copy.deepcopy(plan))
            print(f"seed {seed}: {time.monotonic() - begun:.1f} s, {outcome}", flush=True)
            if not outcome.broken:
                continue
            failed.append(seed)
            if arguments.shrink:
                plan, outcome = shrink(stack, plan, outcome)
                print(f"smaller:\n{plan}\n" + "\n".join(f"  {step}" for step in plan.steps)
                      + f"\n{outcome}", flush=True)
    print(f"{arguments.count - len(failed)} of {arguments.count} seeds hold; broken: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
