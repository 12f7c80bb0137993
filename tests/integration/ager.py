"""hb-worker age as its tests run it: in the place of cell A's own, with short times, and killed when they like."""
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import hb

CELL = 'A'
STATES = {'open': 1, 'closed': 2, 'exported': 3, 'leaving': 4, 'gone': 5}
ON_THE_WAY = {'packet': (1, 2, 4), 'payment': (1, 3, 5), 'transfer': (1, 3), 'refund': (1, 3)}


def now_ms():
    return int(time.time() * 1000)


class Ager:
    def __init__(self, stack, folder):
        self.stack, self.folder, self.process = stack, Path(folder), None
        self.site = stack.active(CELL)
        self.config = self.folder / 'age.cfg'
        self.log = self.folder / 'age.log'

    def start(self, after_s=1, readable_s=3600, range_s=1, every_ms=100, folder=None, **more):
        self.stop()
        rows = {'after_s': after_s, 'readable_s': readable_s, 'range_s': range_s, 'every_ms': every_ms, **more}
        text = ' '.join(f'{k} = {v};' for k, v in rows.items())
        self.config.write_text((self.stack.folder / 'etc/hongbao.cfg').read_text()
                               + f'\nage: {{ folder = "{folder or self.folder}"; {text} }};\n')
        program = Path(os.environ.get('HB_TEST_BUILD', hb.ROOT / 'build/default')) / 'hb-worker'
        with self.log.open('a') as log:
            self.process = subprocess.Popen([program, 'age', '--config', self.config, '--cell', CELL, '--site', self.site, '--instance', '9',
                                             '--live', self.stack.folder / f'live/{self.site}/{CELL}.cfg'], stdout=log, stderr=log, cwd=self.folder)

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(30)
            self.process = None
            (self.stack.folder / f'metrics/hb-worker-age.{CELL}.{self.site}.9').unlink(missing_ok=True)  # it does not come back

    def kill(self):
        self.stop(signal.SIGKILL)

    def sql(self, text, args=()):
        return self.stack.rows(CELL, text, args)

    def range_of(self, packet):
        """(below, state) of the range that a packet's number is in."""
        return self.sql('SELECT below, state FROM age_range WHERE below > %s ORDER BY below LIMIT 1', (int(packet),))[0]

    def state_of(self, packet):
        return self.range_of(packet)[1]

    def wait(self, packet, state, seconds=60):
        self.stack.wait(lambda: self.state_of(packet) == STATES[state], f'the range of {packet} is {state}', seconds)

    def says(self, text):
        return text in self.log.read_text()

    def files(self, packet):
        return self.folder / CELL / str(self.range_of(packet)[0])

    def let_go(self):
        """All that is left open in the cell by whoever was here before comes to its end, and expired long ago."""
        self.sql('UPDATE packet SET expires_at = %s WHERE state IN (1, 2)', (now_ms() - 5000,))
        self.sql('UPDATE payment SET expires_at = %s, next_check_at = 0 WHERE state = 1', (now_ms() - 5000,))
        for table, states in ON_THE_WAY.items():
            marks = ','.join(map(str, states))
            self.stack.wait(lambda table=table, marks=marks: not self.sql(f'SELECT 1 FROM {table} WHERE state IN ({marks}) LIMIT 1'),
                            f'every {table} is at its end', 90)
        self.stack.wait(lambda: not self.sql('SELECT 1 FROM outbox LIMIT 1'), 'the outbox is empty')
        self.stack.wait(lambda: not self.sql('SELECT 1 FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no WHERE t.order_no IS NULL LIMIT 1'),
                        'every claim has its transfer')
        self.sql('UPDATE packet SET expires_at = %s WHERE expires_at > %s', (now_ms() - 5000, now_ms() - 5000))


@contextlib.contextmanager
def instead_of_the_stack_s(stack, folder):
    service = f'{CELL}-worker-age'
    stack.sv('down', service)
    ager = Ager(stack, folder)
    try:
        yield ager
    finally:
        ager.stop()
        stack.sv('up', service)
