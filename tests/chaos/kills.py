"""kill -9 of workers, RabbitMQ, hb-core, hb-rain and memcached while orders are under way; in some runs a queue vanishes under its relay."""
import os
import re
import signal
import time

import amqp
import hb

CORES = ('A-core-1', 'A-core-2', 'B-core-1', 'B-core-2')
RAINS = ('A-rain-1', 'B-rain-1')
B2C_ROLES = ('subsidy', 'issue', 'credit', 'credited', 'withdraw')
CACHES = ((), (), ('A-cache-east',), ('B-cache-west',))  # in every second run
BACK_S = 60
# Claims whose message has left the outbox and has not become a transfer: it is in the queue or in a consumer's hand.
UNDER_WAY = """SELECT COUNT(*) FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no WHERE t.order_no IS NULL AND c.claim_no NOT IN
    (SELECT j.no FROM outbox o, JSON_TABLE(o.payload, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$.no')) j WHERE o.kind = 1)"""

# What the relay has ever taken and not deleted: a lease that ran out says nothing of what it holds.
TAKEN = 'SELECT COUNT(*) FROM outbox WHERE kind = 1 AND lease_until > 0'


class StackLost(Exception):
    """The stack does not come back: a failure of the campaign, not of a seed."""


def workers(stack):
    """Of the cells where they are active, without those whose death nobody would notice."""
    active = {cell: stack.active(cell) for cell in stack.cells}
    rows = (re.fullmatch(r'([A-Z])-worker-(.*)-([a-z]+)', s.name) for s in (stack.folder / 'sv').iterdir())
    return sorted(m[0].removesuffix(f'-{m[3]}') for m in rows if m and m[3] == active[m[1]] and m[2] not in ('heartbeat', 'reconcile'))


def all_run(stack):
    end = time.monotonic() + BACK_S * hb.SLOW
    for service in (stack.folder / 'sv').iterdir():
        if (service / 'down').exists():  # as someone wants it
            continue
        while not stack.pid(service.name):
            if time.monotonic() > end:
                raise StackLost(f'{service.name} does not come back')
            time.sleep(0.05)


class Killer:
    def __init__(self, stack, rng, seconds):
        self.stack, self.killed, self.lost, self.dead = stack, [], None, set()
        names = workers(stack)
        victims = rng.sample(names, 3) + rng.sample(CORES, 2) + [rng.choice([n for n in names if n.endswith(f'-{role}')])
                                                                 for role in ('transfer', rng.choice(B2C_ROLES))]
        victims += [rng.choice(RAINS), *rng.choice(CACHES)]
        rng.shuffle(victims)
        self.vanishes = rng.choice((None, None, 'A', 'B'))
        if not self.vanishes:
            victims.insert(rng.randint(1, 4), 'rabbitmq')
        self.plan = sorted((rng.uniform(0.5, seconds), v) for v in victims)

    def run(self):
        try:
            self.kill_all()
        except Exception as e:  # noqa: BLE001 told by the thread that waits for this one
            self.lost = e

    def kill_all(self):
        began = time.monotonic()
        for at, victim in self.plan:
            time.sleep(max(0.0, began + at - time.monotonic()))
            pid = self.stack.pid(victim)
            if pid:
                os.kill(pid, signal.SIGKILL)
                self.killed.append(victim)
                self.dead.add(pid)
            if self.vanishes and len(self.killed) == 3:
                self.vanish(self.vanishes)
                self.vanishes = None

    def vanish(self, cell):
        """A queue in which nothing is goes away while its consumer is down; its relay must notice that nobody takes what it sends."""
        relay, consumer, queue = f'{cell}-worker-relay', f'{cell}-worker-transfer', f'{cell}.transfer'
        end = time.monotonic() + 8
        pid = self.alive(relay, end)
        if not pid:
            return
        try:
            # Held between two batches: what it had sent and not yet deleted would be lost with the queue, and rightly so.
            os.kill(pid, signal.SIGSTOP)
            while self.stack.rows(cell, TAKEN)[0][0]:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.02)
                if time.monotonic() > end:
                    return
                os.kill(pid, signal.SIGSTOP)
            while self.stack.rows(cell, UNDER_WAY)[0][0]:  # RabbitMQ's own counts are seconds old
                time.sleep(0.1)
                if time.monotonic() > end:
                    return
            self.stack.sv('down', consumer)
            self.delete(queue)
            os.kill(pid, signal.SIGCONT)
            self.killed.append(f'queue:{queue}')
            self.notices()
        finally:
            os.kill(pid, signal.SIGCONT)
            self.stack.sv('up', consumer)

    def alive(self, service, end):
        """Its process, and not the one that has just been killed: holding that would hold nobody."""
        while time.monotonic() < end:
            pid = self.stack.pid(service)
            if pid and pid not in self.dead:
                return pid
            time.sleep(0.02)
        return None

    def delete(self, queue):
        """Until it is gone for certain: what a relay sends into a queue that is being deleted is confirmed and lost."""
        password = (self.stack.folder / 'secrets/mq.hongbao').read_text().strip()
        end = time.monotonic() + BACK_S
        while True:
            try:
                return amqp.delete_queue([node['port'] for node in self.stack.topology['mq']], 'hongbao', password, 'hongbao', queue)
            except OSError as e:
                if time.monotonic() > end:
                    raise StackLost(f'the queue {queue} is not deleted: {e!r}') from e

    def notices(self):
        """The relay counts what nobody takes: within a moment, or not at all, for perhaps nobody claims just then."""
        try:
            failed = self.stack.metric('hb_outbox_failed_total')
            end = time.monotonic() + 2
            while self.stack.metric('hb_outbox_failed_total') == failed and time.monotonic() < end:
                time.sleep(0.05)
        except OSError:  # nobody there to tell just now
            pass
