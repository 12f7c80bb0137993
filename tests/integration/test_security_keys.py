"""Keys are rotated while everything runs: nobody is logged out, nothing is restarted, and the old key ends when its time is over (hbctl keys)."""
import json
import os
import re
import stat
import subprocess
import threading
import time

import b2c
import hb

ME = 20401


def hbctl(stack, *args):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', *args], capture_output=True, text=True, env={**os.environ, 'HB_NAME': stack.folder.name})


def done(stack, *args):
    out = hbctl(stack, *args)
    assert out.returncode == 0, (args, out.stdout, out.stderr)
    return out.stdout


def keys_of(stack, ring):
    return [line.split() for line in (stack.folder / f'secrets/{ring}.keys').read_text().splitlines()]


def listed(stack, ring):
    rings = [r for r in json.loads(done(stack, '-o', 'json', 'keys', 'list'))[0]['rings'] if r['ring'] == ring]
    return {k['id']: k for k in rings[0]['keys']}, rings[0]


def pids(stack):
    return {s.name: stack.pid(s.name) for s in (stack.folder / 'sv').iterdir() if '-core-' in s.name or '-query-' in s.name}


def asked(stack, token):
    return stack.http.call('GET', '/v1/me/sent', token=token).status


def test_sessions_outlive_a_rotation_and_the_old_key_ends_in_time(stack):
    old, before, began = stack.mint(ME), pids(stack), keys_of(stack, 'session')
    seen, stop = [], threading.Event()
    logs = {p: p.stat().st_size for kind in ('core', 'query', 'rain') for p in stack.folder.glob(f'log/[AB]-{kind}-*/current')}

    def people(me):
        """Those who were here before, and those who come meanwhile, at both cells."""
        before = {uid: stack.mint(uid) for uid in (me, me + 500)}
        while not stop.is_set():
            for uid in before:
                login = stack.http.call('POST', '/v1/demo/login', {'uid': str(uid)})
                seen.extend((login.status, asked(stack, login.json['token']), asked(stack, before[uid])))
                stop.wait(0.1)  # below what docs/capacity.md lets a user do
    crowd = [threading.Thread(target=people, args=(ME + i,)) for i in range(3)]
    for t in crowd:
        t.start()
    try:
        said = done(stack, 'keys', 'rotate', 'session', '--reason', 'a test', '--keep', '3s')
    finally:
        stop.set()
        for t in crowd:
            t.join()
    assert len(seen) > 20 and set(seen) == {200}
    new = keys_of(stack, 'session')
    for path, size in logs.items():  # nobody signed with it before everybody had it
        with path.open() as f:
            f.seek(size)
            rows = [json.loads(line) for line in f if '"keys.applied"' in line and '/session.keys"' in line]
        assert [r['signs'] for r in rows][:2] == [began[0][0], new[0][0]], path
    assert new[0][0] in said and new[0][0] != began[0][0] and new[1][:2] == began[0][:2] and re.fullmatch(r'until:\d+', new[1][-1])
    assert stat.S_IMODE((stack.folder / 'secrets/session.keys').stat().st_mode) == 0o400
    by_id, ring = listed(stack, 'session')
    assert by_id[new[0][0]]['signs'] and not by_id[began[0][0]]['signs'] and ring['behind'] == 0 and ring['programs'] > 20
    assert stack.http.call('POST', '/v1/demo/login', {'uid': str(ME)}).json['token'].split('.')[3] == new[0][0]
    stack.wait(lambda: asked(stack, old) == 401, 'the old key ends')
    assert asked(stack, stack.mint(ME)) == 200 and pids(stack) == before
    stack.tokens.clear()
    audit = done(stack, 'audit', 'tail', '4')
    assert 'keys rotate' in audit and new[0][0] in audit and not [k for k in new if k[1] in audit + said]
    assert hbctl(stack, 'audit', 'verify').returncode == 0


def test_what_was_sealed_and_signed_before_is_good_afterwards(stack):
    packet = stack.open_packet(ME, 500, 5)
    mine = stack.call('GET', '/v1/me/sent?limit=1', ME).json['next_cursor']
    was = keys_of(stack, 'seal')[0][0]
    path = stack.folder / 'secrets/internal.keys'
    os.chown(path, os.getuid(), 1 if os.getuid() == 0 else -1)
    owner = path.stat()
    done(stack, 'keys', 'rotate', 'seal', '--reason', 'a test')
    done(stack, 'keys', 'rotate', 'internal', '--reason', 'a test', '--keep', '1h')
    assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid)
    assert [k[0] for k in keys_of(stack, 'seal')][1] == was and not keys_of(stack, 'seal')[1][2:]
    assert stack.claim(ME + 1, packet).json['outcome'] == 'claimed'
    if mine:
        assert stack.call('GET', f'/v1/me/sent?cursor={mine}', ME).status == 200
    later = stack.open_packet(ME, 500, 5)
    assert stack.claim(ME + 1, later).json['outcome'] == 'claimed'
    refused = hbctl(stack, 'keys', 'drop', 'seal', was, '--reason', 'a test', '--confirm', was)
    assert refused.returncode == 3 and was in [k[0] for k in keys_of(stack, 'seal')]


def test_finance_has_the_new_key_before_it_signs(stack):
    assert hbctl(stack, 'keys', 'rotate', 'finance', '--reason', 'a test').returncode == 3
    done(stack, 'keys', 'add', 'finance', '--reason', 'a test')
    fresh = keys_of(stack, 'finance')[-1][0]
    log = stack.folder / 'log/finance-sim/current'
    stack.wait(lambda: any('"keys.applied"' in line and f'"keys":{len(keys_of(stack, "finance"))}' in line for line in log.read_text().splitlines()[-20:]),
               'finance has it')
    assert keys_of(stack, 'finance')[0][0] != fresh
    done(stack, 'keys', 'use', 'finance', fresh, '--reason', 'a test', '--keep', '1h')
    assert keys_of(stack, 'finance')[0][0] == fresh
    # Our call is signed with it, and so is finance's callback, which opens the packet.
    refused = stack.metric('hb_finance_callbacks_total', result='refused')
    stack.open_packet(ME, 500, 5)
    assert stack.metric('hb_finance_callbacks_total', result='refused') == refused


def test_a_partner_s_lost_key_is_worth_nothing_at_once_and_its_new_one_may_what_it_might(stack):
    campaign = b2c.Campaign(stack, budget=100000, leased=0)
    at = b2c.rfc3339(time.time() + 3600)

    def order(n, **more):
        return b2c.partner(stack, {'out_order_no': f'keys-{campaign.number}-{n}', 'uid': str(ME), 'amount': {'amount': 100, 'currency': 'CNY'},
                                   'campaign': campaign.name, 'expires_at': at}, **more)
    lost = keys_of(stack, 'partner.demo')[0]
    assert order(1).status == 201
    done(stack, 'keys', 'add', 'partner.demo', '--reason', 'a test')
    fresh = keys_of(stack, 'partner.demo')[-1]
    assert fresh[2:] == lost[2:]
    done(stack, 'keys', 'use', 'partner.demo', fresh[0], '--reason', 'a test')
    assert order(2).status == 201 and order(3, key=lost[1], kid=lost[0]).status == 201
    assert hbctl(stack, 'keys', 'drop', 'partner.demo', lost[0], '--reason', 'lost').returncode == 3  # without --confirm
    done(stack, 'keys', 'drop', 'partner.demo', lost[0], '--reason', 'lost', '--confirm', lost[0])
    answer = order(4, key=lost[1], kid=lost[0])
    assert (answer.status, answer.code) == (401, 'SIGNATURE_INVALID')
    assert order(5).status == 201


def test_a_partner_is_held_to_its_scopes_and_cannot_be_another(stack):
    """A second partner, good for one campaign; hb-core reads who there is when it starts."""
    its, other = b2c.Campaign(stack, budget=100000, leased=0), b2c.Campaign(stack, budget=100000, leased=0)
    path, key = stack.folder / 'secrets/partner.acme.keys', os.urandom(32).hex()
    at = b2c.rfc3339(time.time() + 3600)
    cores = [(c, f'{c}-core-{i}', p) for c in stack.cells for i, p in enumerate(stack.member(c)['core_ports'], 1)]

    def order(name, campaign, **more):
        return b2c.partner(stack, {'out_order_no': f'scopes-{its.number}', 'uid': str(ME), 'amount': {'amount': 100, 'currency': 'CNY'},
                                   'campaign': campaign.name, 'expires_at': at}, name=name, **more)

    def restart():
        for _, service, port in cores:
            stack.sv('restart', service)
            stack.wait(lambda port=port: hb.listens(port), f'{service} listens')
    path.write_text(f'k1 {key} campaign:{its.name}\n')
    path.chmod(0o400)
    try:
        restart()
        demo, acme = order('demo', its), order('acme', its)
        assert (demo.status, acme.status) == (201, 201), (demo, acme)
        assert demo.json['subsidy_id'] != acme.json['subsidy_id']  # the same number, each its own
        refused = order('acme', other)
        assert (refused.status, refused.code) == (403, 'FORBIDDEN')
        as_demo = order('demo', its, key=key)
        assert (as_demo.status, as_demo.code) == (401, 'SIGNATURE_INVALID')
        # Less by an edit of its file, at once.
        path.with_suffix('.new').write_text(f'k1 {key}\n')
        path.with_suffix('.new').chmod(0o400)
        path.with_suffix('.new').rename(path)
        stack.wait(lambda: order('acme', its).code == 'FORBIDDEN', 'its scope is taken away')
    finally:
        path.unlink()
        restart()
    assert order('acme', its, key=key).code == 'SIGNATURE_INVALID'


def test_a_bad_file_changes_nothing_and_is_told_once(stack):
    path = stack.folder / 'secrets/grant.keys'
    good = path.read_text()
    log = stack.folder / 'log' / stack.service('A-core-1').name / 'current'
    grant = stack.grant(ME, ME + 1, 'friend')
    packet = stack.open_packet(ME + 1, 500, 5, scope='friends')
    try:
        for text, why in (('', 'there is no key'), (good.replace('k', 'K', 1), 'not `<key id>'), (good + 'k9 12\n', '64 hex digits')):
            path.with_suffix('.new').write_text(text)
            path.with_suffix('.new').chmod(0o400)
            told = log.read_text().count('keys.invalid')
            path.with_suffix('.new').rename(path)
            stack.wait(lambda told=told: log.read_text().count('keys.invalid') > told, 'the program says so')
            assert why in log.read_text().splitlines()[-1] or why in log.read_text()[-2000:]
            assert hbctl(stack, 'keys', 'rotate', 'grant', '--reason', 'a test').returncode != 0 and path.read_text() == text
            assert log.read_text().count('keys.invalid') == told + 1
        assert stack.claim(ME, packet, {'relation_grant': grant}).json['outcome'] == 'claimed'
    finally:
        path.with_suffix('.new').write_text(good)
        path.with_suffix('.new').chmod(0o400)
        path.with_suffix('.new').rename(path)
