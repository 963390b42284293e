"""Very many rows are not equal: memory, logs and time stay bounded, and nothing is left out."""

import json

from tests.integration.conftest import is_long

LIMIT_MIB = 256
ROWS = 1_000_000 if is_long() else 6_000
PATIENCE = 3600 if is_long() else 120
TABLE = f"""
CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL);
INSERT INTO t SELECT g, 'some text of row ' || g FROM generate_series(1, {ROWS}) g;
"""
# Half of the rows of each kind, so that as many are found as there are rows, and half as many more.
DAMAGE = """
DELETE FROM t WHERE id % 2 = 0;
UPDATE t SET v = v || '!' WHERE id % 2 = 1;
INSERT INTO t SELECT -id, v FROM t WHERE id % 2 = 1
"""
DAMAGED = ROWS + ROWS // 2
DEBTS = "SELECT n_tup_ins::int FROM pg_stat_user_tables WHERE relname = 'debt'"


def make_damaged(direct, **overrides):
    migration = direct(TABLE, **overrides)
    migration.prepare()
    migration.lockstep.run_until_synced(PATIENCE)
    migration.target(DAMAGE)
    return migration


def peak_mib(lockstep):
    return lockstep.process.resident_bytes()[1] / 2**20


def test_many_findings_are_bounded_in_memory_and_in_the_log(direct, capsys):
    """Issue D, acceptance 10."""
    migration = make_damaged(direct, reconcile={"sample": 0})
    with migration.running() as lockstep:
        begun = lockstep.await_event("prepared")
        status = lockstep.await_status(
            lambda now: [each["findings"] for each in now["tables"]] == [DAMAGED],
            "every row to be found", PATIENCE)
        ended = lockstep.await_event("rows are not equal on both sides: see lockstep findings list")
        # All of the table counts as compared, however many findings wait to be looked at again.
        status = lockstep.await_status(lambda now: now["tables"][0]["verified_through"],
                                       "the ranges to be verified", PATIENCE)
        peak = peak_mib(lockstep)
        assert peak <= LIMIT_MIB, f"{peak:.0f} MiB resident"
        lines = lockstep.run_log().splitlines()
        told = [line for line in lines if "rows are not equal" in line]
        assert len(told) <= 1 + (ended - begun) / 60 + 1, told
        # What is told of single rows is in the list, never in the log.
        assert len(lines) <= 40 + (ended - begun), len(lines)
        listed = lockstep.verb("findings list").stdout
        assert f"{DAMAGED} rows in all" in listed, listed
        assert len(listed.splitlines()) < 20
        assert f"lockstep resync {lockstep.manifest} --table 'public.t'" in listed, listed
        document = lockstep.answer("findings list", "--limit", 10, "--format", "json")
        assert document["total"] == DAMAGED and len(document["findings"]) == 10
        assert {group["kind"]: group["rows"] for group in document["groups"]} == {
            kind: ROWS // 2 for kind in ("missing_in_target", "extra_in_target", "differing")}
    with capsys.disabled():
        print(f"\n{DAMAGED} findings in {ended - begun:.1f} s: peak resident {peak:.0f} MiB,"
              f" {len(lines)} lines of log, status {len(json.dumps(status))} bytes")


def test_many_rows_are_healed_without_a_debt_of_each(direct, capsys):
    """Issue D, part 6: a heal of very many rows."""
    migration = make_damaged(direct, reconcile={"mode": "off"})
    before = migration.rows_written("t")
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        assert lockstep.verb("resync", "--table", "public.t").returncode == 0
        begun = lockstep.await_event("a table is compared, and what differs is read again")
        ended = lockstep.await_event("a table is healed", PATIENCE)
        peak = peak_mib(lockstep)
        assert peak <= LIMIT_MIB, f"{peak:.0f} MiB resident"
        table, = lockstep.status()["tables"]
        assert table["healed_rows"] == DAMAGED
    migration.assert_equal()
    assert migration.rows_written("t") - before == DAMAGED
    assert migration.target(DEBTS)[0][0] == 0
    with capsys.disabled():
        print(f"\n{DAMAGED} rows healed in {ended - begun:.1f} s: peak resident {peak:.0f} MiB")
