"""Partitions that come, go, are truncated, or are not in the stream (I15)."""

import pytest

from tests.integration.test_shape import await_stop, copied_again, healed
from tests.lab.meanwhile import Markers

LOG = """
CREATE TABLE log (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE log_2020 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE log_2021 PARTITION OF log FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO log SELECT g, DATE '2020-01-01' + g % 700, 'x' FROM generate_series(1, 2000) g;
CREATE TABLE bystander (id int PRIMARY KEY, v text);
INSERT INTO bystander VALUES (1, 'a');
"""

# By name: a partition that was detached would match a glob, as a table of its own.
TABLES = [{"source": "public.log"}, {"source": "public.bystander"}]
STOPS = [{**table, "partitions": "stop"} for table in TABLES]


def keep_partitions(migration):
    migration.lockstep.write({**migration.manifest, "tables": [
        {**table, "partitions": "keep"} for table in TABLES]})


def test_partition_attached_with_rows_and_one_created(migrate):
    migration = migrate(LOG)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        for side in (migration.source, migration.target):
            side("CREATE TABLE log_2022 (LIKE log INCLUDING ALL)")
        migration.source("INSERT INTO log_2022 SELECT g, '2022-05-05', 'kept apart'"
                         " FROM generate_series(1, 300) g")
        for side in (migration.target, migration.source):
            side("ALTER TABLE log ATTACH PARTITION log_2022"
                 " FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')")
            side("CREATE TABLE log_2023 PARTITION OF log"
                 " FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')")
        migration.source("INSERT INTO log VALUES (1, '2023-03-03', 'new'), (2, '2022-05-06', 'new')")
        migration.await_target("SELECT count(*) FROM log", 2302)
    migration.finish()


def test_partitions_are_looked_for_while_another_table_is_locked(direct):
    """Whatever somebody does to a table of the publication, the catalog is read without its lock."""
    migration = direct(LOG, reconcile={"mode": "off"})
    migration.prepare()
    with migration.running():
        migration.await_synced("the copy")
        with migration.open_transaction("LOCK TABLE bystander IN ACCESS EXCLUSIVE MODE"):
            for side in (migration.target, migration.source):
                side("CREATE TABLE log_2022 (LIKE log INCLUDING ALL)")
            migration.source("INSERT INTO log_2022 SELECT g, '2022-05-05', 'kept apart'"
                             " FROM generate_series(1, 300) g")
            for side in (migration.target, migration.source):
                side("ALTER TABLE log ATTACH PARTITION log_2022"
                     " FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')")
            migration.await_target("SELECT count(*) FROM log", 2300)
            migration.await_synced("all of it")
    migration.finish()


def writes_to_log():
    """Of a writer: statements that change rows of both partitions."""
    return [text.format(n) for n in range(70) for text in (
        "INSERT INTO log VALUES ({0}, '2021-11-30', 'new') ON CONFLICT DO NOTHING",
        "UPDATE log SET v = v || '{0}' WHERE id = {0}", "DELETE FROM log WHERE id = 1000 + {0}")]


@pytest.mark.parametrize("down", [False, True])
def test_a_partition_that_comes_with_rows_is_read_alone(direct, down):
    """Issue E, row 31: the root, of many rows, is not; under a writer that changes both."""
    migration = direct(LOG + "INSERT INTO log SELECT g, DATE '2020-01-01' + g % 700, 'x'"
                       " FROM generate_series(2001, 60000) g",
                       tables=TABLES, reconcile={"mode": "off"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    before = migration.rows_fetched("log_2020") + migration.rows_fetched("log_2021")
    for side in (migration.target, migration.source):
        side("CREATE TABLE log_2022 (v text, gone int, day date NOT NULL, id int NOT NULL);"
             "ALTER TABLE log_2022 DROP gone")
    migration.source("INSERT INTO log_2022 SELECT 'kept apart', '2022-05-05', g"
                     " FROM generate_series(1, 3000) g")
    attach = ("ALTER TABLE log ATTACH PARTITION log_2022"
              " FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')")
    writes = writes_to_log()
    with migration.in_background(*writes):
        if down:
            migration.target(attach)
            migration.source(attach)
    with migration.running() as lockstep:
        lockstep.await_follow()
        with Markers(migration, "bystander") as markers, migration.in_background(*writes):
            if not down:
                migration.target(attach)
                migration.source(attach)
            migration.await_target("SELECT count(*) > 2900 FROM log_2022", True)
        migration.await_synced("the partition to be copied")
    markers.assert_prompt()
    log = migration.lockstep.log_text()
    assert copied_again(migration) == 0
    assert "a partition that was attached with rows is copied" in log, log[-2000:]
    read = migration.rows_fetched("log_2020") + migration.rows_fetched("log_2021") - before
    assert read < 5000, read
    migration.finish()


AWAY = """
ALTER TABLE log DETACH PARTITION log_2020;
DELETE FROM log_2020 WHERE id % 2 = 0;
UPDATE log_2020 SET v = 'unheard' WHERE id % 10 = 1;
ALTER TABLE log ATTACH PARTITION log_2020 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')
"""


@pytest.mark.parametrize("change", [
    "TRUNCATE log_2020", "ALTER TABLE log DETACH PARTITION log_2020", "DROP TABLE log_2020",
    "TRUNCATE log_2020; TRUNCATE log_2021", AWAY,
], ids=["truncated", "detached", "dropped", "all_truncated", "put_back"])
@pytest.mark.parametrize("is_down", [True, False])
def test_what_no_event_tells_of_a_partition_is_healed(migrate, change, is_down):
    """Under a writer, and the other table does not wait for it."""
    migration = migrate(LOG, tables=TABLES, reconcile={"mode": "off"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    writes = writes_to_log()
    if is_down:
        migration.source(change)
    with migration.running() as lockstep:
        lockstep.await_follow(besides=("healing",))
        with Markers(migration, "bystander") as markers, migration.in_background(*writes):
            if not is_down:
                migration.source(change)
            lockstep.await_status(lambda _: healed(migration) == 1, "the heal")
        migration.await_synced("it to be synced")
    markers.assert_prompt()
    assert copied_again(migration) == 0
    migration.lockstep.run_until_synced()
    rows = "SELECT * FROM log ORDER BY id, day"
    assert migration.source(rows) == migration.target(rows)


def test_rows_that_nobody_wrote_are_left_alone_by_a_heal(migrate):
    """What is written to the target is what differs, whatever the table's size."""
    migration = migrate(LOG + "INSERT INTO log SELECT g, DATE '2021-01-01' + g % 300, 'x'"
                        " FROM generate_series(2001, 30000) g",
                        tables=TABLES, reconcile={"mode": "off"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    lost = migration.source("SELECT count(*) FROM log_2020")[0][0]
    before = migration.rows_written("log%")
    migration.source("TRUNCATE log_2020")
    migration.finish()
    assert lost <= migration.rows_written("log%") - before <= 1.05 * lost


def test_partition_detached_stops_the_table_unless_told_to_keep(migrate):
    migration = migrate(LOG, tables=STOPS)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("ALTER TABLE log DETACH PARTITION log_2020")
        reason = await_stop(lockstep, "public.log")
        assert "public.log_2020" in reason and "partitions: keep" in reason
        migration.source("UPDATE bystander SET v = 'goes on'")
        migration.await_target("SELECT v FROM bystander", "goes on")
    assert migration.lockstep.start("--until", "synced").wait(120) == 3, "still stopped"
    kept = migration.source("SELECT count(*) FROM log_2020")[0][0]
    keep_partitions(migration)
    migration.source("INSERT INTO log VALUES (5000, '2021-02-02', 'later')")
    migration.lockstep.run_until_synced()
    assert migration.target("SELECT count(*) FROM log WHERE day < '2021-01-01'")[0][0] == kept
    assert (migration.target("SELECT * FROM log WHERE day >= '2021-01-01' ORDER BY 1, 2")
            == migration.source("SELECT * FROM log ORDER BY 1, 2"))


SILENT = """
CREATE UNLOGGED TABLE log_2022 PARTITION OF log FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')
"""


def test_a_partition_that_is_not_in_the_log_stops_the_table(migrate):
    """From the start, or made later: no stream tells what is written to it."""
    migration = migrate(LOG + SILENT, tables=TABLES)
    migration.prepare()
    assert "UNLOGGED or foreign" in migration.lockstep.verb("validate").stdout
    assert migration.lockstep.start("--until", "synced").wait(120) == 78  # A first start.
    for side in (migration.source, migration.target):
        side("ALTER TABLE log_2022 SET LOGGED")
    migration.target("TRUNCATE log")
    migration.finish()
    keep_partitions(migration)
    migration.source("DROP TABLE log_2022")
    migration.target("DROP TABLE log_2022")
    migration.lockstep.run_until_synced()
    with migration.running() as lockstep:
        migration.target(SILENT.replace("UNLOGGED ", ""))
        migration.source(SILENT)
        assert "in no stream, in log_2022" in await_stop(lockstep, "public.log")


def test_dropped_partition_and_dropped_table_are_named(migrate):
    migration = migrate(LOG, tables=STOPS)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("DROP TABLE log_2020")
        migration.source("DROP TABLE bystander")
        assert "public.log_2020" in await_stop(lockstep, "public.log")
        assert "dropped" in await_stop(lockstep, "public.bystander")


def test_truncate_of_one_partition_is_not_missed(migrate):
    migration = migrate(LOG, tables=STOPS)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("TRUNCATE log")
        migration.source("INSERT INTO log SELECT g, DATE '2020-01-01' + g % 700, 'again'"
                         " FROM generate_series(1, 500) g")
        migration.await_target("SELECT count(*) FROM log WHERE v = 'again'", 500)
        lockstep.await_status(lambda _: copied_again(migration) == 1, "the TRUNCATE to be noticed")
        lockstep.await_follow()
        migration.source("TRUNCATE log_2021")
        assert "public.log_2021" in await_stop(lockstep, "public.log")
    migration.target("TRUNCATE log")
    migration.finish()


BEFORE = """
UPDATE log SET v = 'before' WHERE day >= '2021-01-01';
INSERT INTO log SELECT g, '2021-12-12', 'before' FROM generate_series(9000, 9200) g;
"""
LATER = """
INSERT INTO log VALUES (9001, '2021-12-12', 'after'), (9500, '2021-02-02', 'after')
  ON CONFLICT (id, day) DO UPDATE SET v = excluded.v
"""


@pytest.mark.parametrize("change", [
    "TRUNCATE log_2021",
    "ALTER TABLE log DETACH PARTITION log_2021; CREATE TABLE log_next PARTITION OF log"
    " FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
    "ALTER TABLE log DETACH PARTITION log_2021; DELETE FROM log_2021 WHERE id % 2 = 0;"
    "ALTER TABLE log ATTACH PARTITION log_2021 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
], ids=["truncated", "detached", "put_back"])
@pytest.mark.parametrize("is_down", [True, False])
def test_doing_what_the_message_says_loses_nothing(migrate, change, is_down):
    """Issue E, row 22.  What lies in the log before such a change is read after the operator has
    obeyed: rows that were deleted by hand came back."""
    migration = migrate(LOG, tables=STOPS)
    migration.prepare()
    migration.lockstep.run_until_synced()
    if is_down:
        migration.source(BEFORE + change)
        migration.source(LATER)
    with migration.running() as lockstep:
        if not is_down:
            lockstep.await_follow()
            # The events of a large transaction are on their way when the catalog tells the change.
            migration.source(BEFORE + change)
            migration.source(LATER)
        reason = await_stop(lockstep, "public.log")
        assert "empty public.log on the target and start again: it is copied anew" in reason
    migration.target("TRUNCATE log")
    for change in ("UPDATE log SET v = 'later' WHERE id = 9500",
                   "INSERT INTO log VALUES (9600, '2021-02-02', 'it goes on')"):
        migration.source(change)
        migration.lockstep.run_until_synced()
        rows = "SELECT * FROM log ORDER BY id, day"
        assert migration.source(rows) == migration.target(rows)


def test_truncate_before_a_restart(migrate):
    """Carried out by the run before, and not looked at yet: the files alone would not tell."""
    migration = migrate(LOG, tables=TABLES)
    migration.prepare()
    migration.lockstep.run_until_synced()
    migration.lockstep.start(failpoint="truncate_after_commit")
    migration.source("TRUNCATE log")
    migration.source("INSERT INTO log VALUES (1, '2020-02-02', 'again')")
    migration.lockstep.wait_exit()
    migration.finish()


def test_what_was_away_for_a_while_is_not_taken_for_the_same(migrate):
    """Same oid, same file; but what was written in between is in no stream."""
    migration = migrate(LOG, tables=STOPS)
    migration.prepare()
    migration.lockstep.run_until_synced()
    migration.source("ALTER TABLE log DETACH PARTITION log_2020")
    migration.source("DELETE FROM log_2020 WHERE id <= 50")
    migration.source("ALTER TABLE log ATTACH PARTITION log_2020"
                     " FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')")
    with migration.running() as lockstep:
        assert "log_2020 was detached and put back" in await_stop(lockstep, "public.log")
        migration.source(f"ALTER PUBLICATION {migration.publication} DROP TABLE bystander;"
                         f"ALTER PUBLICATION {migration.publication} ADD TABLE bystander")
        assert "taken out of the publication" in await_stop(lockstep, "public.bystander")


def test_truncate_of_the_only_partition(migrate):
    migration = migrate("""
        CREATE TABLE log (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE log_all PARTITION OF log DEFAULT;
        INSERT INTO log SELECT g, 'x' FROM generate_series(1, 100) g""",
                        tables=[STOPS[0]])
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("TRUNCATE log")
        lockstep.await_status(lambda _: copied_again(migration) == 1, "the TRUNCATE to be noticed")
        lockstep.await_follow()
        migration.source("INSERT INTO log VALUES (1, 'again')")
        migration.await_target("SELECT count(*) FROM log", 1)
        migration.await_synced("the new copy to be settled")
        migration.source("TRUNCATE log_all")
        assert "public.log_all" in await_stop(lockstep, "public.log")
