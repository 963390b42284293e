"""From nothing to rows moving: `lockstep init`, what it prints run word for word, `lockstep run`
(issue O, part 10 and acceptance 11)."""

import re
import socket
import stat
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.compare import Side, compare
from tests.lab.first_contact import RECORDS, RENTAL, RENTAL_CHANGES
from tests.lab.newcomer import Newcomer, steps
from tests.lab.postgres import SUPERUSER

COMMAND = ("lockstep init --source 'postgres://owner@db1/pagila' "
           "--target 'postgres://owner@db2/pagila'")


@pytest.fixture(scope="module")
def newcomer():
    """Two servers as initdb makes them: wal_level is replica."""
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-")))
        directory.chmod(0o755)
        yield Newcomer(directory, undo, {"wal_level": "replica"})


def files_of(directory):
    """Every file of a newcomer's that is not a server's."""
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*")
            if path.is_file() and path.parts[len(directory.parts)] not in ("db1", "db2", "bin")}


def moved_of(source, left_out):
    """The tables that are to be equal."""
    named = source.lines("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
                         " JOIN pg_namespace n ON n.oid = c.relnamespace"
                         " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
                         " AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1")
    assert left_out <= set(named)
    return [table for table in named if table not in left_out]


def assert_equal(me, database, left_out):
    """Every table that moves is equal, and those that stay are empty on the target."""
    source, target = (Side(cluster.client_environment(database))
                      for cluster in (me.source, me.target))
    outcome = compare(source, target, moved_of(source, left_out))
    assert outcome.equal, outcome
    for table in left_out:
        assert me.target.value(database, f"SELECT count(*) FROM {table}") == 0
    return outcome


def prove_ready(me, file):
    """`validate` has nothing to say but what nobody can change for good."""
    said = me.shell(f"lockstep validate {file}")
    assert ": error: " not in said and "nothing stands in the way" in said, said


def init_again(me, manifest):
    """Nothing is left to be said, nothing is written again, and what somebody wrote stays."""
    written = files_of(me.directory)
    again = me.shell(COMMAND)
    assert "Both servers are ready" in again and "as it would be written" in again, again
    assert files_of(me.directory) == written
    (me.directory / "pagila.yaml").write_text(manifest + "# mine\n")
    refused = me.shell(COMMAND, expected=78)
    assert "pagila.yaml exists" in refused and "--force" in refused, refused
    assert (me.directory / "pagila.yaml").read_text() == manifest + "# mine\n"
    me.target.execute("pagila", "REVOKE USAGE ON SCHEMA kinds FROM lockstep_writer;"
                                "REVOKE USAGE ON TYPE kinds.mood FROM PUBLIC;"
                                "REVOKE EXECUTE ON FUNCTION kinds.folded(text) FROM PUBLIC;"
                                "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    said, printed = (me.shell("lockstep validate pagila.yaml", expected=78),
                     me.shell(f"{COMMAND} --force"))
    for what in ('USAGE ON SCHEMA "kinds"', "USAGE ON TYPE kinds.mood",
                 "EXECUTE ON FUNCTION kinds.folded(text)", "USAGE ON LANGUAGE plpgsql"):
        grant = f'GRANT {what} TO "lockstep_writer";'
        assert grant in said and grant in printed, (grant, said, printed)
    assert (me.directory / "pagila.yaml").read_text() == manifest


def test_a_film_rental_moves_without_a_line_of_yaml(newcomer):
    me = newcomer
    me.create_databases("pagila")
    me.source.psql("pagila", "-c", RENTAL, user="owner")
    before = files_of(me.directory)

    shown = me.shell(f"{COMMAND} --dry-run")
    assert files_of(me.directory) == before, "a dry run writes nothing"
    assert "SCRAM" not in shown and "PASSWORD <of the file" in shown, shown
    assert "version: 1\nmigration: pagila\n" in shown, shown

    printed = me.shell(COMMAND)
    left_out = {"public.audit_log", "public.session_cache"}
    manifest = (me.directory / "pagila.yaml").read_text()
    rules = re.findall(r"^  - source: (.*)\n(    skip: true)?", manifest, re.MULTILINE)
    assert {table for table, skip in rules if skip} == left_out, manifest
    assert "  # public.audit_log has no usable key" in manifest, manifest
    assert "  # table public.session_cache of the source is UNLOGGED" in manifest, manifest
    secrets = [me.directory / "secrets" / f"pagila.{side}" for side in ("source", "target")]
    for secret in secrets:
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text().strip() not in printed + manifest
    asked = me.follow(printed, "pagila")
    prove_ready(me, "pagila.yaml")
    for changes in ("", RENTAL_CHANGES):
        me.source.psql("pagila", "-c", changes, user="owner")
        me.shell("lockstep run pagila.yaml --until synced")
    outcome = assert_equal(me, "pagila", left_out)

    init_again(me, manifest)
    statements = sum(line.endswith(";") for line in printed.splitlines())
    print(f"pagila: {len(rules)} tables, {len(left_out)} left out, "
          f"{sum(outcome.rows.values())} rows equal, {len(asked)} steps, {statements} statements")
    me.shell("lockstep reset pagila.yaml --yes", expected=77)


def test_a_record_shop_of_several_owners_moves_by_its_superusers(newcomer):
    """Sockets, key=value, a name that is no migration's, an owner that the target lacks."""
    me = newcomer
    for cluster in (me.source, me.target):
        cluster.execute("postgres", 'CREATE DATABASE "Chinook-DB"')
    me.source.psql("Chinook-DB", "-c", RECORDS, user=SUPERUSER)
    me.source.create_role("sales")
    me.source.execute("Chinook-DB", 'ALTER TABLE "Invoice" OWNER TO sales')
    source, target = (f"host={cluster.socket_dir} port={cluster.port} dbname=Chinook-DB "
                      f"user={SUPERUSER}" for cluster in (me.source, me.target))
    printed = me.shell(f"lockstep init --source '{source}' --target '{target}' --owner music"
                       " --reader chinook_reader --writer chinook_writer")
    asked = me.follow(printed, "Chinook-DB")
    prove_ready(me, "chinook_db.yaml")
    me.shell("lockstep run chinook_db.yaml --until synced")
    outcome = assert_equal(me, "Chinook-DB", {'public."Import"', 'public."Price"'})
    assert me.target.value("Chinook-DB", "SELECT string_agg(DISTINCT tableowner, ' ')"
                                         " FROM pg_tables WHERE schemaname = 'public'") == "music"
    assert not any("who owns" in who and "source" in who for who in asked), asked
    assert me.target.value("Chinook-DB", "SELECT count(*) FROM pg_event_trigger") == 1
    assert not me.target.value("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'music'")
    print(f"chinook: {len(outcome.rows)} tables, {sum(outcome.rows.values())} rows equal, "
          f"{len(asked)} steps")


def test_a_password_is_seen_by_nobody(newcomer):
    """Not in what init prints and writes, nor in its command line, whichever way it came."""
    me = newcomer
    me.create_databases("canary")
    me.source.psql("canary", "-c", "CREATE TABLE t (id int PRIMARY KEY)", user="owner")
    passwords = [cluster.passwords["owner"] for cluster in (me.source, me.target)]
    uris = [f"postgres://owner:{password}@{host}/canary"
            for password, host in zip(passwords, ("db1", "db2"))]
    more = "--reader canary_reader --writer canary_writer --out its/own/canary.yaml"
    printed = me.shell(f"lockstep init --source '{uris[0]}' --target={uris[1]} {more}")
    folder = me.directory / "its" / "own"
    written = b"".join(files_of(folder).values())
    assert set(files_of(folder)) == {Path("canary.yaml"), Path("secrets/canary.source"),
                                     Path("secrets/canary.target")}
    assert not any(password in printed + written.decode() for password in passwords)
    assert "pw-canary" not in argv_of_init(me)
    for uri, code in (("postgres://owner:pw-canary%zz@db1/canary", 64),
                      ("postgres://owner:pw-canary@db1/canary", 77)):
        said = me.shell(f"lockstep init --source '{uri}' --target '{uris[1]}'", expected=code)
        assert "pw-canary" not in said and "source" in said, said


def argv_of_init(me):
    """What others see of an `init` that waits for a server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        source = f"postgres://owner:pw-canary@127.0.0.1:{silent.getsockname()[1]}/canary"
        target = "host=127.0.0.1 dbname=canary user=owner password=pw-canary"
        process = subprocess.Popen([me.directory / "bin" / "lockstep", "init", f"--source={source}",
                                    "--target", target], env=me.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            with silent.accept()[0]:  # It has connected, and waits for an answer.
                return Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.kill()
            process.wait()


def test_a_role_that_is_somebody_elses_is_left_alone(newcomer):
    """No statement takes an existing role's password away: another migration may need it."""
    me = newcomer
    me.create_databases("other")
    me.source.psql("other", "-c", "CREATE TABLE t (id int PRIMARY KEY)", user="owner")
    me.source.create_role("taken")
    command = COMMAND.replace("/pagila", "/other") + " --reader taken --writer other_writer"
    said = me.shell(command, expected=77)
    assert "role taken exists on the source" in said and "secrets/other.source" in said, said
    assert not (me.directory / "other.yaml").exists()
    secret = me.directory / "secrets" / "other.source"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(me.source.passwords["taken"])
    printed = me.shell(command)
    assert 'ALTER ROLE "taken" REPLICATION;' in printed, printed
    me.follow(printed, "other")
    prove_ready(me, "other.yaml")


# What only a superuser may make: the owner is one until it is restored.
TWO = """
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
"""
WATCHED = """
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION watch();
"""
LOWER = 'ALTER ROLE "owner" NOSUPERUSER;'


def owner_is_superuser(me):
    return me.target.value("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'")


def test_a_restore_that_broke_off_leaves_nothing_half_done(newcomer):
    """Neither tables, nor an owner who stays a superuser since init was run again meanwhile; and a
    table that the target lacks is said, and not taken for one that is to be left out."""
    me = newcomer
    me.create_databases("half")
    me.source.psql("half", "-c", TWO, user="owner")
    me.source.psql("half", "-c", WATCHED, user=SUPERUSER)
    command = COMMAND.replace("/pagila", "/half") + " --reader half_reader --writer half_writer"
    for who, text in steps(me.shell(command)):
        if who.startswith("In a shell"):
            break
        me.follow_step(who, text, "half")
    assert owner_is_superuser(me) and "bash" in who
    me.target.execute("half", "CREATE VIEW b AS SELECT 1 AS in_the_way")
    assert 'relation "b" already exists' in me.shell(text, expected=3)
    assert me.target.value("half", "SELECT to_regclass('a')") is None
    me.target.execute("half", "DROP VIEW b")

    again = steps(me.shell(command))
    order = [LOWER in text for _, text in again]
    assert order.index(True) > [who.startswith("In a shell") for who, _ in again].index(True), again
    (shell,) = [text for who, text in again if who.startswith("In a shell")]
    me.shell(shell)
    printed = me.shell(command)
    assert "pg_dump" not in printed and LOWER in printed, printed
    me.follow(printed, "half")
    assert not owner_is_superuser(me)
    assert "Both servers are ready" in me.shell(command)
    prove_ready(me, "half.yaml")

    me.target.execute("half", "DROP TABLE b")
    printed = me.shell(command)
    assert "1 of the source's tables are not on the target, though others are: public.b." in printed
    assert "as it would be written" in printed and "Both servers are ready" not in printed, printed
    assert "skip: true" not in (me.directory / "half.yaml").read_text()
    assert "public.b" in me.shell("lockstep validate half.yaml", expected=78)
