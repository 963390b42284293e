"""Issue D, acceptance 5: what `verified_through` says is so.

While everything changes, and somebody damages rows of the target, claims of random tables and of
random ranges are taken.  Then nobody writes any more, and an independent comparison must find of
what is claimed only what the claim's findings name, or what was damaged after the claim.
"""

import random
from dataclasses import dataclass

from tests.integration.conftest import is_long
from tests.lab.meanwhile import Meanwhile
from tests.lab.postgres import lsn_number

CLAIMS = 200 if is_long() else 20
TABLES = 20 if is_long() else 5
ROWS = 400
LARGE, LARGE_ROWS = TABLES - 1, 1200  # One table has more ranges than the others.
RANGE_ROWS = 200
BUSY_ROWS = 200  # The application changes these; the others are damaged.
SEED = 5
INFINITY = float("inf")
COLUMNS = ["v", "n"]
DAMAGE = ("UPDATE {table} SET v = v || '!' WHERE id = {id}",
          "UPDATE {table} SET n = n + 0.001 WHERE id = {id}",
          "DELETE FROM {table} WHERE id = {id}",
          "UPDATE {table} SET id = -id WHERE id = {id}")


def schema():
    return "".join(f"CREATE TABLE t{number} (id bigint PRIMARY KEY, v text, n numeric);"
                   f"INSERT INTO t{number} SELECT g, 'v' || g, g"
                   f"  FROM generate_series(1, {rows_of(number)}) g;"
                   for number in range(TABLES))


def rows_of(number):
    return LARGE_ROWS if number == LARGE else ROWS


class Application(Meanwhile):
    """Rows change, go, come back and get other keys; a transaction touches two tables."""

    def __init__(self, migration):
        super().__init__(migration)
        self.transactions = 0
        self._rng = random.Random(SEED)

    def work(self, cursor):
        rng = self._rng
        one, two = [f"t{rng.randrange(TABLES)}" for _ in range(2)]
        key = rng.randint(1, BUSY_ROWS)
        cursor.execute(
            f"UPDATE {one} SET n = n + 1 WHERE id = {key};"
            f"DELETE FROM {two} WHERE id = {rng.randint(1, BUSY_ROWS)};"
            f"INSERT INTO {two} VALUES ({key}, 'again', 0) ON CONFLICT (id) DO NOTHING;"
            f"UPDATE {one} SET id = id + {10**6 * (1 + self.transactions)} WHERE id = {key}")
        self.transactions += 1


@dataclass
class Claim:
    """What was said of the rows of a table whose keys are from `lower` on and below `upper`."""
    number: int
    lower: float
    upper: float
    position: int
    found: set  # The keys of all findings of the table.

    def covers(self, keys):
        return {key for key in keys if self.lower <= key < self.upper}


def bound(key, unbounded):
    """Of a range, as status shows it."""
    return unbounded if key is None else int(key["id"])


class Claims:
    """Takes them, and remembers what was damaged at which position of the source."""

    def __init__(self, migration):
        self.migration = migration
        self.rng = random.Random(SEED)
        self.damaged = {number: {} for number in range(TABLES)}  # Key of a row: position.
        self.taken = []

    def damage(self):
        table = self.rng.randrange(TABLES)
        key = self.rng.randint(BUSY_ROWS + 1, rows_of(table))
        if key in self.damaged[table]:
            return
        self.migration.target(self.rng.choice(DAMAGE).format(table=f"t{table}", id=key))
        self.damaged[table][key] = self.migration.source_position()

    def take(self, number, status):
        """What the status says of a table, and what is found in it by then."""
        table = next(each for each in status["tables"] if each["table"] == f"public.t{number}")
        self._taken(Claim(number, -INFINITY, INFINITY, lsn_number(table["verified_through"]),
                          self.found(number)))

    def take_ranges(self, most):
        """The same of ranges of the large table that have bounds; returns of how many."""
        status = self.migration.lockstep.answer("status", "--format", "json", "--show-values")
        table = next(each for each in status["tables"] if each["table"] == f"public.t{LARGE}")
        ranges = [each for each in table["ranges"]
                  if each["verified_through"] and (each["lower"] or each["upper"])]
        chosen = self.rng.sample(ranges, min(most, len(ranges)))
        for one in chosen:
            self._taken(Claim(LARGE, bound(one["lower"], -INFINITY), bound(one["upper"], INFINITY),
                              lsn_number(one["verified_through"]), self.found(LARGE)))
        return len(chosen)

    def _taken(self, claim):
        self.taken.append(claim)
        known = claim.covers(key for key, at in self.damaged[claim.number].items()
                             if at < claim.position)
        assert known <= {abs(key) for key in claim.found}, (claim, self.damaged[claim.number])

    def found(self, number):
        document = self.migration.lockstep.answer("findings list", "--format", "json", "--table",
                                                  f"public.t{number}")
        return {int(each["key"]["id"]) for each in document["findings"]}


def through(status):
    """What of each table is verified; a claim of one is new when it is another."""
    return [table["verified_through"] for table in status["tables"]]


def is_verified(status):
    return bool(status["tables"]) and all(through(status))


def test_what_is_verified_is_equal(migrate, capsys):
    migration = migrate(schema(), reconcile={"every": "1s", "range_rows": RANGE_ROWS})
    migration.prepare()
    claims = Claims(migration)
    with migration.running() as lockstep:
        with Application(migration) as application:
            status = lockstep.await_status(is_verified, "every table to be compared")
            first = min(map(lsn_number, through(status)))
            ranges = 0
            while ranges < CLAIMS:
                before = through(status)
                for _ in range(2):
                    claims.damage()
                status = lockstep.await_status(lambda now: through(now) != before, "a new claim")
                claims.take(claims.rng.randrange(TABLES), status)
                ranges += claims.take_ranges(2)
        end = migration.source_position()

        def is_past_the_end(now):
            return all(lsn_number(each) >= end for each in through(now))

        lockstep.await_status(is_past_the_end, "all to be compared once more")
        last = {number: claims.found(number) for number in range(TABLES)}
    differing = {number: set(map(int, migration.differing(f"t{number}", COLUMNS)))
                 for number in range(TABLES)}
    assert differing == last, "the findings are not what differs"
    for claim in claims.taken:
        later = {key for key, at in claims.damaged[claim.number].items() if at >= claim.position}
        unclaimed = {key for key in claim.covers(differing[claim.number] - claim.found)
                     if abs(key) not in later}
        assert not unclaimed, (claim, unclaimed)
    with capsys.disabled():
        print(f"\n{len(claims.taken)} claims, {ranges} of them of ranges, of {TABLES} tables under {application.transactions}"
              f" transactions, {sum(map(len, claims.damaged.values()))} rows damaged meanwhile:"
              f" 0 differences that a claim covers; positions moved on by {(end - first) >> 10} KiB")
