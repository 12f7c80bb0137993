"""B2C people of one run: winners draw in a rain and send what they won, partners give, users of both cells open it, wallets are withdrawn
from. They work within the Crowd of people.py and open envelopes as its users do; what each was told is kept for b2c_books.py."""
import calendar
import os
import time

import b2c

# Rules never change under a number, so the stack has these two for all its runs; a run gives them its budget and its end.
ROUND_S, EXPIRY_S = 3, 3
RAIN = {'name': 'chaos', 'number': 700001, 'every_s': ROUND_S, 'lasts_s': ROUND_S, 'expiry_s': EXPIRY_S, 'limit': 3, 'lease_fen': 3000,
        'prizes': [{'amount_fen': 100, 'ppm': 200000}, {'amount_fen': 333, 'ppm': 300000}, {'amount_fen': 1500, 'ppm': 200000}]}
GIFTS = {'name': 'chaos-gifts', 'number': 700002, 'starts_at': '2090-01-01T00:00:00Z', 'every_s': 60, 'lasts_s': 60, 'expiry_s': 60, 'limit': 1,
         'lease_fen': 1, 'prizes': [{'amount_fen': 1, 'ppm': 1}]}
GIFT_LIVES_S, GIFT_MAX = 10, 2000
DRAWS = 3


class Winner:
    """One subsidy: who gets it, how it is sent, and who opens the envelope."""
    pays = 'at once'  # for the claimers: it is open from the first moment

    def __init__(self, rng, openers, acts):
        self.sender = rng.randint(1_000_000, 9_999_999)
        self.count = rng.randint(1, 20)
        self.acts = rng.choices(('at once', 'from the list', 'twice', 'never'), acts)[0]
        self.claimers = rng.sample(openers, min(len(openers), round(self.count * rng.choice((0, 0.5, 1.0, 1.3)))))
        self.asks_again = rng.random() < 0.3
        self.key = os.urandom(12).hex()
        self.packet, self.draws, self.subsidy = None, 0, None


class Gift(Winner):
    def __init__(self, rng, openers):
        super().__init__(rng, openers, (0, 85, 10, 5))
        self.number, self.fen = os.urandom(12).hex(), rng.randint(20, GIFT_MAX)
        self.ways = rng.choice((('call',), ('message',), ('call', 'message'), ('call', 'call'), ('call', 'thief')))


class Rain:
    def __init__(self, crowd, rng, wins, gifts, withdrawals):
        self.crowd, self.stack = crowd, crowd.stack
        openers = rng.sample(range(1_000_000, 9_999_999), max(12, wins * 2 // 3))  # few, so that wallets hold something
        self.winners = [Winner(rng, openers, (60, 20, 10, 10)) for _ in range(wins)]
        self.gifts = [Gift(rng, openers) for _ in range(gifts)]
        self.withdrawals = [(rng.choice(openers), rng.choice((10, 50, 200)), os.urandom(12).hex()) for _ in range(withdrawals)]
        self.fen = wins * rng.choice((150, 2000))  # of a cell: sometimes it does not last
        self.won, self.given, self.taken, self.low, self.late = {}, {}, {}, {}, set()
        self.uids = openers + [w.sender for w in self.plans]

    @property
    def plans(self):
        return self.winners + self.gifts

    def budget(self, number, fen):
        """So much that the campaign has these fen now."""
        had = {}
        for cell in self.stack.cells:
            rows = self.stack.rows(cell, 'SELECT c.budget - a.balance FROM campaign c JOIN account a ON a.kind = %s AND a.owner = c.number '
                                         'WHERE c.number = %s', (b2c.CAMPAIGN, number))
            had[cell] = int(rows[0][0]) if rows else 0
        return {cell: spent + fen for cell, spent in had.items()}

    def prepare(self):
        """The campaigns are there and it rains in both cells."""
        ends = b2c.rfc3339(time.time() + 4 + self.crowd.seconds)
        b2c.apply(self.stack, {**RAIN, 'ends_at': ends, 'budget': self.budget(RAIN['number'], self.fen)},
                  {**GIFTS, 'budget': self.budget(GIFTS['number'], len(self.gifts) * GIFT_MAX)}, reason='the campaign')
        self.stack.mint_all(self.uids)
        for cell in self.stack.cells:
            uid = next(u for u in self.uids if self.stack.cell_of(u) == cell)
            self.stack.wait(lambda uid=uid: self.told(uid) == 'raining', f'it rains in cell {cell}')

    def told(self, uid):
        answer = self.stack.call('GET', f'/v1/rain/{RAIN["name"]}', uid)
        return answer.json['state'] if answer.status == 200 else None

    def start(self):
        add, seconds = self.crowd.add, self.crowd.seconds
        for i, winner in enumerate(self.winners):
            add(0.5 * seconds * i / len(self.winners), self.draw, winner)
        for i, gift in enumerate(self.gifts):
            gift.expires_at = b2c.rfc3339(time.time() + GIFT_LIVES_S)
            for j, way in enumerate(gift.ways):
                job = (self.message, gift) if way == 'message' else (self.give, gift, gift.sender + (way == 'thief'))
                add(0.5 * seconds * i / len(self.gifts) + 0.05 * j, *job)
        for i, (uid, fen, key) in enumerate(self.withdrawals):
            add(seconds * (0.3 + 0.8 * i / len(self.withdrawals)), self.withdraw, uid, fen, key)

    def draw(self, winner):
        answer = self.stack.call('POST', f'/v1/rain/{RAIN["name"]}/draw', winner.sender)
        if answer.status != 200:
            return self.crowd.refused(answer, f'a draw of {winner.sender}', self.draw, winner)
        told = answer.json
        winner.draws += 1
        if told['outcome'] == 'won':
            self.hold(winner, told)
            self.crowd.add(1.5 if winner.acts == 'from the list' else 0, self.send, winner)
            if winner.asks_again:
                self.crowd.add(0.5, self.draw_again, winner, told)
        elif told['outcome'] in ('none', 'budget_spent') and winner.draws < DRAWS:
            self.crowd.again(0.1, self.draw, winner)

    def hold(self, winner, told):
        number = f'{RAIN["number"]}.{told["round"]}.{told["draw"]}.{winner.sender}'
        mine = (winner.sender, told['subsidy']['amount']['amount'])
        if self.won.setdefault(number, mine) != mine:
            self.crowd.wrong.append(f'D {number}: {winner.sender} was told {self.won[number]}, then {mine}')
        winner.subsidy = winner.subsidy or told['subsidy']  # a key goes with one body, the token's bytes too

    def draw_again(self, winner, was):
        """A client that lost the answer."""
        answer = self.stack.call('POST', f'/v1/rain/{RAIN["name"]}/draw', winner.sender, {'round': was['round'], 'draw': was['draw']})
        if answer.status != 200:
            return self.crowd.refused(answer, f'a repeated draw of {winner.sender}', self.draw_again, winner, was)
        if answer.json['outcome'] not in ('won', 'ended'):  # ended: so late that nothing is repeated any more
            self.crowd.wrong.append(f'D {winner.sender} had won in draw {was["draw"]} of round {was["round"]}, then {answer}')
        elif answer.json['outcome'] == 'won':
            self.hold(winner, answer.json)

    def send(self, winner, key=None):
        if winner.acts == 'never':
            return
        by_token = 'token' in winner.subsidy and winner.acts != 'from the list' and not key
        by = {'subsidy_token': winner.subsidy['token']} if by_token else {'subsidy_id': winner.subsidy['subsidy_id']}
        answer = b2c.send(self.stack, winner.sender, winner.count, key or winner.key, **by)
        if answer.status == 201:
            if key:
                self.crowd.wrong.append(f'K the subsidy of {winner.sender} was sent twice: {answer}')
            elif self.crowd.sent(winner, answer):
                self.opened(winner)
        elif answer.status == 410:  # SUBSIDY_EXPIRED
            self.late.update(() if key else (winner,))
        elif answer.status == 404 and not key:  # its message is on its way
            self.crowd.again(0.2, self.send, winner)
        elif answer.status != 409 or not key:  # SUBSIDY_SPENT is right for the second
            self.crowd.refused(answer, f'a send of {winner.sender}', self.send, winner, key)

    def opened(self, winner):
        if winner.acts == 'twice':
            self.crowd.add(0.1, self.send, winner, f'{winner.key}-other')
        if winner.asks_again:
            self.crowd.add(0.05, self.send, winner)
        for uid in winner.claimers:
            self.crowd.add(0.1, self.crowd.claim, winner, uid)

    def gift_body(self, gift, uid):
        return {'out_order_no': gift.number, 'uid': str(uid), 'amount': {'amount': gift.fen, 'currency': 'CNY'}, 'campaign': GIFTS['name'],
                'expires_at': gift.expires_at}

    def give(self, gift, uid):
        """A partner's call. Of two users that come with one number, one has it; expired, it is no call any more."""
        answer = b2c.partner(self.stack, {'out_order_no': gift.number, 'uid': str(uid), 'amount': {'amount': gift.fen, 'currency': 'CNY'},
                                          'campaign': GIFTS['name'], 'expires_at': gift.expires_at})
        if answer.status in (200, 201):
            mine = (uid, gift.fen, int(answer.json['subsidy_id']))
            if self.given.setdefault(gift.number, mine) != mine:
                self.crowd.wrong.append(f'K the gift {gift.number} was told as {self.given[gift.number]} and {mine}')
            if uid == gift.sender and not gift.subsidy:
                gift.subsidy = answer.json
                self.crowd.add(0, self.send, gift)
        elif not (answer.status == 409 and 'thief' in gift.ways) and not (answer.status == 422 and b2c.rfc3339(time.time()) >= gift.expires_at):
            self.crowd.refused(answer, f'the gift {gift.number} for {uid}', self.give, gift, uid)

    def message(self, gift):
        expires_ms = calendar.timegm(time.strptime(gift.expires_at, '%Y-%m-%dT%H:%M:%SZ')) * 1000
        b2c.publish(self.stack, [{'i': 'demo', 'o': gift.number, 'u': gift.sender, 'a': gift.fen, 'c': GIFTS['name'], 'x': expires_ms}], kind=9)

    def withdraw(self, uid, fen, key):
        self.low.pop(key, None)
        answer = self.stack.withdraw(uid, fen, key)
        if answer.status == 202:
            mine = (uid, fen, int(answer.json['order_no']))
            if self.taken.setdefault(key, mine) != mine:
                self.crowd.wrong.append(f'K the key {key} made the withdrawals {self.taken[key]} and {mine}')
            elif 'idempotent-replayed' not in answer.headers and mine[2] // 100000 % 4 == 0:  # some lose the answer
                self.crowd.add(0.3, self.withdraw, uid, fen, key)
        elif answer.status == 409 and answer.code == 'BALANCE_TOO_LOW':
            self.low[key] = uid
            self.crowd.again(1, self.withdraw, uid, fen, key)
        else:
            self.crowd.refused(answer, f'a withdrawal of {uid}', self.withdraw, uid, fen, key)
