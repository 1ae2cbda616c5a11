"""Who imports whom: read from the source, so that a wrong direction is found even where it happens to work."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quartet_cli.layout import CHECKOUT, SERVICES

WEB_AND_DATABASE = {
    "aio_pika", "aiormq", "asyncpg", "httpx", "hypercorn", "opentelemetry", "quart", "quart_schema",
    "redis", "werkzeug",
}  # fmt: skip
INPUT_AND_OUTPUT = WEB_AND_DATABASE | {
    "asyncio", "http", "io", "logging", "os", "pathlib", "shutil", "socket", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib",
}  # fmt: skip
WIRING = {"api", "app", "__main__"}
RULES = ("domain",)
WEB = ("quart_schema", "quartet_common.web", "swagger_ui")
"""Packages that only an api loads."""
SOURCES = {
    **{f"quartet_{name}": CHECKOUT / f"services/{name}/src/quartet_{name}" for name in SERVICES},
    **{
        f"quartet_{name}": CHECKOUT / f"libs/{name}/src/quartet_{name}"
        for name in ("audit_verifier", "common", "directory_formats", "scim", "scim_http", "serving", "testing")
    },
    "quartet_cli": CHECKOUT / "cli/src/quartet_cli",
}
SERVICE_PACKAGES = {f"quartet_{name}" for name in SERVICES}
LEVELS = {
    "core": 1, "config": 1, "data": 2, "telemetry": 2, "auth": 3, "messaging": 3, "limits": 4, "runtime": 4, "web": 5,
    "jobs": 6,
}  # fmt: skip
"""The packages of libs/common: one imports only packages of lower levels. docs/architecture.md describes them."""
USERS_LEVELS = {
    "config": 1, "errors": 1, "expiry": 1, "group_marker_client": 1, "memberships": 1, "origins": 2, "groups_client": 2,
    "passwords": 2, "tenant_schemas": 2, "totals": 2, "lockout": 2, "tokens": 2, "scim_tokens": 3, "api_clients": 3,
    "roles": 3, "sessions": 4, "subscriptions": 4,
    "users": 5, "bulk": 6, "imports": 6, "search": 6, "oauth": 6, "logins": 6, "tenants": 6, "events": 7,
    "archives": 7, "exports": 7, "openapi_reference": 7, "api": 8, "app": 8, "__main__": 9,
}  # fmt: skip
"""The packages and modules of the users service, in the same way."""
AUDIT_LEVELS = {
    "leaves": 1, "note_domain": 1, "ownership_store": 1, "trees": 1, "config": 2, "checkpoints": 3, "retention": 3,
    "entries": 4, "erasures": 4, "witnesses": 4, "applications": 5, "continuity": 5, "erasure": 5, "proofs": 5,
    "subscriptions": 5, "exports": 6, "archives": 7, "streams": 7, "events": 8, "api": 9, "app": 9, "__main__": 10,
}  # fmt: skip
"""The packages and modules of the audit service, in the same way."""
METRICS_LEVELS = {
    "config": 1, "series": 1, "active_users": 2, "queries": 2, "engine": 3, "metadata": 3, "retention": 3, "ingest": 4,
    "prometheus": 4, "reconciliation": 4, "subscriptions": 4, "alerts": 5, "imports": 5, "archives": 6, "events": 6,
    "api": 7, "app": 7, "__main__": 8,
}  # fmt: skip
"""The packages and modules of the metrics service, in the same way."""
BY_THE_UNIT_OF_WORK = ("quartet_common.messaging.outbox", "quartet_common.auth.revocation_store")
"""What writes outbox rows and revocations: only `quartet_common.runtime.unit_of_work` calls it for a service."""
EVENT_TYPES = {f"quartet_common.messaging.outbox.{name}" for name in ("DomainEvent", "NewOutboxRow")}
LIBRARIES = (
    "quartet_audit_verifier", "quartet_common", "quartet_directory_formats", "quartet_scim", "quartet_scim_http",
    "quartet_serving",
)  # fmt: skip


def modules(package: str) -> list[Path]:
    """The source files of a package."""
    found = sorted(SOURCES[package].rglob("*.py"))
    assert found, f"{package} has no source"
    return found


def name_of(path: Path, package: str) -> str:
    """`scim.user_routes` for `quartet_users/users/user_routes.py`."""
    parts = path.relative_to(SOURCES[package]).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_step(module: str, *steps: str) -> bool:
    """Whether a module, or a package that it is in, is named as one of `steps`: `routes`, `user_routes`."""
    return any(part == step or part.endswith(f"_{step}") for part in module.split(".") for step in steps)


def steps(package: str, *names: str) -> list[Path]:
    """The modules of a package that are named as one of these steps."""
    return [path for path in modules(package) if is_step(name_of(path, package), *names)]


def imported_steps(path: Path, package: str, *names: str) -> set[str]:
    """What a file imports of modules of its package that are named as one of these steps."""
    own = {name for name in imports(path) if name.startswith(f"{package}.")}
    known = {f"{package}.{name_of(found, package)}" for found in steps(package, *names)}
    return {name for name in own if name in known or name.rpartition(".")[0] in known}


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_of(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imports(path)}


def test_all_packages_of_the_workspace_are_looked_at() -> None:
    found = {path.name for part in ("libs", "services") for path in CHECKOUT.glob(f"{part}/*/src/*")}
    found |= {path.name for path in CHECKOUT.glob("cli/src/*")}
    assert found - {"__pycache__"} == SOURCES.keys()


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_a_service_imports_no_other_service_and_no_tools(package: str) -> None:
    foreign = (SERVICE_PACKAGES - {package}) | {"quartet_cli", "quartet_testing", "pytest"}
    for path in modules(package):
        assert not packages_of(path) & foreign, path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_a_service_publishes_and_revokes_through_a_unit_of_work_only(package: str) -> None:
    for path in modules(package):
        assert not {name for name in imports(path) if name.startswith(BY_THE_UNIT_OF_WORK)} - EVENT_TYPES, path


@pytest.mark.parametrize("package", [*LIBRARIES, "quartet_testing", "quartet_cli"])
def test_what_services_are_built_on_imports_no_service(package: str) -> None:
    for path in modules(package):
        assert not packages_of(path) & SERVICE_PACKAGES, path


@pytest.mark.parametrize("package", LIBRARIES)
def test_what_is_deployed_imports_no_tools(package: str) -> None:
    for path in modules(package):
        assert not packages_of(path) & {"quartet_cli", "quartet_testing", "pytest"}, path


def test_libs_common_knows_no_scim() -> None:
    for path in modules("quartet_common"):
        assert "quartet_scim" not in packages_of(path), path


@pytest.mark.parametrize("package", ["quartet_directory_formats", "quartet_scim", "quartet_serving"])
def test_a_library_of_a_protocol_imports_no_package_of_ours(package: str) -> None:
    for path in modules(package):
        assert not packages_of(path) & (SOURCES.keys() - {package}), path


def test_the_verifier_of_the_audit_log_needs_cryptography_and_the_standard_library_only() -> None:
    for path in modules("quartet_audit_verifier"):
        foreign = packages_of(path) - {"quartet_audit_verifier", "cryptography"} - sys.stdlib_module_names
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize(
    "package", sorted({*SERVICE_PACKAGES, *LIBRARIES, "quartet_testing"} - {"quartet_audit_verifier"})
)
def test_only_tools_and_tests_import_the_verifier_of_the_audit_log(package: str) -> None:
    """It shares no code with the service that it verifies, and what makes bundles for its tests none with it."""
    for path in modules(package):
        assert "quartet_audit_verifier" not in packages_of(path), path


def test_libs_common_has_packages_and_no_modules_at_its_root() -> None:
    assert {name_of(path, "quartet_common").partition(".")[0] for path in modules("quartet_common")} == {"", *LEVELS}


@pytest.mark.parametrize(
    ("package", "levels"),
    [
        ("quartet_common", LEVELS),
        ("quartet_users", USERS_LEVELS),
        ("quartet_audit", AUDIT_LEVELS),
        ("quartet_metrics", METRICS_LEVELS),
    ],
)
def test_packages_import_packages_of_lower_levels_only(package: str, levels: dict[str, int]) -> None:
    for path in modules(package):
        part = name_of(path, package).partition(".")[0]
        own = {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")} - {part}
        assert {name for name in own if part and levels[name] >= levels[part]} == set(), path


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_no_modules_import_each_other_in_a_cycle(package: str) -> None:
    names = {f"{package}.{name_of(path, package)}".rstrip("."): path for path in modules(package)}
    left = {name: {found if found in names else found.rpartition(".")[0] for found in imports(path)} - {name}
            for name, path in names.items()}  # fmt: skip
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert left == {}


def test_the_server_is_started_and_configured_in_one_place_each() -> None:
    users = {
        name_of(path, "quartet_common")
        for path in modules("quartet_common")
        if any(name.startswith("quartet_serving.server.") for name in imports(path))
    }
    assert users == {"runtime.process", "runtime.server_settings"}
    for package in SERVICE_PACKAGES:
        for path in modules(package):
            assert "quartet_serving.server" not in {name.rpartition(".")[0] for name in imports(path)}, path


def test_libs_scim_knows_no_database_and_no_web_framework() -> None:
    for path in modules("quartet_scim"):
        assert not packages_of(path) & WEB_AND_DATABASE, path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_the_rules_of_a_service_do_no_input_or_output_and_wait_for_nothing(package: str) -> None:
    found = steps(package, *RULES, "events")
    assert found
    for path in found:
        assert not packages_of(path) & INPUT_AND_OUTPUT, path
        waiting = ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waiting)], path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_the_rules_of_a_service_import_none_of_its_later_steps(package: str) -> None:
    for path in steps(package, *RULES):
        assert not imported_steps(
            path, package, "api", "app", "client", "routes", "store", "subscriptions", "usecases"
        ), path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_only_the_wiring_imports_routes(package: str) -> None:
    for path in modules(package):
        if not is_step(name_of(path, package), *WIRING, "routes"):
            assert not imported_steps(path, package, "routes"), path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_only_the_start_imports_the_wiring(package: str) -> None:
    for path in modules(package):
        wiring = {f"{package}.api", f"{package}.app"} - ({f"{package}.app"} if path.stem == "__main__" else set())
        found = {part for name in imports(path) for part in (name, name.rpartition(".")[0])}
        assert not found & wiring, path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_the_web_is_imported_where_requests_are_read_and_answered(package: str) -> None:
    """Cursors are no part of a request: their text also stands in what a use case gives back."""
    for path in modules(package):
        if not is_step(name_of(path, package), "api", "parameters", "routes"):
            found = {name for name in imports(path) if name.startswith("quartet_common.web")}
            assert not {name for name in found if not name.startswith("quartet_common.web.cursors.")}, path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_a_worker_loads_no_http_code(package: str) -> None:
    """What Quart itself takes is there anyway: the private port of a worker is an application too."""
    program = f"import sys, {package}.app; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name for name in ran.stdout.split() if name.startswith(("quartet_", "quart_", "swagger_ui"))}
    assert f"{package}.app" in loaded
    assert {name for name in loaded if is_step(name, "api", "routes", "parameters") or name.startswith(WEB)} == set()


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES))
def test_routes_cannot_reach_the_broker_or_the_outbox(package: str) -> None:
    found = steps(package, "routes")
    assert found
    for path in found:
        assert not {name for name in imports(path) if name.startswith("quartet_common.messaging")}, path
        assert not packages_of(path) & {"aio_pika", "aiormq", "asyncpg"}, path
        assert ".broker" not in path.read_text(), path


@pytest.mark.parametrize("package", sorted(SERVICE_PACKAGES | {"quartet_scim_http"}))
def test_sql_is_run_on_the_connection_of_the_caller_who_commits(package: str) -> None:
    for path in modules(package):
        if is_step(name_of(path, package), "store"):
            text = path.read_text()
            assert "quartet_common.runtime.container" not in imports(path), path
            assert ".transaction(" not in text, f"{path} opens a transaction"
            assert ".acquire(" not in text, f"{path} takes a connection"
            check_parameters(path)


def check_parameters(path: Path) -> None:
    """Every public coroutine of a store takes the connection first; plain functions return SQL text and run nothing."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            names = [argument.arg for argument in node.args.args]
            assert names[:1] == ["connection"], f"{path}: {node.name} does not take the connection first"
