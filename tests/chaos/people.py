"""Senders and claimers of one run. Who does what comes from the seed; what each was told is kept, to be held against the books."""
import os
import queue
import threading
import time

THREADS = 20
PATIENCE_S = 5  # after the last send; who knows nothing then is told by the books


class Plan:
    """One envelope: who sends it, who claims it, and whether the sender pays: at once, late (perhaps too late), or never."""

    def __init__(self, rng):
        self.sender = rng.randint(1_000_000, 9_999_999)
        self.count = rng.randint(1, 30)
        self.total = rng.randint(self.count, self.count * 1000)
        self.split = rng.choice(('lucky', 'equal'))
        if self.split == 'equal':
            self.total -= self.total % self.count
        self.pays = rng.choices(('at once', 'late', 'never'), (85, 10, 5))[0]
        claimers = max(1, round(self.count * rng.choice((0.3, 0.8, 1.0, 1.3))))
        self.claimers = rng.sample(range(1_000_000, 9_999_999), claimers)
        self.key = os.urandom(12).hex()
        self.packet = None


class Crowd:
    def __init__(self, stack, rng, packets, seconds):
        self.stack, self.seconds = stack, seconds
        self.plans = [Plan(rng) for _ in range(packets)]
        self.won, self.lost, self.wrong = {}, set(), []
        self.others = []  # who else does something meanwhile: their start() adds jobs, their plans have packets
        self.jobs = queue.PriorityQueue()
        self.lock, self.left, self.order = threading.Lock(), 0, 0

    def add(self, delay_s, job, *args):
        with self.lock:
            self.left += 1
            self.order += 1
            self.jobs.put((time.monotonic() + delay_s, self.order, job, args))

    def packets(self):
        return [p.packet for plans in (self.plans, *(o.plans for o in self.others)) for p in plans if p.packet]

    def work(self):
        """Until everybody knows how it ended, or has given up."""
        for plan in self.plans:
            self.stack.mint_all([plan.sender, *plan.claimers])
        self.began = time.monotonic()
        for part in self.others:
            part.start()
        for i, plan in enumerate(self.plans):
            self.add(0.6 * self.seconds * i / len(self.plans), self.send, plan)
        hands = [threading.Thread(target=self.hand) for _ in range(THREADS)]
        for h in hands:
            h.start()
        for h in hands:
            h.join()
        self.stack.tokens.clear()

    def hand(self):
        while self.left:
            try:
                at, order, job, args = self.jobs.get(timeout=0.05)
            except queue.Empty:
                continue
            now = time.monotonic()
            if at > now:  # not yet: what is due sooner comes first next time
                self.jobs.put((at, order, job, args))
                time.sleep(min(at - now, 0.01))
                continue
            try:
                job(*args)
            except OSError:  # the front door or the program behind it is away: the same again
                self.again(0.2, job, *args)
            except Exception as e:  # noqa: BLE001 an answer that is none: what is wrong is told with the rest
                self.wrong.append(f'N {job.__name__}: {e!r}')
            finally:
                with self.lock:
                    self.left -= 1

    def again(self, delay_s, job, *args):
        if time.monotonic() - self.began < self.seconds + PATIENCE_S:
            self.add(delay_s, job, *args)

    def refused(self, answer, what, job, *args):
        """Not the answer that was hoped for: the same again where that is told, else it is wrong."""
        if answer.status >= 500 or (answer.body and answer.json.get('retryable')):
            self.again(0.1, job, *args)
        else:
            self.wrong.append(f'N {what} was refused: {answer}')

    def sent(self, plan, answer):
        """Whether it is the first answer to this plan's send; the others must name the same packet."""
        packet = answer.json['packet']['id']
        if plan.packet and plan.packet != packet:
            self.wrong.append(f'K one key of {plan.sender} made the packets {plan.packet} and {packet}')
        first, plan.packet = plan.packet is None, packet
        return first

    def send(self, plan):
        answer = self.stack.send(plan.sender, plan.total, plan.count, plan.split, key=plan.key)
        if answer.status != 201:
            return self.refused(answer, f'a send of {plan.sender}', self.send, plan)
        first = self.sent(plan, answer)
        if first and plan.count % 4 == 0:  # a client that lost the answer: the same packet must come again
            self.add(0.05, self.send, plan)
        if first and plan.pays != 'never':
            self.add(0 if plan.pays == 'at once' else 2.7, self.pay, plan, answer.json['payment']['cashier_url'])
        if first:
            for uid in plan.claimers:
                self.add(0.1, self.claim, plan, uid)

    def pay(self, plan, cashier_url):
        try:
            self.stack.pay(cashier_url)
        except AssertionError:  # the cashier is down or says that it is too late
            if plan.pays == 'at once':
                self.again(0.2, self.pay, plan, cashier_url)

    def claim(self, plan, uid):
        answer = self.stack.claim(uid, plan.packet)
        if answer.status != 200:
            return self.refused(answer, f'a claim of {uid} on {plan.packet}', self.claim, plan, uid)
        told = answer.json
        if told.get('claim'):
            mine = (int(told['claim']['claim_no']), told['claim']['amount']['amount'])
            if self.won.setdefault((int(plan.packet), uid), mine) != mine:
                self.wrong.append(f'K {uid} was told two claims on {plan.packet}')
            if mine[0] // 100000 % 10 == 0:  # some ask again
                self.add(0.1, self.check_again, plan, uid)
        elif told['outcome'] in ('exhausted', 'expired'):
            self.lost.add((int(plan.packet), uid))
        elif plan.pays == 'at once':  # not open yet
            self.again(0.2, self.claim, plan, uid)

    def check_again(self, plan, uid):
        answer = self.stack.claim(uid, plan.packet)
        claim = answer.json.get('claim') if answer.status == 200 else None
        if answer.status == 200 and (not claim or (int(claim['claim_no']), claim['amount']['amount']) != self.won[(int(plan.packet), uid)]):
            self.wrong.append(f'D {uid} on {plan.packet}: told {self.won[(int(plan.packet), uid)]}, then {answer}')
