"""A live writer for the shop: what an application does to its database while it is being moved.

Several threads, each with its own connection and its own seeded randomness, run transactions of the
kinds listed in _ACTIONS at a chosen rate.  An action the database refuses (a deadlock between two
threads, a unique value taken) is rolled back and counted: nothing of it reaches the stream.
"""

import json
import random
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg2
from psycopg2 import extensions

_IDS_PER_THREAD = 10**9
_STATES = ("new", "paid", "packed", "on its way", "delivered", "returned")


class Writer:
    """Safe to start once and to stop once.

    `connect` opens a connection as the owner of the shop.  `rate` is in transactions per second
    over all threads, 0 for as fast as possible.
    """

    def __init__(self, connect, seed=1, rate=200, threads=3):
        self.seed = seed
        self.counts = Counter()  # inserts, updates, deletes, key_changes, transactions, refused
        self.seconds = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()  # Guards counts and _failures.
        self._failures = []
        self._begun = None
        self._pause = threads / rate if rate else 0
        self._threads = [threading.Thread(target=self._run, args=(connect, number), daemon=True)
                         for number in range(threads)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Ends after the transactions in progress.  Raises what a thread died of."""
        if self._stop.is_set():
            return
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._begun
        if self._failures:
            raise self._failures[0]

    @property
    def changes(self):
        """Committed row changes so far."""
        with self._lock:
            return self.counts["inserts"] + self.counts["updates"] + self.counts["deletes"]

    def __str__(self):
        with self._lock:
            return ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items()))

    def _run(self, connect, number):
        try:
            connection = connect()
            connection.autocommit = False
            hand = _Hand(connection, random.Random(f"{self.seed}/{number}"), number)
            due = time.monotonic()
            while not self._stop.is_set():
                done = hand.act()
                with self._lock:
                    self.counts.update(done)
                due = max(due + self._pause, time.monotonic() - 1)  # Never catches up for long.
                self._stop.wait(due - time.monotonic())
            connection.close()
        except Exception as error:  # Kept for stop(), which raises it in the caller's thread.
            with self._lock:
                self._failures.append(error)


class _Hand:
    """One thread's connection and its repertoire.  Used only by that thread."""

    def __init__(self, connection, rng, number):
        self.connection = connection
        self.cursor = connection.cursor()
        self.rng = rng
        self.done = Counter()
        self.limits = {}
        base = (number + 1) * _IDS_PER_THREAD
        for table in ("customers", "orders", "events", "products", "employees"):
            self.limits[table] = self._value(
                f"SELECT coalesce(max(id), 0) FROM {table} WHERE id < %s", _IDS_PER_THREAD)
        self.next_id = 1 + self._value(
            "SELECT greatest((SELECT max(id) FROM orders WHERE id >= %(low)s AND id < %(high)s),"
            "  (SELECT max(id) FROM events WHERE id >= %(low)s AND id < %(high)s),"
            "  (SELECT max(id) FROM customers WHERE id >= %(low)s AND id < %(high)s), %(low)s)",
            {"low": base, "high": base + _IDS_PER_THREAD})
        connection.commit()

    def act(self):
        """Runs one random transaction; returns what it changed."""
        self.done = Counter()
        action = self.rng.choices(_NAMES, _WEIGHTS)[0]
        try:
            getattr(self, action)()
            self.connection.commit()
            self.done["transactions"] += 1
            return self.done
        except (psycopg2.IntegrityError, extensions.TransactionRollbackError,
                psycopg2.errors.NumericValueOutOfRange):
            self.connection.rollback()
            return Counter(refused=1)

    # Orders.

    def place_order(self):
        """Several tables in one transaction, as a shop does it."""
        order, customer = self._new_id(), self._any("customers")
        self._insert("INSERT INTO orders VALUES (%s, %s, 'new', %s, %s, NULL, clock_timestamp(),"
                     " current_date + 5)",
                     order, customer, self.rng.randrange(10**7) / 10**4, self._words())
        for line in range(1, self.rng.randint(2, 6)):
            product = self._any("products")
            self._insert("INSERT INTO order_lines VALUES (%s, %s, %s, %s, %s, %s, %s)", order, line,
                         product, self.rng.randint(1, 9), self.rng.randrange(10**6) / 100,
                         self.rng.random(), self.rng.choice([None, True, False]))
            self._update("UPDATE products SET stock = greatest(stock - 1, 0) WHERE id = %s",
                         product)
        self._insert("INSERT INTO events VALUES (%s, clock_timestamp(), 'order', %s, '[1,5)', %s)",
                     self._new_id(), customer, '{"order": %d}' % order)

    def advance_order(self):
        self._update("UPDATE orders SET state = %s, note = %s WHERE id = %s",
                     self.rng.choice(_STATES), self._words(), self._any("orders"))

    def cancel_order(self):
        order = self._any("orders")
        self._delete("DELETE FROM order_lines WHERE order_id = %s", order)
        self._delete("DELETE FROM orders WHERE id = %s", order)

    def renumber_lines(self):
        """A composite key changes."""
        self._change_key("UPDATE order_lines SET line_no = line_no + 10"
                         " WHERE order_id = %s AND line_no < 1000", self._any("orders"))

    def change_lines(self):
        order = self._any("orders")
        self._update("UPDATE order_lines SET quantity = quantity + 1, discount = discount / 3"
                     " WHERE order_id = %s", order)
        self._delete("DELETE FROM order_lines WHERE order_id = %s AND line_no = 1", order)

    def restock(self):
        """One statement, many rows."""
        first = self._any("products")
        self._update("UPDATE products SET stock = %s, sizes = sizes || %s, rating = random()"
                     " WHERE id BETWEEN %s AND %s AND cardinality(sizes) < 20",
                     self.rng.randrange(1000), self.rng.randrange(60), first, first + 20)

    # Customers: a secondary unique value that moves from row to row.

    def register(self):
        customer = self._new_id()
        self._insert("INSERT INTO customers (id, email, name, country, public_id, created_at)"
                     " VALUES (%s, %s, %s, 'DE', %s, clock_timestamp())",
                     customer, f"new{customer}@example.org", self._words(), self._uuid())

    def edit_customer(self):
        self._update("UPDATE customers SET name = %s, credit_limit = %s, preferences = %s"
                     " WHERE id = %s", self._words(), f"{self.rng.randrange(1000)}.50",
                     '{"seen": %d}' % self.rng.randrange(100), self._any("customers"))

    def swap_emails(self):
        first, second = self._any("customers"), self._any("customers")
        self.cursor.execute("SELECT id, email FROM customers WHERE id IN (%s, %s) ORDER BY id"
                            " FOR UPDATE", (first, second))
        held = self.cursor.fetchall()
        if len(held) < 2:
            return
        for customer, email in ((held[0][0], f"swap{self._new_id()}@example.org"),
                                (held[1][0], held[0][1]), (held[0][0], held[1][1])):
            self._update("UPDATE customers SET email = %s WHERE id = %s", email, customer)

    def leave_and_return(self):
        """Deletes a customer of ours and gives the same email to a new one."""
        self.cursor.execute("DELETE FROM customers c WHERE id = (SELECT min(id) FROM customers"
                            " WHERE id >= %s) AND NOT EXISTS (SELECT FROM orders"
                            " WHERE customer_id = c.id) RETURNING email", (_IDS_PER_THREAD,))
        for email, in self.cursor.fetchall():
            self.done["deletes"] += 1
            self._insert("INSERT INTO customers (id, email, name, country, public_id, created_at)"
                         " VALUES (%s, %s, 'Returned', 'FR', %s, clock_timestamp())",
                         self._new_id(), email, self._uuid())

    # Events: partitions.

    def log_events(self):
        for _ in range(self.rng.randint(1, 8)):
            self._insert("INSERT INTO events VALUES (%s, %s, 'click', NULL, 'empty', %s)",
                         self._new_id(), self._moment(), '{"x": [1.50, null]}')

    def move_event(self):
        """The key changes, often into another partition."""
        self._change_key("UPDATE events SET happened_at = %s, kind = 'moved' WHERE id = %s",
                         self._moment(), self._any("events"))

    def forget_events(self):
        first = self._any("events")
        self._delete("DELETE FROM events WHERE id BETWEEN %s AND %s", first, first + 2)

    # Documents: large values.

    def edit_document(self):
        """The large values stay as they are: the stream does not carry them."""
        self._update("UPDATE documents SET title = %s, revision = revision + 1,"
                     " updated_at = clock_timestamp() WHERE id = %s",
                     self._words(), self._document())

    def rewrite_document(self):
        column, value = self.rng.choice([
            ("body", self._words() * 400), ("meta", json.dumps({"words": self._words() * 300})),
            ("scan", self.rng.randbytes(5000)), ("scan", None)])
        self._update(f"UPDATE documents SET {column} = %s WHERE id = %s", value, self._document())

    def move_document(self):
        """The key changes while the large values stay."""
        self._change_key("UPDATE documents SET id = %s WHERE id = %s", self._uuid(),
                         self._document())

    def file_document(self):
        self._insert("INSERT INTO documents VALUES (%s, 'New', %s, NULL, %s, 1, clock_timestamp())",
                     self._uuid(), self._words() * 300, self.rng.randbytes(3000))
        self._delete("DELETE FROM documents WHERE id = %s", self._document())

    # Employees and savepoints.

    def reorganise(self):
        half = self.limits["employees"] // 2
        self._update("UPDATE employees SET manager_id = %s, salary = salary + 1,"
                     " works = works + '1 second' WHERE id = %s",
                     self.rng.randint(1, half), self.rng.randint(half, 2 * half))

    def change_badge_number(self):
        """The key of a row with a self reference changes (nobody reports to the upper half)."""
        half = self.limits["employees"] // 2
        self._change_key("UPDATE employees SET id = %s WHERE id = %s",
                         self.rng.randint(half, 4 * half), self.rng.randint(half, 4 * half))

    def hesitate(self):
        """Savepoints: some of the work is taken back inside the transaction."""
        order = self._any("orders")
        self._update("UPDATE orders SET note = 'kept' WHERE id = %s", order)
        with self._taken_back():
            self._update("UPDATE orders SET note = 'taken back' WHERE id = %s", order)
            self._delete("DELETE FROM order_lines WHERE order_id = %s", order)
        self.cursor.execute("SAVEPOINT released")
        self._update("UPDATE orders SET total = total + 1.0000 WHERE id = %s", order)
        self.cursor.execute("RELEASE SAVEPOINT released")

    def change_mind(self):
        """A whole transaction that is rolled back."""
        with self._taken_back():
            self.place_order()

    # Helpers.

    @contextmanager
    def _taken_back(self):
        counted = self.done.copy()
        self.cursor.execute("SAVEPOINT back")
        yield
        self.cursor.execute("ROLLBACK TO SAVEPOINT back")
        self.done = counted

    def _insert(self, sql, *values):
        self.cursor.execute(sql, values)
        self.done["inserts"] += self.cursor.rowcount

    def _update(self, sql, *values):
        self.cursor.execute(sql, values)
        self.done["updates"] += self.cursor.rowcount

    def _delete(self, sql, *values):
        self.cursor.execute(sql, values)
        self.done["deletes"] += self.cursor.rowcount

    def _change_key(self, sql, *values):
        self._update(sql, *values)
        self.done["key_changes"] += self.cursor.rowcount

    def _value(self, sql, parameters):
        self.cursor.execute(sql, parameters if isinstance(parameters, dict) else (parameters,))
        return self.cursor.fetchone()[0]

    def _any(self, table):
        """An id that was there at the start; a tenth of the draws fall on a hot hundredth."""
        limit = self.limits[table]
        return self.rng.randint(1, max(limit // 100, 1) if self.rng.random() < 0.1 else limit)

    def _document(self):
        self.cursor.execute("SELECT id FROM documents WHERE id >= %s ORDER BY id LIMIT 1",
                            (self._uuid(),))
        found = self.cursor.fetchone()
        return found[0] if found else self._uuid()

    def _new_id(self):
        self.next_id += 1
        return self.next_id

    def _uuid(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128)))

    def _moment(self):
        return datetime(2023, 1, 1) + timedelta(days=3 * 365) * self.rng.random()

    def _words(self):
        return self.rng.choice(["grün", "naïve 'quote'", "tab\there", "back\\slash", "😀"]) + \
            f" {self.rng.randrange(1000)}"


_ACTIONS = {
    "place_order": 20, "advance_order": 14, "cancel_order": 4, "renumber_lines": 4,
    "change_lines": 4, "restock": 3, "register": 5, "edit_customer": 8, "swap_emails": 3,
    "leave_and_return": 3, "log_events": 6, "move_event": 5, "forget_events": 3,
    "edit_document": 10, "rewrite_document": 3, "move_document": 3, "file_document": 2,
    "reorganise": 2, "change_badge_number": 2, "hesitate": 3, "change_mind": 2,
}
_NAMES, _WEIGHTS = zip(*_ACTIONS.items())
