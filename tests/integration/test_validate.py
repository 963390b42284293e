"""`lockstep validate`: every mistake at once, each at its place, with what to do about it."""

import json
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.lockstep import _verb
from tests.lab.postgres import OWNER, Cluster
from tests.lab.process import free_ports

READER, WRITER = "reader", "writer"

# What a DBA got wrong: each entry of MISTAKES below is one setting, table or grant of these.
SOURCE_SETTINGS = {"wal_level": "replica", "max_wal_senders": 0, "max_replication_slots": 1}
SOURCE = f"""
CREATE TABLE fine (id int PRIMARY KEY, v text);
CREATE TABLE keyless (v text);
CREATE TABLE not_there (id int PRIMARY KEY);
CREATE TABLE column_missing (id int PRIMARY KEY, extra text);
CREATE TABLE valueless (id int PRIMARY KEY);
CREATE TABLE deferrable_key (id int PRIMARY KEY);
CREATE TABLE triggered (id int PRIMARY KEY);
CREATE TABLE filled (id int PRIMARY KEY);
CREATE TABLE no_insert (id int PRIMARY KEY);
CREATE TABLE no_select (id int PRIMARY KEY);
CREATE TABLE secured (id int PRIMARY KEY);
CREATE TABLE indebted (id int PRIMARY KEY, at timetz);
CREATE TABLE "a b" (id int PRIMARY KEY);
CREATE TABLE a_b (id int PRIMARY KEY);
CREATE TABLE rooted (id int PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE rooted_1 PARTITION OF rooted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE SCHEMA hidden;
CREATE TABLE hidden.secret (id int PRIMARY KEY);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE PUBLICATION lockstep_shop FOR TABLE keyless, not_there, column_missing, valueless,
  deferrable_key, triggered, filled WHERE (id > 0), no_insert, no_select, secured, indebted, "a b",
  a_b, rooted, hidden.secret WITH (publish = 'insert, update, delete');
GRANT USAGE ON SCHEMA public TO {READER};
GRANT SELECT ON ALL TABLES IN SCHEMA public, hidden TO {READER};
REVOKE SELECT ON no_select FROM {READER};
"""
TARGET = f"""
CREATE TABLE fine (id int PRIMARY KEY, v text);
CREATE TABLE keyless (v text);
CREATE TABLE column_missing (id int PRIMARY KEY);
CREATE TABLE valueless (id int PRIMARY KEY, needed int NOT NULL);
CREATE TABLE deferrable_key (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE triggered (id int PRIMARY KEY);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE triggered ENABLE ALWAYS TRIGGER stamp;
CREATE TABLE filled (id int PRIMARY KEY);
INSERT INTO filled VALUES (1);
CREATE TABLE no_insert (id int PRIMARY KEY);
CREATE TABLE no_select (id int PRIMARY KEY);
CREATE TABLE secured (id int PRIMARY KEY);
CREATE TABLE indebted (id int PRIMARY KEY, at timetz);
CREATE TABLE "a b" (id int PRIMARY KEY);
CREATE TABLE a_b (id int PRIMARY KEY);
CREATE TABLE rooted (id int PRIMARY KEY);
CREATE TABLE unlogged (id int PRIMARY KEY);
CREATE SCHEMA hidden;
CREATE TABLE hidden.secret (id int PRIMARY KEY);
GRANT USAGE ON SCHEMA public, hidden TO {WRITER};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public, hidden TO {WRITER};
REVOKE INSERT ON no_insert FROM {WRITER};
"""

MANIFEST = """\
version: 1
migration: shop
state_dir: state
colour: blue
source:
  connect: {{host: {source.socket_dir}, port: {source.port}, dbname: shop, user: reader}}
  stream: debezium
  debezium:
    topic_prefix: shop
    kafka: {{bootstrap.servers: "127.0.0.1:{broker}"}}
    connect: {{url: "http://127.0.0.1:{connect}", connector: shop}}
target:
  connect: {{host: {target.socket_dir}, port: {target.port}, dbname: shop, user: writer}}
backfill: {{workers: 0}}
tables:
  - source: public.*
  - source: public.nowhere
  - source: hidden.secret
"""

# Line of the manifest, error or warning, a part of the text, a part of the hint.
MISTAKES = [
    (4, "error", "unknown key", ""),
    (6, "error", "wal_level of the source is replica", "ALTER SYSTEM SET wal_level"),
    (6, "error", "all 1 replication slots", "as a superuser"),
    (6, "error", "all 0 WAL senders", "as a superuser"),
    (6, "error", "role reader lacks REPLICATION", "ALTER ROLE \"reader\" REPLICATION"),
    (6, "error", "publication lockstep_shop does not cover public.fine",
     'ALTER PUBLICATION "lockstep_shop" ADD TABLE "public"."fine"; COMMIT; as'),
    (6, "error", "publication lockstep_shop has a row filter for public.filled", "DROP TABLE"),
    (6, "error", "publication lockstep_shop publishes tables without replica identity, so that "
     "PostgreSQL refuses their updates and deletes: public.keyless", "give them a primary key"),
    (6, "error", "publication lockstep_shop leaves out truncate", "SET (publish"),
    (6, "error", "publication lockstep_shop publishes partitions under their own names",
     "publish_via_partition_root = true"),
    (6, "warning", "slot lockstep_shop does not exist yet", "lockstep connector-config"),
    (7, "warning", "ends for good at a timetz whose offset has seconds", "write stream: direct"),
    (9, "error", "public.a b and public.a_b have one topic", ""),
    (10, "error", "the broker", ""),
    (11, "error", "connector shop at http://127.0.0.1", ""),
    (13, "error", "may not set session_replication_role",
     'GRANT SET ON PARAMETER session_replication_role TO "writer"; as a superuser'),
    (13, "error", "lacks CREATE on database shop", 'GRANT CREATE ON DATABASE "shop" TO "writer"'),
    (14, "error", "workers", ""),
    (16, "error", "public.keyless has no usable key", ""),
    (16, "error", "public.not_there does not exist on the target", ""),
    (16, "error", "public.column_missing.extra has no column on the target", ""),
    (16, "error", "public.valueless.needed is NOT NULL without default", "give it a constant"),
    (16, "error", "public.deferrable_key is DEFERRABLE", ""),
    (16, "warning", "would fire for every row that lockstep writes: stamp", "ENABLE TRIGGER"),
    (16, "error", "public.filled has rows on the target already", "existing: upsert"),
    (16, "error", "role writer lacks INSERT on public.no_insert of the target",
     'GRANT INSERT ON TABLE "public"."no_insert" TO "writer"; as shop'),
    (16, "error", "role reader lacks SELECT on public.no_select of the source",
     'GRANT SELECT ON TABLE "public"."no_select" TO "reader"; as shop'),
    (16, "error", "row-level security of public.secured", "BYPASSRLS"),
    (16, "warning", "every change of public.indebted.at is read from the source again", ""),
    (16, "error", "public.unlogged of the source is UNLOGGED", "SET LOGGED"),
    (17, "error", "public.nowhere matches no table", ""),
    (18, "error", "role reader lacks USAGE on schema hidden of the source",
     'GRANT USAGE ON SCHEMA "hidden" TO "reader"'),
]


@pytest.fixture(scope="module")
def pair():
    """Two servers of our own: some mistakes are in a server's settings."""
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-")))
        directory.chmod(0o755)
        ports = free_ports(4)
        source = Cluster("source", directory / "source", ports[0], SOURCE_SETTINGS)
        target = Cluster("target", directory / "target", ports[1])
        for cluster in (source, target):
            cluster.create()
            undo.callback(cluster.stop)
            cluster.start()
            cluster.create_role(OWNER)
        source.create_role(READER)
        target.create_role(WRITER)
        for cluster, schema in ((source, SOURCE), (target, TARGET)):
            cluster.create_database("shop")
            cluster.execute("shop", schema, user=OWNER)
        source.execute("shop", "SELECT pg_create_physical_replication_slot('other')")
        yield directory, source, target, ports


def test_reports_every_planted_mistake_in_one_run(pair):
    directory, source, target, ports = pair
    manifest = directory / "shop.yaml"
    manifest.write_text(MANIFEST.format(source=source, target=target, broker=ports[2],
                                        connect=ports[3]))
    done = _verb("validate", manifest, "--format", "json")
    report = json.loads(done.stdout)
    found = [(p["line"], p["severity"], p["text"], p["hint"]) for p in report["problems"]]
    for line, severity, text, hint in MISTAKES:
        hits = [each for each in found if text in each[2]]
        assert len(hits) == 1, (text, hits, done.stdout)
        assert hits[0][:2] == (line, severity) and hint in hits[0][3], (text, hits)
    assert len(found) == len(MISTAKES), [each for each in found
                                         if not any(m[2] in each[2] for m in MISTAKES)]
    assert len(MISTAKES) == 32
    assert done.returncode == 69  # The broker and Connect do not answer.


def test_names_what_is_rarer(pair):
    directory, source, target, ports = pair
    source.execute("postgres", f"ALTER ROLE {READER} CREATEDB CONNECTION LIMIT 4")
    source.execute("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
    source.execute("postgres", "SELECT pg_reload_conf()")
    source.execute("shop", "CREATE TABLE rare (id int PRIMARY KEY, v int);"
                   f"GRANT SELECT ON rare TO {READER};"
                   "CREATE PUBLICATION rare FOR TABLE rare (id);", user=OWNER)
    target.execute("shop", "CREATE TABLE rare (id int PRIMARY KEY, v int UNIQUE DEFERRABLE);"
                   f"GRANT SELECT ON rare TO {WRITER};", user=OWNER)
    text = MANIFEST.format(source=source, target=target, broker=ports[2], connect=ports[3])
    manifest = directory / "rare.yaml"
    manifest.write_text(text.replace("  stream:", "  publication: rare\n  stream:")
                        .replace("public.*", "public.rare"))
    printed = _verb("validate", manifest).stdout
    for text in ("max_slot_wal_keep_size of the source is 1024 MB",
                 "role reader may create databases on the source",
                 "where the CONNECTION LIMIT of role reader is 4",
                 "publication rare has a column list for public.rare",
                 "deferrable constraints of public.rare are not enforced",
                 "role writer lacks INSERT, UPDATE, DELETE, TRUNCATE on public.rare"):
        assert printed.count(text) == 1, (text, printed)


def test_prints_one_line_per_problem_for_people(pair):
    directory, source, target, ports = pair
    manifest = directory / "shop.yaml"
    manifest.write_text(MANIFEST.format(source=source, target=target, broker=ports[2],
                                        connect=ports[3]))
    lines = _verb("validate", manifest, "--offline").stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(re.escape(str(manifest)) + r":\d+:\d+: error: .+", line)


def test_names_a_state_directory_that_cannot_be_made(pair):
    directory, source, target, ports = pair
    text = MANIFEST.format(source=source, target=target, broker=ports[2], connect=ports[3])
    manifest = directory / "state.yaml"
    manifest.write_text(re.sub("state_dir: .*", "state_dir: state.yaml/below", text))
    assert f"cannot write to {manifest}" in _verb("validate", manifest, "--offline").stdout


def test_says_who_is_away_and_still_asks_the_others(pair):
    directory, source, target, ports = pair
    text = MANIFEST.format(source=source, target=target, broker=ports[2], connect=ports[3])
    manifest = directory / "away.yaml"
    manifest.write_text(text.replace(str(target.socket_dir), "/nowhere"))
    done = _verb("validate", manifest)
    assert done.returncode == 69
    assert ":13:12: error:" in done.stdout  # The target's place.
    assert "wal_level of the source is replica" in done.stdout
    assert "public.filled has rows" not in done.stdout


def test_finds_nothing_wrong_with_a_migration_that_is_ready(migrate):
    migration = migrate("CREATE TABLE people (id int PRIMARY KEY, name text);")
    migration.prepare()
    done = migration.lockstep.verb("validate", "--deny-warnings")
    assert (done.returncode, problems(migration)) == (0, [])
    assert f"nothing stands in the way: lockstep run {migration.lockstep.manifest}" in done.stdout


def test_goes_on_to_find_nothing_once_the_migration_has_rows(migrate):
    migration = migrate("CREATE TABLE people (id int PRIMARY KEY, name text);"
                        "INSERT INTO people SELECT g, 'x' FROM generate_series(1, 100) g;")
    migration.prepare()
    migration.finish()
    assert migration.lockstep.verb("validate").returncode == 0


def test_compares_the_running_connector(migrate):
    migration = migrate("CREATE TABLE people (id int PRIMARY KEY, name text);")
    migration.copy_schema()
    migration.grant()
    migration.publish()
    migration.start_connector(**{"decimal.handling.mode": "double", "errors.tolerance": "all"})
    done = migration.lockstep.verb("validate")
    assert done.returncode == 78
    assert "decimal.handling.mode" in done.stdout
    assert "errors.tolerance" in done.stdout


PEOPLE = "CREATE TABLE people (id int PRIMARY KEY, name text);"


def problems(migration):
    """What validate prints, without the file's name and place."""
    printed = migration.lockstep.verb("validate").stdout
    return re.findall(r"^.*?:\d+:\d+: ((?:error|warning): .*)$", printed, re.MULTILINE)


def the_one(migration, text):
    hits = [line for line in problems(migration) if text in line]
    assert len(hits) == 1, (text, problems(migration))
    return hits[0]


def test_says_who_may_make_the_publication(migrate):
    migration = migrate(PEOPLE)
    migration.copy_schema()
    migration.grant()
    line = the_one(migration, "does not exist, and role lockstep_reader may not make it")
    sql = re.search(r"CREATE PUBLICATION .* WITH \(publish_via_partition_root = true\)", line)[0]
    migration.source(sql)  # The statement is meant to be run as it stands.
    assert not any("publication" in each for each in problems(migration))
    assert all(each.startswith("warning") for each in problems(migration))
    assert migration.lockstep.verb("validate").returncode == 0


def test_grants_as_it_says_lead_to_a_clean_validate(migrate):
    migration = migrate(PEOPLE + "CREATE TABLE other (id int PRIMARY KEY);")
    migration.copy_schema()
    migration.source(f"GRANT CONNECT ON DATABASE \"{migration.name}\" TO lockstep_reader")
    migration.target(f"GRANT CONNECT ON DATABASE \"{migration.name}\" TO lockstep_writer")
    migration.publish()
    statements = [(each, re.search(r"(GRANT [^;]+);", each)) for each in problems(migration)]
    granted = [(line, found[1]) for line, found in statements if found]
    for line, statement in granted:
        (migration.target if "of the target" in line else migration.source)(statement)
    assert len(granted) == 3  # SELECT; SELECT, INSERT, ...; CREATE on the database.
    assert not any("GRANT" in each for each in problems(migration))


def test_compares_the_labels_of_enums(migrate):
    """Also of those that arrays and domains are made of."""
    migration = migrate("CREATE TYPE mood AS ENUM ('good', 'it''s bad');"
                        "CREATE DOMAIN feeling AS mood;"
                        "CREATE TABLE a (id int PRIMARY KEY, moods mood[]);"
                        "CREATE TABLE b (id int PRIMARY KEY, mood feeling)", stream="direct")
    migration.prepare()
    assert migration.lockstep.verb("validate").returncode == 0
    migration.source("ALTER TYPE mood ADD VALUE 'none' BEFORE 'good'")
    lines = [line for line in problems(migration)
             if "enum public.mood of the target lacks the source's label 'none'" in line]
    assert ["a.moods" in line for line in lines] == [True, False]
    migration.target(re.search(r"ALTER TYPE .*;", lines[0])[0])
    assert migration.lockstep.verb("validate").returncode == 0


def test_a_key_in_the_order_of_another_version_is_refused(migrate, stack):
    """Ranges of its index may miss rows, on either side alike."""
    migration = migrate("CREATE COLLATION old (provider = icu, locale = 'en-US');"
                        "CREATE TABLE people (id text COLLATE old PRIMARY KEY, name text)",
                        stream="direct")
    migration.prepare()
    assert migration.lockstep.verb("validate").returncode == 0
    stack.source.execute(migration.name, "UPDATE pg_collation SET collversion = '1'"
                                         " WHERE collname = 'old'")
    line = the_one(migration, "public.people.id is ordered by collation public.old, whose library")
    assert migration.lockstep.start("--until", "synced").wait(60) == 78
    for sql in re.search(r"\((REINDEX .*) on the source, then (ALTER .*)\)", line).groups():
        migration.source(sql)  # The statements are meant to be run as they stand.
    assert migration.lockstep.verb("validate").returncode == 0


def test_warns_of_a_unique_index_that_only_the_target_has(migrate):
    """Issue E, row 2.  One that the source's imply is none."""
    migration = migrate(PEOPLE)
    migration.prepare()
    migration.target("CREATE UNIQUE INDEX on_both ON people (id, name)")
    assert migration.lockstep.verb("validate", "--deny-warnings").returncode == 0
    migration.target("CREATE UNIQUE INDEX by_name ON people (lower(name)) WHERE id > 0")
    assert "only the target has unique index public.by_name" in the_one(
        migration, "of rows of public.people that it does not let stand side by side")
    migration.source("CREATE UNIQUE INDEX by_name ON people (lower(name)) WHERE id > 0")
    assert migration.lockstep.verb("validate", "--deny-warnings").returncode == 0


def test_refuses_a_slot_of_another_database(migrate):
    migration = migrate(PEOPLE, source={"slot": "elsewhere"})
    migration.copy_schema()
    migration.grant()
    migration.stack.source.execute(
        "postgres", "SELECT pg_create_logical_replication_slot('elsewhere', 'pgoutput')")
    try:
        the_one(migration, "slot elsewhere belongs to database postgres")
        the_one(migration, "does not exist, but slot elsewhere does")
    finally:
        migration.stack.source.execute("postgres", "SELECT pg_drop_replication_slot('elsewhere')")


def test_refuses_a_compacted_topic(migrate, stack):
    migration = migrate(PEOPLE)
    migration.copy_schema()
    migration.grant()
    migration.publish()
    stack.broker.create_topic(f"{migration.name}.public.people", 1, {"cleanup.policy": "compact"})
    the_one(migration, f"topic {migration.name}.public.people of public.people is compacted")


REFUSED = {"decimal.handling.mode": "precise", "binary.handling.mode": "hex",
           "time.precision.mode": "connect", "snapshot.mode": "initial",
           "value.converter.replace.null.with.default": "true"}


def test_names_every_refused_setting_of_a_running_connector(migrate):
    migration = migrate(PEOPLE)
    migration.copy_schema()
    migration.grant()
    migration.publish()
    migration.start_connector(**REFUSED)
    for name, value in REFUSED.items():
        the_one(migration, f"{name} is '{value}': ")


def test_knows_a_table_that_the_manifest_maps_otherwise_than_it_began(migrate):
    migration = migrate(PEOPLE)
    migration.prepare()
    migration.finish()
    migration.target("CREATE TABLE moved (LIKE people INCLUDING ALL);"
                     "GRANT ALL ON moved TO lockstep_writer")
    migration.manifest["tables"] = [{"source": "public.people", "target": "public.moved"}]
    migration.lockstep.write(migration.manifest)
    the_one(migration, "the manifest maps public.people in another way")
    # Two sources into one target are named after the beginning as before.
    migration.source("CREATE TABLE rival (LIKE people INCLUDING ALL)")
    migration.manifest["tables"].append({"source": "public.rival", "target": "public.moved"})
    migration.lockstep.write(migration.manifest)
    the_one(migration, "error: public.people and public.rival both go to public.moved")
    migration.manifest["tables"].pop()
    migration.manifest["target"]["connect"]["dbname"] = "postgres"
    migration.lockstep.write(migration.manifest)
    the_one(migration, "public.moved does not exist on the target")
