"""Addresses of destinations: public ones only, unless the operator allows a network."""

from ipaddress import ip_network

import pytest

from quartet_audit.streams.stream_address_domain import RefusedAddressError, is_allowed, require_allowed


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # nosec B104  # it is refused here
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    assert not is_allowed(address, ())
    assert not is_allowed(address, (ip_network("203.0.113.0/24"), ip_network("2001:db8:1::/48")))


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.1.2.3", "10.1.0.0/16"), ("::ffff:10.1.2.3", "10.1.0.0/16"), ("fd00:1::2", "fd00:1::/64"), ("::1", "::1/128")],
)
def test_networks_of_the_operator_are_allowed(address: str, network: str) -> None:
    assert is_allowed(address, (ip_network(network),))
    assert not is_allowed("10.2.0.1", (ip_network(network),))


def test_one_address_that_is_refused_refuses_the_host() -> None:
    require_allowed("siem.example.com", ["1.1.1.1", "8.8.8.8"], ())
    with pytest.raises(
        RefusedAddressError, match=r"siem\.example\.com has the address 10\.0\.0\.1, which is not public"
    ):
        require_allowed("siem.example.com", ["1.1.1.1", "10.0.0.1"], ())
