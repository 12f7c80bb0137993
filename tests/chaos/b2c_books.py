"""The books of one run's b2c money: our tables and what people were told, never our API. Each claim's credit and each withdrawal against
finance's file are in audit.py and ledger.py; here is what these cannot know: what was promised, and each sum by another way."""
from collections import Counter, defaultdict

import b2c
import rain

WALLET = 1
OUTGOING = (1, 2, 4)  # withdrawals whose money has left the wallet


def rows(stack, sql, args=()):
    return [row for cell in stack.cells for row in stack.rows(cell, sql, args)]


def subsidies(stack):
    """{(issuer, external number): [(subsidy_id, uid, amount, packet_id), …]} over all cells."""
    found = defaultdict(list)
    for issuer, number, *rest in rows(stack, 'SELECT issuer, out_order_no, subsidy_id, uid, amount, packet_id FROM subsidy WHERE campaign IN (%s, %s)',
                                      (rain.RAIN['number'], rain.GIFTS['number'])):
        found[(issuer, number.decode())].append(tuple(rest))
    return found


def one_each(stack, known):
    """K: one subsidy of one issuer's number, whichever cells it may lie in; one number of one subsidy; partners' as they were tracked."""
    found = [f'K {issuer} number {number} made {len(made)} subsidies: {made}' for (issuer, number), made in known.items() if len(made) > 1]
    ids = Counter(s[0] for made in known.values() for s in made)
    found += [f'K {n} subsidies have the number {no}' for no, n in ids.items() if n > 1]
    tracked = {(i, n.decode()): rest for i, n, *rest in
               rows(stack, 'SELECT issuer, out_order_no, subsidy_id, uid, amount FROM tracking WHERE campaign = %s', (rain.GIFTS['number'],))}
    gifts = {number: made for number, made in known.items() if number[0] != 'rain'}
    found += [f'K {number} is tracked as {tracked.get(number)}, its subsidy is {made}' for number, made in gifts.items()
              if list(made[0][:3]) != tracked.get(number)]
    return found


def told_differs(known, people):
    """D: what somebody was told they have won, been given or taken out, they have; N: what was refused left nothing."""
    found = []
    for number, (uid, fen) in people.won.items():
        if [s[1:3] for s in known.get(('rain', number), [])] != [(uid, fen)]:
            found.append(f'D {uid} was told a win {number} of {fen} fen, the subsidies are {known.get(("rain", number))}')
    for number, (uid, fen, subsidy) in people.given.items():
        if [s[:3] for s in known.get(('demo', number), [])] != [(subsidy, uid, fen)]:
            found.append(f'D {uid} was told the gift {number} of {fen} fen, the subsidies are {known.get(("demo", number))}')
    spent = {s[0]: s[3] for made in known.values() for s in made}
    for winner in people.plans:
        if winner.packet and spent.get(int(winner.subsidy['subsidy_id'])) != int(winner.packet):
            found.append(f'D {winner.sender} sent {winner.packet}, the subsidy says {spent.get(int(winner.subsidy["subsidy_id"]))}')
    found += [f'N {w.sender} was told that the subsidy has expired, and it is spent on {spent[int(w.subsidy["subsidy_id"])]}'
              for w in people.late if not w.packet and spent.get(int(w.subsidy['subsidy_id']))]
    return found


def withdrawals_differ(stack, people):
    at = {no: (uid, fen) for no, uid, fen in rows(stack, 'SELECT order_no, uid, amount FROM withdrawal')}
    found = [f'D the withdrawal {no} of {uid} over {fen} fen is {at.get(no)}' for uid, fen, no in people.taken.values() if at.get(no) != (uid, fen)]
    keys = {key.decode(): ref for key, ref in rows(stack, 'SELECT ikey, ref FROM idempotency WHERE route = 2')}
    return found + [f'N {uid} was refused under {key}, which is the withdrawal {keys[key]}' for key, uid in people.low.items() if key in keys]


def wallets_differ(stack):
    """C: every wallet, from the claims, refunds and withdrawals themselves and not from the ledger."""
    sums = defaultdict(int)
    for sql, sign in (('SELECT c.uid, c.amount FROM claim c JOIN packet p ON p.packet_id = c.packet_id WHERE p.kind = 2', 1),
                      ('SELECT payee, amount FROM transfer WHERE kind = 1 AND state = 4', 1),
                      ('SELECT payee, amount FROM refund WHERE state = 4', 1),
                      (f'SELECT uid, amount FROM withdrawal WHERE state IN {OUTGOING}', -1)):
        for uid, fen in rows(stack, sql):
            sums[uid] += sign * fen
    balances = dict(rows(stack, 'SELECT owner, balance FROM account WHERE kind = %s', (WALLET,)))
    return [f'C the wallet of {uid} has {balances.get(uid, 0)} fen; credits less withdrawals are {sums[uid]}'
            for uid in sums.keys() | balances.keys() if balances.get(uid, 0) != sums[uid]]


def budgets_differ(stack):
    """C: all of a campaign that is not in somebody's wallet by a claim is the campaign's again, and it never gave more than it had."""
    found = []
    for cell in stack.cells:
        for number in (rain.RAIN['number'], rain.GIFTS['number']):
            budget, left = stack.rows(cell, 'SELECT c.budget, a.balance FROM campaign c JOIN account a ON a.kind = %s AND a.owner = c.number '
                                            'WHERE c.number = %s', (b2c.CAMPAIGN, number))[0]
            opened = stack.rows(cell, 'SELECT COALESCE(SUM(c.amount), 0) FROM claim c JOIN packet p ON p.packet_id = c.packet_id '
                                      'WHERE p.kind = 2 AND p.campaign = %s', (number,))[0][0]
            if left < 0 or budget - left != opened:
                found.append(f'C cell {cell}: campaign {number} had {budget} fen and has {left}; {opened} were opened')
    return found


def differences(stack, people):
    known = subsidies(stack)
    return one_each(stack, known) + told_differs(known, people) + withdrawals_differ(stack, people) + wallets_differ(stack) + budgets_differ(stack)
