"""The alternatives to lockstep, measured on the same table and the same machine."""

import time

from tests.bench.backlog import Backlog
from tests.bench.pipe import fill_target
from tests.lab.migration import Migration
from tests.lab.postgres import OWNER
from tests.lab.process import wait_until

JDBC_BATCH = 500  # The best of 500 and 5000 rows, and of 1 and 4 tasks, in earlier measurements.


def native_replication(bench):
    """PostgreSQL's own logical replication: initial copy, then a backlog of updates."""
    stack = bench.stack
    with Migration(stack, "native") as migration:
        bench.load(migration)
        migration.copy_schema()
        migration.publish()
        bench.settle()
        conninfo = (f"host={stack.source.socket_dir} port={stack.source.port} "
                    f"dbname={migration.name} user=postgres")
        begun = time.monotonic()
        stack.target.execute(migration.name,
                             f"CREATE SUBSCRIPTION bench CONNECTION '{conninfo}'"
                             f" PUBLICATION {migration.publication}"
                             f" WITH (slot_name = {migration.slot_name})")
        wait_until(lambda: migration.target("SELECT bool_and(srsubstate = 'r')"
                                            " FROM pg_subscription_rel")[0][0],
                   "the initial copy", 900)
        bench.note("native: initial copy, rows/s", bench.rows / (time.monotonic() - begun))
        stack.target.execute(migration.name, "ALTER SUBSCRIPTION bench DISABLE")
        wait_until(lambda: migration.slot("NOT active"), "the subscription to pause")
        backlog = Backlog(bench.rows, bench.events)
        backlog.write(migration)  # The slot keeps it.
        bench.settle()
        stack.target.execute(migration.name, "ALTER SUBSCRIPTION bench ENABLE")
        bench.note("native: apply, events/s", backlog.watch(migration)[0])
        migration.assert_equal()
        stack.target.execute(migration.name, "DROP SUBSCRIPTION bench")


def jdbc_sink(bench):
    """The Debezium JDBC sink connector on a topic of updates with their schema part."""
    stack = bench.stack
    with Migration(stack, "sink") as migration:
        bench.load(migration)
        migration.copy_schema()
        migration.grant()
        migration.publish()
        migration.start_connector(**{"value.converter.schemas.enable": "true",
                                     "key.converter.schemas.enable": "true",
                                     "decimal.handling.mode": "precise",
                                     "skipped.operations": "none"})
        fill_target(bench, migration, 1)
        backlog = Backlog(bench.rows, bench.events)
        backlog.write(migration)
        migration.await_captured(900)
        stack.connect.delete(migration.connector)  # It would compete for the two CPUs.
        migration.connector = None
        bench.settle()
        stack.connect.put("jdbc", _sink_config(bench, migration))
        rate, cpu = backlog.watch(migration, stack.connect.process)
        stack.connect.delete("jdbc")
        bench.note("jdbc sink: apply, events/s", rate)
        bench.note("jdbc sink: client CPU, us/event", cpu * 1e6)


def _sink_config(bench, migration):
    stack = bench.stack
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": migration.topic("bench"),
        "connection.url": f"jdbc:postgresql://127.0.0.1:{stack.target.port}/{migration.name}"
                          "?reWriteBatchedInserts=true",
        "connection.username": OWNER,
        "connection.password": stack.target.passwords[OWNER],
        "insert.mode": "upsert",
        "primary.key.mode": "record_key",
        "delete.enabled": "true",
        "schema.evolution": "none",
        "collection.name.format": "bench",
        "use.reduction.buffer": "true",
        "batch.size": str(JDBC_BATCH),
        "consumer.override.max.poll.records": str(JDBC_BATCH),
        "consumer.override.auto.offset.reset": "earliest",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "true",
        "value.converter.schemas.enable": "true",
        "header.converter": "org.apache.kafka.connect.storage.StringConverter",
    }
