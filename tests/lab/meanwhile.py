"""What goes on beside a test, on a thread of its own."""

import threading
import time

from tests.lab.process import wait_until

LAG_MAX = 5  # Seconds: what a migration promises (README).
_LATEST = 60  # Seconds until what is written on the source is given up.


class Beside:
    """A context manager: run() on a thread of its own until the block ends, which is when is_over()
    answers True.  What it raises is raised there."""

    def __init__(self):
        self._over = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._guarded)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def is_over(self, wait=0):
        """Waits so many seconds for the end, and returns whether it has come."""
        return self._over.wait(wait)

    def run(self):
        """What is done meanwhile."""
        raise NotImplementedError

    def _guarded(self):
        try:
            self.run()
        except Exception as failure:  # Whatever it is: the block's end raises it.
            self._failure = failure


class Meanwhile(Beside):
    """work(cursor) is called again and again on a connection of the source."""

    def __init__(self, migration):
        super().__init__()
        self.migration = migration

    def work(self, cursor):
        """One step of the work."""
        raise NotImplementedError

    def run(self):
        cursor = self.migration.source_connection().cursor()
        while not self.is_over():
            self.work(cursor)


class Markers(Meanwhile):
    """Rows that are written on the source, into a table with an `id`, one after another, each once
    the one before is on the target."""

    _FIRST = 1000  # Ids below it are others'.

    def __init__(self, migration, table):
        super().__init__(migration)
        self.lags = []  # Of each, in seconds.
        self._table = table
        self._target = migration.target_connection()

    def work(self, cursor):
        number = self._FIRST + len(self.lags)
        cursor.execute(f"INSERT INTO {self._table} (id) VALUES (%s)", (number,))
        written = time.monotonic()
        looking = self._target.cursor()

        def has_come():
            looking.execute(f"SELECT FROM {self._table} WHERE id = %s", (number,))
            return looking.rowcount == 1

        wait_until(has_come, f"row {number} of {self._table} to come", _LATEST)
        self.lags.append(time.monotonic() - written)

    def __exit__(self, *error):
        super().__exit__(*error)
        self._target.close()

    def assert_prompt(self):
        """Some have come, and each within what a migration promises."""
        print(f"{len(self.lags)} rows of {self._table} came, the latest within "
              f"{max(self.lags, default=0):.2f} s")
        assert self.lags and max(self.lags) < LAG_MAX, self.lags
