"""README's quick start, typed word for word on two fresh servers (issue E, row 26).

Only the hosts' names are replaced: db1 and db2 are two ports of this machine.
"""

import re
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tests.lab.compare import Side, compare
from tests.lab.newcomer import Newcomer
from tests.lab.process import Process, wait_until

# A role, a view and a sequence that nobody has on the target; the role has a grant.
SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, v text);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
INSERT INTO orders (v) SELECT 'v' || g FROM generate_series(1, 500) g;
GRANT SELECT ON orders TO reporting;
"""


def quick_start():
    text = (ROOT / "README.md").read_text()
    return text[text.index("## Quick start"):text.index("To begin a migration anew")]


def blocks(language):
    """The fenced blocks of a language, in their order."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", quick_start(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


def newcomer_with_shop(directory, undo, tls):
    me = Newcomer(directory, undo, {"wal_level": "logical"}, tls)
    me.create_databases("shop")
    me.source.create_role("reporting")
    me.source.execute("shop", SHOP, user="owner")
    if not tls:
        (directory / "ca.pem").write_text("")
    return me


@pytest.fixture
def newcomer():
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-")))
        directory.chmod(0o755)
        yield lambda tls: newcomer_with_shop(directory, undo, tls)


def test_the_quick_start_leads_to_two_equal_databases(newcomer):
    me = newcomer(tls=True)
    commands = re.findall(r"`(lockstep [^`]+)`", quick_start())
    _, validate, run, status, fresh, until, reset = commands
    # Steps 2 and 3, then 4.
    init, sequences = blocks("sh")
    me.follow(me.shell(init), "shop")
    assert "nothing stands in the way" in me.shell(validate)
    # Step 5.
    daemon = Process("lockstep", ["lockstep", *run.split()[1:]], me.directory / "log",
                     env=me.environment, cwd=me.directory)
    try:
        wait_until(lambda: "synced true" in me.shell(status), "status to say synced", 60,
                   alive=daemon)
        me.source.execute("shop", "INSERT INTO orders (v) VALUES ('new')", user="owner")
        me.shell(fresh)
        assert me.target.execute("shop", "SELECT count(*) FROM orders WHERE v = 'new'") == [(1,)]
        daemon.send(signal.SIGTERM)
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
    # Steps 6 and 7.
    me.shell(until)
    outcome = compare(Side(me.source.client_environment("shop")),
                      Side(me.target.client_environment("shop")))
    assert outcome.equal, outcome
    me.shell(sequences)
    assert me.target.execute("shop", "INSERT INTO orders (v) VALUES ('mine') RETURNING id",
                             user="owner") == [(502,)]
    # Step 8: the publication is its owner's.
    assert me.shell(reset).count("would ") == 4
    left = me.shell(f"{reset} --yes", expected=77)
    me.source.execute("shop", re.search(r"(DROP PUBLICATION [^;]+);", left)[1], user="owner")
    assert "nothing of migration shop is there" in me.shell(f"{reset} --yes")


def test_a_server_without_tls_is_told_apart_from_one_that_is_away(newcomer):
    """The message says where verify-full comes from and what to write."""
    me = newcomer(tls=False)
    printed = me.shell(blocks("sh")[0], expected=69)
    assert "does not support SSL" in printed and "`sslmode: disable`" in printed, printed
