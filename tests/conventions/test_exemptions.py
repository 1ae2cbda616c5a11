"""Exemptions from the rules about security: each says which rule, and why."""

import re
import tomllib

import pytest

from quartet_cli.layout import CHECKOUT
from quartet_cli.quality import AUDITED

NOQA = re.compile(r"#\s*noqa\b(?P<codes>:[ A-Z0-9,]*)?(?P<rest>.*)")
NOSEC = re.compile(r"#\s*nosec\b(?P<codes>[ :]*B\d{3}(,\s*B\d{3})*)?(?P<rest>.*)")
OTHER = re.compile(r"#\s*(noqa|nosec|type: ignore|fmt)\S*[^#]*")
SHORTEST = 8
"""Characters of a reason."""


def flaw(line: str) -> str | None:
    """What is wrong with the exemptions of `line`; None for those that name their rules and have a reason."""
    ruff, bandit = NOQA.search(line), NOSEC.search(line)
    if ruff is not None and ruff["codes"] is None:
        return "it exempts from every rule of ruff"
    if bandit is not None and bandit["codes"] is None:
        return "it exempts from every rule of bandit"
    concerns = bandit is not None or (ruff is not None and re.search(r"\bS\d", ruff["codes"]) is not None)
    if not concerns:
        return None
    rests = [found["rest"] for found in (ruff, bandit) if found is not None]
    reason = min((OTHER.sub("", rest).strip(" #-") for rest in rests), key=len)
    return None if len(reason) >= SHORTEST else "it has no reason"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("x = 1  # noqa: S105  # what such tokens begin with", False),
        ("x = 1  # noqa: S105  # nosec B105  # what such tokens begin with", False),
        ("x = 1  # nosec B105, B106  # what such tokens begin with", False),
        ("x = 1  # noqa: S105 - the point of the test", False),
        ("x = 1  # noqa: N815", False),
        ("x = 1  # " + "noqa", True),
        ("x = 1  # " + "nosec", True),
        ("x = 1  # " + "nosec  # because it is ours", True),
        ("x = 1  # noqa: S105", True),
        ("x = 1  # nosec B105", True),
        ("x = 1  # noqa: S105  # nosec B105", True),
        ("x = 1  # noqa: E501, S105  # so", True),
    ],
)
def test_an_exemption_without_a_rule_or_a_reason_is_seen(line: str, wrong: bool) -> None:
    assert (flaw(line) is not None) is wrong


def test_every_exemption_in_the_code_names_its_rules_and_its_reason() -> None:
    folders = (*AUDITED, "tests")
    sources = [path for folder in folders for path in (CHECKOUT / folder).rglob("*.py") if ".venv" not in path.parts]
    assert len(sources) > 300
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{number}: {found}"
        for path in sources
        if path.name != "test_exemptions.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := flaw(line)) is not None
    ]
    assert not wrong


def test_every_exemption_in_the_configuration_has_a_reason() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text()
    ruff, bandit = (tomllib.loads(text)["tool"][name] for name in ("ruff", "bandit"))
    lists = [ruff["lint"]["ignore"], bandit["skips"], bandit["assert_used"]["skips"]]
    codes = {code for found in (*lists, *ruff["lint"]["per-file-ignores"].values()) for code in found}
    assert codes
    for code in codes:
        lines = [line for line in text.splitlines() if f'"{code}"' in line]
        assert all("#" in line for line in lines), f"{code}: {lines}"
