"""The books of all cells (lib/domain/ledger.def), from the tables alone: what audit.py calls for them.

  C  the legs of a booking sum to zero; a kept balance is the sum of its account's legs and not negative; what a cell owes another
     (due_to) is what that one has received from it (due_from), once all is quiet
  K  each claim of a b2c packet is credited once, to its user's wallet; each withdrawal is booked as its state says, and so stands at finance;
     what finance refused for good is in a wallet once, if its order says so
  E  a b2c packet's claims and what went back to its campaign are its total
"""
from collections import defaultdict

ACCOUNTS = {'wallet': 1, 'campaign': 2, 'subsidy': 5, 'packet': 6, 'due_to': 7, 'due_from': 8, 'withdrawing': 9, 'finance': 10}
KINDS = {'spend': 6, 'packet_expired': 8, 'credit_out': 9, 'credit_in': 10, 'refused_out': 14, 'refund_wallet': 15, 'withdraw': 11, 'withdrawn': 12, 'withdraw_back': 13}
STATES = {1: 'pending', 2: 'done', 3: 'refused', 4: 'refusing'}


def unbalanced(stack, cell):
    found = []
    for kind, no, fen, n in stack.rows(cell, 'SELECT kind, source_no, SUM(amount), COUNT(*) FROM ledger GROUP BY kind, source_no '
                                             'HAVING SUM(amount) <> 0 OR COUNT(*) <> 2'):
        found.append(f'C cell {cell}: booking {kind} of {no} has {n} legs of {fen} fen in sum')
    for kind, owner, balance, fen in stack.rows(
            cell, 'SELECT a.kind, a.owner, a.balance, COALESCE(SUM(l.amount), 0) fen FROM account a '
                  'LEFT JOIN ledger l ON l.account = a.kind AND l.owner = a.owner GROUP BY a.kind, a.owner, a.balance '
                  'HAVING a.balance <> fen OR a.balance < 0'):
        found.append(f'C cell {cell}: account {kind} of {owner} has {balance} fen, its legs {fen}')
    for kind, owner, fen in stack.rows(
            cell, 'SELECT l.account, l.owner, SUM(l.amount) FROM ledger l LEFT JOIN account a ON a.kind = l.account AND a.owner = l.owner '
                  'WHERE l.account IN (1, 2) AND a.kind IS NULL GROUP BY l.account, l.owner HAVING SUM(l.amount) <> 0'):
        found.append(f'C cell {cell}: account {kind} of {owner} has no balance, its legs {fen} fen')
    return found


def between_cells(stack):
    """Receivers are read before senders, so that what is on its way only ever looks owed."""
    def legs(account):
        return {(cell, int(owner)): int(fen) for cell in stack.cells for owner, fen in
                stack.rows(cell, 'SELECT owner, SUM(amount) FROM ledger WHERE account = %s GROUP BY owner', (ACCOUNTS[account],))}

    number = {cell: int(c['number']) for cell, c in stack.cells.items()}
    received, owed = legs('due_from'), legs('due_to')
    found = []
    for giver in stack.cells:
        for taker in stack.cells:
            due, got = owed.get((giver, number[taker]), 0), -received.get((taker, number[giver]), 0)
            if due != got:
                found.append(f'C cell {giver} owes cell {taker} {due} fen, which has received {got}')
    return found


def bookings(stack, cell, kind, leg):
    """What each number's booking of a kind gives or takes: {number: (account, owner, amount)}."""
    return {no: (account, owner, amount) for no, account, owner, amount in stack.rows(
        cell, 'SELECT source_no, account, owner, amount FROM ledger WHERE kind = %s AND leg = %s', (KINDS[kind], leg))}


def packets(stack, cell, only=None):
    """The b2c packets of a cell; `only`: these numbers."""
    found, claims = [], defaultdict(list)
    rows = [r for r in stack.rows(cell, 'SELECT packet_id, state, campaign, total, remaining FROM packet WHERE kind = 2 '
                                   'UNION SELECT packet_id, state, campaign, total, remaining FROM packet_left WHERE kind = 2') if not only or r[0] in only]
    if not rows:
        return found
    credited = {c: bookings(stack, c, 'credit_in', 1) for c in stack.cells}
    returned, out = bookings(stack, cell, 'packet_expired', 1), bookings(stack, cell, 'credit_out', 0)
    state = dict(stack.rows(cell, 'SELECT order_no, state FROM transfer WHERE kind = 2'))
    for packet, uid, no, amount in stack.rows(cell, 'SELECT c.packet_id, c.uid, c.claim_no, c.amount FROM claim c '
                                                    'JOIN packet p ON p.packet_id = c.packet_id WHERE p.kind = 2 UNION SELECT t.packet_id, t.payee, t.order_no, t.amount '
                                                    'FROM transfer t JOIN packet_left v ON v.packet_id = t.packet_id WHERE v.kind = 2'):
        claims[packet].append((uid, no, amount))
    for packet, at, campaign, total, remaining in rows:
        back = returned.get(packet)
        claimed = sum(c[2] for c in claims[packet])
        if back and (back != (ACCOUNTS['campaign'], campaign, remaining) or at != 5):
            found.append(f'E packet {packet} in state {at}: returned {back}, campaign {campaign}, remaining {remaining}')
        if at in (3, 5) and claimed + (back[2] if back else 0) != total:
            found.append(f'E packet {packet}: claims {claimed} + returned {back} ≠ total {total}')
        for uid, no, amount in claims[packet]:
            if out.get(no) != (ACCOUNTS['packet'], campaign, -amount):
                found.append(f'K claim {no}: {amount} fen, taken from {out.get(no)}')
            if credited[stack.cell_of(uid)].get(no) != (ACCOUNTS['wallet'], uid, amount):
                found.append(f'K claim {no} of {uid}: {amount} fen, credited {credited[stack.cell_of(uid)].get(no)}')
            if state.get(no) != 2:
                found.append(f'L claim {no}: its credit is in state {state.get(no)}')
    return found


def refused(stack, cell):
    """What finance refused for good and is in a wallet: as the order says, once. In the claimer's cell for a transfer, here for a refund."""
    found = []
    credited = {c: bookings(stack, c, 'credit_in', 1) for c in stack.cells}
    out, back = bookings(stack, cell, 'refused_out', 0), bookings(stack, cell, 'refund_wallet', 1)
    for no, uid, amount in stack.rows(cell, 'SELECT order_no, payee, amount FROM transfer WHERE kind = 1 AND state = 4'):
        if out.pop(no, None) != (ACCOUNTS['finance'], 0, -amount) or credited[stack.cell_of(uid)].get(no) != (ACCOUNTS['wallet'], uid, amount):
            found.append(f'K transfer {no} of {uid}: {amount} fen are not in the wallet')
    for no, uid, amount in stack.rows(cell, 'SELECT order_no, payee, amount FROM refund WHERE state = 4'):
        if back.pop(no, None) != (ACCOUNTS['wallet'], uid, amount):
            found.append(f'K refund {no} of {uid}: {amount} fen are not in the wallet')
    return found + [f'K {no} went to a wallet and is not so' for no in [*out, *back]]


def withdrawals(stack, cell, at_finance):
    found = []
    booked = {kind: bookings(stack, cell, kind, 1) for kind in ('withdraw', 'withdrawn', 'withdraw_back')}
    rows = stack.rows(cell, 'SELECT order_no, uid, amount, state FROM withdrawal')
    for no, uid, amount, state in rows:
        ends = {'withdrawn': (ACCOUNTS['finance'], 0, amount) if state == 2 else None,
                'withdraw_back': (ACCOUNTS['wallet'], uid, amount) if state == 3 else None}
        if booked['withdraw'].get(no) != (ACCOUNTS['withdrawing'], 0, amount):
            found.append(f'K withdrawal {no}: {amount} fen, booked {booked["withdraw"].get(no)}')
        for kind, want in ends.items():
            if booked[kind].get(no) != want:
                found.append(f'K withdrawal {no} ({STATES[state]}): {kind} {booked[kind].get(no)}')
        if at_finance.get(no) != (uid, amount, STATES[state]) or state not in (2, 3):
            found.append(f'C withdrawal {no} of {uid}: {amount} fen, {STATES[state]}, at finance {at_finance.get(no)}')
    known = {r[0] for r in rows}
    for kind, numbers in booked.items():
        found += [f'K {kind} {no} is of no withdrawal' for no in set(numbers) - known]
    found += [f'C finance has withdrawal {no} that we do not know' for no in at_finance if stack.cell_of(no) == cell and no not in known]
    return found


def audit(stack, at_finance, only=None):
    """The findings, as texts. at_finance: {number: (uid, amount, outcome)} of its withdrawals; only: these b2c packets."""
    found = between_cells(stack)
    for cell in stack.cells:
        found += unbalanced(stack, cell) + packets(stack, cell, only) + refused(stack, cell) + withdrawals(stack, cell, at_finance)
    return found
