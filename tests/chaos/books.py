"""The books of one run: our tables and finance's own SQLite file, never our API.

A run is marked at its beginning, so that what earlier runs left in a kept stack is not read again."""
import os
import subprocess
import time

import audit
import hb
import rain

KINDS = ('payment', 'transfer', 'refund', 'withdrawal')
COUNTED = ('payment', 'transfer', 'credit', 'refund', 'withdrawal', 'subsidy')
TABLE = {'transfer': 'transfer WHERE kind = 1', 'credit': 'transfer WHERE kind = 2'}
# What of an order kind is not final, by the numbers of lib/domain/states.def.
OPEN = {
    'payment': 'state IN (1, 3, 5)',
    'transfer': 'state IN (1, 3)',
    'refund': 'state IN (1, 3)',
    'withdrawal': 'state IN (1, 4)',
    'packet': 'state IN (1, 2, 4)',
    'subsidy': 'state = 1',
    'budget_lease': f'state = 1 AND campaign IN ({rain.RAIN["number"]}, {rain.GIFTS["number"]})',
    'outbox': '1 = 1',
    'finance_event': 'handled_at IS NULL',
}
# What of it stands at finance as done.
MOVED = {'payment': 'state IN (2, 5, 6)', 'transfer': 'kind = 1 AND state = 2', 'refund': 'state = 2', 'withdrawal': 'state = 2'}


def one(stack, cell, sql):
    return stack.rows(cell, sql)[0]


def mark(stack):
    """Where this run begins."""
    at = {'time': time.time()}
    for cell in stack.cells:
        at[cell] = {k: one(stack, cell, f'SELECT COUNT(*) FROM {TABLE.get(k, k)}')[0] for k in (*COUNTED, 'parked')}
    return at


def counts(stack, at):
    return {k: sum(one(stack, c, f'SELECT COUNT(*) FROM {TABLE.get(k, k)}')[0] - at[c][k] for c in stack.cells) for k in COUNTED}


def undone(stack, cell):
    """What a cell's claims bring about and is not done: events that wait to be sent, claims without their money."""
    return one(stack, cell, 'SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM claim c LEFT JOIN transfer t '
               'ON t.order_no = c.claim_no WHERE t.order_no IS NULL OR t.state = 1)')[0]


def open_orders(stack):
    found = []
    for cell in stack.cells:
        for table, where in OPEN.items():
            n = one(stack, cell, f'SELECT COUNT(*) FROM {table} WHERE {where}')[0]
            if n:
                found.append(f'L cell {cell}: {n} rows of {table} are not at their end')
        n = one(stack, cell, 'SELECT COUNT(*) FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no WHERE t.order_no IS NULL')[0]
        if n:
            found.append(f'C cell {cell}: {n} claims have no transfer')
        for other in stack.cells:
            n = missing_received(stack, cell, other)
            if n:
                found.append(f'D cell {cell}: {n} claims are in no list of cell {other}')
    return found


def missing_received(stack, cell, other):
    """How many claims of `cell` by users of `other` are not in their lists: as numbers, for the tables are in two databases."""
    def sums(where, table, sql):
        slots = ' OR '.join(f'MOD(uid, 1000) BETWEEN {low} AND {high or low}' for low, _, high in
                            (part.partition('-') for part in stack.cells[other]['slots'].split(',')))
        return one(stack, where, f'SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM {table} WHERE {sql} AND ({slots})')
    number = int(stack.cells[cell]['number'])
    there = sums(cell, 'claim', '1 = 1')
    here = sums(other, 'received', f'MOD(FLOOR(packet_id / 1000), 100) = {number}')
    return there[0] - here[0] or int(there[1] != here[1])


def wait_final(stack, seconds):
    """What is still open in the end, nothing when all is final; and what was so last."""
    end, last = time.monotonic() + seconds, []
    while True:
        found = open_orders(stack)
        if not found or time.monotonic() > end:
            return found, last
        last = found
        time.sleep(0.3)


def sums_differ(stack):
    """Per kind, over everything that ever was: finance's entries and our final rows."""
    theirs = {k: (n, fen) for k, n, fen in stack.finance_db().execute('SELECT kind, COUNT(*), SUM(amount) FROM entries GROUP BY kind')}
    found = []
    for kind, where in MOVED.items():
        rows = [one(stack, c, f'SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM {kind} WHERE {where}') for c in stack.cells]
        ours = (sum(r[0] for r in rows), int(sum(r[1] for r in rows)))
        if ours != theirs.get(kind, (0, 0)):
            found.append(f'C {kind}: finance moved {theirs.get(kind, (0, 0))}, ours are {ours} (orders, fen)')
    return found


def told_differs(stack, crowd):
    """D: what somebody was told they have, they have; N: who was refused has nothing."""
    found = list(crowd.wrong)
    packets = [int(p) for p in crowd.packets()]
    rows = {}
    for cell in stack.cells:
        mine = [p for p in packets if stack.cell_of(p) == cell]
        if mine:
            marks = ','.join(['%s'] * len(mine))
            rows.update({(p, u): (no, a) for p, u, no, a in
                         stack.rows(cell, f'SELECT packet_id, uid, claim_no, amount FROM claim WHERE packet_id IN ({marks})', mine)})
    found += [f'D {who} was told {told}, the row says {rows.get(who)}' for who, told in crowd.won.items() if rows.get(who) != told]
    found += [f'N {who} was refused and has {rows[who]}' for who in crowd.lost if who in rows]
    return found


def doubled(stack):
    """K: keys that the database itself holds, counted all the same."""
    found = []
    for cell in stack.cells:
        for table, key in (('claim', 'packet_id, uid'), ('transfer', 'order_no'), ('refund', 'packet_id, reason, claim_no'),
                           ('payment', 'packet_id'), ('received', 'uid, claim_no'), ('subsidy', 'issuer, out_order_no'), ('subsidy', 'packet_id')):
            n = one(stack, cell, f'SELECT COUNT({key.split(",")[0]}) - COUNT(DISTINCT {key}) FROM {table}')[0]
            if n:
                found.append(f'K cell {cell}: {n} rows of {table} more than one for one ({key})')
    return found


def parked(stack, at):
    found = []
    for cell in stack.cells:
        n = one(stack, cell, 'SELECT COUNT(*) FROM parked')[0] - at[cell]['parked']
        if n:
            rows = stack.rows(cell, f'SELECT queue, reason, CAST(body AS CHAR) FROM parked ORDER BY id DESC LIMIT {min(n, 3)}')
            found.append(f'X cell {cell}: {n} messages were parked, the last: {rows}')
    return found


def hbctl(stack, *words):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', 'reconcile', *words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'HB_NAME': stack.folder.name})


def reconciled(stack, began):
    """What `hbctl reconcile` itself finds, over the days that the run touched."""
    found = []
    days = sorted({time.strftime('%Y-%m-%d', time.gmtime(t)) for t in (began, time.time())})
    hours = sorted({time.strftime('%Y-%m-%dT%H', time.gmtime(t)) for t in (began, time.time())})
    windows = [(d, 'c2c') for d in days] + [(h, 'b2c') for h in hours]
    asked = [('--live', '--quiet')] + [('--cell', c, '--window', w, '--domain', d, '--grace', '0') for c in stack.cells for w, d in windows]
    for words in asked:
        done = hbctl(stack, *words)
        if done.returncode != 0:
            found.append(f'C hbctl reconcile {" ".join(words)}: exit {done.returncode}: {done.stdout[:600]} {done.stderr[:300]}')
    return found


def differences(stack, crowd, at):
    packets = crowd.packets()
    return (told_differs(stack, crowd) + audit.audit(stack, packets) + sums_differ(stack) + doubled(stack) + parked(stack, at)
            + reconciled(stack, at['time']))
