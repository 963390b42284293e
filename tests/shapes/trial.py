"""One seed from end to end: a strange source, its twin, a target, a writer, a DBA, and lockstep.

What must hold (each line of Outcome.broken begins with the letter of what does not):
  a  no statement of the application or its DBA fails that does not fail on the twin, which holds
     the same data and has never met lockstep;
  b  what `validate` accepts is carried through unless the DBA acted, and `run` refuses what
     `validate` refuses; it refuses no table that has nothing strange about it;
  c  whenever synced is said every table that is not named is equal, by the independent comparison;
  d  what is unequal is named, and its reason ends in something that one can do;
  e  it ends within a bound;
  f  nothing of ours that was not announced is left on either server.
An "h" is the harness's own: a server that is gone, a verb that answers what it does not promise.
"""

import random
import signal
import time
from subprocess import CalledProcessError, TimeoutExpired

import psycopg2

from tests.lab.process import LabError
from tests.shapes.oracle import Oracle
from tests.shapes.plan import Outcome
from tests.shapes.world import World

OK, INCOMPLETE, HALTED, CONFIG = 0, 3, 65, 78
_BOUND_SECONDS = 60  # For lockstep to be synced once nobody writes.
_PROOF_SECONDS = 6  # For a running daemon; some never are, such as one with a table that stopped.
_PROOF_PAUSE_SECONDS = 0.2
_VALIDATE_ROUNDS = 12


class Trial:
    """REQUIRES: used as a context manager."""

    def __init__(self, stack, plan):
        self.plan = plan
        self.outcome = Outcome()
        self.touched = set()  # Tables that the DBA touched, by number.
        self.all_touched = False  # After a type, or the publication.
        self.world = World(stack, plan, self._backfill())
        self.oracle = Oracle(self.world, self.outcome)
        self.migration = self.world.migration
        self.lockstep = self.migration.lockstep

    def _backfill(self):
        rng = random.Random(f"{self.plan.seed} backfill")
        return {"workers": rng.choice([1, 2]), "chunk_rows": rng.choice([100, 1000, 50000]),
                "rate_limit_rows_per_second": rng.choice([0, 0, 400])}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.world.stack.ensure_up()
        self.world.close()

    def _broken(self, text):
        self.outcome.broken.append(text)

    def run(self):
        self.world.make_source()
        self.world.make_target()
        before = self.world.inventory()
        self.world.offer_publication()
        if not self._validate():
            return self.outcome
        self._follow()
        self._judge()
        self._clean_up(before)
        return self.outcome

    # ---- Before the run.

    def _validate(self):
        """Asks validate until it accepts, leaving out what it refuses.  Returns whether it did."""
        for _ in range(_VALIDATE_ROUNDS):
            errors = self._errors()
            if not errors:
                return True
            about_publication = [problem for problem in errors
                                 if problem["text"].startswith("publication ")]
            known = len(self.outcome.skipped)
            for problem in errors:
                if problem not in about_publication:
                    self._skip(problem)
            if about_publication:
                self.world.publish([table.sql for table in self.oracle.moved()])
            elif known == len(self.outcome.skipped):
                self._broken(f"d: validate refuses without naming a table: {_texts(errors)}")
                return False
            self._write_rules()
        self._broken(f"b: validate does not become silent by leaving tables out: {_texts(errors)}")
        return False

    def _errors(self):
        answer = self.lockstep.answer("validate", "--format", "json", expected=(OK, CONFIG))
        return [problem for problem in answer["problems"] if problem["severity"] == "error"]

    def _skip(self, problem):
        text = f"{problem['text']} ({problem['hint']})"
        for number in self.oracle.mentioned(problem["text"]) or self.oracle.mentioned(text):
            table = self.oracle.table(number)
            self.outcome.skipped.setdefault(table.text, text)
            if not self.plan.excuses(table):
                self._broken(f"b: {table.text} is refused, and nothing about it is strange: {text}")

    def _write_rules(self):
        """Leaves the skipped tables out, and what belongs to them, as far as it is there."""
        there = self.world.names_now()
        rules = [{"source": "*.*"}]
        rules += [{"source": name, "skip": True} for table in self.oracle.tables
                  if table.text in self.outcome.skipped for name in table.rules if name in there]
        self.migration.manifest["tables"] = rules
        self.lockstep.write(self.migration.manifest)

    # ---- The run.

    def _follow(self):
        if self.plan.stream == "debezium":
            self.migration.start_connector()
        self.lockstep.start()
        acts = sorted(self.plan.acts, key=lambda act: act[0])
        for number, step in enumerate(self.plan.steps):
            while acts and acts[0][0] * len(self.plan.steps) <= number * 1000:
                self._act(acts.pop(0)[1])
            self._both(step)
            if number % 3 == 2:
                self.world.commit_prepared()
            if number == self.plan.proof_after:
                self._prove()
        for _, act in acts:
            self._act(act)
        self.world.commit_prepared()
        self._prove()

    def _both(self, step):
        """The same must come of a step on the twin and on the source."""
        twin, ours = self.world.both(step)
        if twin != ours:
            self._broken(f"a: {step} answers {ours}, without lockstep {twin}")

    def _act(self, act):
        self.outcome.acted += 1
        names = {"db": self.migration.name, "publication": self.migration.publication,
                 "slot": self.migration.slot_name}
        statement = act.statements[0]
        for word, name in names.items():
            statement = statement.replace("{" + word + "}", name)
        self.touched.update(act.tables)
        self.touched.update(table.number for table in act.makes)
        self.all_touched = self.all_touched or act.breaks
        if act.role == "source":
            self._both(act)
        elif act.role == "daemon":
            self.world.end_daemon(statement)
        elif act.role == "server":
            self.world.restart(*statement.split())
        elif act.role == "connector":
            self.world.trouble_connector(statement)
        else:
            self._on_one_side(act.role, statement)

    def _on_one_side(self, role, statement):
        stack, name = self.world.stack, self.migration.name
        try:
            if role == "target":
                stack.target.execute(name, statement)
                return
            stack.source.execute(name, statement)
        except psycopg2.Error:
            return  # What is not there cannot be altered.
        if name in statement and statement.startswith("ALTER DATABASE"):
            stack.source.execute(self.world.twin, statement.replace(name, self.world.twin))

    def _prove(self):
        """The writer waits: is what runs synced?  If it says so, it is true."""
        deadline = time.monotonic() + _PROOF_SECONDS
        while self.lockstep.is_running() and (left := deadline - time.monotonic()) > 0:
            tables = self.lockstep.status()["tables"]
            if any(table["state"] == "stopped" or table["quarantined"] for table in tables):
                return  # It will never be.
            try:
                fresh = self.lockstep.verb("status", "--fresh", "--exit-code", timeout=left)
            except TimeoutExpired:
                return
            if fresh.returncode == OK:
                self.outcome.proofs += 1
                self.oracle.name_tables(self.lockstep.status())
                self.oracle.compare("status --fresh ends 0")
                return
            time.sleep(_PROOF_PAUSE_SECONDS)

    # ---- After it.

    def _judge(self):
        """The writer has stopped: everything is to become equal, or named."""
        if self.lockstep.is_running():
            self.lockstep.process.send(signal.SIGTERM)
            if self.lockstep.wait_exit() != OK and not self.outcome.acted:
                self._broken(f"b: run ended {self.lockstep.process.wait()}: "
                             f"{self.lockstep.process.log_tail(3)}")
        code = self._until_synced()
        if code == CONFIG:
            code = self._leave_out_what_changed()
        if code is None:
            return
        if code not in (OK, INCOMPLETE):
            if code != HALTED or not (self.touched or self.all_touched):
                self._broken(f"b: accepted, and ends {code}: {self.lockstep.process.log_tail(4)}")
            return
        status = self.lockstep.status()
        self.oracle.name_tables(status)
        if code == INCOMPLETE and not self.outcome.named:
            self._broken(f"d: exit 3, and no table is named: {status['waiting_for']} "
                         f"{self.lockstep.process.log_tail(3)}")
        for table in self.oracle.moved():
            if table.text in self.outcome.named and not self._may_be_named(table):
                self._broken(f"b: {table.text} is named, and nothing about it is strange: "
                             f"{self.outcome.named[table.text]}")
        self.oracle.compare(f"exit {code}")

    def _may_be_named(self, table):
        return (self.all_touched or self.touched & self.plan.family(table)
                or self.plan.excuses(table))

    def _until_synced(self):
        """The exit code, or nothing when it went on for too long."""
        self.lockstep.start("--until", "synced")
        try:
            code = self.lockstep.wait_exit(_BOUND_SECONDS)
        except LabError:
            self._still_waiting()
            return None
        self.outcome.ended += f" {code}"
        return code

    def _leave_out_what_changed(self):
        """The DBA changed tables, and now the start refuses them by name: they are left out."""
        for _ in range(_VALIDATE_ROUNDS):
            tail = self.lockstep.run_log()
            # Without what is only warned of, and without the names that hints bring up.
            refused = [line.split(" (")[0] for line in tail.splitlines() if ": error: " in line]
            refused = refused or [line for line in tail.splitlines() if '"msg":"ended"' in line]
            found = self.oracle.mentioned("\n".join(refused))
            about_connector = any(": error: connector " in line for line in refused)
            about_publication = any(": error: publication " in line for line in refused)
            if not found and about_connector and self.outcome.acted:
                pass  # It is given what `connector-config` prints now.
            elif not found and about_publication and self.all_touched:
                self.world.publish([table.sql for table in self.oracle.moved()])
            elif not found or not (self.all_touched or self._are_touched(found)):
                names = [self.oracle.table(number).text for number in found]
                self._broken(f"b: exit 78 for {names or 'no table'}, which nobody changed: {tail}")
                return None
            for number in found:
                self.outcome.skipped.setdefault(self.oracle.table(number).text, tail)
            self._write_rules()  # Also without the rules of tables that are gone.
            self.migration.start_connector()  # As its configuration has to be now.
            code = self._until_synced()
            if code != CONFIG:
                return code
        self._broken(f"b: the start refuses for ever: {self.lockstep.process.log_tail(4)}")
        return None

    def _are_touched(self, numbers):
        return all(self.touched & self.plan.family(self.oracle.table(number)) for number in numbers)

    def _still_waiting(self):
        waiting = "; ".join(self.lockstep.status()["waiting_for"])[:600]
        self.lockstep.end()
        if not (self.touched or self.all_touched) or not waiting:
            self._broken(f"e: not synced after {_BOUND_SECONDS} s, waits for "
                         f"{waiting or 'nothing that it names'}")

    # ---- What is left.

    def _clean_up(self, before):
        """README's step 8, and then nothing of lockstep's is there."""
        self.lockstep.end()
        if self.migration.connector is not None:
            self.world.stack.connect.delete(self.migration.connector)
            self.migration.connector = None
        self.migration.await_slot_released()
        done = self.lockstep.verb("reset", "--yes")
        if self.plan.own_publication != "lockstep":  # Not its own: a statement was printed for us.
            name = self.migration.publication
            self.world.of_superuser(f"DROP PUBLICATION IF EXISTS {name}")
        after = self.world.inventory()
        acted = self.touched or self.all_touched
        for side, was, is_now in zip(("source", "target"), before, after):
            for line in sorted(is_now - was):
                if not acted or "lockstep" in line:  # The DBA's own things are there, too.
                    self._broken(f"f: left on the {side}: {line}\n{done.stdout}{done.stderr}")


def _texts(problems):
    return "; ".join(problem["text"][:300] for problem in problems[:3])


def try_seed(stack, plan):
    """Runs a plan."""
    stack.ensure_up()
    with Trial(stack, plan) as trial:
        try:
            return trial.run()
        except (LabError, psycopg2.Error, CalledProcessError) as error:
            trial.outcome.broken.append(f"h: {type(error).__name__}: {error}")
            return trial.outcome
