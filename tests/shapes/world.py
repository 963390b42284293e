"""The databases of a trial: the source, its twin, which never meets lockstep, and the target."""

import signal

import psycopg2

from tests.lab.migration import Migration
from tests.lab.postgres import OWNER
from tests.lab.stack import READER, WRITER
from tests.shapes import types, writer
from tests.shapes.source import SCHEMAS, quoted

_EVERYTHING_OF_OURS = """
SET quote_all_identifiers = off;
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text
  !~ '^(pg_|information_schema)' AND relkind IN ('r', 'p', 'i', 'S', 'v')
UNION ALL SELECT 'publication ' || pubname FROM pg_publication
UNION ALL SELECT 'trigger ' || tgname || ' of ' || tgrelid::regclass FROM pg_trigger
UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
  WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace::regnamespace::text
  !~ '^(pg_|information_schema)'
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
"""

_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %s"

_TABLES_NOW = """
SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE nspname = ANY (%s) AND relkind IN ('r', 'p')"""

# By names that mean the same in every session.
_COLUMNS = """
SET search_path = ''; SET quote_all_identifiers = off;
SELECT quote_ident(attname), format_type(atttypid, atttypmod), attgenerated <> '' FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"""


class World:
    """REQUIRES: close() at the end."""

    def __init__(self, stack, plan, backfill):
        self.stack = stack
        self.plan = plan
        name = f"shape_{plan.seed}"
        self.migration = Migration(stack, name, plan.stream, tables=[{"source": "*.*"}],
                                   backfill=backfill, target={"lanes": 2})
        self.twin = f"{name}_twin"
        stack.source.create_database(self.twin)
        self._connections = {}
        self._prepared = []

    @property
    def sources(self):
        return self.twin, self.migration.name

    def close(self):
        self.disconnect()
        for database in self.sources:
            for gid, in self.stack.source.execute("postgres", _PREPARED, (database,)):
                self.stack.source.execute(database, f"ROLLBACK PREPARED '{gid}'")
        self.migration.close()
        self.stack.source.drop_database(self.twin)

    # ---- What happens on both databases of the source.

    def disconnect(self):
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    def _cursor(self, database):
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            connection = self._connections[database] = self.stack.source.connect(
                database, user=OWNER, autocommit=True)
            # What a prepared transaction holds is waited for by both alike, and not for ever.
            connection.cursor().execute("SET lock_timeout = '500ms'")
        return connection.cursor()

    def execute(self, database, statements, end="COMMIT"):
        """Runs a transaction; returns the SQLSTATE of what failed, or None."""
        cursor = self._cursor(database)
        alone = len(statements) == 1
        try:
            if not alone:
                cursor.execute("BEGIN")
            for statement in statements:
                if isinstance(statement, writer.Copy):
                    statement.run(cursor)
                else:
                    cursor.execute(statement)
            if not alone:
                gid = f"{database}_{len(self._prepared)}"
                prepare = end == "PREPARE TRANSACTION"
                cursor.execute(f"PREPARE TRANSACTION '{gid}'" if prepare else end)
        except psycopg2.Error as error:
            if not alone and not cursor.connection.closed:
                cursor.execute("ROLLBACK")
            return error.pgcode or "connection"
        return None

    def both(self, step):
        """Runs a step on the twin and on the source; returns what each answers."""
        answers = [self.execute(database, step.statements, step.end) for database in self.sources]
        if step.end == "PREPARE TRANSACTION" and answers[1] is None and len(step.statements) > 1:
            self._prepared.append(len(self._prepared))
        return answers

    def commit_prepared(self):
        for number in self._prepared:
            for database in self.sources:
                cursor = self._cursor(database)
                cursor.execute("SET default_transaction_read_only = off")
                cursor.execute(f"COMMIT PREPARED '{database}_{number}'")
        self._prepared = []

    # ---- How they are made.

    def make_source(self):
        """Returns what the first rows answer that differs."""
        schemas = "".join(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)};" for name in SCHEMAS)
        for database in self.sources:
            self.stack.source.execute(
                database, schemas + "CREATE SEQUENCE public.numbers;" + types.PREPARE, user=OWNER)
        made = set()
        for table in self.plan.tables:
            # Some shapes are none that PostgreSQL allows: those tables are left out.
            if self.execute(self.twin, ["SELECT 1", *table.ddl]) is None:
                failure = self.execute(self.migration.name, ["SELECT 1", *table.ddl])
                assert failure is None, (failure, table.ddl)
                made.add(table.number)
        self.plan.keep(made)
        for table in self.plan.tables:
            for statement in writer.first_rows(self.plan.seed, table):
                self.both(writer.Step([table.number], [statement]))
        for database in self.sources:
            for setting in self.plan.database_settings:
                self.stack.source.execute("postgres", f'ALTER DATABASE "{database}" SET {setting}')
        self.disconnect()

    def make_target(self):
        self.migration.copy_schema()
        name, words = self.migration.name, ", ".join(map(quoted, SCHEMAS))
        grants = (f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {words} "
                  f"TO {WRITER}")
        self.migration.source(
            f'GRANT CONNECT ON DATABASE "{name}" TO {READER};'
            f"GRANT USAGE ON SCHEMA {words} TO {READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {words} TO {READER}")
        self.migration.target(
            f'GRANT CONNECT, CREATE ON DATABASE "{name}" TO {WRITER};'
            f"GRANT USAGE ON SCHEMA {words} TO {WRITER};{grants}")
        for setting in self.plan.role_settings:
            self.stack.source.execute(
                "postgres", f'ALTER ROLE {READER} IN DATABASE "{name}" SET {setting}')
        kept = []
        for deviation in self.plan.deviations:
            try:
                self.migration.target(";".join([*deviation.statements, grants]))
                kept.append(deviation)
            except psycopg2.Error:
                pass  # Not a deviation that PostgreSQL allows for this table.
        self.plan.deviations = kept

    def offer_publication(self):
        """Lets lockstep make the publication, makes one that it has to refuse, or none."""
        if self.plan.own_publication == "lockstep":
            self.stack.source.execute("postgres", f"GRANT {OWNER} TO {READER}")
            self.migration.source(f'GRANT CREATE ON DATABASE "{self.migration.name}" TO {READER}')
            return
        self.stack.source.execute("postgres", f"REVOKE {OWNER} FROM {READER}")
        if self.plan.own_publication == "all":
            self.of_superuser(f"CREATE PUBLICATION {self.migration.publication} FOR ALL TABLES "
                              "WITH (publish_via_partition_root = true)")

    def publish(self, tables):
        name = self.migration.publication
        self.of_superuser(f"DROP PUBLICATION IF EXISTS {name}")
        if tables:
            self.migration.source(f"CREATE PUBLICATION {name} FOR TABLE {', '.join(tables)} "
                                  "WITH (publish_via_partition_root = true)")

    # ---- Single acts and looks.

    def of_superuser(self, statement):
        connection = self.stack.source.connect(self.migration.name)
        cursor = connection.cursor()
        cursor.execute("SET default_transaction_read_only = off")  # Which a DBA may have set.
        cursor.execute(statement)
        connection.close()

    def restart(self, which, mode):
        getattr(self.stack, which).restart(mode)
        if which == "source":
            self.disconnect()

    def end_daemon(self, number):
        """Ends it by a signal, and starts it again."""
        lockstep = self.migration.lockstep
        if lockstep.is_running():
            lockstep.process.send(signal.SIGKILL if number == "kill -9" else signal.SIGTERM)
            lockstep.wait_exit()
        lockstep.start()

    def trouble_connector(self, how):
        connect = self.stack.connect
        if connect is None:
            return
        if how == "kill":
            connect.kill()
            connect.restart()
            return
        connect.pause(self.migration.connector)
        connect.resume(self.migration.connector)

    def names_now(self):
        """The quoted names of the source's tables."""
        return {f"{quoted(schema)}.{quoted(name)}"
                for schema, name in self.stack.source.execute(self.migration.name, _TABLES_NOW,
                                                              (SCHEMAS,))}

    def _columns(self, table):
        """Of the source's and the target's table: {quoted name: (type, generated)}."""
        return [{name: (sql, generated) for name, sql, generated
                 in cluster.execute(self.migration.name, _COLUMNS, (table.sql,))}
                for cluster in (self.stack.source, self.stack.target)]

    def casts(self, table):
        """The target's types of columns that have another one there, as lockstep was told."""
        source, target = self._columns(table)
        return {column: sql for column, (sql, _) in target.items()
                if column in source and source[column][0] != sql}

    def computed_only_here(self, table):
        """Generated columns that only the source has: nothing of them is lost."""
        source, target = self._columns(table)
        return {column for column, (_, generated) in source.items()
                if generated and column not in target}

    def inventory(self):
        return [{line for line, in cluster.execute(self.migration.name, _EVERYTHING_OF_OURS)}
                for cluster in (self.stack.source, self.stack.target)]
