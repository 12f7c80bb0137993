"""hbctl trace: one envelope's story over both cells, by its number or that of any order of it."""
import json
import os
import subprocess

import hb


def trace(stack, number, *more):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', 'trace', str(number), *more],
                          env={**os.environ, 'HB_NAME': stack.folder.name}, capture_output=True, text=True)


def test_one_envelope_over_both_cells(stack):
    packet = stack.open_packet(1001, 1000, 2)
    claims = [stack.claim_until(uid, packet).json['claim'] for uid in (1002, 1502)]
    for uid in (1002, 1502):
        stack.wait(lambda: stack.claim(uid, packet).json['claim']['transfer_state'] == 'done', 'it is paid')
    stack.wait(lambda: stack.rows('B', 'SELECT 1 FROM received WHERE uid = 1502 AND claim_no = %s', (claims[1]['claim_no'],)), 'it is in the list')
    done = trace(stack, packet)
    assert done.returncode == 0, done
    story = json.loads(done.stdout)
    assert [m['at'] for m in story] == sorted(m['at'] for m in story)
    kinds = [(m['kind'], m['cell'], m['state']) for m in story]
    assert ('packet', 'A', 'exhausted') in kinds and ('payment', 'A', 'paid') in kinds
    assert sorted(m['number'] for m in story if m['kind'] == 'claim') == sorted(c['claim_no'] for c in claims)
    assert sorted((m['number'], m['amount']) for m in story if m['kind'] == 'transfer' and m['state'] == 'done') == \
        sorted((c['claim_no'], c['amount']['amount']) for c in claims)
    assert ('received', 'B') in [(m['kind'], m['cell']) for m in story if m['uid'] == '1502']
    assert any(m['kind'] == 'callback' and m['detail'] != 'not handled' for m in story)
    stack.wait(lambda: any(m['kind'] == 'log' and f'POST /v1/packets/{packet}/claim' in m['detail']
                           for m in json.loads(trace(stack, packet).stdout)), 'nginx has written the requests, with their ids')
    by_claim = json.loads(trace(stack, claims[1]['claim_no'], '--no-logs').stdout)
    assert [m for m in story if m['kind'] != 'log'] == by_claim


def test_what_is_not_there(stack):
    assert trace(stack, 999999999001, '--no-logs').returncode == 1
    assert trace(stack, 'x').returncode == 2
