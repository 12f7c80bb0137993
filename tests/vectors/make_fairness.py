#!/usr/bin/env python3
"""Writes fairness.json from docs/fairness.md alone: a second implementation of the derivation, so that
the C code, the browser page and this one must agree. `make_fairness.py > fairness.json`."""
import hashlib
import hmac
import json

KINDS = {"lucky": 1, "equal": 2}


def fields(v):
    return (
        v["total"].to_bytes(8, "big")
        + v["count"].to_bytes(4, "big")
        + bytes([KINDS[v["split"]]])
        + hashlib.sha256(v["nonce"].encode()).digest()
    )


rejected = 0


def words(seed, tail):
    block = 0
    while True:
        out = hmac.new(seed, b"hb-split-1" + tail + block.to_bytes(4, "big"), hashlib.sha256).digest()
        block += 1
        for at in range(0, 32, 8):
            yield int.from_bytes(out[at : at + 8], "big")


def shares(seed, v):
    stream = words(seed, fields(v))

    def uniform(m):
        global rejected
        limit = 2**64 // m * m
        while (word := next(stream)) >= limit:
            rejected += 1
        return word % m

    n, rest = v["count"], v["total"]
    if v["split"] == "equal":
        out = [rest // n + (1 if i < rest % n else 0) for i in range(n)]
    else:
        out = []
        for i in range(n - 1):
            out.append(1 + uniform(2 * rest // (n - i) - 1))
            rest -= out[-1]
        out.append(rest)
    for i in range(n - 1, 0, -1):
        j = uniform(i + 1)
        out[i], out[j] = out[j], out[i]
    return out


CASES = [
    # packet_id, total, count, split, nonce
    (100001001, 10000, 10, "lucky", ""),
    (100001001, 10000, 10, "lucky", "my own luck"),
    (100102001, 10000, 10, "lucky", ""),
    (100001001, 10000, 10, "equal", ""),
    (100001001, 10003, 10, "equal", "恭喜发财"),
    (2000001999, 1, 1, "lucky", "one"),
    (2000001999, 20000, 1, "lucky", ""),
    (2000001999, 20000, 1, "equal", ""),
    (3000002000, 7, 7, "lucky", "a fen each"),
    (3000002000, 8, 7, "lucky", "a fen to spare"),
    (3000002000, 8, 7, "equal", "a fen to spare"),
    (3000002000, 188, 2, "lucky", "x" * 64),
    (4000001042, 6667, 50, "lucky", "n-50"),
    (4000001042, 200000, 100, "lucky", "n-100"),
    (9223372036854702000, 9223372036854775807, 3, "lucky", "the largest"),
    (9223372036854702000, 9223372036854775807, 2, "equal", "the largest"),
    (9223372036854702000, 9223372036854775807, 40, "lucky", "words are rejected"),
]


def main():
    out = []
    for at, (packet_id, total, count, split, nonce) in enumerate(CASES):
        v = {"packet_id": packet_id, "total": total, "count": count, "split": split, "nonce": nonce}
        seed = hashlib.sha256(b"hongbao test vector %d" % at).digest()
        drawn = shares(seed, v)
        assert sum(drawn) == total and min(drawn) >= 1 and len(drawn) == count
        out.append(
            {
                "seed": seed.hex(),
                "packet_id": str(packet_id),
                "total": str(total),
                "count": count,
                "split": split,
                "nonce": nonce,
                "seed_hash": hashlib.sha256(b"hb-seed-1" + seed).hexdigest(),
                "commitment": hashlib.sha256(b"hb-commit-1" + seed + packet_id.to_bytes(8, "big") + fields(v)).hexdigest(),
                "shares": [str(s) for s in drawn],
            }
        )
    assert rejected > 0  # the vectors cover the rejection as well
    lines = ",\n  ".join(json.dumps(v, ensure_ascii=False) for v in out)
    print('{"algorithm": "hb-split-1", "vectors": [\n  ' + lines + "\n]}")


if __name__ == "__main__":
    main()
