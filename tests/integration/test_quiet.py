"""What lockstep leaves in the target's server log (issue E, row 30)."""

import signal

import psycopg2
import pytest

from tests.demo.writer import Writer
from tests.lab.stack import WRITER


def our_errors(migration, stack):
    """Lines of our sessions in the target's log, from ERROR on."""
    ours = f"{WRITER}@{migration.name} "
    return [line for line in stack.target.log_lines()
            if ours in line and any(level in line for level in ("ERROR:", "FATAL:", "PANIC:"))]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ordinary_operation_leaves_no_error_in_the_targets_log(shop, stack, how):
    """Issue E, row 30: a copy with a writer beside it, restarted in its middle, then the stream."""
    migration = shop(0.05, workers=2, chunk_rows=200, rate_limit_rows_per_second=4000)
    lockstep = migration.lockstep
    with Writer(migration.source_connection, 30, rate=150, threads=2):
        for rows in (1000, 3000):
            lockstep.start()
            lockstep.await_rows(rows)
            lockstep.process.send(how)
            lockstep.wait_exit()
        with migration.running():
            lockstep.await_follow()
            migration.await_synced("the writer to be followed")
    migration.finish()
    # A value that has wandered to another customer, while the stream is behind the copy, is refused
    # once, which README names.  What is killed cannot read to the end what it has asked for.
    expected = ["customers_email_key"]
    if how == signal.SIGKILL:
        expected.append("connection to client lost")
    errors = [line for line in our_errors(migration, stack)
              if not any(words in line for words in expected)]
    assert not errors, errors[:20]
    with pytest.raises(psycopg2.Error):
        stack.target.execute(migration.name, "SELECT 1 / 0", user=WRITER)
    assert "division by zero" in our_errors(migration, stack)[-1]  # The log is read aright.
