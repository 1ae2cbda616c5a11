"""The runbook: the commands in the documents for operators."""

import re
from dataclasses import dataclass
from pathlib import Path

from quartet_cli.layout import CHECKOUT

SECTIONS = {
    "docs/operations.md": ("Problems", "Failover", "When an alert fires"),
    "docs/troubleshooting.md": (),
}
"""The documents, each with its sections that are meant; all of a document without any."""
FENCED = re.compile(r"^```(sh|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
STARTS = ("./quartet ", "rabbitmqctl ", "rabbitmq-", "pg_ctl ", "pg_basebackup ")
SQL = ("SELECT ", "ALTER ")

FAULTS = "tests/e2e/faults"
FAILOVER = (
    f"{FAULTS}/test_failover.py::test_when_the_primary_is_killed_and_the_standby_promoted_nothing_is_lost_or_doubled"
)
NODES = f"{FAULTS}/test_failover.py::test_when_a_node_of_rabbitmq_is_killed_events_go_through_another_one"
SENTINELS = f"{FAULTS}/test_failover.py::test_while_redis_fails_over_no_write_fails_and_limits_are_shared_again"

ELSEWHERE = {
    "QUARTET_DATABASE_URL='postgresql://quartet_users@db1:5432,db2:5432/quartet?target_session_attrs=read-write'": (
        FAILOVER
    ),
    "pg_basebackup -D DATA -d 'host=db1 port=5432 user=postgres' -R -X stream": FAILOVER,
    "pg_ctl promote -D DATA": FAILOVER,
    "SELECT pg_promote();": (
        "libs/common/tests/integration/test_failover.py"
        "::test_of_several_hosts_in_the_url_the_one_that_can_be_written_to_is_used"
    ),
    "ALTER SYSTEM SET synchronous_standby_names = '*';": FAILOVER,
    "SELECT pg_reload_conf();": FAILOVER,
    "QUARTET_BROKER_URL='amqp://quartet@mq1:5672,mq2:5672,mq3:5672/'": NODES,
    "rabbitmq-queues grow mq2 all": NODES,
    "QUARTET_REDIS_URL='redis+sentinel://s1:26379,s2:26379,s3:26379/mymaster/0'": SENTINELS,
    "./quartet events replay --since 10m": (
        f"{FAULTS}/test_wiped_rabbitmq.py"
        "::test_after_a_wiped_rabbitmq_a_replay_completes_the_log_of_a_worker_that_was_stopped"
    ),
}
"""Commands that need more than a stack with one stopped process, each with the test that runs it with its own
values. tests/e2e/test_runbook.py runs all others as they are written.
"""


@dataclass(frozen=True)
class Command:
    """A command as it is written; `is_sql`: for psql, not for a shell."""

    text: str
    is_sql: bool


def commands() -> list[Command]:
    """Those of all SECTIONS, each once, in their order."""
    found: dict[Command, None] = {}
    for document, titles in SECTIONS.items():
        found.update(dict.fromkeys(_of(_chosen((CHECKOUT / document).read_text(), titles))))
    return list(found)


def is_test(name: str) -> bool:
    """Whether `path::function` is a test."""
    path, _, function = name.partition("::")
    file = CHECKOUT / Path(path)
    return file.is_file() and re.search(rf"^(async )?def {function}\(", file.read_text(), re.MULTILINE) is not None


def _chosen(text: str, titles: tuple[str, ...]) -> str:
    if not titles:
        return text
    parts = []
    for title in titles:
        _, heading, rest = text.partition(f"\n## {title}\n")
        assert heading, f"no section {title}"
        parts.append(rest.partition("\n## ")[0])
    return "\n".join(parts)


def _of(text: str) -> list[Command]:
    found = []
    for language, block in FENCED.findall(text):
        lines = [line.partition("  # ")[0].partition("  -- ")[0].strip() for line in block.splitlines()]
        found += [Command(line, language == "sql") for line in lines if line]
    for written in INLINE.findall(FENCED.sub("", text)):
        if written.startswith(STARTS + SQL):
            found.append(Command(written, written.startswith(SQL)))
    return found
