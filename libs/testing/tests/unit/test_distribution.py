"""Which tests run in the same process, and in which order processes get them."""

from quartet_cli.layout import CHECKOUT
from quartet_testing.distribution import ON_THE_STACK, group_of, rank

ROLES = "services/users/tests/integration/test_role_store.py"


def test_a_file_is_a_group_unless_it_is_about_the_whole_stack() -> None:
    assert group_of(f"{ROLES}::test_roles[a::b]") == ROLES
    assert group_of("tests/e2e/test_users.py::test_a") == group_of("tests/e2e/faults/test_redis.py::test_b") == "stack"


def test_the_stack_comes_first_and_unit_tests_last() -> None:
    unit = "services/audit/tests/unit/test_entries.py::test_a"
    tests = [unit, f"{ROLES}::test_b", "tests/e2e/test_users.py::test_c"]
    assert sorted(tests, key=rank) == tests[::-1]


def test_all_files_of_conventions_on_the_stack_are_among_them() -> None:
    files = {path for path in (CHECKOUT / "tests/conventions").glob("test_*.py") if "stack: Stack" in path.read_text()}
    assert {str(path.relative_to(CHECKOUT)) for path in files} == {one for one in ON_THE_STACK if one.endswith(".py")}
