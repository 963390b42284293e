"""One real stack for the whole session; each test gets databases, topics and a slot of its own."""

import itertools
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.lab.migration import Migration  # noqa: E402
from tests.lab.postgres import OWNER  # noqa: E402
from tests.lab.stack import READER, WRITER, Stack, end_on_signals  # noqa: E402
from tests.lab.suite import DIRECT  # noqa: E402

_numbers = itertools.count(1)

# The stream of every migration that does not choose one; under "direct" no broker is started.
STREAM = os.environ.get("LOCKSTEP_STREAM", "debezium")

# For tests of topics, partitions and the connector.
through_kafka = pytest.mark.skipif(STREAM == "direct", reason="the stream has no broker")

# A backfill slow enough to do something in the middle of it: about five chunks a second.
SLOW = {"workers": 1, "chunk_rows": 100, "rate_limit_rows_per_second": 250}


SHOP = ROOT / "tests" / "demo" / "shop.sql"
TABLE = """
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT g, 'v' || g, 0 FROM generate_series(1, 3000) g;
"""


def pytest_configure(config):
    end_on_signals()


def pytest_collection_modifyitems(config, items):
    """What runs over the direct stream whatever is chosen runs once: with that stream's files."""
    if STREAM == "direct":
        return
    of_direct = sum(DIRECT, [])
    twice = [item for item in items
             if "direct" in item.fixturenames and item.path.stem in of_direct]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in twice]


def is_long():
    """True under `./run test --long`."""
    return bool(os.environ.get("LOCKSTEP_LONG"))


@pytest.fixture(scope="session")
def stack():
    with Stack(kafka=STREAM == "debezium") as running:
        yield running


@pytest.fixture
def migrate(stack, request):
    """Makes a migration from SQL for the source; everything of it is removed afterwards.

    `migrate("CREATE TABLE ...", backfill={...})`: the keywords are merged into the manifest;
    `stream="direct"` needs no broker.
    """
    made = []
    request.node.migrations = made

    def make(schema, stream=STREAM, **overrides):
        words = re.sub(r"[^a-z0-9]+", "_", request.node.name.lower())
        name = f"t{next(_numbers)}_{words}"[:30].rstrip("_")
        migration = Migration(stack, name, stream, **overrides)
        made.append(migration)
        migration.source(schema)
        return migration

    yield make
    stack.ensure_up()
    for migration in made:
        migration.close()


@pytest.fixture
def direct(migrate):
    """As `migrate`, over the direct stream; by default one table of 3000 rows."""
    def make(schema=TABLE, **overrides):
        return migrate(schema, stream="direct", **overrides)

    return make


@pytest.fixture
def owning_role(stack):
    """Meanwhile lockstep's role may make the publication itself: it is a member of the owner."""
    stack.source.execute("postgres", f"GRANT {OWNER} TO {READER}")
    yield
    stack.source.execute("postgres", f"REVOKE {OWNER} FROM {READER}")


@pytest.fixture
def seeing_roles(stack):
    """Meanwhile lockstep's roles may see what others do."""
    sides = ((stack.source, READER), (stack.target, WRITER))
    for cluster, role in sides:
        cluster.execute("postgres", f"GRANT pg_monitor TO {role}")
    yield
    for cluster, role in sides:
        cluster.execute("postgres", f"REVOKE pg_monitor FROM {role}")


@pytest.fixture
def shop(direct, stack):
    """The demo's shop over the direct stream, prepared."""
    def make(scale=0.02, **backfill):
        migration = direct("SELECT 1", backfill={"workers": 2, "chunk_rows": 500, **backfill})
        stack.source.psql(migration.name, "-v", f"scale={scale}", "-f", SHOP)
        migration.prepare()
        return migration

    return make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of lockstep's log."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for migration in getattr(item, "migrations", []):
            lines = migration.lockstep.log_text().splitlines()[-60:]
            report.sections.append((f"log of {migration.name}", "\n".join(lines)))
