"""Settings: each can be set in compose and natively, and is in docs/configuration.md with the default of the code."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it says nothing of its types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from quartet_cli import environment
from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_common.config.rate_limit import Limit
from quartet_common.config.settings import CONSUMERS, ENV_PREFIX, ServiceConfig

INSIDE = {"QUARTET_HOST", "QUARTET_PORT", "QUARTET_PRIVATE_HOST", "QUARTET_PRIVATE_PORT"}
"""Where a process listens in its container: decided by the image; what is outside is decided by the published port."""
OF_A_SERVICE = {"QUARTET_DATABASE_URL"}
"""Has another value for each service, so that one variable cannot give it."""
PASSED_ON = re.compile(r"\$\{(QUARTET_[A-Z_]+):-(.*)\}")
DOCUMENT = CHECKOUT / "docs/configuration.md"


def config_of(service: str) -> type[ServiceConfig]:
    """The one class of a service's settings."""
    module = importlib.import_module(f"quartet_{service}.config")
    [found] = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__
               and issubclass(one, ServiceConfig)]  # fmt: skip
    return found


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret, or a document that holds secrets."""
    kind = field.annotation
    return isinstance(kind, type) and issubclass(kind, SecretStr | BaseModel)


def settings(service: str) -> dict[str, FieldInfo]:
    """All settings of a service by their variables."""
    return {f"{ENV_PREFIX}{name.upper()}": field for name, field in config_of(service).model_fields.items()}


def open_settings(service: str) -> set[str]:
    """Those that are no secrets."""
    return {name for name, field in settings(service).items() if not is_secret(field)}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    return loaded


PROCESSES = [f"{service}-{process}" for service in SERVICES for process in ("migrate", "api", "worker")]


@pytest.mark.parametrize("process", PROCESSES)
def test_each_setting_can_be_set_in_compose_and_no_secret(process: str) -> None:
    variables, service = compose()["services"][process]["environment"], process.partition("-")[0]
    passed = {name for name, value in variables.items() if (found := PASSED_ON.fullmatch(value)) and found[1] == name}
    assert open_settings(service) - passed == INSIDE | OF_A_SERVICE
    assert variables.keys() >= OF_A_SERVICE
    assert not {name for name, field in settings(service).items() if is_secret(field)} & variables.keys()


@pytest.mark.parametrize("process", PROCESSES)
def test_compose_gives_what_is_needed_and_leaves_defaults_to_the_code(process: str) -> None:
    """Empty counts as not set (`env_ignore_empty`); a default of compose's own is where the stack has another."""
    variables, known = compose()["services"][process]["environment"], settings(process.partition("-")[0])
    own = {name for name in variables if (found := PASSED_ON.fullmatch(variables[name])) and found[2]}
    needed = {name for name, field in known.items() if field.is_required() and not is_secret(field)}
    urls = {f"QUARTET_{service.upper()}_URL" for service in SERVICES}
    assert needed <= own | OF_A_SERVICE
    assert own <= needed | urls | {"QUARTET_PUBLIC_URL", "QUARTET_TRUSTED_PROXIES", "QUARTET_METRICS_ENGINE_URL"}
    assert all(one.model_config["env_ignore_empty"] for one in map(config_of, SERVICES))


def test_the_checkpoint_file_that_the_documentation_names_can_be_written_in_compose() -> None:
    """In a volume of its own, which gets the owner of the folder of the image; all else is read-only."""
    [path] = re.findall(r"QUARTET_CHECKPOINT_FILE=(\S+)", (CHECKOUT / "docs/compose.md").read_text())
    folder, loaded = str(Path(path).parent), compose()
    volumes = [volume.split(":") for volume in loaded["services"]["audit-worker"]["volumes"]]
    [name] = [source for source, *rest in volumes if rest == [folder]]
    assert name in loaded["volumes"]
    assert f"-o quartet -g quartet {folder}\n" in (CHECKOUT / "Dockerfile").read_text()


def test_with_mutual_tls_no_container_of_ours_is_left_out() -> None:
    variables = yaml.safe_load((CHECKOUT / "deploy/compose/tls.yaml").read_text())["services"]
    assert variables.keys() == {*PROCESSES, "nginx", "token"}
    for name in PROCESSES:
        assert variables[name]["environment"].keys() <= open_settings("users") | {
            "QUARTET_AUDIT_URL",
            "QUARTET_METRICS_URL",
        }
        assert variables[name]["environment"]["QUARTET_VERIFY_CLIENT"] == "required"
        assert f"/{name.partition('-')[0]}:/run/tls:ro" in variables[name]["volumes"][0]


@pytest.mark.parametrize("service", SERVICES)
def test_each_setting_can_be_set_natively_and_no_secret(service: str) -> None:
    mine = dict.fromkeys(settings(service), "x")
    assert environment.handed_on(mine).keys() == open_settings(service) - environment.OWN


def test_every_secret_is_withheld_by_its_name_and_nothing_else_is() -> None:
    for service in SERVICES:
        for name, field in settings(service).items():
            assert is_secret(field) == (environment.SECRETS.fullmatch(name) is not None), name


def documented() -> dict[str, str]:
    """The variables of the tables, each with the text of its defaults; `_MIN` stands for another last word."""
    found: dict[str, str] = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = line.split(" | ")
        last = ""
        for name in re.findall(r"`(\w+)`", cells[0]) if line.startswith("| `") else []:
            last = name if not name.startswith("_") else f"{last.rpartition('_')[0]}{name}"
            found[last] = cells[1]
    return found


def shown(field: FieldInfo) -> str:
    """A default as the table says it."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None or value == "" or value is CONSUMERS:
        return "the four services" if value else "none"
    if isinstance(value, Limit):
        return f"{value.quota}/{value.seconds}"
    if isinstance(value, list | tuple | bool):
        return json.dumps(value)
    if isinstance(value, int) and value >= 1024 * 1024 and value % (1024 * 1024) == 0:
        return f"{value // (1024 * 1024)} MiB"
    return f"{value:g}" if isinstance(value, float) and value != 1 else str(value)


def test_the_tables_of_settings_are_complete_and_say_the_defaults_of_the_code() -> None:
    table = documented()
    known = {name for service in SERVICES for name in settings(service)}
    assert table.keys() == known | {"QUARTET_SECRETS_DIR"}
    for service in SERVICES:
        for name, field in settings(service).items():
            text = table[name]
            assert re.search(rf"(?<![\w.]){re.escape(shown(field))}(?![\w.])", text), f"{name}: {shown(field)}"
            assert ("*secret*" in text) == is_secret(field), name


def test_what_only_users_knows_is_marked_so() -> None:
    common = set.intersection(*(set(settings(service)) for service in SERVICES))
    for service in SERVICES:
        for name in settings(service).keys() - common:
            assert re.search(rf"\b{service}( and [a-z]+)? only\b|\band {service} only\b", documented()[name]), name


def test_a_setting_is_read_by_the_class_that_has_it() -> None:
    """That the names above are the names that pydantic reads."""
    for service in SERVICES:
        assert config_of(service).model_config["env_prefix"] == ENV_PREFIX
        assert not [name for name, field in config_of(service).model_fields.items() if field.validation_alias]
