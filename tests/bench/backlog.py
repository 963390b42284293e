"""A backlog of updates all over the bench table, and the time that applying it takes."""

import time

from tests.lab.process import wait_until

_UPDATE = """
UPDATE bench SET ver = ver + 1, rate = rate + 1, note = 'changed ' || ver
 WHERE id IN (SELECT 1 + (g * %s + %s) %% %s FROM generate_series(1, %s) g)
"""
_APPLIED = "SELECT bool_and(ver > 0) FROM bench WHERE id = ANY (%s)"
_HEAD = 10  # The clock starts when a tenth is applied: what is measured is the flow.


class Backlog:
    """`events` updates of different rows, `per_transaction` at a time."""

    def __init__(self, rows, events, per_transaction=100):
        self.rows = rows
        self.per_transaction = per_transaction
        self.transactions = min(events, rows) // per_transaction
        self.events = self.transactions * per_transaction
        self._stride = rows // per_transaction

    def write(self, migration):
        """Runs the updates on the source."""
        connection = migration.source_connection()
        cursor = connection.cursor()
        for number in range(self.transactions):
            cursor.execute(_UPDATE, (self._stride, number, self.rows, self.per_transaction))
        connection.close()

    def ids(self, number):
        """The rows of transaction `number`, all over the table and so in every lane."""
        return [1 + (g * self._stride + number) % self.rows
                for g in range(1, self.per_transaction + 1)]

    def watch(self, migration, process=None):
        """Waits until the target has it all.  Returns events/s, and `process`'s CPU s/event."""
        connection = migration.target_connection()
        cursor = connection.cursor()

        def await_transaction(number):
            def applied():
                cursor.execute(_APPLIED, (self.ids(number),))
                return cursor.fetchone()[0]

            wait_until(applied, f"transaction {number} of the backlog", 900, alive=process)
            return time.monotonic(), process.cpu_seconds() if process else 0.0

        head = self.transactions // _HEAD
        begun, cpu_before = await_transaction(head)
        ended, cpu_after = await_transaction(self.transactions - 1)
        connection.close()
        events = (self.transactions - 1 - head) * self.per_transaction
        return events / (ended - begun), (cpu_after - cpu_before) / events
