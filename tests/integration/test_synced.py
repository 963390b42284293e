"""`--until synced` never says so too early, whatever hides the last changes from view."""

import pytest

from tests.integration.conftest import is_long, through_kafka
from tests.lab.process import LabError

TABLES = """
CREATE TABLE seen (id int PRIMARY KEY, v text);
CREATE TABLE late (id int PRIMARY KEY, v text);
INSERT INTO seen SELECT g, 'v' || g FROM generate_series(1, 100) g;
"""
pytestmark = through_kafka
WATCHED_SECONDS = 30 if is_long() else 8


@pytest.fixture
def copied(migrate):
    """A migration whose backfill is done and which is stopped."""
    migration = migrate(TABLES)
    migration.prepare()
    migration.finish()
    return migration


def assert_not_synced(migration):
    """The running `--until synced` goes on and says what it waits for."""
    assert migration.lockstep.await_waiting()
    with pytest.raises(LabError, match="still runs"):
        migration.lockstep.wait_exit(WATCHED_SECONDS)
    assert migration.lockstep.status()["synced"] is False


def assert_ends_equal(migration):
    assert migration.lockstep.wait_exit(120) == 0
    migration.assert_equal()


def test_connector_paused_with_changes_pending(copied, stack):
    stack.connect.pause(copied.connector)
    copied.source("UPDATE seen SET v = 'pending'")
    copied.lockstep.start("--until", "synced")
    assert_not_synced(copied)
    stack.connect.resume(copied.connector)
    assert_ends_equal(copied)


def test_first_event_of_a_table_creates_its_topic_late(copied, stack):
    stack.connect.pause(copied.connector)
    copied.source("INSERT INTO late VALUES (1, 'the first ever')")
    copied.lockstep.start("--until", "synced")
    assert_not_synced(copied)
    assert copied.topic("late") not in stack.broker.topics()
    stack.connect.resume(copied.connector)
    assert_ends_equal(copied)


def test_broker_down(copied, stack):
    copied.source("UPDATE seen SET v = 'while the broker is up' WHERE id < 50")
    stack.broker.kill()
    copied.source("UPDATE seen SET v = 'while it is down' WHERE id >= 50")
    copied.lockstep.start("--until", "synced")
    assert_not_synced(copied)
    stack.broker.start()
    assert_ends_equal(copied)


def test_connector_deleted(copied, stack):
    config = stack.connect.request("GET", f"/connectors/{copied.connector}/config")
    stack.connect.delete(copied.connector)
    copied.source("DELETE FROM seen WHERE id < 10")
    copied.lockstep.start("--until", "synced")
    assert_not_synced(copied)
    stack.connect.put(copied.connector, config)
    assert_ends_equal(copied)
