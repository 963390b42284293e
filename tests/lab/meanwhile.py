"""What goes on beside a test, on a thread of its own."""

import threading


class Meanwhile:
    """A context manager: work(cursor) is called again and again on a connection of the source, until
    the block ends.  What it raises is raised there."""

    def __init__(self, migration):
        self.migration = migration
        self._over = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def work(self, cursor):
        """One step of the work."""
        raise NotImplementedError

    def _run(self):
        try:
            cursor = self.migration.source_connection().cursor()
            while not self._over.is_set():
                self.work(cursor)
        except Exception as failure:  # Whatever it is: the block's end raises it.
            self._failure = failure
