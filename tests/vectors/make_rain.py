#!/usr/bin/env python3
"""Makes rain.json: results of draws, computed as docs/rain.md says and from nothing else."""
import hashlib
import hmac
import json

KEY = bytes(range(32))
PRIZES = [(66, 250000), (188, 100000), (888, 20000)]


def draw(campaign, round_, uid, k, cell):
    subkey = hashlib.blake2b(b'', digest_size=32, key=KEY, salt=(2).to_bytes(8, 'little') + bytes(8),
                             person=b'rain'.ljust(16, b'\0')).digest()
    mac = hmac.new(subkey, b''.join(n.to_bytes(8, 'big') for n in (campaign, round_, uid, k)), hashlib.sha256).digest()
    place = int.from_bytes(mac[:8], 'big') % 1000000
    for fen, ppm in PRIZES:
        if place < ppm:
            break
        place -= ppm
    else:
        fen = 0
    seq = 2**46 + int.from_bytes(mac[8:16], 'big') % (2 * 10**13)
    return {'campaign': campaign, 'round': round_, 'uid': uid, 'k': k, 'cell': cell, 'fen': fen,
            'subsidy_id': str(seq * 100000 + cell * 1000 + uid % 1000) if fen else None,
            'out_order_no': f'{campaign}.{round_}.{k}.{uid}' if fen else None}


rows = [draw(c, r, uid, k, cell) for c in (1, 999999) for r in (1, 20784, 2000000000)
        for uid, cell in ((1001, 1), (1501, 2), (999999999999999999, 99)) for k in (0, 1, 7, 99)]
print(json.dumps({'key': KEY.hex(), 'prizes': [{'fen': f, 'ppm': p} for f, p in PRIZES], 'draws': rows}, indent=1))
