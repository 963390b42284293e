#!/usr/bin/env python3
"""Captures every type of the parity test as `connector-config` asks for it, with the truth beside.

usage, from the repository's root: LOCKSTEP_BINARY=... python3 -m tests.golden.make_parity_capture

One wide table, a row per round of values, two connectors on the same changes: debezium/asked
(schemas.enable=false) and debezium/asked_schemas (the first rows only: a schema is 40 KB an event).
debezium/asked.tsv has the format of make_debezium_truth.py, and per event the line
`owed` key column...: what it does not carry by the Debezium document, so that the row is a debt.
"""
import contextlib
import json
from pathlib import Path

from tests.golden.make_debezium_truth import dump, keep_history
from tests.integration.parity_types import DDL, KINDS
from tests.lab.migration import Migration
from tests.lab.process import wait_until
from tests.lab.stack import READER, Stack

FOLDER = Path(__file__).parent / "debezium"
WIDE = [kind for kind in KINDS if not kind.rule]
ROUNDS = max(len(kind.literals()) for kind in WIDE)
INSERTED, UPDATED, MOVED, DELETED, MOVED_TO = 200, 300, 400, 500, 1400
EVENTS = {**{INSERTED + i: i for i in range(ROUNDS)}, UPDATED: 1, MOVED_TO: 3}  # Id: its round.
WITH_SCHEMA = {*range(INSERTED, INSERTED + 4), UPDATED, MOVED, MOVED_TO, DELETED}


def value(kind, number):
    return kind.literals()[number % len(kind.literals())]


def literal(kind, number):
    text = value(kind, number)
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def insert(key, number):
    values = ", ".join(literal(kind, number) for kind in WIDE)
    return f"INSERT INTO asked VALUES ({key}, {values});"


def schema():
    columns = ", ".join(f"{kind.table} {kind.sql}" for kind in WIDE)
    before = "".join(insert(key, number) for key, number in ((UPDATED, 0), (MOVED, 3), (DELETED, 2)))
    return f"{DDL} CREATE TABLE asked (id int PRIMARY KEY, {columns}); {before}"


def work():
    rows = "".join(insert(INSERTED + i, i) for i in range(ROUNDS))
    changes = ", ".join(f"{kind.table} = {literal(kind, EVENTS[UPDATED])}" for kind in WIDE)
    return (f"{rows} UPDATE asked SET {changes} WHERE id = {UPDATED};"
            f"UPDATE asked SET id = {MOVED_TO} WHERE id = {MOVED};"
            f"DELETE FROM asked WHERE id = {DELETED};")


def write_records(broker, name, wanted):
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    with open(folder / "public.asked.jsonl", "w", encoding="utf-8") as file:
        for record in broker.records(f"{name}\\.public\\.asked"):
            key = json.loads(record.key())
            if key.get("payload", key)["id"] not in wanted:
                continue
            text = None if record.value() is None else record.value().decode()
            line = {"topic": record.topic(), "partition": record.partition(),
                    "offset": record.offset(), "timestamp": record.timestamp()[1],
                    "tstype": "CreateTime",
                    "headers": [[name, data.decode()] for name, data in record.headers() or []],
                    "key": record.key().decode(), "value": text}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_truth(migration, config):
    cursor = migration.source_connection().cursor()
    cursor.execute("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'")
    with open(FOLDER / "asked.tsv", "w", encoding="utf-8") as file:
        with contextlib.redirect_stdout(file):
            dump(cursor, "public", "asked")
            for key, number in EVENTS.items():
                owed = [kind.table for kind in WIDE
                        if not kind.is_carried(value(kind, number), config, "DEFAULT")]
                print("owed", f"{key:08x}", *owed, sep="\t")


@contextlib.contextmanager
def second_connector(migration):
    """One more reader of the same changes, with schemas."""
    stack, name = migration.stack, "asked_schemas"
    printed = migration.lockstep.connector_config()["config"]
    stack.connect.put(name, {**printed, "database.password": stack.source.passwords[READER],
                             "topic.prefix": name, "slot.name": name,
                             "key.converter.schemas.enable": "true",
                             "value.converter.schemas.enable": "true"})
    slot = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}' AND "
    wait_until(lambda: stack.source.value("postgres", slot + "active"), "the second slot")
    try:
        yield name
    finally:
        stack.connect.delete(name)
        wait_until(lambda: stack.source.value("postgres", slot + "NOT active"), "its release")
        stack.source.execute("postgres", f"SELECT pg_drop_replication_slot('{name}')")


def main():
    with Stack() as stack, Migration(stack, "asked") as migration:
        migration.source(schema())
        migration.prepare()
        with second_connector(migration) as second:
            keep_history(migration.source_connection().cursor(), "public", "asked")
            migration.source(work())
            migration.await_captured()
            records = stack.broker.record_count
            wait_until(lambda: records(f"{second}.public.asked") == records("asked.public.asked"),
                       "the second connector's records")
            write_records(stack.broker, migration.name, {*EVENTS, *WITH_SCHEMA})
            write_records(stack.broker, second, WITH_SCHEMA)
        config = migration.lockstep.connector_config()["config"]
        write_truth(migration, config)
        print(f"placeholder {config['unavailable.value.placeholder']}")


if __name__ == "__main__":
    main()
