"""That the benchmarks work (`./dev test bench`): one short round, from which nothing follows about speed. Reads the object that
`./dev bench --quick --json` printed, or with the argument `finance` or `overload` that of `./dev bench finance` or `overload`, and prints TAP."""
import json
import sys

RATIOS = ("hot_vs_rowlock", "hot_vs_echo", "hot_vs_limit", "spread_vs_rowlock", "spread_vs_limit", "exhausted_vs_echo",
          "already_vs_echo", "draw_vs_echo", "win_vs_draw", "drain_vs_rate", "rowlock_hot_vs_its_limit",
          "rowlock_spread_vs_its_limit", "p99_vs_p50_at_half_hot", "p99_vs_p50_at_half_spread")
SERVICES = ("A-core-1", "A-core-2", "A-db-east", "A-db-west", "nginx")


def checks(got):
    yield "every ratio is there", all(got["ratios"].get(name, 0) > 0 for name in RATIOS)
    yield "a ratio is that of its figures", ratio_fits(got)
    yield "claims were answered, and counted on both servers", got["claims_checked"] > 1000
    yield "the servers are durable, by their own word", (
        got["durable"]["sync_binlog"] == got["durable"]["replica_sync_binlog"] == "1"
        and got["durable"]["innodb_flush_log_at_trx_commit"] == got["durable"]["replica_innodb_flush_log_at_trx_commit"] == "1"
        and got["durable"]["rpl_semi_sync_master_wait_point"] == "AFTER_SYNC" and got["durable"]["semi_sync_replicas"] >= 1
        and got["durable"]["commits_without_acknowledgement"] == 0)
    yield "wins are told beside draws, and were drained: as many as were answered, each one subsidy", (
        got["wins_per_s"] > 0 and got["drain"]["messages"] >= got["drain"]["wins"] >= got["drain"]["answered"] >= 2000)
    yield "waits are told at half of the peak", all(
        0 < h["p50_us"] <= h["p99_us"] <= h["p999_us"] for h in got["half_of_peak"].values()) and len(got["half_of_peak"]) == 2
    yield "every service has its memory", all(got["memory_mb"].get(name, 0) > 0 for name in SERVICES)
    yield "processor time is told of every request that was measured", all(
        sum(spent.values()) > 0 for spent in got["cpu_us_per_request"].values())


def finance_checks(got):
    ratios = [f"{kind}_p99_{state}_vs_well" for kind in ("claim", "b2c", "cover") for state in ("hung", "away")]
    yield "every ratio is there", all(got["ratios"].get(name, 0) > 0 for name in ratios)
    yield "c2c sends met a finance that hung, and others none", (
        got["hung"]["answers_while_hung"].get("c2c 503", 0) > 0 and got["hung"]["answers_while_hung"]["claim 200"] > 200
        and got["hung"]["answers_while_hung"]["b2c 201"] > 20)
    yield "programs had no more calls under way than they may", (
        0 < max(got["hung"]["most_under_way"].values()) <= 16 and any(name.endswith(" payment") for name in got["hung"]["most_under_way"]))
    away, drain = got["away"], got["away"]["drain"]
    yield "a backlog built up, and is told by kind", away["backlog"]["transfers"] + away["backlog"]["claims without a transfer"] > 100
    yield "it drained over more than an instant", (
        sum(drain["per_100_ms"]) >= away["backlog"]["transfers"] and sum(1 for n in drain["per_100_ms"] if n) >= 5
        and drain["most"] == max(drain["per_100_ms"]))
    yield "each claim is a transfer, here and at finance", got["books"]["claims"] > 500 and got["books"]["not_final"] == 0


def overload_checks(got):
    yield "what is above the limit is refused, all else is served", got["refused"] > 0 and got["other"] == 0
    yield "what the limit lets through is let through", 0.5 <= got["accepted_vs_limit"] <= 1.5
    yield "refusals do not wait", 0 < got["p99_us"]["refused"] < 1_000_000
    yield "nobody is refused before and after", got["refused_before_and_after"] == 0
    yield "memory is bounded", got["checks"]["memory"]


def ratio_fits(got):
    rate = {name: f["median"] for name, f in got["per_second"].items()}
    (connections,) = got["ratios_by_connections"]
    want = rate[f"hot_{connections}"] / rate[f"rowlock_hot_{connections}"]
    return abs(got["ratios"]["hot_vs_rowlock"] / want - 1) < 0.05


def main():
    got = json.load(sys.stdin)
    results = list({"finance": finance_checks, "overload": overload_checks, "bench": checks}[sys.argv[1] if sys.argv[1:] else "bench"](got))
    print(f"1..{len(results)}")
    for n, (name, ok) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {n} - {name}")
    sys.exit(0 if all(ok for _, ok in results) else 1)


main()
