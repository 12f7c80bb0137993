"""What happens to a cell in a run of ./dev chaos cells. A fault is a row of FAULTS: what is done before the command, what after it, and how
the run differs. Scene is what a fault may touch."""
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

import hb

HOLD_MOST_S = 15
# Steps of hbctl cells failover, behind each of which it is killed in one kind of run.
STEPS = ('begun', 'fenced', 'stopped', 'chosen', 'applied', 'recorded', 'promoted', 'followed', 'epoch', 'writable', 'live', 'nginx', 'probed')


@dataclass
class Scene:
    stack: object
    net: object
    rng: object
    cell: str
    home: str
    others: list  # the sites of its replicas
    undo: list = field(default_factory=list)
    notes: list = field(default_factory=list)


@dataclass
class Fault:
    before: object
    after: object = lambda s: None
    directly: bool = False  # clients at the old site ask its programs while all this goes on
    dies: bool = False  # hbctl is killed behind each of its steps
    in_place: bool = False  # nobody fails over: the primary comes back by itself
    twice: bool = False
    rebuilds: bool = False  # the supervisor may have made the tail the member's own before anybody failed over


def services(s, site):
    return sorted(d.name for d in (s.stack.folder / 'sv').iterdir() if d.name.endswith(f'-{site}') and d.name[1] == '-')


def pids(s, names):
    return [pid for pid in map(s.stack.pid, names) if pid]


def send(numbers, sig):
    for pid in numbers:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def admin(s, site, *statements):
    with s.stack.db(s.cell, site) as db, db.cursor() as c:
        for sql in statements:
            c.execute(sql)


def db_of(s):
    return f'{s.cell}-db-{s.home}'


def nothing(s):
    """A primary in the best of health: the operator wants it so."""


def kill_primary(s):
    s.stack.kill(db_of(s))


def kill_site(s):
    """Everything there at once, the supervisors first; a service's file `down` keeps it down when runsvdir brings those back."""
    names = services(s, s.home)
    sv = s.stack.folder / 'sv'
    alive = pids(s, names)
    keepers = [int(pid) for pid in subprocess.run(['pgrep', '-x', 'runsv'], capture_output=True, text=True).stdout.split()
               if of_stack(s, pid) in names]
    for name in names:
        (sv / name / 'down').touch()
    send(keepers, signal.SIGKILL)
    send(alive, signal.SIGKILL)
    send(pids(s, names), signal.SIGKILL)
    s.notes.append(f'{len(alive)} processes')


def of_stack(s, pid):
    """The service that a runsv looks after, if it is one of this stack's."""
    try:
        cwd = os.readlink(f'/proc/{pid}/cwd')
    except OSError:
        return None
    head, _, name = cwd.rpartition('/')
    return name if head == str(s.stack.folder / 'sv') else None


def power_on(s):
    """The site comes back; the member that was given up stays down until it is readmitted."""
    sv = s.stack.folder / 'sv'
    for name in services(s, s.home):
        if name != db_of(s):
            (sv / name / 'down').unlink(missing_ok=True)
    for name in services(s, s.home):
        s.stack.wait((sv / name / 'supervise/ok').exists, 'the supervisors are back')
        if name != db_of(s):
            subprocess.run(['sv', 'up', str(sv / name)], capture_output=True)


def stop_primary(s):
    pid = s.stack.kill(db_of(s), signal.SIGSTOP)
    s.undo.append(lambda: send([pid], signal.SIGCONT))


def pause_site(s):
    """As a machine that is paused and goes on later, believing that nothing was."""
    stopped = pids(s, services(s, s.home))
    s.net.cut(s.home)
    send(stopped, signal.SIGSTOP)
    s.undo.append(lambda: send(stopped, signal.SIGCONT))
    s.undo.append(s.net.heal)


def undo(s):
    while s.undo:
        s.undo.pop(0)()


def cut_site(s):
    s.net.cut(s.home)
    s.undo.append(s.net.heal)
    s.cut_at = time.monotonic()


def after_cut(s):
    """A while longer: its clients go on asking, and its hb-query must have noticed that it knows nothing any more."""
    stale_s = 2.0 + 1.0
    time.sleep(max(0.0, s.cut_at + stale_s - time.monotonic()))
    member, answers = s.stack.member(s.cell, s.home), []

    def look():
        s.net.enter(s.home)
        uid = 1001 if s.cell == 'A' else 1501
        params = {'REQUEST_METHOD': 'GET', 'REQUEST_URI': '/v1/me/wallet', 'HTTP_AUTHORIZATION': f'Bearer {s.stack.mint(uid)}'}
        for port in member['query_ports']:
            try:
                answers.append(hb.fastcgi(port, params, timeout=8, host=member['host'])[:40])
            except OSError as e:
                answers.append(repr(e).encode())
    t = threading.Thread(target=look)
    t.start()
    t.join()
    s.stale = [a for a in answers if b'Status: 503' not in a and b'Error' not in a]
    undo(s)


def lose_ack(s):
    """The replicas receive what they cannot acknowledge; then the primary dies and comes back in place."""
    for site in s.others:
        s.net.mute(site, s.home)
    time.sleep(s.rng.uniform(0.1, 0.4))
    s.stack.kill(db_of(s))
    time.sleep(s.rng.uniform(0.0, 0.2))
    s.net.heal()


def one_acks(s):
    """One of the two has stopped receiving, so the last acknowledgements are the other's alone."""
    behind = s.rng.choice(s.others)
    admin(s, behind, 'STOP SLAVE IO_THREAD')
    time.sleep(s.rng.uniform(0.2, 0.5))
    s.notes.append(f'{behind} behind')
    s.stack.kill(db_of(s))


def chosen(s, began):
    """Whether a failover that began since has come to where one of them is chosen."""
    journals = (s.stack.folder / 'journal').glob(f'{s.cell}-*-failover.jsonl')
    return any('"step":"chosen"' in j.read_text() for j in journals if j.stat().st_mtime >= began)


def lag(s):
    """Both have received what they have not applied: a table is locked there until after one of them has been chosen."""
    sessions, began = [], time.time()
    for site in s.others:
        db = s.stack.db(s.cell, site)
        db.cursor().execute('LOCK TABLES claim READ, packet READ, idempotency READ')
        sessions.append(db)
    time.sleep(s.rng.uniform(0.2, 0.5))
    s.stack.kill(db_of(s))
    while_chosen_s = s.rng.uniform(0.1, 0.4)

    def let_go():
        while not chosen(s, began) and time.time() < began + HOLD_MOST_S:
            time.sleep(0.02)
        time.sleep(while_chosen_s)
        for db in sessions:
            db.close()
    hold = threading.Thread(target=let_go)
    hold.start()
    s.undo.append(hold.join)


def tail(s):
    """Commits that no replica has received wait in the primary as it dies: nobody was told of them."""
    for site in s.others:
        admin(s, site, 'STOP SLAVE IO_THREAD')
    time.sleep(s.rng.uniform(0.15, 0.3))
    subprocess.run(['sv', 'once', str(s.stack.folder / 'sv' / db_of(s))], capture_output=True)  # it does not come back before it is told to
    s.stack.kill(db_of(s))


FAULTS = {
    'alive': Fault(nothing, directly=True),
    'kill-site': Fault(kill_site, power_on),
    'kill-primary': Fault(kill_primary, rebuilds=True),
    'stop-primary': Fault(stop_primary, undo),
    'pause-site': Fault(pause_site, undo, directly=True),
    'cut-site': Fault(cut_site, after_cut, directly=True),
    'kill-hbctl': Fault(kill_primary, dies=True, rebuilds=True),
    'lost-ack': Fault(lose_ack, in_place=True),
    'one-acks': Fault(one_acks, rebuilds=True),
    'lag': Fault(lag, undo, rebuilds=True),
    'tail': Fault(tail),
    'again': Fault(kill_primary, twice=True, rebuilds=True),
}
