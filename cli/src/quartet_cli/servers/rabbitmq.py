"""The private RabbitMQ: a node and a port mapper (epmd) of its own, on loopback only."""

from quartet_cli.binaries import Binaries
from quartet_cli.health import connects, rabbitmq_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program
from quartet_cli.servers.files import write_private


def epmd_program(home: Home, binaries: Binaries, port: int) -> Program:
    """Erlang's port mapper in the foreground; otherwise the node would start a daemon that outlives it."""
    return Program(
        name="epmd",
        command=(str(binaries.epmd), "-port", str(port), "-address", HOST),
        directory=home.data / "rabbitmq",
        url=f"epmd://{HOST}:{port}",
        check=lambda: connects(port),
    )


def program(home: Home, binaries: Binaries, ports: dict[str, int]) -> Program:
    """The broker in the foreground. It stops gracefully on TERM, since the process is the Erlang machine itself."""
    return Program(
        name="rabbitmq",
        command=(str(binaries.rabbitmq),),
        directory=home.data / "rabbitmq",
        url=f"amqp://{HOST}:{ports['rabbitmq']}/",
        environment=environment(home, ports),
        stop_seconds=60,
        check=lambda: rabbitmq_ready(ports["rabbitmq"]),
    )


def environment(home: Home, ports: dict[str, int]) -> dict[str, str]:
    """The environment of the node: replaces all paths of the host's own node by paths of the stack."""
    data, run = home.data / "rabbitmq", home.run / "rabbitmq"
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    quiet = "+sbwt none +sbwtdcpu none +sbwtdio none"  # no busy waiting: the machine is shared with seven other servers
    return {
        "HOME": str(data),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_NODENAME": f"quartet-{home.digest}@localhost",
        "RABBITMQ_DIST_PORT": str(ports["rabbitmq-distribution"]),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(run / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(run / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(run / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(run / "environment.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(run / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(run / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} -start_epmd false {quiet}",
        # the start script execs the Erlang machine then, so that signals reach it
        "RUNNING_UNDER_SYSTEMD": "1",
    }


def prepare(home: Home, ports: dict[str, int]) -> None:
    """Write the node's configuration and cookie."""
    data, run = home.data / "rabbitmq", home.run / "rabbitmq"
    lines = [
        f"prometheus.tcp.ip = {HOST}",
        f"prometheus.tcp.port = {ports['rabbitmq-metrics']}",
        f"listeners.tcp.1 = {HOST}:{ports['rabbitmq']}",
        "disk_free_limit.absolute = 50MB",
        "log.console = true",
        "log.file = false",
        "log.connection.level = error",  # otherwise every health check is a line
        (home.secrets / "rabbitmq/auth.conf").read_text().strip(),
    ]
    write_private(run / "rabbitmq.conf", "\n".join(lines) + "\n", owner_of=run)
    write_private(run / "environment.conf", "", owner_of=run)
    write_private(run / "advanced.config", "[].\n", owner_of=run)
    write_private(run / "enabled_plugins", "[rabbitmq_prometheus].\n", owner_of=run)
    write_private(data / ".erlang.cookie", (home.secrets / "rabbitmq/cookie").read_text(), owner_of=data)
