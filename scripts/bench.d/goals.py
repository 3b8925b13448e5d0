"""What scripts/bench measures in words, against whom, and the goals."""

NAMES = {
    "plain": "no overlay", "haproxy": "haproxy", "openvpn": "OpenVPN over TCP", "easytier": "EasyTier",
    "openvpn-jumbo": "OpenVPN over TCP, MTU 48000", "softether": "SoftEther",
    "python": "DoSP 0.2.1 in Python", "relay": "a relay that looks at nothing", "few": "few clients",
    "one": "one hub", "version_1": "version 1", "aead": "bare AES-256-GCM", None: "",
}

# By kind: the words, with the parameters of what was measured.
WORDS = {
    "stream": "one TCP stream, Gbit/s",
    "streams": "8 TCP streams, Gbit/s",
    "reverse": "one TCP stream from b to a, Gbit/s",
    "work-hub": "work of the hub, s/GB",
    "work-all": "work of hub and hosts, s/GB",
    "idle-ping": "ping of an idle path, ms",
    "busy-ping": "ping beside one stream, ms",
    "busy-p99": "p99 of the ping beside one stream, ms",
    "small-packets": "UDP packets of 64 B that arrive per second of a flood",
    "full-stream": "4 streams over 100 Mbit/s between {} and the hub, Mbit/s",
    "full-ping": "ping beside 4 streams that fill 100 Mbit/s between {} and the hub, ms",
    "full-p99": "p99 of the ping beside 4 streams that fill 100 Mbit/s between {} and the hub, ms",
    "long-stream": "one stream over {} Mbit/s, {} ms, {} % loss, Mbit/s",
    "long-ping": "ping beside one stream over {} Mbit/s, {} ms, {} % loss, ms",
    "long-p99": "p99 of the ping beside one stream over {} Mbit/s, {} ms, {} % loss, ms",
    "relayed": "1400 B, {} clients: frames/s",
    "growth": "work of the hub for a frame of {} B with {} clients, µs",
    "version": "one TCP stream in version 2, Gbit/s",
    "frames": "{} B, {} clients: frames/s",
    "p50": "{} B, {} clients: p50 at 0.8 of their maximum, ms",
    "p99": "{} B, {} clients: p99 at 0.8 of their maximum, ms",
    "line": "{} B across {} hubs: frames/s",
    "added": "p50 that hub {} in a line adds to a frame that is alone, µs",
    "joins": "clients that join per second",
    "memory": "memory of an idle client, KiB",
    "enter": "until {} members have joined at once, s",
    "enters": "of {} members that join at once, per second",
    "member": "memory of one of {} members, KiB",
    "return": "until 99 % of {} members are back after a restart, s",
    "seal": "seal {} B, ns",
    "open": "open {} B, ns",
}

AT_LEAST, AT_MOST = "≥", "≤"
RATIOS = {
    ("stream", "haproxy"): (AT_LEAST, 0.35),
    ("stream", "easytier"): (AT_LEAST, 3),
    ("stream", "openvpn-jumbo"): (AT_LEAST, 1.2),
    ("stream", "openvpn"): (AT_LEAST, 1),
    ("work-all", "easytier"): (AT_MOST, 0.333),
    ("work-hub", "haproxy"): (AT_MOST, 1.3),
    ("idle-ping", "openvpn"): (AT_MOST, 0.7),
    ("small-packets", "easytier"): (AT_LEAST, 2.5),
    ("small-packets", "softether"): (AT_LEAST, 1.5),
    ("full-ping/a", "plain"): (AT_MOST, 0.5),
    ("full-ping/b", "plain"): (AT_MOST, 0.5),
    ("long-stream/200/20/0", "plain"): (AT_LEAST, 0.95),
    ("long-ping/200/20/0", "plain"): (AT_MOST, 1.3),
    ("long-p99/200/20/0", "plain"): (AT_MOST, 2),
    ("long-stream/200/20/0.5", "plain"): (AT_LEAST, 15),
    ("long-ping/200/20/0.5", "plain"): (AT_MOST, 3),
    ("relayed/2", "relay"): (AT_LEAST, 0.6),
    ("relayed/16", "relay"): (AT_LEAST, 0.6),
    ("growth/65536/1000", "few"): (AT_MOST, 1.5),
    ("growth/1400/1000", "few"): (AT_MOST, 1.3),
    ("version", "version_1"): (AT_LEAST, 1),
    ("frames/64/16", "python"): (AT_LEAST, 20),
    ("frames/1400/100", "python"): (AT_LEAST, 20),
    ("frames/65536/100", "python"): (AT_LEAST, 1.8),
    ("added/2", "one"): (AT_MOST, 1.15),
    ("added/3", "one"): (AT_MOST, 1.15),
    **{(f"line/{data_len}/2", "one"): (AT_LEAST, 0.45) for data_len in (64, 1024, 65536)},
}
# By kind: goals of our figure alone.
FIGURES = {"joins": (AT_LEAST, 10_000), "memory": (AT_MOST, 8), "enter": (AT_MOST, 5), "return": (AT_MOST, 5)}


def name(what, other):
    """Whom it is compared with."""
    if what.startswith("growth/1400/"):
        return "200 clients"
    if what.startswith("growth/65536/"):
        return "2 clients"
    return NAMES.get(other, other)


def judge(what, other, ours, theirs, max_crypto_overhead):
    """In words, the goal in words, whether it is met."""
    kind, *parameters = what.split("/")
    words = WORDS[kind].format(*parameters)
    ratio = ours / theirs if ours is not None and theirs else None
    goal, met = "", True
    if ours is None:
        pass
    elif kind in FIGURES:
        goal, met = judged(ours, *FIGURES[kind])
    elif ratio is None:
        pass
    elif kind in ("seal", "open"):
        words += f", {(ratio - 1) * 100:+.1f} %"
        if parameters == ["1400"]:
            goal, met = f"< {max_crypto_overhead} %", (ratio - 1) * 100 < max_crypto_overhead
    elif kind == "p99" and theirs > 10:
        goal, met = "ratio < 0.1", ratio < 0.1
    elif (what, other) in RATIOS:
        goal, met = judged(ratio, *RATIOS[what, other])
        goal = f"ratio {goal}"
    return {"words": words, "goal": goal, "met": met}


def judged(value, bound, limit):
    return f"{bound} {limit}", value >= limit if bound == AT_LEAST else value <= limit
