"""The direct stream: pgoutput through libpq, with nothing between the two servers.

What every stream must do is in the other files, which run over it with LOCKSTEP_STREAM=direct; here
and in test_direct_slot is what only this one has.
"""

from contextlib import contextmanager

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import SLOW, TABLE
from tests.lab.process import LabError, wait_until

SEED = 7


def test_a_changing_database(shop):
    """Copied under load, stopped, killed, started again: equal in the end."""
    migration = shop(rate_limit_rows_per_second=3000)
    lockstep = migration.lockstep
    with Writer(migration.source_connection, SEED, rate=150):
        with migration.running():
            lockstep.await_rows(500)
        lockstep.start()
        lockstep.await_rows(1000)
        lockstep.kill()
        with migration.running():
            lockstep.await_follow()
    migration.finish()


def test_every_kind_of_change(direct):
    migration = direct("""
        CREATE TABLE t (id int PRIMARY KEY, big text, n int);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
        INSERT INTO t SELECT g, repeat('large ' || g, 500), 0 FROM generate_series(1, 300) g;
        CREATE TABLE full_identity (LIKE t INCLUDING ALL);
        ALTER TABLE full_identity REPLICA IDENTITY FULL;
        INSERT INTO full_identity SELECT * FROM t;
        CREATE TABLE wiped (id int PRIMARY KEY);
        CREATE TABLE wiped_too (id int PRIMARY KEY);
        INSERT INTO wiped SELECT generate_series(1, 100);
        """)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        for table in ("t", "full_identity"):
            migration.source(f"UPDATE {table} SET n = 1 WHERE id < 100;"
                             f"UPDATE {table} SET id = id + 1000 WHERE id BETWEEN 50 AND 60;"
                             f"DELETE FROM {table} WHERE id BETWEEN 70 AND 80;"
                             f"INSERT INTO {table} VALUES (-1, NULL, NULL)")
        migration.source("INSERT INTO wiped_too VALUES (1);"
                         "TRUNCATE wiped, wiped_too;"
                         "INSERT INTO wiped VALUES (1000), (1001)")
        migration.await_target("SELECT count(*) FROM wiped", 2)
    migration.finish()


@pytest.mark.usefixtures("owning_role")
def test_the_slot_and_the_publication_are_made(direct):
    """A role that owns the tables needs nobody's help."""
    migration = direct()
    migration.copy_schema()
    migration.grant()
    assert migration.lockstep.verb("validate").returncode == 0
    migration.finish()
    assert migration.slot("plugin") == "pgoutput"


def with_a_new_table(direct):
    """A migration that was synced; since then both sides have got the table u."""
    migration = direct()
    migration.copy_schema()
    migration.grant()
    migration.finish()
    for side in (migration.source, migration.target):
        side("CREATE TABLE u (id int PRIMARY KEY, v text)")
    migration.grant()
    return migration


@contextmanager
def a_start_that_waits(migration, statement):
    """lockstep has been started, and waits for a transaction that ends at the exit."""
    with migration.open_transaction(statement) as pid:
        migration.lockstep.start()
        migration.lockstep.await_said("new", f"pid {pid}")
        yield


@pytest.mark.usefixtures("owning_role")
def test_a_table_that_is_added_later(direct):
    """The publication is extended, and what an open transaction wrote before is copied."""
    migration = with_a_new_table(direct)
    with a_start_that_waits(migration, "UPDATE t SET n = 5 WHERE id = 5"):
        pass
    migration.lockstep.await_follow()
    migration.source("INSERT INTO u VALUES (1, 'one'), (2, 'two')")
    assert migration.lockstep.stop() == 0
    migration.finish()


@pytest.mark.usefixtures("owning_role")
def test_a_column_added_while_a_start_waits(direct):
    """The catalogs were read before the wait: what changed since stops the table."""
    migration = with_a_new_table(direct)
    with a_start_that_waits(migration, "SELECT pg_current_xact_id()"):
        migration.source("ALTER TABLE t ADD extra int")
        migration.source("INSERT INTO t VALUES (-1, 'drifted', 1, 1)")
    migration.lockstep.await_status(
        lambda status: any("extra" in (table["reason"] or "") for table in status["tables"]),
        "the table to stop")
    assert migration.lockstep.stop() == 0
    migration.target("ALTER TABLE t ADD extra int")
    migration.finish()


OPEN = "INSERT INTO t VALUES (-1, 'open', 0)"


def test_the_slot_waits_for_open_transactions_and_says_for_whom(direct):
    migration = direct()
    migration.prepare()
    with migration.open_transaction(OPEN) as pid:
        migration.lockstep.start()
        migration.lockstep.await_said("slot", f"pid {pid}")
    migration.lockstep.await_follow()
    assert migration.lockstep.stop() == 0
    migration.finish()


def test_stopping_while_the_slot_waits(direct):
    migration = direct()
    migration.prepare()
    with migration.open_transaction(OPEN):
        migration.lockstep.start()
        migration.lockstep.await_said("slot")
        assert migration.lockstep.stop(20) == 0
        wait_until(lambda: migration.slot("true") is None, "the half-made slot to go")


def test_killed_while_the_slot_waits(direct):
    migration = direct()
    migration.prepare()
    with migration.open_transaction(OPEN):
        migration.lockstep.start()
        migration.lockstep.await_said("slot")
        migration.lockstep.kill()
        wait_until(lambda: migration.slot("true") is None, "the half-made slot to go")
    migration.finish()


def test_a_large_transaction_is_resumed_inside(direct):
    """Killed in the middle of one transaction: what it had applied is not lost, nor done twice."""
    migration = direct()
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
    migration.source("INSERT INTO t SELECT g, 'big', 0 FROM generate_series(10001, 130000) g")
    migration.lockstep.start(failpoint="lane_after_commit:12")
    migration.lockstep.wait_exit()
    arrived = migration.target("SELECT count(*) FROM t WHERE id > 10000")[0][0]
    assert 0 < arrived < 120000
    migration.finish()


@pytest.mark.usefixtures("owning_role")
@pytest.mark.parametrize("existing", ["refuse", "upsert"])
def test_a_table_taken_out_of_the_publication_is_healed(direct, existing):
    """Its changes meanwhile are in no stream; where the target may hold rows of its own nobody knows
    which of them the source has deleted."""
    moved = direct(existing=existing)
    moved.prepare()
    moved.finish()
    moved.source(f"ALTER PUBLICATION {moved.publication} DROP TABLE t")
    moved.source("DELETE FROM t WHERE id = 1")
    if existing == "upsert":
        moved.assert_halts("does not cover public.t any more")
        moved.lockstep.start("--until", "synced")
        assert moved.lockstep.wait_exit() == 78
        moved.target("TRUNCATE t")
    moved.finish()


def test_a_table_taken_out_of_the_manifest_is_copied_anew(direct):
    """Nor does `existing: upsert` keep what the source has deleted since."""
    migration = direct(TABLE + "CREATE TABLE other (id int PRIMARY KEY)", existing="upsert")
    migration.prepare()
    migration.finish()
    everything = migration.manifest["tables"]
    migration.manifest["tables"] = [*everything, {"source": "public.t", "skip": True}]
    migration.lockstep.write(migration.manifest)
    migration.lockstep.run_until_synced()
    migration.source("DELETE FROM t WHERE id = 1")
    migration.manifest["tables"] = everything
    migration.lockstep.write(migration.manifest)
    migration.lockstep.start("--until", "synced")
    assert migration.lockstep.wait_exit() == 78
    assert "left out for a while" in migration.lockstep.log_text()
    migration.target("TRUNCATE t")
    migration.finish()


def test_a_table_dropped_while_lockstep_is_down(direct):
    """The manifest still selects it: it is told of, and the others go on."""
    migration = direct(TABLE + "CREATE TABLE other (id int PRIMARY KEY)")
    migration.prepare()
    migration.finish()
    migration.source("DROP TABLE other")
    migration.source("UPDATE t SET n = 3")
    with migration.running() as lockstep:
        lockstep.await_status(
            lambda status: any("dropped on the source" in (table["reason"] or "")
                               for table in status["tables"]),
            "other to be left out")
        migration.await_target("SELECT min(n) FROM t", 3)
    migration.assert_equal()


def test_a_table_that_drifts_stops_alone(direct):
    """The others go on and are proven; mended, it goes on from where it stood."""
    migration = direct(TABLE + "CREATE TABLE other (id int PRIMARY KEY, v text)")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("ALTER TABLE t ADD extra int")
        migration.source("INSERT INTO t VALUES (-1, 'drifted', 1, 1)")
        migration.source("INSERT INTO other VALUES (1, 'goes on')")
        migration.await_target("SELECT count(*) FROM other", 1)
        lockstep.await_status(
            lambda status: any("extra" in (table["reason"] or "") for table in status["tables"]),
            "the table to stop")
    migration.source("UPDATE t SET n = 4 WHERE id = 4")
    migration.source("INSERT INTO other VALUES (2, 'while it was down')")
    done = migration.lockstep.verb("run", "--until", "synced")
    assert done.returncode == 3, done.stderr
    assert migration.target("SELECT count(*) FROM other") == [(2,)]
    migration.target("ALTER TABLE t ADD extra int")
    migration.finish()


def test_types_that_travel_in_text(direct):
    """Composites hold the source's OIDs in binary form; aclitem has none at all."""
    migration = direct("""
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TYPE pair AS (a int, m mood);
        CREATE TABLE t (id int PRIMARY KEY, p pair, m mood, acl aclitem, kind regtype, ps pair[]);
        INSERT INTO t VALUES (1, '(1,sad)', 'sad', 'postgres=r/postgres', 'mood', '{"(1,glad)"}');
        """)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("INSERT INTO t SELECT g, (g, 'glad')::pair, 'glad', 'postgres=w/postgres',"
                         " 'pair', ARRAY[(g, 'sad')::pair] FROM generate_series(2, 50) g;"
                         "UPDATE t SET m = 'sad' WHERE id < 10;"
                         "UPDATE t SET p = NULL, kind = 'int4' WHERE id < 5")
    migration.finish()


def test_a_writer_that_never_rests(shop):
    """Backfill and stream of a shop that never rests; no debt is left."""
    migration = shop(0.05)
    with Writer(migration.source_connection, SEED, rate=0, threads=4) as writer:
        with migration.running() as lockstep:
            lockstep.await_follow()
            if not writer.changes:
                raise LabError("the writer did nothing")
    migration.finish()


def test_chunks_and_changes_meet(direct):
    """Every row changes while it is being copied."""
    migration = direct(backfill=SLOW)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(100)
        for n in range(1, 4):
            migration.source("UPDATE t SET n = %s, v = v || '.' WHERE id %% 3 <> %s", (n, n % 3))
            migration.source("DELETE FROM t WHERE id %% 97 = %s", (n,))
            migration.source("UPDATE t SET id = id + 100000 WHERE id %% 89 = %s", (n,))
    migration.finish()
