"""The server-side floor: updates from rows that are on the target already."""

import threading
import time

_BATCH = 4000  # As many rows as a lane writes in one transaction.
_STAGE = """
DROP TABLE IF EXISTS staged;
CREATE TABLE staged AS
SELECT *, (row_number() OVER (PARTITION BY lane) - 1) / %s AS batch
  FROM (SELECT b.*, (hashint8(id) & 1023) %% %s AS lane FROM bench b WHERE ver > 0) b;
CREATE INDEX ON staged (lane, batch);
VACUUM ANALYZE staged
"""
_UPDATE = """
UPDATE bench t SET ver = s.ver + 1, customer = s.customer, price = s.price, rate = s.rate,
       active = s.active, created = s.created, code = s.code, title = s.title, note = s.note
  FROM staged s WHERE s.lane = %s AND s.batch = %s AND t.id = s.id
"""


def apply_rate(migration, backlog, connections):
    """Updates again what the backlog updated, and returns the rows per second."""
    for statement in (_STAGE % (_BATCH, connections)).split(";"):
        migration.target(statement)
    batches = migration.target("SELECT max(batch) + 1 FROM staged")[0][0]

    def work(lane):
        connection = migration.target_connection()
        cursor = connection.cursor()
        cursor.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off")
        for batch in range(batches):
            cursor.execute(_UPDATE, (lane, batch))
        connection.close()

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return backlog.events / (time.monotonic() - begun)
