"""What happens under a seed, and what came of it."""

import random
from dataclasses import dataclass, field

from tests.shapes import dba, source, target, writer

_STEPS = 60

# Kinds of columns that reach a type by which a deviation of the whole database is known.
_REACHING = {
    "public.pair": {"pair", "part", "pairs", "nest"}, "public.mood": {"mood", "moods", "nest"},
    "public.whole": {"domain"}, "hstore": {"hstore"}, "public.spans": {"spans", "spans_many"},
}


@dataclass
class Plan:
    """Everything that happens under a seed; shrink.py leaves parts of it out."""
    seed: int
    stream: str
    tables: list
    deviations: list
    steps: list
    acts: list
    database_settings: list
    role_settings: list
    own_publication: str  # Who makes it: lockstep | dba | all (FOR ALL TABLES).
    proof_after: int  # The number of the step after which it is asked to be synced.

    @staticmethod
    def of(seed, stream):
        rng = random.Random(f"{seed} plan")
        tables = source.SourceMaker(seed, stream).tables()
        database, role = source.settings(seed)
        publication = rng.choice(["lockstep", "dba", "dba", "all"])
        if stream == "debezium" and publication == "lockstep":
            publication = "dba"  # A connector wants it to be there.
        return Plan(seed, stream, tables, target.deviations(seed, tables),
                    writer.steps(seed, tables, _STEPS), dba.acts(seed, tables), database, role,
                    publication, rng.randrange(4 * _STEPS))

    @property
    def late(self):
        """Tables that the DBA makes."""
        return [table for _, act in self.acts for table in act.makes]

    def keep(self, numbers):
        """Leaves out what needs other tables than these."""
        self.tables = [table for table in self.tables if table.number in numbers]
        self.steps = [step for step in self.steps if numbers.issuperset(step.tables)]
        self.acts = [(place, act) for place, act in self.acts if numbers.issuperset(act.tables)]
        self.deviations = [each for each in self.deviations
                           if each.table is None or each.table in numbers]

    def family(self, table):
        """The numbers of a table and of those that it inherits from or to."""
        found = {table.number}
        for _ in range(3):
            found |= {each.number for each in self.tables if each.parent in found}
            found |= {each.parent for each in self.tables
                      if each.number in found and each.parent is not None}
        return found

    def excuses(self, table):
        """Why lockstep may refuse a table, or name it later, though nobody has touched it."""
        family = self.family(table)
        found = [excuse for each in self.tables if each.number in family for excuse in each.excuses]
        kinds = {column.kind for column in table.columns}
        for each in self.deviations:
            of_type = any(
                name in statement and reaching & kinds
                for statement in each.statements for name, reaching in _REACHING.items())
            if (each.table in family and not each.harmless) or of_type:
                found.append(str(each))
        return found

    def __str__(self):
        lines = [f"seed {self.seed}, {self.stream}, publication by {self.own_publication}"]
        lines += [f"  SET {each}" for each in self.database_settings]
        lines += [f"  role SET {each}" for each in self.role_settings]
        lines += [f"  {statement}" for table in self.tables for statement in table.ddl]
        lines += [f"  {each}" for each in self.deviations]
        places = sorted([(place, str(act)) for place, act in self.acts])
        lines += [f"  at {place}: {act}" for place, act in places]
        return "\n".join(lines)


@dataclass
class Outcome:
    broken: list = field(default_factory=list)   # Each begins with the letter of trial.py.
    skipped: dict = field(default_factory=dict)  # Table: why validate refused it.
    named: dict = field(default_factory=dict)    # Table: why status names it.
    equal: int = 0
    acted: int = 0
    proofs: int = 0  # How often the running daemon said that it is synced, and was compared.
    ended: str = ""  # How the run to `synced` did.

    def __str__(self):
        words = (f"{self.equal} tables equal, {len(self.named)} named, {len(self.skipped)} "
                 f"refused, {self.acted} acts, {self.proofs} proofs, ended {self.ended}")
        return words if not self.broken else words + "\n  BROKEN " + "\n  BROKEN ".join(self.broken)
