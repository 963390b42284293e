"""Business aggregates: pairs of SQL at one position of both sides (issue D, part 7)."""

import threading
from contextlib import closing

import pytest

SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2), f float8);
INSERT INTO orders SELECT g, g * 1.25, g / 3.0 FROM generate_series(1, 1000) g
"""
TOTAL = {"name": "total", "source": "SELECT sum(total) AS sum, count(*) FROM public.orders",
         "target": "SELECT sum(total), count(*) FROM public.orders"}
MEAN = {"name": "mean", "tolerance": 0.001, "source": "SELECT avg(f) FROM public.orders",
        "target": "SELECT avg(f) + 0.0001 FROM public.orders"}


@pytest.fixture
def orders(migrate):
    def make(*aggregates, **overrides):
        migration = migrate(SCHEMA, aggregates=list(aggregates),
                            **{"reconcile": {"mode": "off"}, **overrides})
        migration.prepare()
        return migration

    return make


def states(document):
    return {one["name"]: one["state"] for one in document["aggregates"]}


def taken(migration, expected=(0,)):
    return migration.lockstep.answer("aggregates", "--format", "json", expected=expected)


def test_are_taken_by_themselves_and_shown(orders):
    migration = orders(TOTAL, MEAN, {**TOTAL, "name": "wrong", "every": "1s",
                                     "target": "SELECT sum(total) FROM public.seen"})
    migration.target("CREATE VIEW seen AS SELECT * FROM orders; GRANT SELECT ON seen TO PUBLIC")
    migration.lockstep.run_until_synced()  # Which takes none.
    migration.target("DROP VIEW seen")
    assert states(taken(migration, (3,))) == dict.fromkeys(("total", "mean", "wrong"), "pending")
    with migration.running() as lockstep:
        status = lockstep.await_status(
            lambda status: "pending" not in states(status).values() and states(status),
            "the aggregates")
        assert states(status) == {"total": "equal", "mean": "equal", "wrong": "failed"}, status
        total, _, wrong = taken(migration, (3,))["aggregates"]
        assert total["source"] == total["target"] == ["625625.00", "1000"], total
        assert total["columns"] == ["sum", "count"] and total["position"], total
        assert "seen" in wrong["reason"] and ".yaml:" in wrong["reason"], wrong
        text = lockstep.verb("status").stdout
        assert "aggregates" in text and "wrong" in text, text
    text = migration.lockstep.verb("aggregates")
    assert text.returncode == 3 and "625625.00" in text.stdout, text
    assert states(migration.lockstep.status())["total"] == "equal"


@pytest.mark.parametrize("daemon", [True, False], ids=["beside_the_daemon", "alone"])
def test_what_differs_makes_a_comparison_different(orders, daemon):
    """A view of the target that leaves rows out: every row is equal, and what people see is not."""
    migration = orders({**TOTAL, "every": "24h",
                        "target": "SELECT sum(total), count(*) FROM public.seen"})
    migration.target("CREATE VIEW seen AS SELECT * FROM orders WHERE id > 1;"
                     "GRANT SELECT ON seen TO PUBLIC")
    migration.lockstep.run_until_synced()

    def check():
        report = migration.lockstep.answer("reconcile", "--once", "--format", "json", expected=(2,))
        assert report["result"] == "different" and not report["findings"], report
        assert states(report) == {"total": "different"}, report
        one, = taken(migration, (2,))["aggregates"]
        assert (one["source"][1], one["target"][1]) == ("1000", "999"), one
        migration.target("CREATE OR REPLACE VIEW seen AS SELECT * FROM orders")
        report = migration.lockstep.answer("reconcile", "--once", "--format", "json")
        assert report["result"] == "equal" and states(report) == {"total": "equal"}, report

    if daemon:
        with migration.running() as lockstep:
            # Only a daemon that has its state directory says so.
            migration.await_synced("the daemon to follow")
            check()
    else:
        check()


def test_never_different_while_the_source_is_written_to(orders):
    """Writers that never pause: every taking is of one position, or says that it is not."""
    migration = orders({**TOTAL, "every": "1s"})
    over = threading.Event()

    def write(durable):
        step = 0
        with closing(migration.source_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SET synchronous_commit = {durable}")
            while not over.is_set():
                step += 1
                key = 2 * step + (durable == "on")
                cursor.execute(
                    f"INSERT INTO orders VALUES ({5000 + key}, 1, 1);"
                    f"UPDATE orders SET total = total + 1 WHERE id % 50 = {key % 50};"
                    f"DELETE FROM orders WHERE id = {key}")

    with migration.running() as lockstep:
        lockstep.await_follow()
        writers = [threading.Thread(target=write, args=(durable,)) for durable in ("on", "off")]
        for writer in writers:
            writer.start()
        try:
            seen = {}
            def note(status):
                one, = status["aggregates"]
                assert one["state"] != "different", one
                if one["state"] == "equal":
                    assert one["source"] == one["target"], one
                    seen[one["at_us"]] = tuple(one["source"])
                return len(seen) >= 4
            lockstep.await_status(note, "four takings", 60)
        finally:
            over.set()
            for writer in writers:
                writer.join()
    assert len(set(seen.values())) >= 2, seen  # They are of different positions.


def test_validate_names_the_statement_that_fails(orders):
    migration = orders({**TOTAL, "source": "SELECT sum(totl) FROM public.orders",
                        "target": "DELETE FROM public.orders"})
    done = migration.lockstep.verb("validate")
    assert done.returncode == 78, done
    assert "aggregate total" in done.stdout and "totl" in done.stdout, done.stdout
    assert done.stdout.count("aggregate total") == 2, done.stdout
