"""Server URLs: what is read from them, and that what is wrong is named."""

import re

import pytest

from quartet_common.config.server_urls import (
    Host,
    Master,
    master_of,
    read_broker_url,
    read_database_url,
    read_redis_url,
)

WRITABLE = "?target_session_attrs=read-write"


def test_each_host_of_a_url_gets_a_url_of_its_own() -> None:
    url = read_broker_url("amqps://quartet@mq1:5671,mq2,[::1]:5673/events?x=1")
    assert url.hosts == (Host("mq1", 5671), Host("mq2", None), Host("[::1]", 5673))
    assert [url.at(host) for host in url.hosts] == [
        "amqps://quartet@mq1:5671/events?x=1",
        "amqps://quartet@mq2/events?x=1",
        "amqps://quartet@[::1]:5673/events?x=1",
    ]


def test_a_url_of_one_host_or_of_a_socket_stays_as_it_is() -> None:
    for text in ("postgresql://quartet_users@db/quartet", "postgres://u:p%40ss@db:6000/quartet?sslmode=verify-full"):
        url = read_database_url(text)
        assert [url.at(host) for host in url.hosts] == [text]
    assert read_database_url("postgresql:///quartet?host=/run/postgresql").hosts == ()
    assert read_redis_url("unix:///run/redis.sock?db=1").hosts == ()
    assert master_of(read_redis_url("redis://cache:6379/0")) is None


@pytest.mark.parametrize("attributes", [WRITABLE, "?sslmode=require&target_session_attrs=primary"])
def test_several_hosts_of_postgresql_are_read_if_only_the_primary_is_used(attributes: str) -> None:
    url = read_database_url(f"postgresql://u@db1:5432,db2:5432/quartet{attributes}")
    assert url.hosts == (Host("db1", 5432), Host("db2", 5432))


@pytest.mark.parametrize(
    ("text", "master"),
    [
        ("redis+sentinel://s1:26379,s2/mymaster/3", Master("mymaster", 3)),
        ("rediss+sentinel://user@s1/mymaster", Master("mymaster", 0)),
    ],
)
def test_sentinels_name_a_master_and_a_database(text: str, master: Master) -> None:
    assert master_of(read_redis_url(text)) == master


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://db/quartet", "must be a URL that begins with postgresql://, postgres://"),
        ("db:5432", "must be a URL that begins with postgresql://, postgres://"),
        ("postgresql://u@db1,db2/quartet", "names 2 hosts: end it with ?target_session_attrs=read-write"),
        (
            "postgresql://u@db1,db2/quartet?target_session_attrs=any",
            "names 2 hosts: end it with ?target_session_attrs=read-write",
        ),
        (f"postgresql://u@db1,,db2/quartet{WRITABLE}", "has no valid host at ''"),
        (f"postgresql://u@db1, db2/quartet{WRITABLE}", "has a space at the host ' db2'"),
        (
            f"postgresql://u@db1:54x2,db2/quartet{WRITABLE}",
            "the port of db1 must be a number from 1 to 65535, not '54x2'",
        ),
        (f"postgresql://u@db1:0,db2/quartet{WRITABLE}", "the port of db1 must be a number from 1 to 65535, not '0'"),
        (f"postgresql://u@db1:70000,db2/quartet{WRITABLE}", "the port of db1 must be a number"),
        ("postgresql://u@/quartet", "has no valid host at ''"),
    ],
)
def test_what_is_wrong_with_a_url_of_postgresql_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_database_url(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("redis://a:6379,b:6379/0", "names 2 hosts: for several, use Redis Sentinel"),
        ("redis+sentinel://a:26379,b:26379", "needs the name of the master that the sentinels watch"),
        ("rediss+sentinel://a/", "needs the name of the master that the sentinels watch: rediss+sentinel://HOST:26379"),
        ("redis+sentinel://a/mymaster/one", "the database after the name of the master must be a number, not 'one'"),
        ("redis+sentinel://a/mymaster?db=1", "needs the name of the master"),
        ("redis+sentinel:///mymaster/0", "has no valid host at ''"),
        ("sentinel://a/mymaster/0", "must be a URL that begins with redis://"),
    ],
)
def test_what_is_wrong_with_a_url_of_redis_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_redis_url(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://quartet@mq:5672/", "must be a URL that begins with amqp://, amqps://"),
        ("amqp://quartet@mq1:5672,mq2:56 72/", "the port of mq2 must be a number from 1 to 65535, not '56 72'"),
        ("amqp://quartet@", "has no valid host at ''"),
    ],
)
def test_what_is_wrong_with_a_url_of_rabbitmq_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_broker_url(text)
