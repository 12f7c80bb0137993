#!/usr/bin/python3
"""Checks the money of a stack from its tables and finance's own file, never from our API.

usage: audit.py STACK_FOLDER [PACKET_ID …]     (no ids: every packet)
Prints one line per finding and exits 1 when there is any; the invariants are those of docs/architecture.md:
  E  claims + refunds = total once a packet is at its end, and never more before; shares as many as claims; indexes without holes
  K  one claim per user and packet (the key holds it; counted all the same), one transfer per claim
  C  each claim's transfer stands at finance once, with its amount and payee; each refund likewise; nothing at finance that we do not know;
     what finance refused for good it did not move, and it is in a wallet or went back to the sender once
  (of b2c packets, wallets and withdrawals: ledger.py)
Of packets that have left (docs/ageing.md) the transfers stand for the claims.
"""
import sys
from collections import Counter, defaultdict

import hb
import ledger

PACKET = {1: 'unpaid', 2: 'open', 3: 'exhausted', 4: 'refunding', 5: 'closed'}


def read(stack, cell, sql, packets):
    where, args = '', ()
    if packets:
        where = f' WHERE packet_id IN ({",".join(["%s"] * len(packets))})'
        args = tuple(packets)
    return stack.rows(cell, sql + where, args)


def audit(stack, packets=None):
    """The findings, as texts."""
    found = []
    packets = [int(p) for p in packets] if packets else None
    orders = defaultdict(dict)
    for kind, no, uid, amount, outcome in stack.finance_db().execute('SELECT kind, order_no, uid, amount, outcome FROM orders'):
        orders[kind][int(no)] = (int(uid), amount, outcome)
    ours = {'transfer': {}, 'refund': {}}  # number: whether finance moved its money

    for cell in stack.cells:
        mine = [p for p in packets if stack.cell_of(p) == cell] if packets else None
        if packets and not mine:
            continue
        rows = {r[0]: r for r in read(stack, cell, 'SELECT packet_id, sender, state, count, remaining_count, total, remaining, kind FROM packet', mine)}
        claims = defaultdict(list)
        for packet, uid, idx, no, amount in read(stack, cell, 'SELECT packet_id, uid, idx, claim_no, amount FROM claim', mine):
            claims[packet].append((uid, idx, no, amount))
        left = hb.left(stack, cell, rows)
        rows.update({p: r for p, r in left.items() if not mine or p in mine})
        for packet, uid, no, amount in read(stack, cell, 'SELECT packet_id, payee, order_no, amount FROM transfer', mine):
            if packet in left:
                claims[packet].append((uid, len(claims[packet]), no, amount))
        refunds, back = defaultdict(list), {}
        for packet, no, payee, amount, state, reason, claim in read(
                stack, cell, 'SELECT packet_id, order_no, payee, amount, state, reason, claim_no FROM refund', mine):
            (refunds[packet] if reason != 3 else back.setdefault(claim, [])).append((no, payee, amount, state))
        transfers = dict(read(stack, cell, 'SELECT order_no, state FROM transfer', mine))
        for packet, (_, sender, state, count, remaining, total, rest, kind) in rows.items():
            got = claims[packet]
            claimed, refunded = sum(c[3] for c in got), sum(r[2] for r in refunds[packet])
            if len({c[0] for c in got}) != len(got):
                found.append(f'K packet {packet}: a user claimed twice')
            if sorted(c[1] for c in got) != list(range(len(got))):
                found.append(f'E packet {packet}: indexes have holes')
            if packet not in left and len(got) != count - remaining or claimed != total - rest:
                found.append(f'E packet {packet}: {len(got)} claims of {claimed} fen, the row says {count} - {remaining} of {total - rest}')
            if claimed + refunded > total:
                found.append(f'E packet {packet}: claims {claimed} + refunds {refunded} > total {total}')
            if kind == 2:
                continue  # its money stays in the books
            paid_out = PACKET[state] in ('exhausted', 'refunding') or (PACKET[state] == 'closed' and (got or refunds[packet]))
            if paid_out and claimed + refunded != total:
                found.append(f'E packet {packet} ({PACKET[state]}): claims {claimed} + refunds {refunded} ≠ total {total}')
            for uid, _, no, amount in got:
                elsewhere = transfers.get(no) in (4, 5)  # refused by finance: in a wallet, or returned to the sender
                ours['transfer'][no] = not elsewhere
                if orders['transfer'].get(no) != (uid, amount, 'refused' if elsewhere else 'done'):
                    found.append(f'C claim {no} of {uid}: {amount} fen, at finance {orders["transfer"].get(no)}')
                if [r[2] for r in back.get(no, [])] != ([amount] if transfers.get(no) == 5 else []):
                    found.append(f'C claim {no} in state {transfers.get(no)}: {amount} fen, returned {back.get(no)}')
            for no, payee, amount, at in refunds[packet] + [r for c in got for r in back.get(c[2], [])]:
                elsewhere = at == 4
                ours['refund'][no] = not elsewhere
                if orders['refund'].get(no) != (payee, amount, 'refused' if elsewhere else 'done') or payee != sender:
                    found.append(f'C refund {no} of packet {packet}: {amount} fen, at finance {orders["refund"].get(no)}')

    moved = Counter((kind, int(no)) for kind, no in stack.finance_db().execute('SELECT kind, order_no FROM entries'))
    for (kind, no), times in moved.items():
        if times > 1:
            found.append(f'C finance moved {kind} {no} {times} times')
    for kind, known in ours.items():
        if not packets:
            for no in set(orders[kind]) - set(known):
                found.append(f'C finance has {kind} {no} that we do not know')
        for no, once in known.items():
            if moved[(kind, no)] != once:
                found.append(f'C {kind} {no} moved {moved[(kind, no)]} times at finance')
    return found + ledger.audit(stack, orders['withdrawal'], packets)


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    findings = audit(hb.Stack(sys.argv[1]), sys.argv[2:])
    print('\n'.join(findings) or 'the books agree')
    sys.exit(1 if findings else 0)
