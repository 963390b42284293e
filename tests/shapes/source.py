"""Random tables of a source."""

import random
from dataclasses import dataclass, field

from tests.shapes.types import (COMMON_KEYS, KEYS, NOT_THROUGH_DEBEZIUM, REFUSED_BY_DEBEZIUM,
                                SECOND_KEYS, VALUES)

SCHEMAS = ["public", "Strange Schema"]

# What is tried as a name; %d makes it distinct.
_NAMES = ["t%d", "T%d Mixed", "it's %d", 'quoted "%d"', "select %d", "ends in space %d ",
          "dot.ted %d", "naïve %d", "back\\slash %d", "%d" + "a" * 61, "order", "user", "%d",
          "comma, %d", "line\nend %d", "$%d", "{t%d}", "100%%%d", "t%d*"]
_COLUMN_NAMES = ["c%d"] * 12 + ["C %d", 'quo"te%d', "it's%d", "naïve%d", "$%d", "%d", "lsn",
                                "%d" + "a" * 62, "back\\%d", "sp %d ", "dot.%d", "select", "user",
                                "key%d"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@dataclass
class Column:
    name: str
    kind: str
    key: bool = False
    more: str = ""  # NOT NULL, DEFAULT, GENERATED ...

    @property
    def type(self):
        return ({**SECOND_KEYS, **KEYS} if self.key else VALUES)[self.kind]

    @property
    def writable(self):
        return "GENERATED" not in self.more

    def ddl(self):
        return f"{quoted(self.name)} {self.type.sql} {self.more}".rstrip()


@dataclass
class Table:
    number: int
    schema: str
    name: str
    columns: list
    form: str = "plain"  # plain | partitioned | parent | child | late
    ddl: list = field(default_factory=list)
    leaves: list = field(default_factory=list)  # Quoted names.
    deferrable: bool = False
    excuses: list = field(default_factory=list)  # Why `validate` may refuse it.
    parent: int | None = None  # The number of the table that it inherits from.

    @property
    def sql(self):
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def text(self):
        """As lockstep's JSON names it."""
        return f"{self.schema}.{self.name}"

    @property
    def _names(self):
        """Its own, and the one that a DBA may give it."""
        return [self.name, self.new_name]

    @property
    def new_name(self):
        return f"renamed {self.number}"

    @property
    def all_names(self):
        """Every form in which a message may name the table or its leaves."""
        forms = [form for name in self._names for schema in SCHEMAS  # A DBA may move it.
                 for form in (f"{schema}.{name}", f"{quoted(schema)}.{quoted(name)}",
                              f"{schema}.{quoted(name)}", f"{quoted(schema)}.{name}")]
        return forms + self.leaves + [leaf.replace('"', "") for leaf in self.leaves]

    @property
    def rules(self):
        """The manifest's names of the same."""
        return [f"{quoted(schema)}.{quoted(name)}" for schema in SCHEMAS for name in self._names]

    @property
    def key(self):
        return [column for column in self.columns if column.key]

    @property
    def values(self):
        return [column for column in self.columns if not column.key and column.writable]

    def key_of(self, i):
        """Literals of the key number `i`, a row constructor's inside.  Two neighbours differ in the
        first column only."""
        first, *others = self.key
        return [first.type.literal(i), *(column.type.literal(i // 2 % 3) for column in others)]


class SourceMaker:
    """Makes the tables of one seed; each from a generator of its own, so that one can be left out
    without a change of the others."""

    def __init__(self, seed, stream):
        self.seed = seed
        self.debezium = stream == "debezium"

    def tables(self):
        rng = random.Random(f"{self.seed} tables")
        made = [self._table(number) for number in range(rng.randint(10, 20))]
        self._inherit(rng, made)
        self._refer(rng, made)
        return made

    def _table(self, number):
        rng = random.Random(f"{self.seed} table {number}")
        name = rng.choice(_NAMES) if rng.random() < 0.4 else "t%d"
        name = name % number if "%d" in name else f"{name} {number}"
        table = Table(number, SCHEMAS[rng.random() < 0.2], name[:63], self._columns(rng))
        if rng.random() < 0.25 and table.key[0].kind in ("int", "bigint", "text", "uuid", "date"):
            Tree(rng, table).make()
        else:
            self._plain(rng, table)
        self._constraints(rng, table)
        self._identity(rng, table)
        if self.debezium:
            table.excuses += [column.kind for column in table.key
                              if column.kind in REFUSED_BY_DEBEZIUM]
            table.excuses += ["quotation marks"] if '"' in table.name else []
        return table

    def _columns(self, rng):
        kinds = COMMON_KEYS if rng.random() < 0.5 else list(KEYS)
        keys = [Column("id" if rng.random() < 0.7 else "Key Column", rng.choice(kinds), True)]
        for name in ("second", "Third One")[:rng.choice([0, 0, 0, 0, 0, 1, 1, 2])]:
            keys.append(Column(name, rng.choice(list(SECOND_KEYS)), True))
        able = [kind for kind in VALUES if not (self.debezium and kind in NOT_THROUGH_DEBEZIUM)]
        values = []
        for i in range(rng.randint(1, 6)):
            name = rng.choice(_COLUMN_NAMES)
            name = (name % i)[:63] if "%d" in name else name
            if name not in [column.name for column in values]:
                values.append(Column(name, rng.choice(able)))
        for column in values:
            if rng.random() < 0.15 and column.kind != "long":
                column.more = f"DEFAULT {column.type.literal(1)}"
        first = values[0]
        if rng.random() < 0.3 and first.kind in ("int", "int8"):
            values.append(Column("twice", "int8", more="GENERATED ALWAYS AS "
                                                       f"({quoted(first.name)}::int8 * 2) STORED"))
        if rng.random() < 0.12:
            how = rng.choice(["BY DEFAULT", "ALWAYS"])
            values.append(Column("counted", "int", more=f"GENERATED {how} AS IDENTITY"))
        columns = keys + values
        if rng.random() < 0.4:
            rng.shuffle(columns)
        return columns

    @staticmethod
    def _plain(rng, table):
        key = ", ".join(quoted(column.name) for column in table.key)
        unique = quoted(f"unique {table.number}")
        shape = rng.random()
        constraint = f"PRIMARY KEY ({key})"
        if shape < 0.80:
            if rng.random() < 0.07:
                constraint += rng.choice([" DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"])
                table.deferrable = True
                table.excuses.append("deferrable")
        elif shape < 0.92:
            constraint = f"CONSTRAINT {unique} UNIQUE ({key})"
            for column in table.key:
                column.more = "NOT NULL"
        else:
            constraint = None
            table.excuses.append("no key")
        body = ", ".join([*(column.ddl() for column in table.columns),
                          *([constraint] if constraint else [])])
        unlogged = "UNLOGGED " if rng.random() < 0.03 else ""
        if unlogged:
            table.excuses.append("unlogged")
        table.ddl.append(f"CREATE {unlogged}TABLE {table.sql} ({body})")
        if constraint and "UNIQUE" in constraint:
            if rng.random() < 0.8:
                table.ddl.append(f"ALTER TABLE {table.sql} REPLICA IDENTITY USING INDEX {unique}")
            else:
                table.excuses.append("no identity")
        if rng.random() < 0.15:
            table.ddl += [f"ALTER TABLE {table.sql} ADD COLUMN gone int",
                          f"ALTER TABLE {table.sql} DROP COLUMN gone"]
        long = [quoted(column.name) for column in table.values if column.kind == "long"]
        if long and rng.random() < 0.5:
            table.ddl += [f"ALTER TABLE {table.sql} ALTER {name} SET STORAGE EXTERNAL"
                          for name in long]

    @staticmethod
    def _constraints(rng, table):
        """Unique and exclusion constraints beside the key, and triggers."""
        if table.form != "plain":
            return
        able = [column for column in table.values
                if column.kind in ("int8", "varchar", "numeric_2")]
        if able and rng.random() < 0.3:
            name = quoted(rng.choice(able).name)
            table.ddl.append(rng.choice([
                f"CREATE UNIQUE INDEX ON {table.sql} ({name})",
                f"CREATE UNIQUE INDEX ON {table.sql} ({name}) WHERE {name}::text > '5'",
                f"CREATE UNIQUE INDEX ON {table.sql} ((lower({name}::text)))",
                f"ALTER TABLE {table.sql} ADD UNIQUE ({name}) DEFERRABLE INITIALLY DEFERRED",
                f"ALTER TABLE {table.sql} ADD EXCLUDE ({name} WITH =)"]))
        spans = [column for column in table.values if column.kind == "spans"]
        if spans and rng.random() < 0.5:
            table.ddl.append(f"ALTER TABLE {table.sql} ADD EXCLUDE USING gist "
                             f"({quoted(spans[0].name)} WITH &&)")
        if rng.random() < 0.05:
            table.ddl.append(f"ALTER TABLE {table.sql} ADD COLUMN m text NOT NULL UNIQUE "
                             "DEFAULT 'm' || nextval('public.numbers')")
        numbers = [column for column in table.values if column.kind == "int"]
        if numbers and rng.random() < 0.15:
            function = f"{quoted(table.schema)}.{quoted(f'touch {table.number}')}"
            name = quoted(numbers[0].name)
            table.ddl += [
                f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
                f"'BEGIN NEW.{name} := coalesce(NEW.{name}, 0) + 1; RETURN NEW; END'",
                f"CREATE TRIGGER touch BEFORE UPDATE ON {table.sql} FOR EACH ROW "
                f"EXECUTE FUNCTION {function}()"]

    @staticmethod
    def _identity(rng, table):
        chance = rng.random()
        targets = [table.sql, *table.leaves]
        if chance < 0.10:
            table.ddl += [f"ALTER TABLE {each} REPLICA IDENTITY FULL" for each in targets]
            table.excuses = [each for each in table.excuses if each != "no identity"]
            if any("UNIQUE" in each for each in table.ddl[:1]) and len(table.ddl) > 1:
                table.excuses.append("which of its unique keys?")
        elif chance < 0.14:
            table.ddl.append(f"ALTER TABLE {rng.choice(targets)} REPLICA IDENTITY FULL")
        elif chance < 0.18:
            table.ddl.append(f"ALTER TABLE {rng.choice(targets)} REPLICA IDENTITY NOTHING")
            table.excuses.append("identity nothing")
        elif chance < 0.26:
            index = quoted(f"identity {table.number}")
            each = rng.choice(table.leaves) if table.leaves else table.sql
            table.ddl += [
                f"ALTER TABLE {table.sql} ADD COLUMN other int NOT NULL "
                "DEFAULT nextval('public.numbers')",
                f"CREATE UNIQUE INDEX {index} ON {each} (other)",
                f"ALTER TABLE {each} REPLICA IDENTITY USING INDEX {index}"]
            if table.leaves:
                table.excuses.append("identity of a leaf")
            elif rng.random() < 0.3:
                table.ddl.append(f"DROP INDEX {quoted(table.schema)}.{index}")
                table.excuses.append("identity without its index")

    @staticmethod
    def _inherit(rng, tables):
        """Some plain tables get a child, and it one of its own: tables like any other."""
        plain = [table for table in tables if table.form == "plain" and not table.excuses]
        if not plain or rng.random() < 0.5:
            return
        parent = rng.choice(plain)
        parent.form = "parent"
        for level in range(rng.choice([1, 1, 2])):
            child = Table(50 + level, parent.schema, f"child {level} of {parent.number}",
                          parent.columns, "child", parent=parent.number)
            key = ", ".join(quoted(column.name) for column in parent.key)
            child.ddl = [f"CREATE TABLE {child.sql} (PRIMARY KEY ({key})) INHERITS ({parent.sql})"]
            tables.append(child)
            parent = child if rng.random() < 0.5 else parent

    @staticmethod
    def _refer(rng, tables):
        """A foreign key, of a column that the writer sets like any other."""
        able = [table for table in tables if table.form == "plain" and not table.excuses
                and len(table.key) == 1 and table.key[0].kind in ("int", "bigint")
                and not table.key[0].more]
        for _ in range(rng.choice([0, 1, 2])):
            if not able:
                return
            referring, referred = rng.choice(able), rng.choice(able)
            if any(column.name == "ref" for column in referring.columns):
                continue
            referring.columns = [*referring.columns, Column("ref", "int")]
            action = rng.choice(["CASCADE", "SET NULL", "NO ACTION"])
            referring.ddl.append(
                f"ALTER TABLE {referring.sql} ADD COLUMN ref {referred.key[0].type.sql} REFERENCES "
                f"{referred.sql} ON DELETE {action} ON UPDATE CASCADE DEFERRABLE "
                + rng.choice(["INITIALLY DEFERRED", "INITIALLY IMMEDIATE"]))


class Tree:
    """Makes a partitioned table: one to three levels; partitions that were made as part of the
    tree, or attached with another order of columns and columns that are gone."""

    def __init__(self, rng, table):
        self.rng = rng
        self.table = table
        self.serial = 0

    def make(self):
        rng, table = self.rng, self.table
        table.form = "partitioned"
        key = ", ".join(quoted(column.name) for column in table.key)
        shape = rng.random()
        constraint = f", PRIMARY KEY ({key})"
        if shape < 0.05:
            constraint += " DEFERRABLE"
            table.deferrable = True
            table.excuses.append("deferrable")
        elif shape < 0.12:
            constraint = f", UNIQUE ({key})"
            table.excuses.append("no primary key of a root")
            for column in table.key:
                column.more = "NOT NULL"
        body = ", ".join(column.ddl() for column in table.columns) + constraint
        method = rng.choice(["HASH", "RANGE", "LIST"])
        table.ddl.append(f"CREATE TABLE {table.sql} ({body}) {self._by(method)}")
        for bounds in self._bounds(method):
            self._part(table.sql, bounds, rng.choice([0, 0, 0, 1, 2]))

    def _by(self, method):
        return f"PARTITION BY {method} ({quoted(self.table.key[0].name)})"

    def _bounds(self, method):
        """They take every key together."""
        literal = self.table.key[0].type.literal
        if method == "HASH":
            count = self.rng.randint(1, 3)
            return [f"FOR VALUES WITH (MODULUS {count}, REMAINDER {i})" for i in range(count)]
        if method == "LIST":
            return [f"FOR VALUES IN ({', '.join(literal(i) for i in range(0, 30, 3))})", "DEFAULT"]
        middle = literal(20)
        return [f"FOR VALUES FROM (MINVALUE) TO ({middle})",
                self.rng.choice([f"FOR VALUES FROM ({middle}) TO (MAXVALUE)", "DEFAULT"])]

    def _part(self, parent, bounds, levels):
        rng, table = self.rng, self.table
        name = f"{quoted(table.schema)}.{quoted(f'leaf {table.number} {self.serial}')}"
        self.serial += 1
        by = " " + self._by("HASH") if levels else ""
        if rng.random() < 0.4 and all(column.writable for column in table.columns):
            columns = list(table.columns)
            rng.shuffle(columns)
            body = [column.ddl() + (" NOT NULL" if column.key and not column.more else "")
                    for column in columns]
            body.insert(rng.randrange(len(body) + 1), "gone int")
            table.ddl += [f"CREATE TABLE {name} ({', '.join(body)}){by}",
                          f"ALTER TABLE {name} DROP COLUMN gone",
                          f"ALTER TABLE {parent} ATTACH PARTITION {name} {bounds}"]
        else:
            table.ddl.append(f"CREATE TABLE {name} PARTITION OF {parent} {bounds}{by}")
        if not levels:
            table.leaves.append(name)
            return
        count = rng.randint(1, 2)
        for i in range(count):
            self._part(name, f"FOR VALUES WITH (MODULUS {count}, REMAINDER {i})", levels - 1)


# Defaults of the source's database and of lockstep's role in it.
DATABASE_SETTINGS = [
    "quote_all_identifiers = on", "bytea_output = 'escape'", "intervalstyle = 'sql_standard'",
    "datestyle = 'German, DMY'", "extra_float_digits = -5", "timezone = 'Asia/Kathmandu'",
    "standard_conforming_strings = off", "array_nulls = off", "transform_null_equals = on",
    "lc_monetary = 'C'", "jit = on", "enable_indexscan = off", "row_security = off",
    "search_path = 'Strange Schema', public", "client_encoding = 'LATIN1'", "xmloption = document",
    "backslash_quote = on", "default_toast_compression = 'lz4'", "synchronous_commit = off",
]
ROLE_SETTINGS = [
    "default_transaction_read_only = on", "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on", "statement_timeout = '20ms'", "lock_timeout = '1ms'",
    "search_path = 'Strange Schema', pg_temp", "plan_cache_mode = force_generic_plan",
    "idle_in_transaction_session_timeout = '50ms'", "work_mem = '64kB'",
    "client_min_messages = 'debug1'", "enable_seqscan = off", "cursor_tuple_fraction = 0.01",
]


def settings(seed):
    """What is set on the database and on the role, each with probability a sixth."""
    rng = random.Random(f"{seed} settings")
    if rng.random() < 0.4:
        return [], []
    return ([each for each in DATABASE_SETTINGS if rng.random() < 0.17],
            [each for each in ROLE_SETTINGS if rng.random() < 0.17])
