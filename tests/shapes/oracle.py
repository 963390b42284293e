"""What lockstep says of which table, and whether it is true."""

import re
from subprocess import CalledProcessError

from tests.lab.compare import Side, compare
from tests.shapes.source import quoted
from tests.shapes.types import COMPOSED

# A reason ends in what can be done about it, in one of these words.
_NEXT_STEPS = re.compile(
    r"lockstep resume|quarantine|skip: true|ALTER|GRANT|CREATE|DROP|restart|start again|begin anew|"
    r"goes on|tried again|give|empty|make|change|REPLICA|columns:|publication|by itself|waits?\b|"
    r"until|set ", re.IGNORECASE)


class Oracle:
    """Looks at one trial's tables; what does not hold goes to its Outcome."""

    def __init__(self, world, outcome):
        self.world = world
        self.plan = world.plan
        self.outcome = outcome

    @property
    def tables(self):
        return self.plan.tables + self.plan.late

    def table(self, number):
        return next(table for table in self.tables if table.number == number)

    def moved(self):
        return [table for table in self.plan.tables if table.text not in self.outcome.skipped]

    def mentioned(self, text):
        """The numbers of the tables that a text names."""
        found = set()
        forms = [(form, table.number) for table in self.tables for form in table.all_names]
        for form, number in sorted(forms, key=lambda each: -len(each[0])):
            if re.search(r"(?<!\w)" + re.escape(form) + r"(?!\w)", text):
                found.add(number)
                text = text.replace(form, " ")
        if found:
            return found
        return {table.number for table in self.tables for column in table.columns
                if column.type.sql.startswith("public.") and column.type.sql in text}

    def name_tables(self, status):
        """Collects what status names, and checks that each reason has a next step."""
        named = self.outcome.named = {}
        for entry in status["tables"]:
            if entry["state"] == "stopped" or entry["quarantined"] or entry["debts"]:
                named[entry["table"]] = entry["reason"] or "debts"
                if entry["state"] == "stopped" and not _NEXT_STEPS.search(entry["reason"] or ""):
                    self.outcome.broken.append(f"d: {entry['table']} stopped without a next step: "
                                               f"{entry['reason']}")
        for line in status["waiting_for"]:
            for number in self.mentioned(line):
                named.setdefault(self.table(number).text, line)

    def compare(self, when):
        """What is not named is equal."""
        there = self.world.names_now()
        expected = [table for table in self.moved()
                    if table.text not in self.outcome.named and table.sql in there]
        self._not_moved_as_another(expected, there)
        sides = [Side(cluster.client_environment(self.world.migration.name))
                 for cluster in (self.world.stack.source, self.world.stack.target)]
        if not expected:
            return
        casts = {table.sql: self.world.casts(table) for table in expected}
        omitted = {(table.sql, column) for table in expected
                   for column in self.world.computed_only_here(table)}
        # The text of a composite does not tell which attribute is which.
        more = [(table.sql, f"to_jsonb({quoted(column.name)})") for table in expected
                for column in table.columns if column.kind in COMPOSED]
        try:
            compared = compare(*sides, tables=[table.sql for table in expected], casts=casts,
                               omitted=omitted, more=more)
        except (RuntimeError, CalledProcessError) as error:
            self.outcome.broken.append(f"c: {when}, and a table cannot be compared: {error}")
            return
        self.outcome.equal = len(expected) - len(compared.differences)
        self.outcome.broken += [f"c: {when}, and differs: {each}" for each in compared.differences]

    def _not_moved_as_another(self, expected, there):
        """A table whose name another one has taken is not compared under it: the target's follows
        the former, and status names the one that came."""
        for table in list(expected):
            taken = f'{table.sql.rsplit(".", 1)[0]}."{table.new_name}"'
            if taken in there:
                expected.remove(table)
