#!/usr/bin/python3
"""The campaign of ./dev chaos orders: thousands of orders while finance misbehaves and programs are killed; then quiet; then every order
is final and the books agree to the fen.

usage: orders.py --stack FOLDER [--runs N] [--seed S] [--short] [--json]     (--short: hundreds of orders, for the tests)
Run i has the seed S + i: its senders, amounts and claimers, finance's faults and the order of the kills come from it alone. What a
failed run leaves behind is not mended, so the campaign ends with it. Exit 1 then, 3 when the stack itself does not come back."""
import argparse
import json
import random
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))
import hb  # noqa: E402

import b2c_books  # noqa: E402
import books  # noqa: E402
import kills  # noqa: E402
import people  # noqa: E402
import rain  # noqa: E402

QUIET_S = 60
Size = namedtuple('Size', 'packets wins gifts withdrawals seconds')  # the seconds in which they are sent and the kills fall
FULL, SHORT = Size(180, 50, 12, 150, 8), Size(35, 12, 4, 30, 3)


def some(rng, most):
    """A percentage: in two of three runs more than none."""
    return rng.choice((0, 1, 1)) * rng.randint(1, most)


def finance_faults(rng, seed):
    def kind(refuse=0):
        return {'refuse': some(rng, refuse) if refuse else 0, 'settle_ms': rng.choice((0, 50, 300)), 'callback_always': rng.choice((0, 1, 1)),
                'delay': some(rng, 20), 'delay_ms': rng.randint(20, 300),
                'late_answer': some(rng, 10), 'late_answer_ms': rng.randint(20, 300),
                'callback_first': some(rng, 20), 'callback_first_ms': 300,
                'timeout_after_success': some(rng, 20), 'timeout_hold_ms': rng.choice((0, 0, 1200)),
                'outage': some(rng, 20), 'drop_callback': some(rng, 60), 'double_callback': some(rng, 40)}
    return {'reset': True, 'seed': seed, 'payment': kind(), 'transfer': kind(5), 'refund': kind(5), 'withdrawal': kind(5)}


def set_faults(stack, change):
    answer = stack.finance_http.call('POST', '/sim/faults', change)
    if answer.status != 200:
        raise kills.StackLost(f'finance did not take its faults: {answer}')


class Run:
    def __init__(self, stack, seed, size):
        self.stack, self.seed = stack, seed
        rng = random.Random(seed)
        self.faults = finance_faults(rng, seed)
        self.crowd = people.Crowd(stack, rng, size.packets, size.seconds)
        self.rain = rain.Rain(self.crowd, rng, size.wins, size.gifts, size.withdrawals)
        self.crowd.others.append(self.rain)
        self.killer = kills.Killer(stack, rng, size.seconds)

    def go(self):
        """What is wrong, as texts."""
        began = time.monotonic()
        mark = books.mark(self.stack)
        self.rain.prepare()
        set_faults(self.stack, self.faults)
        hand = threading.Thread(target=self.killer.run)
        hand.start()
        self.crowd.work()
        hand.join()
        if self.killer.lost:
            raise kills.StackLost(f'the killer: {self.killer.lost!r}')
        set_faults(self.stack, {'reset': True})
        kills.all_run(self.stack)
        worked = time.monotonic() - began
        open_orders, last = books.wait_final(self.stack, QUIET_S)
        found = open_orders or books.differences(self.stack, self.crowd, mark) + b2c_books.differences(self.stack, self.rain)
        counts = books.counts(self.stack, mark)
        return {'seed': self.seed, 'ok': not found, 'orders': sum(counts.values()), **counts, 'killed': self.killer.killed,
                'work_s': round(worked, 1), 'all_s': round(time.monotonic() - began, 1), 'last': last, 'found': found}


def tell(result, as_json):
    if as_json:
        print(json.dumps(result), flush=True)
        return
    kinds = ', '.join(f'{result[k]} {k}' for k in books.COUNTED)
    print(f'{"ok" if result["ok"] else "FAILED"} seed {result["seed"]}: {result["orders"]} orders ({kinds}), '
          f'{len(result["killed"])} kills ({" ".join(result["killed"])}), {result["work_s"]} s + quiet = {result["all_s"]} s', flush=True)
    for line in result['found'][:20]:
        print(f'    {line}')
    if len(result['found']) > 20:
        print(f'    and {len(result["found"]) - 20} more')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stack', required=True)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--short', action='store_true')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    stack = hb.Stack(args.stack)
    done = 0
    for seed in range(args.seed, args.seed + args.runs):
        try:
            result = Run(stack, seed, SHORT if args.short else FULL).go()
        except kills.StackLost as e:
            print(f'chaos: seed {seed}: {e}', file=sys.stderr)
            return 3
        tell(result, args.json)
        if not result['ok']:
            print(f'again: ./dev chaos orders --runs 1 --seed {seed}{" --short" * args.short}', file=sys.stderr)
            return 1
        done += 1
    if not args.json:
        print(f'{done} runs, seeds {args.seed} to {args.seed + args.runs - 1}: every order is final and the books agree')
    return 0


if __name__ == '__main__':
    sys.exit(main())
