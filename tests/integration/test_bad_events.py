"""Events that nobody should send, put into a table's topic by hand: nothing is lost or guessed."""

import json
import re

import pytest

from tests.lab.process import wait_until

ITEMS = """
CREATE TABLE items (id int PRIMARY KEY, v text, n int);
INSERT INTO items SELECT g, 'item ' || g, g FROM generate_series(1, 50) g;
CREATE TABLE bystander (id int PRIMARY KEY, v text);
INSERT INTO bystander VALUES (1, 'a');
"""


@pytest.fixture
def following(migrate):
    """A migration that follows; the table's topic exists."""
    migration = migrate(ITEMS)
    migration.prepare()
    migration.source("UPDATE items SET v = 'first' WHERE id = 1")
    migration.await_captured()
    return migration


def event(migration, after, op="u", **source):
    """An event as the connector would write it now, in a transaction of the source's own."""
    xid, lsn = migration.source("SELECT pg_current_xact_id()::text::bigint,"
                                " (pg_current_wal_insert_lsn() - '0/0')::bigint")[0]
    where = {"version": "3.6.0.Final", "connector": "postgresql", "name": migration.name,
             "ts_ms": 1795000000000, "snapshot": "false", "db": migration.name,
             "sequence": f'["{lsn}","{lsn}"]', "schema": "public", "table": "items", "txId": xid,
             "lsn": lsn}
    return {"before": None, "after": after, "source": {**where, **source}, "op": op,
            "ts_ms": 1795000000000}


def encode(value):
    """JSON as Debezium writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def send(migration, key, value):
    """Writes a record; `value` is a dict, or the bytes themselves."""
    migration.stack.broker.produce(migration.topic("items"), None if key is None else encode(key),
                                   value if isinstance(value, bytes) else encode(value))


def await_stop(migration):
    """Waits until items alone is stopped; returns the reason, which names the place."""
    status = migration.lockstep.await_status(
        lambda s: any(t["state"] == "stopped" for t in s["tables"]), "the table to stop")
    stopped = {t["table"]: t["reason"] for t in status["tables"] if t["state"] == "stopped"}
    assert list(stopped) == ["public.items"]
    assert migration.topic("items") in stopped["public.items"]
    assert "offset" in stopped["public.items"]
    return stopped["public.items"]


def test_values_that_cannot_be_read_are_read_again(following):
    """Each is a debt: the row comes from the source, whose own it still is."""
    bodies = {
        2: encode(event(following, {"id": 2, "v": "@", "n": 2})).replace(b'"@"', b'"\xff\xfe"'),
        3: encode(event(following, {"id": 3, "v": "#", "n": 3})).replace(b'"#"', b""),
        4: event(following, {"id": 4, "v": "wrong type", "n": "four"}),
        5: event(following, {"id": 5, "v": "out of range", "n": 5_000_000_000}),
        6: event(following, {"id": 6, "v": "a column is missing"}),
        7: event(following, {"id": 7, "v": {"an": "object"}, "n": 7}),
    }
    with following.running() as lockstep:
        lockstep.await_follow()
        for key, body in bodies.items():
            send(following, {"id": key}, body)
        following.source("UPDATE bystander SET v = 'b'")
        following.await_target("SELECT v FROM bystander", "b")
        # Issue E, row 19: which event, which table, which column.
        assert lockstep.log_text().count("an event cannot be read") == 1, "one line a minute"
        topic = re.escape(following.topic("items"))
        assert re.search(rf"{topic}/0 offset \d+: public.items: ", lockstep.log_text())
    following.finish()


def test_a_delete_that_cannot_be_read_is_not_missed(following):
    """Only its key and its transaction can be told; the source lacks the row."""
    following.source("ALTER PUBLICATION " + following.publication + " SET (publish = 'insert')")
    following.source("DELETE FROM items WHERE id = 9")
    following.source("ALTER PUBLICATION " + following.publication +
                     " SET (publish = 'insert, update, delete, truncate')")
    body = encode(event(following, None, op="d"))
    with following.running() as lockstep:
        lockstep.await_follow()
        following.target("INSERT INTO items VALUES (9, 'deleted unheard', 0) ON CONFLICT DO NOTHING")
        send(following, {"id": 9}, body.replace(b'"op":"d"', b'"op":'))
        following.await_target("SELECT count(*) FROM items WHERE id = 9", 0)
    following.finish()


def test_a_large_value_passes_and_a_record_of_a_hundred_megabytes_stops_its_table(following):
    with following.running() as lockstep:
        lockstep.await_follow()
        send(following, {"id": 8}, event(following, {"id": 8, "v": "x" * 30_000_000, "n": 8}))
        following.await_target("SELECT length(v) FROM items WHERE id = 8", 30_000_000)
        send(following, {"id": 8}, event(following, {"id": 8, "v": "x" * 100_000_000, "n": 8}))
        reason = await_stop(following)
        assert "larger than the 67108864 bytes" in reason
        assert lockstep.process.resident_bytes()[1] < 512 << 20


def test_an_unknown_operation_halts(following):
    following.lockstep.start()
    following.lockstep.await_follow()
    send(following, {"id": 1}, event(following, {"id": 1, "v": "x", "n": 1}, op="z"))
    assert following.lockstep.wait_exit(60) == 65
    log = following.lockstep.log_text()
    assert "unknown operation" in log and f"{following.topic('items')}/0 offset" in log


@pytest.mark.parametrize("key, body, words", [
    (None, {"id": 1, "v": "x", "n": 1}, "has no key"),
    ({"id": "one"}, {"id": 1, "v": "x", "n": 1}, "cannot be read"),
    ({"id": 1}, {"id": 2, "v": "x", "n": 1}, "is not the key of its row"),
    ({"id": 1}, {"id": 1, "v": "x", "n": 1, "color": "red"}, "column color"),
    ({"id": 1}, b'{"before": null, "after": {"id": 1, "v": "cut', "transaction cannot be told"),
])
def test_events_that_stop_their_table_and_no_other(following, key, body, words):
    with following.running() as lockstep:
        lockstep.await_follow()
        send(following, key, body if isinstance(body, bytes) else event(following, body))
        following.source("UPDATE bystander SET v = 'goes on'")
        following.await_target("SELECT v FROM bystander", "goes on")
        assert words in await_stop(following)


def test_offsets_that_have_expired_halt(following):
    following.lockstep.run_until_synced()
    broker, topic = following.stack.broker, following.topic("items")
    applied = broker.end_offsets(re.escape(topic))[(topic, 0)]
    broker.retain_little(topic)

    def expired():
        following.source("UPDATE items SET n = n + 1 WHERE id = 1")
        return broker.first_offset(topic) > applied

    wait_until(expired, "records to expire")
    assert following.lockstep.start().wait(60) == 65
    assert f"{topic}: offset {applied} of partition 0 has expired" in following.lockstep.log_text()
    assert following.target("SELECT n FROM items WHERE id = 1") == [(1,)], "target untouched"
