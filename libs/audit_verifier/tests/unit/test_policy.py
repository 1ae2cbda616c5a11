"""Policy files (tlog-policy): the whole syntax, and what it forbids."""

from itertools import combinations

import pytest

from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.policy import parse_policy
from quartet_testing.audit_bundles import Signer

LOG = Signer("quartet.example/audit/log", 1, bytes(32)).vkey
OTHER_LOG = Signer("quartet.example/audit/log", 6, bytes(32)).vkey
KEYS = {f"{letter}{number}": Signer(f"w.example/{letter}{number}", kind, bytes([ord(letter), number]) * 16).vkey
        for letter, kind in (("X", 4), ("Y", 6)) for number in (1, 2, 3)}  # fmt: skip
WITNESSES = "".join(f"witness {name} {key}\n" for name, key in KEYS.items())
EXAMPLE = f"""log {LOG}

{WITNESSES}
group X-witnesses 2 X1 X2 X3
group Y-witnesses any Y1 Y2 Y3
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
"""The example of tlog-policy with keys."""


def test_the_example_asks_for_two_of_the_first_group_and_one_of_the_second() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert [key.text for key in policy.logs] == [LOG]
    for count in range(7):
        for names in combinations(KEYS, count):
            firsts, seconds = (sum(name[0] == letter for name in names) for letter in "XY")
            assert policy.is_witnessed(names) == (firsts >= 2 and seconds >= 1), names


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("quorum none", [], None),
        (f"witness X1 {KEYS['X1']} https://w.example/\nquorum X1", ["X1"], []),
        (f"{WITNESSES}group g all X1 Y1\nquorum g", ["X1", "Y1", "Y2"], ["X1", "X2"]),
        (f"{WITNESSES}group g 1 X1 Y1\nquorum g", ["Y1"], ["X2"]),
        (f"{WITNESSES}group g any X1\ngroup h 2 g Y1 Y2\nquorum h", ["X1", "Y2"], ["X1"]),
        ("# comment\n \t# another\n\n\t quorum \t none \t", [], None),
    ],
)
def test_quorums(text: str, good: list[str], bad: list[str] | None) -> None:
    policy = parse_policy(text.encode())
    assert policy.is_witnessed(good)
    assert bad is None or not policy.is_witnessed(bad)


def test_logs_may_have_urls_and_different_keys_of_one_name() -> None:
    policy = parse_policy(f"log {LOG} https://quartet.example/audit/log\nlog {OTHER_LOG}\nquorum none\n".encode())
    assert [key.text for key in policy.logs] == [LOG, OTHER_LOG]


def test_names_are_octets() -> None:
    """tlog-policy, Character set: K and the Kelvin sign are different names."""
    text = f"witness K {KEYS['X1']}\nwitness \u212a {KEYS['X2']}\n".encode()
    policy = parse_policy(text + b"witness \xff\xfe " + KEYS["Y1"].encode() + b"\nquorum \xff\xfe\n")
    assert len(policy.witnesses) == 3
    assert policy.is_witnessed([list(policy.witnesses)[2]])
    assert not policy.is_witnessed(["K"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no quorum line"),
        ("quorum", "line 1: expected: quorum <name>"),
        ("quorum none none", "line 1: expected"),
        ("quorum none\nquorum none", "line 2: there is an earlier quorum line"),
        ("quorum X1", "line 1: 'X1' is defined on no earlier line"),
        (f"quorum X1\nwitness X1 {KEYS['X1']}", "line 1: 'X1' is defined on no earlier line"),
        ("witnes X1\nquorum none", "line 1: unknown keyword 'witnes'"),
        ("log\nquorum none", "expected: log"),
        (f"log {LOG} a b\nquorum none", "expected: log"),
        (f"log {LOG}\nlog {LOG}\nquorum none", "line 2: the key of log"),
        ("log a+b+c\nquorum none", "line 1: not a vkey"),
        (f"witness X1 {LOG}\nquorum none", "another signature type"),
        ("witness X1\nquorum none", "expected: witness"),
        (f"witness none {KEYS['X1']}\nquorum none", "'none' is defined already"),
        (f"witness X1 {KEYS['X1']}\nwitness X1 {KEYS['X2']}\nquorum none", "line 2: 'X1' is defined already"),
        (f"witness X1 {KEYS['X1']}\nwitness X2 {KEYS['X1']}\nquorum none", "line 2: the key of witness"),
        (f"{WITNESSES}group X1 any X2\nquorum none", "'X1' is defined already"),
        (f"{WITNESSES}group g any\nquorum none", "expected: group"),
        (f"{WITNESSES}group g 0 X1\nquorum none", "threshold '0'"),
        (f"{WITNESSES}group g 01 X1\nquorum none", "threshold '01'"),
        (f"{WITNESSES}group g 3 X1 X2\nquorum none", "threshold '3'"),
        (f"{WITNESSES}group g most X1 X2\nquorum none", "threshold 'most'"),
        (f"{WITNESSES}group g any none\nquorum none", "'none' is defined on no earlier line"),
        (f"{WITNESSES}group g any g\nquorum none", "'g' is defined on no earlier line"),
        (f"{WITNESSES}group g any X1 X1\nquorum none", "'X1' is a member of a group already"),
        (f"{WITNESSES}group g any X1\ngroup h any X1\nquorum none", "'X1' is a member of a group already"),
        ("quorum none\r\n", "line 1: the control character 0x0d"),
        ("# a\n# \x7f\nquorum none", "line 2: the control character 0x7f"),
    ],
)
def test_what_the_syntax_forbids_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_policy(text.encode())
    assert problem in str(refused.value)


def test_two_names_of_one_witness_key_are_duplicates() -> None:
    """tlog-policy, Public key representation: the same public key with another name and id."""
    first, second = (Signer(name, 4, bytes(32)).vkey for name in ("a.example", "b.example"))
    with pytest.raises(FormatError, match="line 2: the key of witness 'B'"):
        parse_policy(f"witness A {first}\nwitness B {second}\nquorum none\n".encode())
