"""What `validate` asks so that `run` carries through what it accepts (issue E)."""

import re

from tests.integration.test_validate import PEOPLE, problems, the_one

def test_knows_the_least_limit_of_connections(direct):
    migration = direct(PEOPLE)
    migration.prepare()
    migration.stack.target.execute(
        "postgres", f'ALTER DATABASE "{migration.name}" CONNECTION LIMIT 3')
    line = the_one(migration, f"where the CONNECTION LIMIT of database {migration.name} is 3")
    assert line.startswith("error: lockstep needs ") and (
        f'ALTER DATABASE "{migration.name}" CONNECTION LIMIT -1' in line)
