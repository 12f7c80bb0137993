"""What must be true after each run of ./dev chaos cells: by the clients' own history, the members' tables, the control record, and the books."""
import time

import audit
import books

QUIET_S = 60
EQUAL_S = 15


def in_marks(stack, cell, sql, values):
    """The rows of a SELECT … IN (%s) over as many values as there are."""
    rows, values = [], list(values)
    for at in range(0, len(values), 500):
        part = values[at:at + 500]
        rows += stack.rows(cell, sql % ','.join(['%s'] * len(part)), part)
    return rows


def there(stack, load):
    """What the tables have for each operation: (kind, key) → what a client would be told of it."""
    rows = {}
    for cell in stack.cells:
        ops = [op for op in load.ops if op.cell == cell]
        packets = {int(op.key[0]) for op in ops if op.kind == 'claim'}
        for packet, uid, no, amount in in_marks(stack, cell, 'SELECT packet_id, uid, claim_no, amount FROM claim WHERE packet_id IN (%s)', packets):
            rows['claim', (packet, uid)] = (no, amount)
        keys = {op.key[1]: op for op in ops if op.kind != 'claim'}
        refs = in_marks(stack, cell, 'SELECT uid, ikey, ref FROM idempotency WHERE ikey IN (%s)', keys)
        made = {r[0]: r[1:] for table, fields in (('packet', 'sender, count, total'), ('withdrawal', 'uid, amount')) for r in
                in_marks(stack, cell, f'SELECT {"packet_id" if table == "packet" else "order_no"}, {fields} FROM {table} WHERE '
                         f'{"packet_id" if table == "packet" else "order_no"} IN (%s)', {r[2] for r in refs})}
        for uid, key, ref in refs:
            op = keys[key.decode() if isinstance(key, bytes) else key]
            asked = {'send': lambda: (uid, op.args['count'], op.args['total']), 'spend': lambda: (uid, op.args['count'], made.get(ref, (0, 0, 0))[2]),
                     'withdraw': lambda: (uid, op.args['fen'])}[op.kind]()
            rows[op.kind, op.key] = ref if made.get(ref) == asked else f'{ref}, but with {made.get(ref)} instead of {asked}'
    return rows


def history(stack, load):
    found, rows = list(load.wrong), there(stack, load)
    for op in load.ops:
        told, row = set(op.told()), rows.get((op.kind, op.key))
        if len(told) > 1:
            found.append(f'D {op.kind} {op.key} of cell {op.cell} was told different things: {sorted(told)}')
        for one in told:
            if one != row:
                found.append(f'D {op.kind} {op.key} of cell {op.cell} was told {one}, the tables have {row}')
        if row is not None and op.verdicts() == {'refused'}:
            found.append(f'N {op.kind} {op.key} of cell {op.cell} was refused ({op.attempts[-1].code}), the tables have {row}')
    return found


def too_late(load, cell, at):
    """F: no program of the old epoch told anybody of a success that was asked for after the failover."""
    return [f'F {op.kind} {op.key} was told {a.told} by {a.where} of the old epoch {a.t0 - at:.2f} s after the failover'
            for op, a in load.all_attempts(cell) if a.where and a.verdict == 'done' and at and a.t0 > at]


# ---- the members ----
def look(stack, cell, site):
    with stack.db(cell, site) as db, db.cursor() as c:
        c.execute('SELECT @@read_only, @@gtid_binlog_pos, (SELECT epoch FROM cell_epoch)')
        read_only, position, epoch = c.fetchone()
        return {'writable': not read_only, 'position': position, 'epoch': epoch}


def sums(stack, cell, site, position):
    """Checksums of all tables but the one that never rests, when the member has come to that position."""
    with stack.db(cell, site) as db, db.cursor() as c:
        c.execute('SELECT MASTER_GTID_WAIT(%s, 5)', (position,))
        c.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'hongbao' AND table_name <> 'heartbeat' ORDER BY 1")
        names = [r[0] for r in c.fetchall()]
        c.execute('CHECKSUM TABLE ' + ', '.join(names))
        return dict(c.fetchall())


def members_differ(stack, cell):
    sites = [m['site'] for m in stack.cells[cell]['members']]
    home = stack.active(cell)
    seen = {site: look(stack, cell, site) for site in sites}
    found = []
    if [s for s in sites if seen[s]['writable']] != [home]:
        found.append(f'F cell {cell}: writable are {[s for s in sites if seen[s]["writable"]]}, the primary is {home}')
    if len({seen[s]['epoch'] for s in sites}) != 1:
        found.append(f'F cell {cell}: epochs {[(s, seen[s]["epoch"]) for s in sites]}')
    of = {site: sums(stack, cell, site, seen[home]['position']) for site in sites}
    for site in sites:
        for table, value in of[home].items():
            if of[site].get(table) != value:
                found.append(f'D cell {cell}: table {table} is not the same at {site} and {home}')
    return found


def members_agree(stack):
    """What differs between the members of a cell, when it does so for long: rows that are still under way differ for a moment."""
    found, end = [], time.monotonic() + EQUAL_S
    for cell in stack.cells:
        while (differs := members_differ(stack, cell)) and time.monotonic() < end:
            time.sleep(0.3)
        found += differs
    return found


def all_of(stack, load, mark, packets):
    """Everything, in the order of who is to be believed: first the history, then the members, then the books."""
    found = history(stack, load)
    still, _ = books.wait_final(stack, QUIET_S)
    found += still + members_agree(stack)
    if not still:
        found += audit.audit(stack, packets) + books.sums_differ(stack) + books.doubled(stack) + books.parked(stack, mark)
        found += books.reconciled(stack, mark['time'])
    return found
