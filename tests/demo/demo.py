"""`./run demo`: moves a shop of a million rows while it is being written to, and proves equality.

Real servers throughout: two of PostgreSQL, and with --debezium Kafka and Kafka Connect between them.
"""

import argparse
import os
import statistics
import sys
import time

from tests.demo.writer import Writer
from tests.lab.lockstep import ROOT, backfill_done
from tests.lab.migration import Migration
from tests.lab.process import LabError
from tests.lab.stack import Stack, end_on_signals

SHOP = ROOT / "tests" / "demo" / "shop.sql"


class Narrator:
    """Prints what happens, with the seconds since the start."""

    def __init__(self):
        self._begun = time.monotonic()
        # `./run` says when the command was given, before anything was installed or built.
        given = float(os.environ.get("LOCKSTEP_COMMAND_TIME", time.time()))
        self._before = time.time() - given

    def __call__(self, text):
        print(f"[{time.monotonic() - self._begun:6.1f} s] {text}", flush=True)

    def since_command(self):
        """Seconds since the command was given."""
        return self._before + time.monotonic() - self._begun


class Watch:
    """Follows `lockstep status` and remembers the lags and the progress it showed."""

    def __init__(self, migration, writer, say):
        self.migration = migration
        self.writer = writer
        self.say = say
        self.lags = []
        self.rows = 0
        self.first_row = None  # Seconds from the command to the first row on the target.
        self._begun = time.monotonic()
        self._next_line = 0.0

    def sample(self, status):
        """Takes one status; prints a line every two seconds."""
        self.rows = sum(table["rows_done"] for table in status["tables"])
        if self.rows and self.first_row is None:
            self.first_row = self.say.since_command()
        if status["lag_seconds"] is not None:
            self.lags.append(status["lag_seconds"])
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + 2
            total = sum(table["rows_estimated"] for table in status["tables"])
            lag = f"{self.lags[-1]:.1f} s" if self.lags else "unknown"
            waiting = f" | waiting for {status['waiting_for'][0]}" if status["waiting_for"] else ""
            self.say(f"{status['phase']}: {self.rows}/~{total} rows | the writer made "
                     f"{self.writer.changes} changes | lag {lag}{waiting}")

    def await_backfill(self, timeout):
        """Waits for the backfill's end and returns the seconds it took."""
        def finished(status):
            self.sample(status)
            return backfill_done(status)

        self.migration.lockstep.await_status(finished, "the backfill to end", timeout)
        return time.monotonic() - self._begun

    def follow(self, seconds):
        """Keeps watching while the writer goes on."""
        until = time.monotonic() + seconds
        self.lags.clear()

        def enough(status):
            self.sample(status)
            return time.monotonic() >= until

        self.migration.lockstep.await_status(enough, "following", seconds + 60)


def demo(arguments, say):
    """The whole demonstration.  Returns the process's exit code."""
    debezium = arguments.debezium
    say("starting two PostgreSQL servers" + (", a broker and Kafka Connect" if debezium else ""))
    stream = "debezium" if debezium else "direct"
    with Stack(kafka=debezium) as stack, Migration(stack, "shop", stream) as migration:
        migration.connector_overrides = {}  # Exactly what connector-config prints.
        say(f"in {stack.directory}; loading the shop")
        stack.source.psql(migration.name, "-v", f"scale={arguments.scale}", "-f", SHOP)
        migration.copy_schema()
        migration.grant()
        migration.publish()
        if debezium:
            say("`lockstep connector-config` configures Debezium")
            migration.start_connector()
        validated = migration.lockstep.verb("validate")
        say(f"`lockstep validate`: exit {validated.returncode}\n{validated.stdout}".rstrip())
        if validated.returncode != 0:
            raise LabError(validated.stderr)
        return _move(migration, arguments, say)


def _move(migration, arguments, say):
    writer = Writer(migration.source_connection, arguments.seed, arguments.rate)
    say(f"the writer starts: {arguments.rate} transactions/s, seed {arguments.seed}")
    with writer:
        with migration.running():
            watch = Watch(migration, writer, say)
            backfill_seconds = watch.await_backfill(timeout=900)
            say(f"backfill done: {watch.rows} rows in {backfill_seconds:.1f} s")
            watch.follow(arguments.follow_seconds)
            writer.stop()
            say("the writer stops; SIGTERM to lockstep")
        say("`lockstep run --until synced`")
        catch_up_seconds = migration.lockstep.run_until_synced()
        synced = say.since_command()
    say("comparing every value of every table with psql")
    outcome = migration.compare()
    _report(watch, writer, outcome, (backfill_seconds, catch_up_seconds, synced))
    return 0 if outcome.equal else 2


def _report(watch, writer, outcome, seconds):
    lag = (f"median {statistics.median(watch.lags):.2f} s, worst {max(watch.lags):.2f} s"
           if watch.lags else "not measured")
    print(f"""
from the command  {watch.first_row:.1f} s to the first row moved, {seconds[2]:.1f} s to synced
backfill   {watch.rows} rows in {seconds[0]:.1f} s = {watch.rows / seconds[0]:.0f} rows/s
writer     {writer}
events     {writer.changes} row changes in {writer.seconds:.1f} s = \
{writer.changes / writer.seconds:.0f} events/s
lag        {lag} while following
catch-up   {seconds[1]:.1f} s for `run --until synced`, start and end included
{outcome}""", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./run demo")
    parser.add_argument("--debezium", action="store_true",
                        help="the stream through Debezium and Kafka, not the source's own")
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is 1.1 million rows")
    parser.add_argument("--rate", type=int, default=200,
                        help="the writer's transactions per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--follow-seconds", type=float, default=5)
    arguments = parser.parse_args()
    end_on_signals()
    try:
        return demo(arguments, Narrator())
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
