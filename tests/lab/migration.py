"""One migration from end to end, in the words of whoever runs it.

Each has databases, roles' grants, a publication, a slot, a manifest and, unless it reads the direct
stream, a connector and topics of its own, all named after it, so that many live side by side in one
Stack.
"""

import subprocess
import threading
from contextlib import contextmanager

import psycopg2

from tests.lab.compare import Side, compare
from tests.lab.lockstep import Lockstep
from tests.lab.postgres import OWNER, lsn_number
from tests.lab.process import LabError, wait_until
from tests.lab.stack import READER, WRITER

HALTED = 65

# What a DBA grants to lockstep, and nothing else.
_SOURCE_GRANTS = """
GRANT CONNECT ON DATABASE "{db}" TO {role};
GRANT USAGE ON SCHEMA {schemas} TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO {role};
"""
_TARGET_GRANTS = """
GRANT CONNECT, CREATE ON DATABASE "{db}" TO {role};
GRANT USAGE ON SCHEMA {schemas} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schemas} TO {role};
"""

_PUBLISHABLE = """
SELECT format('%%I.%%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY (%s) ORDER BY 1
"""


class Migration:
    """REQUIRES: used as a context manager, or close() at the end."""

    def __init__(self, stack, name, stream="debezium", **overrides):
        """`overrides` are merged into the manifest: tables, backfill, target, source, existing."""
        self.stack = stack
        self.name = name
        self.stream = stream
        self.schemas = ["public"]
        self.connector_overrides = {"poll.interval.ms": "20"}
        self.connector = None
        self.manifest = _merged(self._manifest(), overrides)
        self.lockstep = Lockstep(stack.directory / name, self.manifest)
        self.lockstep.secret("source.password", stack.source.passwords[READER])
        self.lockstep.secret("target.password", stack.target.passwords[WRITER])
        for cluster in (stack.source, stack.target):
            cluster.create_database(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes everything that belongs to this migration; its directory stays for the logs."""
        self.lockstep.end()
        if self.connector is not None:
            self.stack.connect.delete(self.connector)
            self.connector = None
        self.drop_slot()
        for cluster in (self.stack.source, self.stack.target):
            cluster.drop_database(self.name)
        if self.stack.broker is not None:
            self.stack.broker.delete_topics(f"(__debezium-heartbeat\\.)?{self.name}(\\..*)?")

    # What the application and its DBA do.

    def source(self, sql, parameters=None):
        """Runs SQL on the source as the owner; returns rows."""
        return self.stack.source.execute(self.name, sql, parameters, user=OWNER)

    def target(self, sql, parameters=None):
        """Runs SQL on the target as the owner; returns rows."""
        return self.stack.target.execute(self.name, sql, parameters, user=OWNER)

    def source_position(self):
        """Where the source's log ends, as a number."""
        return lsn_number(self.source("SELECT pg_current_wal_insert_lsn()")[0][0])

    def _flushed(self):
        return lsn_number(self.source("SELECT pg_current_wal_flush_lsn()")[0][0])

    def source_connection(self, **options):
        return self.stack.source.connect(self.name, user=OWNER, **options)

    def target_connection(self, **options):
        return self.stack.target.connect(self.name, user=OWNER, **options)

    def copy_schema(self):
        """Gives the target the source's schema, as any DBA would: pg_dump --schema-only | psql."""
        dump = subprocess.run(
            ["pg_dump", "--schema-only", "--no-publications", "--no-subscriptions"],
            env=self.stack.source.client_environment(self.name, OWNER), capture_output=True,
            check=False)
        if dump.returncode != 0:
            raise LabError(f"pg_dump: {dump.stderr.decode()}")
        load = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"], input=dump.stdout, check=False,
            env=self.stack.target.client_environment(self.name, OWNER), capture_output=True)
        if load.returncode != 0:
            raise LabError(f"loading the schema: {load.stderr.decode()}")

    def grant(self):
        """Grants lockstep's two roles what they need."""
        words = {"db": self.name, "schemas": ", ".join(self.schemas)}
        self.source(_SOURCE_GRANTS.format(role=READER, **words))
        self.target(_TARGET_GRANTS.format(role=WRITER, **words))

    def publish(self, tables=None):
        """Creates the publication that validate asks for (default: every table of our schemas)."""
        self.source(f"CREATE PUBLICATION {self.publication} "
                    f"FOR TABLE {', '.join(tables or self._tables())} "
                    "WITH (publish_via_partition_root = true)")

    def start_connector(self, **overrides):
        """Starts Debezium with the configuration that lockstep prints; waits until it streams.

        The direct stream needs nobody: lockstep makes its slot.
        """
        if self.stream == "direct":
            return
        printed = self.lockstep.connector_config()
        config = {**printed["config"], "database.password": self.stack.source.passwords[READER],
                  **self.connector_overrides,
                  **overrides}
        self.connector = printed["name"]
        self.stack.connect.put(self.connector, config)
        self.await_streaming()

    def begin_connector_anew(self):
        """As the operator of a connector does whose slot is gone, or its source another."""
        self.stack.connect.forget_offsets(self.connector, self.drop_slot)
        self.await_streaming()

    def prepare(self):
        """Everything between `the source has its tables` and `lockstep run`."""
        self.copy_schema()
        self.grant()
        self.publish()
        self.start_connector()

    # What the servers have counted.

    def rows_written(self, table):
        """Rows of tables with such a name (LIKE) that sessions wrote on the target, by its counters."""
        return self._counted(self.stack.target, "n_tup_ins + n_tup_upd + n_tup_del", table)

    def rows_fetched(self, table):
        """Rows of tables with such a name (LIKE) that sessions read on the source."""
        return self._counted(self.stack.source,
                             "coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)", table)

    def _counted(self, cluster, expression, table):
        """A session tells its counts once a second at most, and when it ends: it waits for that.

        REQUIRES: no daemon runs, and no connection of the test is open.
        """
        cluster.await_none(f"datname = '{self.name}' AND application_name <> ''")
        return cluster.value(self.name, f"SELECT coalesce(sum({expression}), 0)::bigint"
                             " FROM pg_stat_user_tables WHERE relname LIKE %s", (table,))

    # What can be awaited.

    def await_streaming(self):
        """Waits until the slot is in use and has a position."""
        wait_until(lambda: self.slot("active AND confirmed_flush_lsn IS NOT NULL"),
                   f"slot {self.slot_name} to stream")

    def await_captured(self, timeout=120):
        """Waits until everything committed so far is in Kafka, acknowledged by the broker."""
        if self.stream == "direct":
            return  # What is committed is in the source's log.
        lsn = self.source("SELECT pg_logical_emit_message(true, 'lab', 'captured?')")[0][0]
        wait_until(lambda: self.slot(f"confirmed_flush_lsn >= '{lsn}'"),
                   "the connector to confirm what was written", timeout)

    def await_target(self, sql, expected, timeout=60):
        """Waits until a query on the target gives `expected` as its first value."""
        def reached():
            rows = self.target(sql)
            return bool(rows) and rows[0][0] == expected

        wait_until(reached, f"{sql} to be {expected!r}", timeout, alive=self.lockstep.process)

    def slot(self, expression):
        """Evaluates SQL over our row of pg_replication_slots; None when there is no slot."""
        rows = self.stack.source.execute(
            "postgres", f"SELECT {expression} FROM pg_replication_slots WHERE slot_name = %s",
            (self.slot_name,))
        return rows[0][0] if rows else None

    def await_slot_released(self):
        """Waits until nobody reads the slot."""
        wait_until(lambda: not self.slot("active"), f"slot {self.slot_name} to be released")

    def drop_slot(self):
        """Drops the slot once its reader has let go of it."""
        if self.slot("true") is None:
            return
        self.await_slot_released()
        self.stack.source.execute("postgres", "SELECT pg_drop_replication_slot(%s)",
                                  (self.slot_name,))

    @contextmanager
    def open_transaction(self, statement):
        """A transaction of the application that has not ended; gives its server process's pid.

        Commits at the exit.
        """
        connection = self.source_connection(autocommit=False)
        try:
            connection.cursor().execute(statement)
            yield connection.info.backend_pid
            connection.commit()
        finally:
            connection.close()

    @contextmanager
    def in_background(self, *statements):
        """Runs statements of one source session in a thread; awaits their end at the exit."""
        failures = []

        def work():
            connection = self.source_connection()
            try:
                for statement in statements:
                    connection.cursor().execute(statement)
            except psycopg2.Error as error:
                failures.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield
        thread.join()
        if failures:
            raise failures[0]

    def hold_copies(self, table, condition):
        """From now on a COPY with a row for which `condition` (SQL over NEW) holds hangs at its
        commit on the target.  Returns the connection that holds it: close it to let it go.
        """
        self.target(f"""
            CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
              FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION hold();
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER hold""")
        gate = self.target_connection()
        gate.cursor().execute("SELECT pg_advisory_lock(42)")
        return gate

    def await_held_copy(self):
        """Waits until a COPY hangs (hold_copies())."""
        self.stack.target.await_waiting(f"datname = '{self.name}' AND wait_event = 'advisory'",
                                        "a COPY to hang at commit")

    @contextmanager
    def running(self, failpoint=None):
        """The daemon runs meanwhile; at the end it must drain and exit 0 on SIGTERM."""
        self.lockstep.start(failpoint=failpoint)
        try:
            yield self.lockstep
        except BaseException:
            self.lockstep.end()
            raise
        code = self.lockstep.stop()
        if code != 0:
            raise LabError(f"SIGTERM: exit {code}\n{self.lockstep.process.log_tail(60)}")

    # What must hold.

    def differing(self, table, columns):
        """The rows with the key `id` that are not equal: {id: (kind, columns)}, in lockstep's words.

        `table`: what may stand behind FROM.  By SQL that shares nothing with lockstep.  REQUIRES: nobody writes to the table.
        """
        texts = ", ".join(f"{each}::text" for each in columns)
        source, target = [dict(ask(f"SELECT id::text, ARRAY[{texts}] FROM {table}"))
                          for ask in (self.source, self.target)]
        found = {}
        for key in source.keys() | target.keys():
            left, right = source.get(key), target.get(key)
            if left is None or right is None:
                found[key] = ("extra_in_target" if left is None else "missing_in_target", [])
            elif left != right:
                found[key] = ("differing", [name for name, one, other in zip(columns, left, right)
                                            if one != other])
        return found

    def compare(self, **options):
        return compare(Side(self.stack.source.client_environment(self.name)),
                       Side(self.stack.target.client_environment(self.name)), **options)

    def assert_equal(self, **options):
        """Source and target hold the same rows, value for value."""
        outcome = self.compare(**options)
        assert outcome.equal, f"\n{outcome}"
        return outcome

    def await_synced(self, what, timeout=120):
        """Waits until status says synced and rests that on a look at the source that was made after
        this call began: what was committed until then is on the target."""
        begun = self._flushed()
        return self.lockstep.await_status(
            lambda status: (status["synced"] and status["proof_position"]
                            and lsn_number(status["proof_position"]) >= begun), what, timeout)

    def finish(self, timeout=300):
        """Runs until synced, then both sides must be equal.

        PostgreSQL 15 may lose track of a table that is truncated beside a kill of the stream, and
        then decodes no more of the slot, whoever asks: what lockstep says of it is done."""
        try:
            self.lockstep.run_until_synced(timeout)
        except LabError as ended:
            if f"exit {HALTED}" not in str(ended) or "could not map filenode" not in str(ended):
                raise
            print(f"{self.name}: the source decodes no more of its log: lockstep resync")
            answer = self.lockstep.verb("resync")
            assert answer.returncode == 0, answer.stdout + answer.stderr
            self.lockstep.run_until_synced(timeout)
        return self.assert_equal()

    def assert_halts(self, *words):
        """A run ends with exit code 65 and says why, in these words, and so does status then."""
        self.lockstep.start("--until", "synced")
        assert self.lockstep.wait_exit() == HALTED, self.lockstep.process.log_tail()
        self.assert_halted(*words)

    def assert_halted(self, *words):
        """The run that has ended has said so, and why, in these words, and so does status."""
        log = self.lockstep.run_log()
        assert all(word in log for word in words), log[-2000:]
        ended = [line for line in self.lockstep.status()["waiting_for"] if "exit code 65" in line]
        assert ended and all(word in ended[0] for word in words), ended

    # Names.

    @property
    def slot_name(self):
        return self.manifest["source"]["slot"]

    @property
    def publication(self):
        return self.manifest["source"]["publication"]

    def topic(self, table, schema="public"):
        return f"{self.name}.{schema}.{table}"

    def _tables(self):
        rows = self.source(_PUBLISHABLE, (self.schemas,))
        return [name for name, in rows]

    def _manifest(self):
        stack = self.stack

        def server(cluster, user, secret):
            return {"host": "127.0.0.1", "port": cluster.port, "dbname": self.name, "user": user,
                    "password": {"file": secret}}

        source = {
            "connect": server(stack.source, READER, "source.password"),
            "stream": self.stream,
            "slot": f"lockstep_{self.name}",
            "publication": f"lockstep_{self.name}",
        }
        if self.stream == "debezium":
            source["debezium"] = {
                "topic_prefix": self.name,
                "format": "json",
                "kafka": {"bootstrap.servers": stack.broker.address},
                "connect": {"url": stack.connect.url, "connector": self.name},
            }
        return {
            "version": 1,
            "migration": self.name,
            "state_dir": "state",
            "source": source,
            "target": {"connect": server(stack.target, WRITER, "target.password"), "lanes": 2},
            "backfill": {"workers": 2, "chunk_rows": 50000},
            "tables": [{"source": "public.*"}],
        }


def _merged(base, overrides):
    """`overrides` over `base`, dict by dict."""
    merged = dict(base)
    for key, value in overrides.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
