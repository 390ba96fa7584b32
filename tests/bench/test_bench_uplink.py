"""The uplink's bench in its short form: the backlog goes out, cheaply, and the other ways answer each request in turn."""

from __future__ import annotations

from host_tools.bench import uplink


def test_a_small_backlog_goes_out_within_its_share() -> None:
    scans = 4_000
    seconds, size, verdict_ms = uplink.drain(scans)
    # The handshake weighs more on so few: 1.5 s, and 3 bytes a scan.
    assert seconds <= uplink.UPLINK_S * scans / uplink.SCANS + 4
    assert 28 < size < uplink.UPLINK_BYTES + 1
    assert verdict_ms < uplink.VERDICT_MS


def test_the_other_ways_wait_a_round_trip_for_each_request() -> None:
    single = uplink.other_way("json_posts", uplink._json_server, 1, turns=20)
    batch = uplink.other_way("json_posts", uplink._json_server, 20, turns=10)
    mqtt = uplink.other_way("mqtt_publishes", uplink._mqtt_server, 1, turns=20)
    # 100 ms, and 5 to 8 ms of UART and network for some 200 bytes; twenty of them take as long as 3 KB do.
    assert min(single, mqtt) >= 0.1 * uplink.SCANS and max(single, mqtt) < 0.112 * uplink.SCANS
    assert single / 20 + 0.03 * uplink.SCANS / 20 < batch < single / 20 + 0.06 * uplink.SCANS / 20
