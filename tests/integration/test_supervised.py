"""Under systemd's protocols, without systemd: hb-core on a socket that is handed over (systemd-socket-activate), and what it says to NOTIFY_SOCKET
from its start over two changes of its go-live file, in one process, to its end. Meanwhile no connection is refused."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import hb
import pytest

SEED = {'REQUEST_METHOD': 'GET', 'REQUEST_URI': '/v1/me/seed', 'HTTP_X_REQUEST_ID': 'test-supervised'}


class Told:
    """What comes to a NOTIFY_SOCKET, datagram by datagram."""

    def __init__(self, path):
        self.socket, self.texts = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), []
        self.socket.bind(str(path))
        self.socket.settimeout(30 * hb.SLOW)

    def next(self):
        return self.socket.recv(4096).decode()


@pytest.fixture
def core(stack, tmp_path):
    """A hb-core of cell A beside those of the stack, with metrics and a go-live file of its own: (process, port, told, live)."""
    if not shutil.which('systemd-socket-activate'):
        pytest.skip('no systemd-socket-activate')
    (tmp_path / 'metrics').mkdir()
    live = tmp_path / 'live' / 'A.cfg'
    live.parent.mkdir()
    shutil.copy(stack.folder / 'live' / stack.active('A') / 'A.cfg', live)
    shutil.copy(stack.folder / 'live' / stack.active('A') / 'flags.cfg', live.parent)
    config = tmp_path / 'hongbao.cfg'
    config.write_text((stack.folder / 'etc/hongbao.cfg').read_text().replace(f'{stack.folder}/metrics', f'{tmp_path}/metrics'))
    told = Told(tmp_path / 'notify')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    program = os.path.join(os.environ.get('HB_TEST_BUILD', hb.ROOT / 'build/default'), 'hb-core')
    with open(tmp_path / 'log', 'wb') as log:
        process = subprocess.Popen(['systemd-socket-activate', '-l', f'127.0.0.1:{port}', '-E', f'NOTIFY_SOCKET={tmp_path}/notify', program,
                                    '--config', config, '--cell', 'A', '--site', stack.active('A'), '--instance', '77', '--live', live], stderr=log)
        try:
            stack.wait(lambda: f':{port:04X} ' in open('/proc/net/tcp').read(), 'the socket is there')
            yield process, port, told, live
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def put(live, text):
    beside = live.with_suffix('.new')
    beside.write_text(text)
    beside.rename(live)


def ask(port):
    return hb.fastcgi(port, SEED).split(b'\r\n', 1)[0]


def test_a_socket_that_is_handed_over_and_what_the_supervisor_is_told(stack, core):
    process, port, told, live = core
    active = live.read_text()
    here, elsewhere = stack.active('A'), next(m['site'] for m in stack.cells['A']['members'] if m['site'] != stack.active('A'))
    # The first connection has it started, and waits until it serves: a stranger is told to sign in.
    assert ask(port) == b'Status: 401', (live.parent.parent / 'log').read_text()
    assert told.next() == 'READY=1'
    refused, answers, over = [], set(), threading.Event()

    def users():
        while not over.is_set():
            try:
                answers.add(ask(port))
            except OSError as e:
                refused.append(e)
            time.sleep(0.01)

    crowd = threading.Thread(target=users)
    crowd.start()
    try:
        for text, status in ((active.replace(f'"{here}"', f'"{elsewhere}"'), b'Status: 503'), (active, b'Status: 401')):
            put(live, text)
            process.send_signal(signal.SIGHUP)
            assert told.next().startswith('RELOADING=1\nMONOTONIC_USEC=')
            assert told.next() == 'READY=1'
            assert ask(port) == status
    finally:
        over.set()
        crowd.join()
    assert not refused and answers == {b'Status: 401', b'Status: 503'}, (refused, answers)
    process.send_signal(signal.SIGTERM)
    assert told.next() == 'STOPPING=1'
    assert process.wait(30 * hb.SLOW) == 0
    starts = [line for line in (live.parent.parent / 'log').read_text().splitlines() if '"program.start"' in line]
    assert len(starts) == 3 and all(f'"pid":{process.pid}' in line for line in starts), starts


@pytest.mark.parametrize('lie', ({'LISTEN_PID': '1', 'LISTEN_FDS': '1'}, {'LISTEN_FDS': '2'}), ids=('for another process', 'two sockets'))
def test_a_socket_that_is_not_ours_alone_is_not_taken(stack, core, lie, tmp_path):
    """It goes by the topology then, which has no instance 77."""
    process, _, _, live = core
    command = open(f'/proc/{process.pid}/cmdline').read().split('\0')
    words = command[command.index(f'NOTIFY_SOCKET={tmp_path}/notify') + 1:-1]
    taken = f'export LISTEN_PID={lie.get("LISTEN_PID", "$$")} LISTEN_FDS={lie["LISTEN_FDS"]}; exec "$@"'
    done = subprocess.run(['sh', '-c', taken, 'sh', *words], capture_output=True, text=True, timeout=30 * hb.SLOW)
    assert done.returncode == 1 and 'app.no_such_instance' in done.stderr, done
