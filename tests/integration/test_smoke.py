"""The shortest way through: copy what is there, follow what changes, end equal."""

PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, name text, weight numeric, born date);
INSERT INTO people SELECT g, 'person ' || g, g / 7.0, DATE '1970-01-01' + g
  FROM generate_series(1, 5000) g;
"""

CUT_OFF = 75  # The end took too long.


def test_copies_what_is_there(migrate):
    migration = migrate(PEOPLE)
    migration.prepare()
    assert migration.finish().rows == {"public.people": 5000}


def test_follows_what_changes(migrate):
    migration = migrate(PEOPLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("INSERT INTO people VALUES (9001, 'new', 'NaN', 'infinity')")
        migration.source("UPDATE people SET name = NULL, weight = 1.00 WHERE id BETWEEN 10 AND 20")
        migration.source("DELETE FROM people WHERE id BETWEEN 100 AND 200")
        migration.source("UPDATE people SET id = id + 10000 WHERE id BETWEEN 300 AND 310")
        migration.await_target("SELECT count(*) FROM people WHERE id > 10000", 11)
        status = lockstep.await_status(lambda status: status["synced"], "status to say synced")
        assert status["proof"] == "exact" and status["lag_seconds"] is not None
    migration.finish()


def test_a_locked_row_of_the_target_is_named_and_does_not_outlast_a_stop(migrate):
    """Issue E, row 9: an end that is cut off is told, in the log and by its exit code."""
    migration = migrate(PEOPLE)
    migration.prepare()
    holder = migration.target_connection(autocommit=False)
    lockstep = migration.lockstep
    lockstep.start()
    try:
        lockstep.await_follow()
        holder.cursor().execute("SELECT FROM people WHERE id = 7 FOR UPDATE")
        migration.source("UPDATE people SET name = 'behind the lock' WHERE id = 7")
        lockstep.await_status(
            lambda status: any("lock timeout" in line for line in status["waiting_for"]),
            "status to name the lock")
        assert lockstep.stop() == CUT_OFF
        assert "the end took too long" in lockstep.run_log()
    finally:
        holder.close()
    migration.finish()


def test_events_with_a_schema_part(migrate):
    migration = migrate(PEOPLE)
    migration.connector_overrides["value.converter.schemas.enable"] = "true"
    migration.connector_overrides["key.converter.schemas.enable"] = "true"
    migration.prepare()
    migration.source("UPDATE people SET name = 'changed before the start' WHERE id < 100")
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE people SET weight = -0.5 WHERE id < 50")
        migration.source("DELETE FROM people WHERE id BETWEEN 20 AND 30")
    migration.finish()


def test_empty_tables_and_partitions(migrate):
    migration = migrate("""
        CREATE TABLE nothing (id int PRIMARY KEY, v text);
        CREATE TABLE log (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE log_old PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE log_new PARTITION OF log DEFAULT;
        INSERT INTO log SELECT g, DATE '2020-06-01' + g, 'x' FROM generate_series(1, 1000) g;
        """)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("INSERT INTO nothing VALUES (1, ''), (2, NULL)")
        migration.source("UPDATE log SET day = day + 300 WHERE id < 50")  # Moves between leaves.
        migration.source("DELETE FROM log WHERE id > 900")
    assert migration.finish().rows["public.nothing"] == 2


def test_mapping_renames_drops_and_sets(migrate):
    migration = migrate(
        "CREATE TABLE orders (id int PRIMARY KEY, cust int, legacy text, note varchar(20));"
        "INSERT INTO orders SELECT g, g % 10, 'old', 'n' || g FROM generate_series(1, 500) g",
        tables=[{"source": "public.orders", "target": "public.orders_v2", "columns": {
            "rename": {"cust": "customer_id"}, "drop": ["legacy"], "set": {"origin": "shop-eu"}}}])
    migration.target("CREATE TABLE orders_v2 (id bigint PRIMARY KEY, customer_id bigint,"
                     " note text, origin text NOT NULL)")
    migration.grant()
    migration.publish()
    migration.start_connector()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE orders SET cust = 77 WHERE id = 5;"
                         "DELETE FROM orders WHERE id = 6")
        migration.source("INSERT INTO orders VALUES (1000, 1, 'x', NULL)")
    migration.lockstep.run_until_synced()
    moved = migration.target("SELECT id, customer_id, note FROM orders_v2"
                             " WHERE origin = 'shop-eu' ORDER BY id")
    assert moved == migration.source("SELECT id, cust, note FROM orders ORDER BY id")
