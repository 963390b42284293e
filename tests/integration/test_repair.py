"""`lockstep repair`: what is not equal is made so, in part or as a whole, within a budget, and taken
back; never over something newer (issue D, part 5 and acceptance 4)."""

import re

from tests.lab.lockstep import said
from tests.lab.meanwhile import Meanwhile

SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text, n numeric, at timestamptz);
INSERT INTO items SELECT g, 'item ' || g, g / 7.0, '2026-01-01'::timestamptz + g * '1 s'::interval
  FROM generate_series(1, 2000) g;
"""
DAMAGE = """
DELETE FROM items WHERE id IN (17, 18);
INSERT INTO items VALUES (5000, 'extra', 1, now()), (5001, 'extra', 1, now()),
  (5002, NULL, NULL, NULL);
UPDATE items SET name = name || ' ', n = n + 1 WHERE id = 100;
"""


def reconcile(migration, expected):
    return migration.lockstep.answer("reconcile", "--once", "--format", "json", expected=(expected,))


def findings(migration, *arguments):
    document = migration.lockstep.answer("findings list", "--format", "json", *arguments)
    return {found["key"]["id"]: found for found in document["findings"]}


def prepared(migrate, **reconcile_options):
    migration = migrate(SCHEMA, reconcile={"every": "1h", "repair": "confirm", **reconcile_options})
    migration.prepare()
    return migration


def repair(migration, *arguments, expected=0):
    done = migration.lockstep.verb("repair", *arguments)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def test_in_part(migrate):
    """`--insert-only` and `--upsert-only`, dry and for real; what they leave out is counted."""
    migration = prepared(migrate)
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target(DAMAGE)
        reconcile(migration, 2)
        dry = repair(migration, "--insert-only")
        assert dry.count("INSERT") == 2 and "UPDATE" not in dry and "DELETE" not in dry, dry
        assert "2 rows; 4 rows of another kind are left out" in dry, dry
        dry = repair(migration, "--upsert-only")
        assert dry.count("INSERT") == 2 and dry.count("UPDATE") == 1 and "DELETE" not in dry, dry
        assert len(findings(migration)) == 6
        assert "2 of 2 rows are equal now; 4 rows of another" in repair(migration, "--insert-only",
                                                                        "--yes")
        assert set(findings(migration)) == {"100", "5000", "5001", "5002"}
        assert "1 of 1 rows are equal now; 3 rows of another" in repair(migration, "--upsert-only",
                                                                        "--yes")
        assert set(findings(migration)) == {"5000", "5001", "5002"}
        nothing = repair(migration, "--upsert-only", "--yes")
        assert "nothing is to be repaired" in nothing and "3 rows of another" in nothing, nothing
        assert migration.target("SELECT count(*) FROM items WHERE id >= 5000") == [(3,)]


def test_a_row_that_the_target_refuses_is_told(migrate):
    """The repair comes to an end, and says where to look."""
    migration = prepared(migrate)
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target("DELETE FROM items WHERE id IN (17, 18)")
        reconcile(migration, 2)
        migration.target("ALTER TABLE items ADD CHECK (id <> 17)")
        told = repair(migration, "--yes", expected=3)
        assert "1 of 2 rows are equal now" in told and "quarantine list" in told, told
        assert {key: each["state"] for key, each in findings(migration).items()} == {"17": "open"}
        shown = lockstep.verb("quarantine list").stdout
        assert "public.items" in shown and "items_id_check" in shown, shown


def set_of(sql):
    """The keys of a dry run's statements, with what is done to each."""
    keys = {}
    for line in sql.splitlines():
        if line.startswith("INSERT"):
            keys[re.search(r"VALUES \('(\d+)'", line)[1]] = "missing_in_target"
        elif line.startswith(("UPDATE", "DELETE")):
            kind = "differing" if line.startswith("UPDATE") else "extra_in_target"
            keys[re.search(r"WHERE \"id\" = '(\d+)'", line)[1]] = kind
    return keys


def rows_of(migration, where):
    return dict(migration.target(f"SELECT id, i::text FROM items i WHERE {where}"))


class Neighbours(Meanwhile):
    """Changes rows of the source all the time, beside those that are wrong."""

    steps = 0

    def work(self, cursor):
        if self.is_over(0.002):
            return
        self.steps += 1
        cursor.execute("UPDATE items SET n = n + 1 WHERE id = %s OR id = %s",
                       (1 + self.steps % 400, 1000 + self.steps % 1000))
        cursor.execute("INSERT INTO items VALUES (%s, 'new')", (100000 + self.steps,))
        if self.steps % 3 == 0:
            cursor.execute("DELETE FROM items WHERE id = %s", (100000 + self.steps - 2,))


def test_under_a_live_writer(migrate):
    """Acceptance 4: 300 divergences; the dry run lists what `findings list` does; every row is
    repaired and nothing newer lost; what is taken back is just what was there."""
    migration = prepared(migrate)
    migration.source("UPDATE items SET name = 'renamed ' || id WHERE id % 50 = 0")
    with migration.running() as lockstep:
        lockstep.await_follow()
        with Neighbours(migration):
            migration.target("""
                DELETE FROM items WHERE id BETWEEN 401 AND 500;
                INSERT INTO items SELECT g, 'extra ' || g, g / 3.0, now()
                  FROM generate_series(5001, 5100) g;
                UPDATE items SET n = n * 1.0, name = nullif(name || ' ', 'renamed 550 '),
                  at = at + '1 us' WHERE id BETWEEN 501 AND 600""")
            damaged = rows_of(migration, "id BETWEEN 401 AND 600 OR id BETWEEN 5001 AND 5100")
            assert len(damaged) == 200
            reconcile(migration, 2)
            found = findings(migration)
            assert len(found) == 300, len(found)
            dry = repair(migration)
            assert set_of(dry) == {key: each["kind"] for key, each in found.items()}
            assert "-- 300 rows; nothing was done" in dry
            with migration.in_background(*(
                    f"UPDATE items SET n = n + 1 WHERE id = {521 + step % 20}"
                    for step in range(2000))):
                assert "300 of 300 rows are equal now" in repair(migration, "--yes")
            assert not findings(migration)
            ended = findings(migration, "--all")
            # The application may have been first.
            assert {each["state"] for key, each in ended.items()
                    if not 521 <= int(key) <= 540} == {"repaired"}
            chosen = ["401", "402", "501", "550", "5001", "5002"]
            for key in chosen:
                undone = lockstep.undo(found[key]["id"], "--yes")
                assert "-- done" in undone.stdout, undone.stdout + undone.stderr
        after = rows_of(migration, "id BETWEEN 401 AND 600 OR id BETWEEN 5001 AND 5100")
        for key in map(int, chosen):
            assert after.get(key) == damaged.get(key), key
        assert len(after) == 200 - 2 + 2
        reconcile(migration, 2)
        left = findings(migration)
        assert set(left) == set(chosen)
        assert {each["state"] for each in left.values()} == {"undone"}
        assert {each["cause"] for each in left.values()} == {"its repair was taken back"}
        assert "6 undone rows are left out" in repair(migration, "--yes")
        assert len(findings(migration)) == 6
        ids = [argument for key in chosen for argument in ("--id", str(found[key]["id"]))]
        assert "6 of 6 rows are equal now" in repair(migration, *ids, "--yes")
        reconcile(migration, 0)
    migration.finish()


def test_undo_is_refused(migrate):
    """What is not repaired, or is not what the repair wrote any more, is left alone; a dry run
    changes nothing; without a daemon it works, too, and the next one knows of it."""
    migration = prepared(migrate)
    lockstep = migration.lockstep
    lockstep.start()
    lockstep.await_follow()
    migration.target(DAMAGE)
    reconcile(migration, 2)
    found = {key: str(each["id"]) for key, each in findings(migration).items()}

    def undo(key, *arguments, expected=0):
        done = lockstep.undo(found[key], *arguments)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "is not repaired" in undo("100", "--yes", expected=64)
    assert "6 of 6" in repair(migration, "--yes")
    assert undo("100").count("UPDATE") == 1 and "nothing was done" in undo("100")
    # An operator holds the lanes: nothing of the target is written by us.
    lockstep.verb("pause", "--scope", "apply", "--reason", "release 17")
    held = undo("100", "--yes", expected=75)
    assert "apply is paused since" in held and "release 17" in held, held
    assert f"next: lockstep resume {lockstep.manifest} --scope apply" in held, held
    lockstep.verb("resume")
    assert migration.target("SELECT name FROM items WHERE id = 100") == [("item 100",)]
    # One that comes later waits for the write, and is in force once that has ended.
    lock = migration.target_connection(autocommit=False)
    lock.cursor().execute("SELECT FROM items WHERE id = 18 FOR UPDATE")
    with lockstep.verb_begun("repair undo", found["18"], "--yes") as undoing:
        migration.stack.target.await_waiting(
            f"application_name = 'lockstep {migration.name} undo' AND wait_event_type = 'Lock'",
            "the undo to wait for the row")
        with lockstep.verb_begun("pause", "--scope", "apply") as pausing:
            said(pausing.stderr, f"the repair undo of finding {found['18']} to end its write")
            lock.rollback()
            assert undoing.wait(60) == 0, undoing.stderr.read()
            assert pausing.wait(60) == 0, pausing.stderr.read()
    lock.close()
    assert migration.target("SELECT count(*) FROM items WHERE id = 18") == [(0,)]
    lockstep.verb("resume")
    # Somebody, or the stream, has changed them since.
    migration.source("UPDATE items SET n = n + 1 WHERE id IN (17, 100)")
    migration.await_target("SELECT n - id / 7.0 > 0.9 FROM items WHERE id = 100", True)
    migration.target("INSERT INTO items VALUES (5000, 'mine')")
    for key in ("17", "100", "5000"):
        assert "has changed since" in undo(key, "--yes", expected=3)
        assert findings(migration, "--all")[key]["state"] == "repaired"
    assert migration.target("SELECT name FROM items WHERE id = 5000") == [("mine",)]
    migration.target("DELETE FROM items WHERE id = 5000")
    assert lockstep.stop() == 0
    assert "-- done" in undo("5002", "--yes") and "undone already" in undo("5002", expected=64)
    assert migration.target("SELECT name FROM items WHERE id = 5002") == [(None,)]
    assert lockstep.undo("4711").returncode == 64
    with migration.running():
        lockstep.await_status(
            lambda now: now["phase"] == "follow" and now["tables"][0]["findings"] == 2,
            "the daemon to know of what was undone")
        assert findings(migration)["5002"]["state"] == "undone"


def test_who_waits_is_told_for_what(migrate):
    """A pause keeps a repair from its end: it says so at once, and goes on once that is over; rows
    of a table that is paused are left out.  What is undone is so since that moment."""
    migration = prepared(migrate)
    lockstep = migration.lockstep
    with migration.running():
        lockstep.await_follow()
        migration.target("UPDATE items SET name = 'x' WHERE id <= 30")
        reconcile(migration, 2)
        for scope in ("reconcile", "apply"):
            lockstep.verb("pause", "--scope", scope, "--reason", "release 17")
            with lockstep.verb_begun("repair", "--yes", "--id",
                                     str(findings(migration)["7"]["id"])) as asked:
                said(asked.stderr, f"waits: {scope} is paused since 20", "by uid ", "release 17",
                     f"next: lockstep resume {lockstep.manifest} --scope {scope}")
                lockstep.verb("resume")
                assert asked.wait(60) == 0, asked.stderr.read()
            undone = lockstep.undo(findings(migration, "--all")["7"]["id"], "--yes")
            assert undone.returncode == 0, undone.stderr
        lockstep.verb("pause", "--table", "public.items")
        lockstep.await_status(lambda now: now["tables"] and now["tables"][0]["state"] == "paused",
                              "the pause")
        left = lockstep.verb("repair", "--yes")
        assert left.returncode == 3 and "0 of 29 rows are equal now" in left.stdout, left
        assert "29 rows of public.items are not repaired now: table public.items is paused since" \
            in left.stderr, left.stderr
        lockstep.verb("resume")
        lockstep.await_status(
            lambda now: now["tables"] and now["tables"][0]["state"] == "following", "it to go on")
        # Whoever takes a repair back beside a pause of reconcile is not kept waiting.
        found = str(findings(migration)["7"]["id"])
        assert "1 of 1" in repair(migration, "--yes", "--id", found)
        lockstep.verb("pause", "--scope", "reconcile")
        assert lockstep.undo(found, "--yes").returncode == 0
        undone = findings(migration)["7"]
        assert undone["state"] == "undone" and undone["state_since"] > undone["first_seen"], undone
        lockstep.verb("resume")
        told = lockstep.verb("explain-row", "public.items", "7").stdout
        assert f"is undone since {undone['state_since']}" in told, told
    refused = lockstep.verb("repair", "--yes")
    assert refused.returncode == 69 and "lockstep does not run" in refused.stderr, refused


def test_budget_and_breaker(migrate):
    """No more than `repairs_per_minute` rows, also when a person asks, who is told; of many rows at
    once none is repaired by itself, and status says so."""
    migration = prepared(migrate, repair="auto", every="1s", repairs_per_minute=40)
    with migration.running() as lockstep:
        lockstep.await_status(
            lambda now: now["tables"] and now["tables"][0]["verified_age_seconds"] is not None,
            "the table to be compared")
        migration.target("UPDATE items SET name = 'x' WHERE id <= 100")
        status = lockstep.await_status(lambda now: now["tables"][0]["findings"] == 100,
                                       "the rows to be found")
        assert "more than 0.1 %" in status["tables"][0]["repairs_wait"], status
        assert "is not repaired by itself" in lockstep.verb("status").stdout
        assert migration.target("SELECT count(*) FROM items WHERE name = 'x'") == [(100,)]
        with lockstep.verb_begun("repair", "--yes") as asked:
            told = asked.stderr.readline()
            assert "60 repairs wait: no more than 40" in told, told
            migration.await_target("SELECT count(*) FROM items WHERE name = 'x'", 60)
            assert "60 repairs wait" in lockstep.status()["reconcile"]


KINDS = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE kinds (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n numeric, f float8, c char(5),
  b bpchar, j json, t timestamptz, a text[], v text, m mood,
  d interval DEFAULT '1 mon -2 days', y bytea DEFAULT '\\x00ff', g float4 DEFAULT 0.1,
  s timestamptz[] DEFAULT '{2026-02-01}', r regclass DEFAULT 'pg_class');
INSERT INTO kinds (n, f, c, b, j, t, a, v, m) SELECT g / 7.0, 0, 'c' || g, 'b' || g, '{"a": 1}',
  '2026-01-01'::timestamptz + g * '1 s'::interval, ARRAY['x', NULL], 'it''s ' || g, 'sad'
  FROM generate_series(1, 100) g;
"""
KINDS_DAMAGE = """
DELETE FROM kinds WHERE id = 1;
INSERT INTO kinds OVERRIDING SYSTEM VALUE VALUES (5000, 1.50, '-0', 'c', 'b  ', '[ ]', 'infinity',
  '[0:0]={x}', '', 'glad');
UPDATE kinds SET n = n * 1.0 WHERE id = 2;
UPDATE kinds SET f = '-0' WHERE id = 3;
UPDATE kinds SET b = b || '  ', c = NULL WHERE id = 4;
UPDATE kinds SET j = '{"a":  1}', t = t + '1 us' WHERE id = 5;
UPDATE kinds SET a = '[0:1]={x,NULL}', v = '', m = 'glad' WHERE id = 6;
"""


# A session in which text means something else.
OTHERWISE = """
SET IntervalStyle = 'iso_8601'; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo';
SET bytea_output = 'escape'; SET extra_float_digits = 0; SET standard_conforming_strings = off;
SET search_path = public;
"""


def test_what_a_dry_run_prints_does_it(migrate):
    """Part 5: the statements name the old values byte for byte, the constants of `set`, and what
    an identity needs; so do those that take a repair back."""
    migration = migrate(KINDS, reconcile={"every": "1h", "repair": "confirm"}, tables=[
        {"source": "public.kinds", "columns": {"set": {"origin": "it's"}}}])
    migration.prepare()
    migration.target("ALTER TABLE kinds ADD origin text, ADD note text")

    def rows():
        return dict(migration.target("SELECT id, k::text || octet_length(b) FROM kinds k"))

    with migration.running() as lockstep:
        lockstep.await_follow()
        whole = rows()
        migration.target(KINDS_DAMAGE)
        wrong = rows()
        reconcile(migration, 2)
        dry = repair(migration)
        assert "OVERRIDING SYSTEM VALUE" in dry and "-- 7 rows" in dry, dry
        # A statement hits only what was found.
        migration.target("UPDATE kinds SET n = n * 1.0 WHERE id = 2")
        migration.target(OTHERWISE + dry)
        assert {key for key, row in rows().items() if row != whole[key]} == {2}
        assert migration.target("SELECT origin FROM kinds WHERE id = 1") == [("it's",)]
        reconcile(migration, 2)
        assert set(findings(migration)) == {"2"}
        migration.target("DELETE FROM kinds WHERE id <= 6 OR id = 5000")
        # Now as lockstep does it, and back.
        migration.source("UPDATE kinds SET v = v WHERE id <= 6")
        migration.await_target("SELECT count(*) FROM kinds WHERE id <= 6", 6)
        reconcile(migration, 0)
        migration.target(KINDS_DAMAGE)
        reconcile(migration, 2)
        found = findings(migration)
        assert len(found) == 7 and "7 of 7" in repair(migration, "--yes")
        assert rows() == whole
        told = lockstep.undo(found["5000"]["id"]).stdout
        assert "nobody knows what they held: note" in told, told
        for each in found.values():
            done = lockstep.undo(each["id"], "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
        wrong[5000] = wrong[5000].replace(",,)", ",it's,)")  # As `set` says.
        assert rows() == wrong
