"""A slip in the name of a variable is seen; what others set with our prefix is not taken for one."""

from __future__ import annotations

from theater_bus.cli.variables import settings_variables, strays
from theater_bus.host.settings import HostSettings

KNOWN = settings_variables()


def test_all_that_a_host_and_a_command_read_is_known() -> None:
    read = {"THEATER_BUS_TIMEOUT", "THEATER_BUS_OUTPUT", "THEATER_BUS_LOG_LEVEL", "THEATER_BUS_TELEMETRY_ACTORS"}
    assert read <= KNOWN
    assert {f"THEATER_BUS_{name.upper()}" for name in HostSettings.model_fields} <= KNOWN
    assert strays(dict.fromkeys(KNOWN, ""), KNOWN) == []


def test_a_slip_is_told_with_the_name_that_was_meant() -> None:
    found = strays({"THEATER_BUS_SERVRS": "", "THEATER_BUS_QQ": "", "HOME": "", "THEATER_BUSSES": ""}, KNOWN)
    assert found == ["THEATER_BUS_QQ", "THEATER_BUS_SERVRS (did you mean THEATER_BUS_SERVERS?)"]


def test_links_to_services_and_sources_of_secrets_are_nobodys_slip() -> None:
    links = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_NATS", "PORT", "PORT_4222_TCP", "PORT_4222_TCP_ADDR")
    names = {f"THEATER_BUS_{infix}{link}": "" for link in links for infix in ("", "NATS_")}
    assert strays(names, KNOWN) == []
    config = {"secrets": {"key": {"env": "THEATER_BUS_KEY_OF_OURS"}, "odd": "text"}}
    assert strays({"THEATER_BUS_KEY_OF_OURS": ""}, KNOWN, config) == []
    assert strays({"THEATER_BUS_KEY_OF_OURS": ""}, KNOWN, {"secrets": "text"}) == ["THEATER_BUS_KEY_OF_OURS"]
