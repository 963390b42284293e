"""What goes on beside a test, on a thread of its own."""

import threading


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
