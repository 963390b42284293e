"""One seed from end to end: a strange source, its twin, a target, a writer, a DBA, and lockstep.

What must hold (broken() collects what does not):
  a  no statement of the application or its DBA fails that does not fail on the twin, which holds
     the same data and has never met lockstep;
  b  what `validate` accepts is carried through unless the DBA acted, and `run` refuses what
     `validate` refuses;
  c  once synced is said every table that is not named is equal, by the independent comparison;
  d  what is unequal is named, and its reason ends in something that one can do;
  e  it ends within a bound;
  f  nothing of ours that was not announced is left on either server.
"""

import random
import re
import signal
from dataclasses import dataclass, field
from subprocess import CalledProcessError

import psycopg2

from tests.lab.compare import Side, compare
from tests.lab.migration import Migration
from tests.lab.postgres import OWNER
from tests.lab.process import LabError
from tests.lab.stack import READER, WRITER
from tests.shapes import dba, source, target, types, writer
from tests.shapes.source import SCHEMAS, quoted

OK, FAILED_AS_ASKED, CONFIG, HALTED, INCOMPLETE = 0, 1, 78, 65, 3
_STEPS = 60
_BOUND_SECONDS = 60  # For lockstep to be synced once nobody writes.
_VALIDATE_ROUNDS = 8

_EVERYTHING_OF_OURS = """
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text
  !~ '^(pg_|information_schema)' AND relkind IN ('r', 'p', 'i', 'S', 'v')
UNION ALL SELECT 'publication ' || pubname FROM pg_publication
UNION ALL SELECT 'trigger ' || tgname || ' of ' || tgrelid::regclass FROM pg_trigger
UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text
  !~ '^(pg_|information_schema)'
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace::regnamespace::text
  !~ '^(pg_|information_schema)'
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
"""

_TABLES_NOW = """
SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE nspname = ANY (%s) AND relkind IN ('r', 'p')"""


@dataclass
class Plan:
    """Everything that happens under a seed; shrink.py leaves parts of it out."""
    seed: int
    stream: str
    tables: list
    deviations: list
    steps: list
    acts: list
    database_settings: list
    role_settings: list
    own_publication: str  # Who makes it: lockstep | dba | all (FOR ALL TABLES).

    @staticmethod
    def of(seed, stream):
        rng = random.Random(f"{seed} plan")
        tables = source.SourceMaker(seed, stream).tables()
        database, role = source.settings(seed)
        return Plan(seed, stream, tables, target.deviations(seed, tables),
                    writer.steps(seed, tables, _STEPS), dba.acts(seed, tables), database, role,
                    rng.choice(["lockstep", "dba", "dba", "all"]))

    def __str__(self):
        lines = [f"seed {self.seed}, {self.stream}, publication by {self.own_publication}"]
        lines += [f"  SET {each}" for each in self.database_settings]
        lines += [f"  role SET {each}" for each in self.role_settings]
        lines += [f"  {statement}" for table in self.tables for statement in table.ddl]
        lines += [f"  {each}" for each in self.deviations]
        places = sorted([(place, str(act)) for place, act in self.acts])
        lines += [f"  at {place}: {act}" for place, act in places]
        return "\n".join(lines)


@dataclass
class Outcome:
    broken: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)  # Table: why validate refused it.
    named: dict = field(default_factory=dict)    # Table: why status names it.
    equal: int = 0
    acted: int = 0
    ended: str = ""  # How the run to `synced` did.

    def __str__(self):
        words = (f"{self.equal} tables equal, {len(self.named)} named, {len(self.skipped)} refused, "
                 f"{self.acted} acts, ended {self.ended}")
        return words if not self.broken else words + "\n  BROKEN " + "\n  BROKEN ".join(self.broken)


class Trial:
    """REQUIRES: used as a context manager."""

    def __init__(self, stack, plan):
        self.stack = stack
        self.plan = plan
        self.outcome = Outcome()
        self.touched = set()  # Tables that the DBA touched, by number; all of them after a type.
        self.all_touched = False
        name = f"shape_{plan.seed}"
        self.migration = Migration(stack, name, plan.stream, tables=[{"source": "*.*"}],
                                   backfill=self._backfill(), target={"lanes": 2})
        self.twin = f"{name}_twin"
        stack.source.create_database(self.twin)
        self.connections = {}
        self.prepared = []

    def _backfill(self):
        rng = random.Random(f"{self.plan.seed} backfill")
        return {"workers": rng.choice([1, 2]), "chunk_rows": rng.choice([100, 1000, 50000]),
                "rate_limit_rows_per_second": rng.choice([0, 0, 400])}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections.values():
            connection.close()
        for database in (self.twin, self.migration.name):
            self._forget_prepared(database)
        self.migration.close()
        self.stack.source.drop_database(self.twin)

    def _forget_prepared(self, database):
        for gid, in self.stack.source.execute(
                "postgres", "SELECT gid FROM pg_prepared_xacts WHERE database = %s", (database,)):
            self.stack.source.execute(database, f"ROLLBACK PREPARED '{gid}'")

    # ---- The two databases of the source.

    def _execute(self, database, statements, end="COMMIT"):
        """Runs a transaction; returns the SQLSTATE of what failed, or None."""
        connection = self.connections.get(database)
        if connection is None or connection.closed:
            connection = self.connections[database] = self.stack.source.connect(
                database, user=OWNER, autocommit=True)
            # What a prepared transaction holds is waited for by both alike, and not for ever.
            connection.cursor().execute("SET lock_timeout = '500ms'")
        cursor = connection.cursor()
        alone = len(statements) == 1
        try:
            if not alone:
                cursor.execute("BEGIN")
            for statement in statements:
                cursor.execute(statement)
            if not alone:
                gid = f"{database}_{len(self.prepared)}"
                prepare = end == "PREPARE TRANSACTION"
                cursor.execute(f"PREPARE TRANSACTION '{gid}'" if prepare else end)
        except psycopg2.Error as error:
            if not alone and not connection.closed:
                cursor.execute("ROLLBACK")
            return error.pgcode or "connection"
        return None

    def _both(self, step):
        """Runs a step on the twin and on the source: the same must come of it."""
        twin = self._execute(self.twin, step.statements, step.end)
        ours = self._execute(self.migration.name, step.statements, step.end)
        if twin != ours:
            self.outcome.broken.append(f"a: {step} answers {ours}, without lockstep {twin}")
        if step.end == "PREPARE TRANSACTION" and ours is None and len(step.statements) > 1:
            self.prepared.append(len(self.prepared))
        return ours

    def _commit_prepared(self):
        for number in self.prepared:
            for database in (self.twin, self.migration.name):
                self.stack.source.execute(database, f"COMMIT PREPARED '{database}_{number}'")
        self.prepared = []

    def _make_source(self):
        schemas = "".join(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)};" for name in SCHEMAS)
        for database in (self.twin, self.migration.name):
            self.stack.source.execute(
                database, schemas + "CREATE SEQUENCE public.numbers;" + types.PREPARE, user=OWNER)
        made = []
        for table in self.plan.tables:
            # Some shapes are none that PostgreSQL allows: those tables are left out.
            if self._execute(self.twin, ["SELECT 1", *table.ddl]) is None:
                assert self._execute(self.migration.name, ["SELECT 1", *table.ddl]) is None
                made.append(table)
        self.plan.tables = made
        numbers = {table.number for table in made}
        self.plan.steps = [step for step in self.plan.steps if numbers.issuperset(step.tables)]
        self.plan.acts = [(place, act) for place, act in self.plan.acts
                          if numbers.issuperset(act.tables)]
        for table in made:
            for statement in writer.first_rows(self.plan.seed, table):
                self._both(writer.Step([table.number], [statement]))
        for database in (self.twin, self.migration.name):
            for setting in self.plan.database_settings:
                self.stack.source.execute("postgres",
                                          f'ALTER DATABASE "{database}" SET {setting}')
        for connection in self.connections.values():
            connection.close()

    def _make_target(self):
        self.migration.copy_schema()
        words = ", ".join(map(quoted, SCHEMAS))
        self.migration.source(
            f'GRANT CONNECT ON DATABASE "{self.migration.name}" TO {READER};'
            f"GRANT USAGE ON SCHEMA {words} TO {READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {words} TO {READER}")
        self.migration.target(
            f'GRANT CONNECT, CREATE ON DATABASE "{self.migration.name}" TO {WRITER};'
            f"GRANT USAGE ON SCHEMA {words} TO {WRITER};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {words} "
            f"TO {WRITER}")
        for setting in self.plan.role_settings:
            self.stack.source.execute(
                "postgres",
                f'ALTER ROLE {READER} IN DATABASE "{self.migration.name}" SET {setting}')
        numbers = {table.number for table in self.plan.tables}
        kept = []
        for deviation in self.plan.deviations:
            if deviation.table is not None and deviation.table not in numbers:
                continue
            try:
                self.migration.target(";".join(deviation.statements))
                kept.append(deviation)
            except psycopg2.Error:
                pass  # Not a deviation that PostgreSQL allows for this table.
        self.plan.deviations = kept

    # ---- What lockstep says.

    def _mentioned(self, text):
        """The tables that a text names."""
        found = set()
        for table in sorted(self.plan.tables, key=lambda each: -len(each.text)):
            for form in table.all_names:
                if re.search(re.escape(form) + r"(?!\w)", text):
                    found.add(table.number)
                    text = text.replace(form, " ")
        if found:
            return found
        return {table.number for table in self.plan.tables for column in table.columns
                if column.type.sql.startswith("public.") and column.type.sql in text}

    def _validate(self):
        """Asks validate until it accepts, leaving out what it refuses.  Returns whether it did."""
        lockstep = self.migration.lockstep
        for _ in range(_VALIDATE_ROUNDS):
            answer = lockstep.answer("validate", "--format", "json", expected=(OK, CONFIG))
            errors = [problem for problem in answer["problems"]
                      if problem["severity"] == "error"]
            if not errors:
                return True
            about_publication = [problem for problem in errors
                                 if problem["text"].startswith("publication ")]
            known = len(self.outcome.skipped)
            for problem in errors:
                if problem in about_publication:
                    continue
                text = f"{problem['text']} ({problem['hint']})"
                for number in self._mentioned(problem["text"]) or self._mentioned(text):
                    self.outcome.skipped.setdefault(self._table(number).text, text)
            if about_publication:
                self._publish()
            elif known == len(self.outcome.skipped):
                texts = "; ".join(problem["text"][:300] for problem in errors[:3])
                self.outcome.broken.append(f"d: validate refuses without naming a table: {texts}")
                return False
            self._write_rules()
        self.outcome.broken.append("b: validate does not become silent by leaving tables out: "
                                   + "; ".join(problem["text"][:300] for problem in errors[:3]))
        return False

    def _publish(self):
        if self.migration.source("SELECT 1 FROM pg_publication WHERE pubname = %s",
                                 (self.migration.publication,)):
            self.stack.source.execute(self.migration.name,
                                      f"DROP PUBLICATION {self.migration.publication}")
        tables = [table.sql for table in self._moved()]
        if tables:
            self.migration.source(
                f"CREATE PUBLICATION {self.migration.publication} FOR TABLE {', '.join(tables)} "
                "WITH (publish_via_partition_root = true)")

    def _write_rules(self):
        """Leaves the skipped tables out, and what belongs to them, as far as it is there."""
        there = {f"{quoted(schema)}.{quoted(name)}"
                 for schema, name in self.migration.source(_TABLES_NOW, (SCHEMAS,))}
        rules = [{"source": "*.*"}]
        rules += [{"source": name, "skip": True} for table in self.plan.tables
                  if table.text in self.outcome.skipped
                  for name in table.rules if name in there]
        self.migration.manifest["tables"] = rules
        self.migration.lockstep.write(self.migration.manifest)

    def _table(self, number):
        return next(table for table in self.plan.tables if table.number == number)

    def _moved(self):
        return [table for table in self.plan.tables if table.text not in self.outcome.skipped]

    # ---- The run.

    def run(self):
        self._make_source()
        self._make_target()
        before = self._inventory()
        self._offer_publication()
        if not self._validate():
            return self.outcome
        self._follow()
        self._judge()
        self._clean_up(before)
        return self.outcome

    def _offer_publication(self):
        if self.plan.own_publication == "lockstep":
            self.stack.source.execute("postgres", f"GRANT {OWNER} TO {READER}")
            self.migration.source(f'GRANT CREATE ON DATABASE "{self.migration.name}" TO {READER}')
            return
        self.stack.source.execute("postgres", f"REVOKE {OWNER} FROM {READER}")
        if self.plan.own_publication == "all":
            self.stack.source.execute(
                self.migration.name,
                f"CREATE PUBLICATION {self.migration.publication} FOR ALL TABLES "
                "WITH (publish_via_partition_root = true)")

    def _follow(self):
        lockstep = self.migration.lockstep
        if self.plan.stream == "debezium":
            self.migration.start_connector()
        lockstep.start()
        acts = sorted(self.plan.acts, key=lambda act: act[0])
        for number, step in enumerate(self.plan.steps):
            while acts and acts[0][0] * len(self.plan.steps) <= number * 1000:
                self._act(acts.pop(0)[1])
            self._both(step)
            if number % 3 == 2:
                self._commit_prepared()
        for _, act in acts:
            self._act(act)
        self._commit_prepared()

    def _act(self, act):
        self.outcome.acted += 1
        statement = act.statements[0].replace("{db}", self.migration.name)
        lockstep = self.migration.lockstep
        if act.role == "daemon":
            if lockstep.is_running():
                lockstep.process.send(signal.SIGKILL if "kill" in statement else signal.SIGTERM)
                lockstep.wait_exit()
            lockstep.start()
        elif act.role == "target":
            self.stack.target.execute(self.migration.name, statement)
        elif act.role == "superuser":
            self.stack.source.execute(self.migration.name, statement)
            if statement.startswith("ALTER DATABASE"):
                self.stack.source.execute(
                    self.twin, statement.replace(self.migration.name, self.twin))
        else:
            self.touched.update(act.tables)
            self.all_touched = self.all_touched or not act.tables
            self._both(act)

    def _judge(self):
        """The writer has stopped: everything is to become equal, or named."""
        lockstep = self.migration.lockstep
        if lockstep.is_running():
            lockstep.process.send(signal.SIGTERM)
            if lockstep.wait_exit() != OK and not self.outcome.acted:
                self.outcome.broken.append(f"b: run ended {lockstep.process.wait()}: "
                                           f"{lockstep.process.log_tail(3)}")
        code = self._until_synced()
        if code == CONFIG:
            code = self._leave_out_what_changed()
        if code is None:
            return
        if code not in (OK, INCOMPLETE):
            if code != HALTED or not (self.touched or self.all_touched):
                self.outcome.broken.append(f"b: accepted, and ends {code}: "
                                           f"{lockstep.process.log_tail(4)}")
            return
        self._name_tables()
        if code == INCOMPLETE and not self.outcome.named:
            self.outcome.broken.append("d: exit 3, and no table is named")
        self._compare(code)

    def _until_synced(self):
        """The exit code, or nothing when it went on for too long."""
        self.migration.lockstep.start("--until", "synced")
        try:
            code = self.migration.lockstep.wait_exit(_BOUND_SECONDS)
        except LabError:
            self._still_waiting()
            return None
        self.outcome.ended += f" {code}"
        return code

    def _leave_out_what_changed(self):
        """The DBA changed tables, and now the start refuses them by name: they are left out."""
        for _ in range(_VALIDATE_ROUNDS):
            tail = self.migration.lockstep.run_log()
            # Without what is only warned of, and without the names that hints bring up.
            refused = [line.split(" (")[0] for line in tail.splitlines() if ": error: " in line]
            found = self._mentioned("\n".join(refused))
            if not found or not (self.all_touched or found <= self.touched):
                names = [self._table(number).text for number in found]
                self.outcome.broken.append(f"b: exit 78 for {names or 'no table'}, which nobody "
                                           f"changed: {tail}")
                return None
            for number in found:
                self.outcome.skipped.setdefault(self._table(number).text, tail)
            self._write_rules()  # Also without the rules of tables that are gone.
            code = self._until_synced()
            if code != CONFIG:
                return code
        self.outcome.broken.append("b: the start refuses for ever: "
                                   + self.migration.lockstep.process.log_tail(4))
        return None

    def _still_waiting(self):
        status = self.migration.lockstep.status()
        waiting = "; ".join(status["waiting_for"])[:600]
        self.migration.lockstep.end()
        if not (self.touched or self.all_touched) or not waiting:
            self.outcome.broken.append(f"e: not synced after {_BOUND_SECONDS} s, waits for "
                                       f"{waiting or 'nothing that it names'}")

    def _name_tables(self):
        status = self.migration.lockstep.status()
        for entry in status["tables"]:
            if entry["state"] == "stopped" or entry["quarantined"] or entry["debts"]:
                self.outcome.named[entry["table"]] = entry["reason"]
                if entry["state"] == "stopped" and not entry["reason"]:
                    self.outcome.broken.append(f"d: {entry['table']} stopped without a reason")
        for line in status["waiting_for"]:
            for number in self._mentioned(line):
                self.outcome.named.setdefault(self._table(number).text, line)

    def _compare(self, code):
        expected = [table for table in self._moved()
                    if table.text not in self.outcome.named and self._is_there(table)]
        sides = [Side(cluster.client_environment(self.migration.name))
                 for cluster in (self.stack.source, self.stack.target)]
        casts = {table.sql: self._casts(table) for table in expected}
        try:
            compared = compare(*sides, tables=[table.sql for table in expected], casts=casts)
        except (RuntimeError, CalledProcessError) as error:
            self.outcome.broken.append(f"c: exit {code}, and a table cannot be compared: {error}")
            return
        self.outcome.equal = len(expected) - len(compared.differences)
        self.outcome.broken += [f"c: exit {code}, and differs: {each}"
                                for each in compared.differences]

    def _casts(self, table):
        """The target's types of columns that have another one there, as lockstep was told."""
        if not any(deviation.table == table.number for deviation in self.plan.deviations):
            return {}
        types_of = [dict(cluster.execute(
            self.migration.name, "SELECT quote_ident(attname), format_type(atttypid, atttypmod) "
            "FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            (table.sql,))) for cluster in (self.stack.source, self.stack.target)]
        return {column: sql for column, sql in types_of[1].items()
                if column in types_of[0] and types_of[0][column] != sql}

    def _is_there(self, table):
        return bool(self.migration.source(
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE nspname = %s AND relname = %s", (table.schema, table.name)))

    # ---- What is left.

    def _inventory(self):
        return [{line for line, in cluster.execute(self.migration.name, _EVERYTHING_OF_OURS)}
                for cluster in (self.stack.source, self.stack.target)]

    def _clean_up(self, before):
        """README's step 8, and then nothing of lockstep's is there."""
        if self.touched or self.all_touched:
            return  # The DBA's own things are there, too.
        self.migration.lockstep.end()
        self.migration.drop_slot()
        name = self.migration.publication
        self.stack.source.execute(self.migration.name, f"DROP PUBLICATION IF EXISTS {name}")
        self.stack.target.execute(self.migration.name, "DROP SCHEMA IF EXISTS lockstep CASCADE")
        after = self._inventory()
        for side, was, is_now in zip(("source", "target"), before, after):
            for line in sorted(is_now - was):
                self.outcome.broken.append(f"f: left on the {side}: {line}")


def try_seed(stack, plan):
    """Runs a plan; a fault of the harness itself is reported as broken, too."""
    with Trial(stack, plan) as trial:
        return trial.run()


