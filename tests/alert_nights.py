"""One bad night for each alert: what a node's page shows then, beside what it shows on a calm one.

Series are written as promtool reads them: `a+bxn` begins at a and grows n times by b; one sample each 15 s.
"""

from __future__ import annotations

from typing import Final, NamedTuple

WHOLE = 240
"""Samples of an hour; what is bad begins in its middle."""
BAD_AT, LOOKED_AT = 120, "58m"
DAY = 1_440
"""Samples of a day, one a minute."""

CALM: Final = {
    "up": "1",
    "tandem_agent_unix_seconds": "0+{step}",
    "tandem_agent_queue": "3",
    "tandem_agent_errors": "7",
    "tandem_core_rcv_requests": "0+100",
    "tandem_script_agent_lost": "0",
    "tandem_script_exceptions": "2",
    "tandem_script_shed": "0",
    "tandem_shmem_free_size": "400000000",
    "tandem_shmem_total_size": "536870912",
    "tandem_tcp_current_opened_connections": "40",
    "tandem_draining": "0",
    "tandem_script_invites": "0+16",
    "tandem_script_refused": "0+1",
    "tandem_script_routed": "0+15",
    "tandem_script_attempts": "0+18",
    "tandem_core_rcv_replies_2xx_invite": "0+8",
    "tandem_core_rcv_replies_5xx_invite": "0+1",
    "tandem_script_emergency": "4",
    "tandem_script_bye_failed": "1",
    "tandem_script_overtalk_ms": "0+10",
    "tandem_script_media_lost": "0",
    "tandem_script_malformed": "0+1",
    "tandem_core_rcv_requests_register": "0+30",
    "tandem_script_challenged": "0+30",
    "tandem_script_registered": "0+30",
    "tandem_usrloc_registered_users": "500",
    'tandem_server_up{server="31"}': "1",
    'tandem_server_up{server="32"}': "1",
    'tandem_server_passed_over{server="31"}': "0",
    'tandem_login_up{server="31"}': "1",
    "tandem_store_up": "1",
    "tandem_calls_unheld": "0",
    "tandem_spool": "0",
    "tandem_spool_torn": "0",
    "tandem_dead_letters": "0",
    "tandem_config_age_seconds": "0.4",
    "tandem_config_outbox_seconds": "0.1",
    "tandem_config_live": "1",
    "tandem_config_held_back": "0",
    "tandem_config_drift": "3",
    "tandem_config_wrong_rows": "0",
    "tandem_money_age_seconds": "1",
    "tandem_money_events_waiting": "20",
    "tandem_money_differences": "0",
    "tandem_money_poisoned": "0",
    "tandem_money_leases_expired": "1",
}


class Night(NamedTuple):
    """What is other than calm. shows: series from its middle on. also: further alerts that it raises, rightly.

    at: when it is looked at.
    """

    shows: dict[str, str]
    also: tuple[str, ...] = ()
    at: str = LOOKED_AT


NIGHTS: Final = {
    "TandemNodeGone": Night({"up": "0"}),
    "TandemNodeRestarted": Night({"tandem_core_rcv_requests": "5+1"}, at="35m"),
    "TandemAgentStalled": Night({"tandem_agent_unix_seconds": "1800"}),
    "TandemAgentQueue": Night({"tandem_agent_queue": "6000"}),
    "TandemAgentLost": Night({"tandem_script_agent_lost": "0+1"}),
    "TandemAgentErrors": Night({"tandem_agent_errors": "7+1"}),
    "TandemExceptions": Night({"tandem_script_exceptions": "2+1"}),
    "TandemShed": Night({"tandem_script_shed": "0+5"}),
    "TandemMemory": Night({"tandem_shmem_free_size": "80000000"}),
    "TandemMemoryGone": Night({"tandem_shmem_free_size": "9000000"}, ("TandemMemory",)),
    "TandemConnections": Night({"tandem_tcp_current_opened_connections": "1700"}),
    "TandemRefusals": Night({"tandem_script_refused": "120+14"}),
    "TandemNoAnswer": Night({"tandem_core_rcv_replies_2xx_invite": "960"}, ("TandemFewAnswers",)),
    "TandemFewAnswers": Night({"tandem_core_rcv_replies_2xx_invite": "960+1"}),
    "TandemCarrierErrors": Night({"tandem_core_rcv_replies_5xx_invite": "120+9"}),
    "TandemEmergencyCall": Night({"tandem_script_emergency": "4+1"}),
    "TandemByesFailed": Night({"tandem_script_bye_failed": "1+1"}),
    "TandemOvertalk": Night({"tandem_script_overtalk_ms": "1200+2000"}),
    "TandemMediaLost": Night({"tandem_script_media_lost": "0+1"}),
    "TandemMalformed": Night({"tandem_script_malformed": "120+60"}),
    "TandemRegistrations": Night({"tandem_core_rcv_requests_register": "3600+1500"}),
    "TandemGuessing": Night({"tandem_script_challenged": "3600+900"}),
    "TandemServerDown": Night({'tandem_server_up{server="31"}': "0"}),
    "TandemServersDown": Night(
        {'tandem_server_up{server="31"}': "0", 'tandem_server_up{server="32"}': "0"}, ("TandemServerDown",)
    ),
    "TandemServerPassedOver": Night({'tandem_server_passed_over{server="31"}': "1"}),
    "TandemLoginLost": Night({'tandem_login_up{server="31"}': "0"}),
    "TandemRedisDown": Night({"tandem_store_up": "0"}),
    "TandemUnheldCalls": Night({"tandem_calls_unheld": "2"}),
    "TandemSpool": Night({"tandem_spool": "12"}),
    "TandemSpoolFills": Night({"tandem_spool": "0+1000"}, ("TandemSpool",)),
    "TandemSpoolTorn": Night({"tandem_spool_torn": "1"}),
    "TandemDeadLetters": Night({"tandem_dead_letters": "1"}),
    "TandemSyncGone": Night({"tandem_config_age_seconds": "15+15"}),
    "TandemSyncBehind": Night({"tandem_config_outbox_seconds": "90"}),
    "TandemSyncNotLive": Night({"tandem_config_live": "0"}),
    "TandemHeldBack": Night({"tandem_config_held_back": "1"}),
    "TandemConfigDrift": Night({"tandem_config_drift": "4"}),
    "TandemWrongRows": Night({"tandem_config_wrong_rows": "2"}),
    "TandemSettleGone": Night({"tandem_money_age_seconds": "15+15"}),
    "TandemSettleBehind": Night({"tandem_money_events_waiting": "20000"}),
    "TandemMoneyDiffers": Night({"tandem_money_differences": "1"}),
    "TandemPoisoned": Night({"tandem_money_poisoned": "1"}),
    "TandemLeasesExpired": Night({"tandem_money_leases_expired": "300"}),
}
LATE: Final = {
    "TandemSilence": Night({"tandem_script_invites": "23040"}, at="24h55m"),
    "TandemPhonesGone": Night({"tandem_usrloc_registered_users": "300"}, at="24h10m"),
    "TandemDrained": Night({"tandem_draining": "1"}, at="24h55m"),
}
"""Those that need yesterday, or more than half an hour: a day of calm first, with a sample a minute."""


def case(name: str, night: Night) -> dict[str, object]:
    """Return promtool's test of one night. name: of its alert, "" = a calm one, on which none may fire."""
    is_late = name in LATE
    step, before, after = (60, DAY, 60) if is_late else (15, BAD_AT, WHOLE - BAD_AT)
    series = []
    for metric, calm in CALM.items():
        values = _span(calm.format(step=step), 0, before)
        worse = night.shows.get(metric)
        values += " " + (_span(worse, 0, after) if worse else _span(calm.format(step=step), before + 1, after))
        series.append({"series": _labelled(metric), "values": values})
    firing = sorted({name, *night.also} - {""})
    return {
        "name": name or "a calm night",
        "interval": f"{step}s",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": night.at,
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing],
            }
        ],
    }


def _span(text: str, at: int, count: int) -> str:
    """Return `count` + 1 samples of a series that has grown `at` times before."""
    first, _, step = text.partition("+")
    growth = float(step or 0)
    return f"{float(first) + growth * at:g}{growth:+g}x{count}" if at else f"{first}+{step or 0}x{count}"


def _labelled(metric: str) -> str:
    own = 'instance="127.0.0.1:9494", job="tandem"'
    return metric.replace("{", "{" + own + ", ") if "{" in metric else f"{metric}{{{own}}}"
