"""hbctl doctor: nothing to mend on a stack that is right, and each of several breaks is named, with the file or server that it is in."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import amqp
import hb


def doctor(stack, *words, **environment):
    """(exit code, {check: [its findings that are BAD]}, {check: result})."""
    done = subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', 'doctor', *words], capture_output=True, text=True,
                          env={**os.environ, 'HB_NAME': stack.folder.name, **environment})
    checks = json.loads(done.stdout)
    return (done.returncode, {c['check']: [f['text'] for f in c['findings'] if f['result'] == 'BAD'] for c in checks},
            {c['check']: c['result'] for c in checks})


@contextlib.contextmanager
def mode(path, bits):
    before = path.stat().st_mode & 0o7777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@contextlib.contextmanager
def text(path, change):
    """A file that says something else; put in place whole, as editors do."""
    before = path.read_text()

    def put(now):
        beside = path.with_name(path.name + '.test')
        beside.write_text(now)
        beside.chmod(path.stat().st_mode & 0o7777)
        beside.rename(path)

    put(change(before))
    try:
        yield
    finally:
        put(before)


@contextlib.contextmanager
def age(path, days):
    before = path.stat()
    os.utime(path, (time.time() - days * 86400,) * 2)
    try:
        yield
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextlib.contextmanager
def setting(stack, cell, site, name, bad, good):
    with stack.db(cell, site) as db, db.cursor() as cursor:
        cursor.execute(f'SET GLOBAL {name} = {bad}')
        try:
            yield
        finally:
            cursor.execute(f'SET GLOBAL {name} = {good}')


@contextlib.contextmanager
def without_queue(stack, queue):
    """The relay of its cell declares it again."""
    ports = [node['port'] for node in stack.topology['mq']]
    password = (stack.folder / 'secrets/mq.hongbao').read_text().strip()
    amqp.delete_queue(ports, 'hongbao', password, 'hongbao', queue)
    try:
        yield
    finally:
        stack.sv('restart', f'{queue[0]}-worker-relay')


@contextlib.contextmanager
def migration_undone(stack, cell, version):
    """What says that it was applied is away for a moment."""
    (row,) = stack.rows(cell, 'SELECT version, name, began_at, ended_at FROM schema_version WHERE version = %s', (version,))
    stack.rows(cell, 'DELETE FROM schema_version WHERE version = %s', (version,))
    try:
        yield
    finally:
        stack.rows(cell, 'INSERT INTO schema_version VALUES (%s, %s, %s, %s)', row)


def test_a_stack_that_is_right_has_nothing_to_mend(stack):
    # What other tests have done to it may take a moment to be over.
    code, bad, results = stack.wait(lambda: (lambda told: told[0] == 0 and told)(doctor(stack)), 'the stack is right')
    assert not any(bad.values()), bad
    # The kernel's clock is the machine's matter, and rabbitmqctl is told apart from a queue that is wrong.
    assert {c: r for c, r in results.items() if r != 'ok' and c != 'kernel'} == {}, results


def test_each_break_is_named(stack):
    folder, door, replica = stack.folder, stack.doors[0]['site'], next(m['site'] for m in stack.cells['A']['members'] if m['site'] != stack.active('A'))
    undated = next(p for p in sorted((folder / 'secrets').glob('*.keys')) if len(p.read_text().split()[0]) != 7)
    expired = 'c2c_send = { state = "off"; reason = "a test"; expires_at = "2020-01-01T00:00:00Z"; };\ncomplete = true;\n'
    with contextlib.ExitStack() as broken:
        # Mended the other way round: the worker that is to declare its queue again does not start with keys that others may read.
        for fault in (without_queue(stack, 'B.wait4'), mode(folder / 'secrets/grant.keys', 0o440), mode(folder / 'secrets', 0o755),
                      age(undated, 400), setting(stack, 'A', replica, 'sync_binlog', 0, 1), migration_undone(stack, 'B', 5),
                      text(folder / f'etc/nginx-{door}.conf', lambda t: t.replace('max_conns=', 'max_conns=1')),
                      text(folder / f'live/{door}/flags.cfg', lambda t: t.replace('complete = true;\n', expired))):
            broken.enter_context(fault)
        code, bad, results = doctor(stack, HB_RABBITMQCTL='false')
    assert code == 1
    assert [f for f in bad['secrets'] if 'grant.keys has mode 0440' in f], bad
    assert [f for f in bad['folders'] if 'secrets has mode 0755' in f], bad
    assert [f for f in bad['rotation'] if f'{undated.name}: the key ' in f and 'at least 400 days old' in f], bad
    assert bad['mariadb'] == [f'A {replica}: SYNC_BINLOG is 0, must be 1'], bad
    assert bad['rabbitmq'] == ['the queue B.wait4 is missing'], bad
    assert bad['schema'] == ['cell B: 005_ageing.sql has not been applied'], bad
    assert [f for f in bad['nginx'] if f'nginx-{door}.conf is stale' in f], bad
    assert results['flags'] == 'note' and results['policies'] == 'skipped', results
    assert {c for c, findings in bad.items() if findings} == {'secrets', 'folders', 'rotation', 'mariadb', 'rabbitmq', 'schema', 'nginx'}, bad
    stack.wait(lambda: doctor(stack, HB_RABBITMQCTL='false')[0] == 0, 'all is mended')


def names(stack, program, number, cell):
    return f'{program} {number} of {cell} at {stack.active(cell)}'


def test_a_program_that_does_not_run_or_hangs_is_named(stack):
    with contextlib.ExitStack() as broken:
        for service in ('A-worker-relay', 'B-worker-callback'):
            stack.sv('down', service)
            broken.callback(stack.sv, 'up', service)
        stack.kill('A-core-1', signal.SIGSTOP)  # its socket takes connections all the same
        broken.callback(stack.kill, 'A-core-1', signal.SIGCONT)
        hangs = names(stack, 'hb-core', 1, 'A') + ' is stuck'
        code, bad, results = stack.wait(lambda: (told := doctor(stack)) and any(f.startswith(hangs) for f in told[1]['programs']) and told, 'it is stuck')
    assert code == 1 and results['ports'] == 'ok'
    down = [f for f in bad['programs'] if 'does not run' in f]
    assert [f.split(' does')[0] for f in down] == [names(stack, 'hb-worker-relay', 1, 'A'), names(stack, 'hb-worker-callback', 1, 'B')] and len(bad['programs']) == 3, bad['programs']
    assert [f.split(',')[0] for f in bad['rabbitmq']] == ['nobody takes from the queue B.callback'], bad
    stack.wait(lambda: doctor(stack)[0] == 0, 'all is mended')


def test_connections_that_the_database_does_not_give_are_named(stack):
    (given,) = stack.rows('A', "SELECT max_user_connections FROM mysql.user WHERE User = 'hb_query'")
    opened = 13 * len(stack.member('A')['query_ports'])
    try:
        stack.rows('A', 'ALTER USER hb_query WITH MAX_USER_CONNECTIONS 12')
        code, bad, _ = doctor(stack)
    finally:
        stack.rows('A', 'ALTER USER hb_query WITH MAX_USER_CONNECTIONS %s', given)
    assert code == 1
    assert f'A {stack.active("A")}: hb_query may have 12 connections, its programs open {opened}, and should have {given[0]}' in bad['connections'], bad


@contextlib.contextmanager
def other_secrets(stack, folder, ring, line):
    """hongbao.cfg that names a copy of the secrets, in which a ring has one line only."""
    secrets = folder / 'secrets'
    shutil.copytree(stack.folder / 'secrets', secrets)
    (secrets / f'{ring}.keys').unlink()
    (secrets / f'{ring}.keys').write_text(line + '\n')
    (secrets / f'{ring}.keys').chmod(0o400)
    config = folder / 'hongbao.cfg'
    config.write_text((stack.folder / 'etc/hongbao.cfg').read_text().replace(str(stack.folder / 'secrets'), str(secrets)))
    yield config


def test_a_site_with_other_keys_is_named(stack, tmp_path):
    west = stack.topology['sites'][1]
    with other_secrets(stack, tmp_path, 'session', 'k1 ' + os.urandom(32).hex()) as config:
        site = tmp_path / 'site'
        site.write_text(f'#!/bin/sh\nexec {hb.ROOT}/dev hbctl --config {config} keys here {west["name"]} list\n')
        site.chmod(0o755)
        topology = tmp_path / 'topology.cfg'
        topology.write_text((stack.folder / 'etc/topology.cfg').read_text().replace(west['run'], str(site)))
        mine = tmp_path / 'mine.cfg'
        mine.write_text((stack.folder / 'etc/hongbao.cfg').read_text().replace(str(stack.folder / 'etc/topology.cfg'), str(topology)))
        code, bad, results = doctor(stack, '--config', str(mine))
    assert code == 1 and bad['rings'] == [f'session.keys is another at {west["name"]} than at {stack.topology["sites"][0]["name"]}'], (bad, results)


def test_a_key_is_as_old_as_its_id_says_however_new_the_file(stack, tmp_path):
    made, id = int(time.time()) - 400 * 86400, ''
    for _ in range(6):
        made, digit = divmod(made, 36)
        id = '0123456789abcdefghijklmnopqrstuvwxyz'[digit] + id
    with other_secrets(stack, tmp_path, 'grant', f'k{id} {os.urandom(32).hex()}') as config:
        _, bad, _ = doctor(stack, '--config', str(config), '--stopped')
    assert bad['rotation'] == [f'grant.keys: the key k{id} is 400 days old, 365 is the limit'], bad


def test_a_ring_s_file_is_as_young_as_the_key_that_signs(stack):
    path, key = stack.folder / 'secrets/grant.keys', []
    run = lambda *words: subprocess.run([hb.ROOT / 'dev', 'hbctl', 'keys', *words, '--reason', 'a test'],  # noqa: E731
                                        env={**os.environ, 'HB_NAME': stack.folder.name}, check=True)
    with age(path, 100):
        old = path.stat().st_mtime
        run('add', 'grant')
        key = path.read_text().splitlines()[-1].split()[0]
        assert path.stat().st_mtime == old
        run('drop', 'grant', key, '--confirm', key)
        assert path.stat().st_mtime == old


def test_before_the_start_a_port_that_somebody_has_is_named(stack):
    code, bad, results = doctor(stack, '--stopped')
    port = stack.member('A')['core_ports'][0]
    assert code == 1 and [f for f in bad['ports'] if f'127.0.0.1:{port} (hb-core 1 of A ' in f and 'is taken' in f], bad
    assert 'mariadb' not in results


def test_without_a_configuration_nothing_else_is_looked_at(stack, tmp_path):
    config = tmp_path / 'hongbao.cfg'
    config.write_text((stack.folder / 'etc/hongbao.cfg').read_text() + 'nonsense = 1;\n')
    done = subprocess.run([hb.ROOT / 'dev', 'hbctl', '--config', config, 'doctor'], capture_output=True, text=True,
                          env={**os.environ, 'HB_NAME': stack.folder.name})
    assert done.returncode == 1 and f'{config}:' in done.stdout and 'there is no option nonsense' in done.stdout, done
    assert done.stdout.count('without a configuration') == 23, done.stdout
