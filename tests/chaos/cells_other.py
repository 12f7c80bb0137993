"""The cell that nothing happens to: claims at a fifth of its peak, by hb-load on a schedule (a request counts from when it was due),
before the fault and during it."""
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import books
import hb

SHARES = 2000
LIVES_S = 20
CONNECTIONS = 16
BEFORE_MS, DURING_MS, WARM_MS = 2500, 4000, 300
BUILD = Path(os.environ.get('HB_BUILD', hb.ROOT / 'build/default'))


class Other:
    users = int(time.time()) % 1000000 * 1000

    def __init__(self, stack, cell, claims):
        self.stack, self.cell = stack, cell
        uid = 1001 if cell == 'A' else 1501
        stack.mint_all([uid])
        with ThreadPoolExecutor(4) as pool:
            self.packets = list(pool.map(lambda _: stack.open_packet(uid, SHARES * 3, SHARES), range(max(2, -(-claims // SHARES)))))
        self.file = stack.folder / f'run/other-{cell}.packets'
        self.file.write_text('\n'.join(self.packets) + '\n')
        self.expire(LIVES_S)

    def expire(self, seconds):
        self.stack.rows(self.cell, f'UPDATE packet SET expires_at = %s WHERE packet_id IN ({",".join(self.packets)}) AND state = 2',
                        (int((time.time() + seconds) * 1000),))

    def start(self, ms, rate=0, connections=CONNECTIONS):
        """hb-load, running; rate 0: as fast as it goes."""
        users = SHARES * len(self.packets)
        Other.users += users
        nginx = self.stack.front.rpartition(':')
        return subprocess.Popen(
            [BUILD / 'hb-load', '--kind', 'claim', '--host', nginx[0].removeprefix('http://'), '--port', nginx[2], '--connections', str(connections),
             '--threads', '1', '--ms', str(ms), '--warm-ms', str(WARM_MS), '--rate', str(int(rate)), '--keys', self.stack.folder / 'secrets/session.keys',
             '--users', str(users), '--first-user', str(Other.users), '--packets', self.file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(process):
    out, err = process.communicate(timeout=60)
    if process.returncode != 0:
        raise RuntimeError(f'hb-load: {err[:300]}')
    got = json.loads(out)
    return {'p50_ms': got['p50_us'] / 1000, 'p99_ms': got['p99_us'] / 1000, 'rate': got['rate'], 'claimed': got['outcomes'].get('claimed', 0),
            'cpu_s': got['cpu_us'] / 1e6, 'status': got['status'], 'missing': got['missing'], 'broken': got['broken']}


def peak(stack, cell, ms=2000):
    """Claims a second that the cell carries: those of a burst, as fast as it goes, over the time until all of their transfers are done too.
    Without these a fifth of it would be more than a machine can do for longer, and p99 the length of a queue that grows."""
    other, began = Other(stack, cell, 20000), time.monotonic()
    got = read(other.start(ms, connections=64))
    other.expire(0)
    stack.wait(lambda: not books.undone(stack, cell), 'what the burst brought about is done', 120, 0.1)
    return got['claimed'] / (time.monotonic() - began)
