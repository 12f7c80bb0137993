#!/usr/bin/python3
"""./dev bench recon: how long `hbctl reconcile` takes for a day of millions of transfers, and how much memory.

usage: recon_load.py --stack FOLDER --build FOLDER [--lines N] [--json]
The transfers are made in the primary's table alone (not in the binlog), the statement as a file with one wrong amount, one line
missing and one that nobody knows: exactly these three must be found."""
import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pymysql

DAY = '2026-11-22'
DAY_MS = 1795305600000
FIRST = 10_000_000
CHUNK = 250_000


def number(i):
    return (FIRST + i) * 100000 + 1001


def fill(db, lines):
    with db.cursor() as c:
        c.execute('SET SESSION sql_log_bin = 0')
        c.execute('DELETE FROM transfer')
        for at in range(0, lines, CHUNK):
            n = min(CHUNK, lines - at)
            c.execute('INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, next_check_at, created_at, changed_at) '
                      f'SELECT ({FIRST} + {at} + seq) * 100000 + 1001, 77001001, 5001, 1 + MOD(seq, 500), 1, 2, t, t, t '
                      f'FROM (SELECT seq, {DAY_MS} + 3600000 + ({at} + seq) DIV 70 AS t FROM seq_0_to_{n - 1}) x')
            db.commit()


def statement(path, lines):
    """In the order in which money moves, which is not that of the numbers."""
    with open(path, 'w') as f:
        f.write('order_no,kind,uid,amount_fen,payment_no,at\n')
        for i in range(lines):
            i = i ^ 0x3f if i ^ 0x3f < lines else i
            fen = 1 + i % CHUNK % 500
            if i == 1000:
                fen += 1
            if i == 2000:
                continue
            ms = 3600000 + i // 70
            f.write(f'{number(i)},transfer,5001,{fen},0,{DAY}T{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}Z\n')
        f.write(f'{number(lines)},transfer,5001,1,0,{DAY}T12:00:00.000Z\n#end\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stack', type=Path, required=True)
    parser.add_argument('--build', type=Path, required=True)
    parser.add_argument('--lines', type=int, default=5_000_000)
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))
    import hb
    stack = hb.Stack(args.stack)
    cell = next(iter(stack.cells))
    password = (args.stack / 'secrets/db.hb_ctl').read_text().strip()
    db = pymysql.connect(host='127.0.0.1', port=stack.member(cell)['mysql_port'], user='hb_ctl', password=password, database='hongbao')
    file = args.stack / 'recon.csv'
    began = time.monotonic()
    fill(db, args.lines)
    statement(file, args.lines)
    made_s = time.monotonic() - began
    began = time.monotonic()
    done = subprocess.run([args.build / 'hbctl', '-o', 'json', 'reconcile', '--cell', cell, '--window', DAY, '--domain', 'c2c', '--file', file],
                          capture_output=True, text=True, env={**os.environ, 'HB_CONFIG': str(args.stack / 'etc/hongbao.cfg'), 'HB_STATE': str(args.stack)})
    took = time.monotonic() - began
    rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if done.returncode != 10:
        sys.exit(f'recon: exit {done.returncode}, not 10: {done.stdout[:500]} {done.stderr[:500]}')
    found = json.loads(done.stdout)
    kinds = sorted((d['number'], d['kind']) for d in found['differences'])
    expected = sorted([(str(number(1000)), 'amount'), (str(number(2000)), 'missing_there'), (str(number(args.lines)), 'missing_here')])
    ok = kinds == expected and found['here'] == args.lines and found['there'] == args.lines and rss < 100
    result = {'ok': ok, 'lines': args.lines, 'seconds': round(took, 1), 'lines_per_s': round(args.lines / took), 'rss_mib': round(rss, 1),
              'made_s': round(made_s, 1), 'differences': kinds}
    print(json.dumps(result) if args.json else f'{"ok" if ok else "FAILED"}: {args.lines} lines against {args.lines} rows in {took:.1f} s '
          f'({args.lines / took:.0f} a second), {rss:.0f} MiB, found {kinds}')
    sys.exit(0 if ok else 1)


if __name__ == '__main__':
    main()
