"""What the stream does not tell: rewrites, and tables that come and go (I15)."""

import pytest

from tests.integration.conftest import SLOW
from tests.lab.meanwhile import Markers


def await_stop(lockstep, table):
    """Waits until the table is stopped; returns the reason."""
    def reason(status):
        return [t["reason"] for t in status["tables"]
                if t["table"] == table and t["state"] == "stopped"]

    return reason(lockstep.await_status(reason, f"{table} to be stopped"))[0]


def copied_again(migration):
    return migration.lockstep.log_text().count("a table is copied again")


def test_rewrite_that_changes_every_row_without_an_event(migrate):
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text, n int DEFAULT 0);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 3000) g""")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE words SET v = 'changed before ' || id WHERE id <= 500")
        migration.source("ALTER TABLE words ALTER v TYPE text USING upper(v)")
        migration.source("UPDATE words SET n = 1 WHERE id BETWEEN 400 AND 900")
        migration.await_target("SELECT count(*) FROM words WHERE v = upper(v)", 3000)
    assert copied_again(migration) == 1
    migration.finish()


def test_rewrite_while_lockstep_is_down(migrate):
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 3000) g""")
    migration.prepare()
    migration.lockstep.run_until_synced()
    migration.source("UPDATE words SET v = 'changed before' WHERE id <= 50")
    migration.source("ALTER TABLE words ALTER v TYPE text USING upper(v)")
    migration.finish()
    assert copied_again(migration) == 1


def test_a_column_that_gives_its_name_to_a_new_one(migrate):
    """Its values are in no event, and the events after it look like those before."""
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, n int);
        INSERT INTO words SELECT g, g FROM generate_series(1, 300) g""")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("ALTER TABLE words DROP n, ADD n int DEFAULT 7")
        migration.source("INSERT INTO words VALUES (0, 1)")
        assert "column \"n\" was dropped" in await_stop(lockstep, "public.words")
    migration.finish()


def test_vacuum_full_changes_nothing(migrate):
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 3000) g""")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("DELETE FROM words WHERE id % 2 = 0")
        with migration.in_background("VACUUM FULL words"):
            pass
        migration.source("UPDATE words SET v = 'after' WHERE id <= 99")
    migration.finish()


def healed(migration):
    return migration.lockstep.log_text().count('"a table is healed"')


GOODS = """
CREATE TABLE goods (id int PRIMARY KEY, v text, n numeric);
INSERT INTO goods SELECT g, 'v' || g, g FROM generate_series(1, 20000) g
"""
DAMAGE = """
DELETE FROM goods WHERE id % 400 = 1;
UPDATE goods SET n = n + 0.01 WHERE id % 400 = 2;
INSERT INTO goods SELECT 30000 + g, 'nobody', 0 FROM generate_series(1, 50) g
"""


OTHER = "; CREATE TABLE other (id int PRIMARY KEY)"


@pytest.mark.parametrize("killed", [False, True])
def test_a_target_that_is_nearly_equal_is_healed_at_the_first_start(migrate, killed):
    migration = migrate(GOODS + OTHER, existing="heal", reconcile={"mode": "off"})
    migration.prepare()
    migration.target("INSERT INTO goods SELECT g, 'v' || g, g FROM generate_series(1, 20000) g")
    migration.target(DAMAGE)
    before = migration.rows_written("goods")
    assert migration.lockstep.verb("validate").returncode == 0
    if killed:
        migration.lockstep.start(failpoint="debt_before_settle").wait()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["phase"] in ("backfill", "follow"), "the heal")
        with Markers(migration, "other") as markers, migration.in_background(
                "UPDATE goods SET v = 'new' WHERE id = 7", "DELETE FROM goods WHERE id = 8"):
            lockstep.await_follow()
    markers.assert_prompt()
    migration.finish()
    # The server counts what a kill rolled back, too.
    most = 320 if killed else 160
    assert 150 <= migration.rows_written("goods") - before <= most


def changes(table):
    """Of a writer: statements that change, take away and bring rows."""
    return [text.format(table, n) for n in range(10, 70) for text in (
        "UPDATE {0} SET v = 'new' WHERE id % 90 = {1}", "DELETE FROM {0} WHERE id = 1000 + {1}",
        "INSERT INTO {0} (id, v) VALUES ({1} - 100, 'new')")]


@pytest.mark.parametrize("resync", [False, True])
def test_a_table_that_was_left_out_for_a_while_is_healed(direct, resync):
    """Also when everything else has begun anew meanwhile."""
    migration = direct(GOODS + OTHER)
    migration.prepare()
    migration.lockstep.run_until_synced()
    migration.lockstep.write({**migration.manifest, "tables": [
        {"source": "public.goods", "skip": True}, {"source": "public.other"}]})
    migration.lockstep.run_until_synced()
    if resync:
        assert migration.lockstep.verb("resync").returncode == 0
        migration.lockstep.run_until_synced()
    migration.source("DELETE FROM goods WHERE id < 100; UPDATE goods SET v = 'x' WHERE id < 200")
    migration.lockstep.write(migration.manifest)
    with migration.running() as lockstep:
        lockstep.await_follow(besides=("healing",))
        with Markers(migration, "other") as markers, migration.in_background(*changes("goods")):
            lockstep.await_follow()
    markers.assert_prompt()
    assert healed(migration) == 1
    migration.finish()


WORDS = """
CREATE TABLE words (id int PRIMARY KEY, v text, n int);
INSERT INTO words SELECT g, 'word ' || g, 1 FROM generate_series(1, 3000) g
"""


@pytest.mark.parametrize("is_down", [True, False])
@pytest.mark.parametrize("option", ["publish = 'insert'", "publish_via_partition_root = false"])
def test_publication_that_told_less_for_a_while(migrate, option, is_down):
    """Its options are as they were again; what was written meanwhile is in no stream."""
    migration = migrate(WORDS)
    migration.prepare()
    publication = f"ALTER PUBLICATION {migration.publication}"

    def tell_less():
        migration.source(f"{publication} SET ({option})")
        migration.source("UPDATE words SET v = 'unheard' WHERE id = 7;"
                         "DELETE FROM words WHERE id > 2900")
        migration.source(f"{publication} SET (publish = 'insert, update, delete, truncate',"
                         " publish_via_partition_root = true)")

    migration.lockstep.run_until_synced()
    if is_down:
        tell_less()
    with migration.running() as lockstep:
        lockstep.await_follow(besides=("healing",))
        with migration.in_background(*changes("words")):
            if not is_down:
                tell_less()
            lockstep.await_status(lambda _: healed(migration) == 1, "the heal")
    assert "options were changed" in migration.lockstep.log_text()
    migration.finish()


PARTED = """
CREATE TABLE words (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF words FOR VALUES FROM (0) TO (5000);
INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 100) g
"""
LESS = {
    "operations": ("SET (publish = 'insert')",
                   "SET (publish = 'insert, update, delete, truncate')", "leaves out operations"),
    "the table": ("DROP TABLE words", "ADD TABLE words", "lacks public.words"),
    "rows": ("SET TABLE words WHERE (id > 100)", "SET TABLE words", "filters rows or columns"),
    "partitions": ("SET (publish_via_partition_root = false)",
                   "SET (publish_via_partition_root = true)", "through their root"),
}


@pytest.mark.parametrize("what", LESS)
def test_a_publication_that_goes_on_telling_less_is_never_synced(direct, what):
    """What it does not tell is in no stream, and no proof misses it: it is named until it is told."""
    less, all_of_it, says = LESS[what]
    migration = direct(PARTED if what == "partitions" else WORDS)
    migration.prepare()
    publication = f"ALTER PUBLICATION {migration.publication}"
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        migration.source(f"{publication} {less}")
        lockstep.await_said("its changes are in no stream", says)
        migration.source("DELETE FROM words WHERE id BETWEEN 10 AND 20;"
                         "UPDATE words SET v = 'unheard' WHERE id = 7")
        lockstep.await_status(lambda status: status["tables"][0]["verified_through"],
                              "what was missed so far to be healed")
        lockstep.await_said("its changes are in no stream", says)
        assert not lockstep.status()["synced"] and healed(migration) == 0
        migration.source(f"{publication} {all_of_it}")
        lockstep.await_status(lambda _: healed(migration) == 1, "the heal")
    migration.finish()


def test_table_that_the_publication_lost_and_got_back_with_its_schema(migrate, stack):
    migration = migrate(WORDS + OTHER)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        publication = f"ALTER PUBLICATION {migration.publication}"
        with Markers(migration, "other") as markers, migration.in_background(*changes("words")):
            migration.source(f"{publication} DROP TABLE words")
            migration.source("UPDATE words SET v = 'unheard' WHERE id = 7")
            stack.source.execute(migration.name, f"{publication} ADD TABLES IN SCHEMA public")
            lockstep.await_status(lambda _: healed(migration) == 1, "the heal")
    markers.assert_prompt()
    migration.assert_equal()


def test_target_that_is_made_again_is_copied_again(migrate):
    migration = migrate(WORDS)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target("ALTER TABLE words DROP n")
        migration.source("UPDATE words SET n = 2 WHERE id < 10")
        # Said by whoever is first: the lane, or the look at the catalog.
        reason = await_stop(lockstep, "public.words")
        assert "does not exist" in reason or "was dropped on the target" in reason
        assert not lockstep.status()["synced"]
    migration.target("ALTER TABLE words ADD n int")
    migration.finish()
    with migration.running() as lockstep:
        migration.await_synced("a run that knows the table")
        migration.target("DROP TABLE words; CREATE TABLE words (id int PRIMARY KEY, v text, n int)")
        migration.grant()
        assert "made again on the target" in await_stop(lockstep, "public.words")
    migration.source("UPDATE words SET n = 3 WHERE id < 10; DELETE FROM words WHERE id > 2990")
    migration.finish()
    # The one that was made again is empty, so that its migration began anew instead.
    assert copied_again(migration) == 1


def test_table_that_the_manifest_selects_later(migrate):
    migration = migrate(WORDS)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        for side in (migration.source, migration.target):
            side("CREATE TABLE late (id int PRIMARY KEY)")
        migration.source("INSERT INTO late VALUES (1)")
        lockstep.await_said("public.late", "start lockstep again")
        assert not lockstep.status()["synced"]
    migration.grant()
    with migration.running() as lockstep:
        assert 'ADD TABLE "public"."late"' in await_stop(lockstep, "public.late")
        migration.source("UPDATE words SET v = 'goes on' WHERE id = 1")
        migration.await_target("SELECT v FROM words WHERE id = 1", "goes on")
        assert not lockstep.status()["synced"]
    migration.source(f"ALTER PUBLICATION {migration.publication} ADD TABLE late")
    migration.start_connector()  # It has to be told of the table, too.
    migration.source("INSERT INTO late VALUES (2)")
    migration.finish()


@pytest.mark.parametrize("sides", ["source", "both"])
def test_a_child_that_comes_later_keeps_its_rows(migrate, sides):
    """Issue E, row 34: ONLY, whatever the catalogs said when the run began."""
    migration = migrate("""
        CREATE TABLE parent (id int PRIMARY KEY, v text);
        CREATE TABLE child (id int PRIMARY KEY, v text);
        INSERT INTO parent SELECT g, 'parent' FROM generate_series(1, 900) g;
        INSERT INTO child SELECT g, 'child' FROM generate_series(600, 1200) g""",
                        backfill=SLOW)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: any(t["rows_done"] for t in status["tables"]),
                              "the copy to begin")
        migration.source("ALTER TABLE child INHERIT parent")
        if sides == "both":
            migration.target("ALTER TABLE child INHERIT parent")
        lockstep.await_follow()
        migration.source("DELETE FROM ONLY parent WHERE id BETWEEN 700 AND 800;"
                         "UPDATE ONLY parent SET v = 'changed' WHERE id > 850")
        migration.await_synced("both to be synced")
        for table in ("ONLY parent", "child"):
            assert (migration.target(f"SELECT * FROM {table} ORDER BY id")
                    == migration.source(f"SELECT * FROM {table} ORDER BY id"))
