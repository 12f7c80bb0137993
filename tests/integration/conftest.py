"""The running stack that the tests use: HB_TEST_STACK, brought up by `./dev test`; else .hb/test."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import hb  # noqa: E402

HASH_OFF = '\nclaim: { hash = false; };\n'


@pytest.fixture(scope='session')
def stack():
    folder = Path(os.environ.get('HB_TEST_STACK', hb.ROOT / '.hb/test'))
    if not (folder / 'etc/topology.cfg').exists():
        pytest.exit(f'no stack in {folder}: run ./dev test integration', returncode=3)
    return hb.Stack(folder)


@pytest.fixture(scope='session', autouse=True)
def nobody_lacks_a_right(stack):
    """A statement that a program's user may not run (sql/migrations/006_rights.sql) is often made up for by a sweep, and then seen only here."""
    yield
    lacking = {line[-300:] for log in stack.folder.glob('log/[AB]-*/current') for line in log.read_text(errors='replace').splitlines()
               if '"db.failed"' in line and ' command denied to user' in line}
    assert not lacking, sorted(lacking)[:5]


def nginx_workers(stack):
    return set(subprocess.run(['pgrep', '-P', str(stack.pid('nginx'))], capture_output=True, text=True).stdout.split())


def use_config(stack, text):
    """Writes hongbao.cfg and has nginx and every hb-core run with it."""
    config = stack.folder / 'etc/hongbao.cfg'
    if config.read_text() == text:
        return
    config.write_text(text)
    for cell in stack.cells:
        for instance, port in enumerate(stack.member(cell)['core_ports'], 1):
            stack.sv('restart', f'{cell}-core-{instance}')
            stack.wait(lambda port=port: hb.listens(port), f'hb-core {instance} of cell {cell} listens')
    old = nginx_workers(stack)
    subprocess.run([hb.ROOT / 'dev', 'hbctl', 'nginx', 'reload'], check=True, env={**os.environ, 'HB_NAME': stack.folder.name})
    stack.wait(lambda: nginx_workers(stack) and not nginx_workers(stack) & old, 'nginx has its new configuration')


@pytest.fixture
def claim_hash(stack):
    """claim_hash(False): the claims of one packet go to all hb-core of its cell. Put back after the test."""
    before = (stack.folder / 'etc/hongbao.cfg').read_text()
    assert 'claim' not in before
    yield lambda on: use_config(stack, before if on else before + HASH_OFF)
    use_config(stack, before)


@pytest.fixture(autouse=True)
def nothing_stays_paused(stack):
    """A test that fails half-way leaves no service stopped by a signal for those after it."""
    yield
    for service in (stack.folder / 'sv').iterdir():
        pid = stack.pid(service.name)
        if pid and Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] == 'T':
            os.kill(pid, signal.SIGCONT)
