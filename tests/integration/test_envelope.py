"""A whole c2c envelope through the front door: sent, paid, opened by users of both cells, transferred, refunded."""
import hashlib
import time

import audit

SENDER_A, SENDER_B = 1001, 1501


def received(stack, uid, packet):
    return [r for r in stack.call('GET', '/v1/me/received?limit=100', uid).json['data'] if r['packet_id'] == packet]


def finance_account(stack, uid):
    rows = stack.finance_db().execute("SELECT order_no, amount FROM orders WHERE kind = 'transfer' AND uid = ? AND outcome = 'done'", (uid,))
    return {int(no): amount for no, amount in rows}


def test_an_envelope_is_sent_paid_opened_in_both_cells_and_transferred(stack):
    seed = stack.call('GET', '/v1/me/seed', SENDER_A).json
    made = stack.send(SENDER_A, 10000, 10, greeting='新年快乐', seed_id=seed['seed_id'], client_nonce='my nonce')
    assert made.status == 201, made
    packet = made.json['packet']
    assert packet['state'] == 'unpaid' and made.json['payment']['state'] == 'pending'
    assert packet['id'][-3:] == '001' and packet['id'][-5:-3] == '01'

    order = made.json['payment']['order_no']
    assert stack.call('GET', f'/v1/payments/{order}', SENDER_A).json['state'] == 'pending'
    early = stack.claim(1002, packet['id'])
    assert early.json['outcome'] == 'not_open' and early.json['claim'] is None

    stack.pay(made.json['payment']['cashier_url'])
    stack.wait(lambda: stack.packet_state(packet['id']) == 2, 'the packet is open')
    stack.wait(lambda: stack.call('GET', f'/v1/payments/{order}', SENDER_A).json.get('state') == 'paid', 'the payment shows paid', pause=0.6)

    users = [1002, 1003, 1004, 1005, 1006, 1502, 1503, 1504, 1505, 1506]
    amounts = {}
    for n, uid in enumerate(users):
        answer = stack.claim(uid, packet['id'])
        assert answer.status == 200 and answer.json['outcome'] == 'claimed', answer
        assert answer.json['remaining_count'] == 9 - n and answer.json['claim']['index'] == n
        amounts[uid] = answer.json['claim']['amount']['amount']
        again = stack.claim(uid, packet['id'])
        assert again.json['outcome'] == 'already_claimed'
        for field in ('claim_no', 'amount', 'index', 'claimed_at'):
            assert again.json['claim'][field] == answer.json['claim'][field]
    assert sum(amounts.values()) == 10000 and min(amounts.values()) >= 1
    late = stack.claim(1007, packet['id'])
    assert late.json['outcome'] == 'exhausted' and late.json['remaining_count'] == 0

    cover = stack.call('GET', f'/v1/packets/{packet["id"]}', 1502).json
    assert cover['packet']['state'] == 'exhausted' and cover['packet']['claimed_count'] == 10 and cover['sender']['uid'] == '1001'
    assert cover['my_claim']['amount']['amount'] == amounts[1502]

    page = stack.call('GET', f'/v1/packets/{packet["id"]}/claims?limit=4', 1503).json
    rows = page['data']
    while page['next_cursor']:
        page = stack.call('GET', f'/v1/packets/{packet["id"]}/claims?limit=4&cursor={page["next_cursor"]}', 1503).json
        rows += page['data']
    assert [(int(r['uid']), r['amount']['amount']) for r in rows] == list(amounts.items())
    assert [r['luckiest'] for r in rows].count(True) == 1
    assert max(rows, key=lambda r: r['amount']['amount'])['amount'] == next(r for r in rows if r['luckiest'])['amount']
    assert stack.call('GET', f'/v1/packets/{packet["id"]}/claims', 1007).status == 403

    fair = stack.call('GET', f'/v1/packets/{packet["id"]}/fairness', SENDER_A).json
    assert fair['revealed'] and fair['commitment'] == packet['commitment'] and fair['client_nonce'] == 'my nonce'
    assert hashlib.sha256(b'hb-seed-1' + bytes.fromhex(fair['seed'])).hexdigest() == seed['seed_hash']
    assert [s['amount'] for s in fair['shares']] == list(amounts.values())

    for uid in users:
        rows = stack.wait(lambda uid=uid: received(stack, uid, packet['id']), f'{uid} sees it among the received')
        assert rows[0]['amount']['amount'] == amounts[uid]
        claim_no = int(rows[0]['claim_no'])
        stack.wait(lambda: finance_account(stack, uid).get(claim_no) == amounts[uid], 'the amount is at finance')
    stack.wait(lambda: stack.claim(1002, packet['id']).json['claim']['transfer_state'] == 'done', 'the transfer shows done')
    stack.wait(lambda: not audit.audit(stack, [packet['id']]), f'the books agree: {audit.audit(stack, [packet["id"]])}')
    assert packet['id'] in [p['id'] for p in stack.call('GET', '/v1/me/sent', SENDER_A).json['data']]


def test_the_unopened_rest_comes_back_after_expiry(stack):
    packet = stack.open_packet(SENDER_B, 5000, 5, split='equal')
    for uid in (1002, 1503):
        assert stack.claim(uid, packet).json['claim']['amount']['amount'] == 1000
    stack.rows(stack.cell_of(packet), 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (int(time.time() * 1000), packet))
    assert stack.claim(1003, packet).json['outcome'] == 'expired'
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet is closed')
    assert stack.rows(stack.cell_of(packet), 'SELECT amount, payee FROM refund WHERE packet_id = %s', (packet,)) == ((3000, SENDER_B),)
    assert stack.call('GET', f'/v1/packets/{packet}', SENDER_B).json['packet']['state'] == 'closed'
    assert stack.claim(1002, packet).json['outcome'] == 'already_claimed'
    assert stack.claim(1003, packet).json['outcome'] == 'expired'
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree')


def test_equal_shares_differ_by_at_most_a_fen(stack):
    packet = stack.open_packet(SENDER_A, 1003, 4, split='equal')
    got = sorted(stack.claim(uid, packet).json['claim']['amount']['amount'] for uid in (1010, 1011, 1012, 1013))
    assert got == [250, 251, 251, 251]


def test_a_payment_that_never_comes_closes_the_packet(stack):
    made = stack.send(SENDER_A, 100, 1).json
    order, packet = made['payment']['order_no'], made['packet']['id']
    stack.rows('A', 'UPDATE payment SET expires_at = %s, next_check_at = 0 WHERE order_no = %s', (int(time.time() * 1000), order))
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet is closed')
    assert stack.call('GET', f'/v1/payments/{order}', SENDER_A).json['state'] == 'closed'
    assert stack.claim(1002, packet).json['outcome'] == 'not_open'


def test_only_the_invited_may_open(stack):
    packet = stack.open_packet(SENDER_A, 300, 3, scope='invited', invited=['1002', '1502'])
    assert stack.claim(1003, packet).json['outcome'] == 'not_eligible'
    assert stack.claim(1002, packet).json['outcome'] == 'claimed'
    assert stack.claim(1502, packet).json['outcome'] == 'claimed'
    assert stack.claim(SENDER_A, packet).json['outcome'] == 'claimed'


def test_friends_and_fans_need_a_grant_of_the_host_app(stack):
    friends = stack.open_packet(SENDER_A, 300, 3, scope='friends')
    fans = stack.open_packet(SENDER_A, 300, 3, scope='fans')
    friend, fan = (stack.grant(1002, SENDER_A, 'friend'), stack.grant(1502, SENDER_A, 'fan'))
    assert stack.claim(1002, friends).json['outcome'] == 'not_eligible'
    assert stack.claim(1502, friends, {'relation_grant': fan}).json['outcome'] == 'not_eligible'
    assert stack.claim(1002, friends, {'relation_grant': friend}).json['outcome'] == 'claimed'
    assert stack.claim(1502, fans, {'relation_grant': fan}).json['outcome'] == 'claimed'
    assert stack.claim(1002, fans, {'relation_grant': friend}).json['outcome'] == 'claimed'
    for bad in (friend, stack.grant(1003, 1004, 'friend'), stack.grant(1003, SENDER_A, 'friend', time.time() - 5), 'x', '', 'x' * 5000, friend[:-3] + 'AAA'):
        answer = stack.claim(1003, friends, {'relation_grant': bad})
        assert (answer.status, answer.code) == (422, 'TOKEN_INVALID'), answer
        again = stack.claim(1002, friends, {'relation_grant': bad if bad != friend else stack.grant(1002, SENDER_A, 'friend', time.time() - 5)})
        assert (again.status, again.json['outcome']) == (200, 'already_claimed'), again  # the claim is there, whatever the grant is by now


def test_the_video_is_bound_once(stack):
    packet = stack.open_packet(SENDER_A, 100, 1)
    path = f'/v1/packets/{packet}/video'
    assert stack.call('PUT', path, 1002, {'video_id': 'v-1'}).status == 403
    assert stack.call('PUT', path, SENDER_A, {'video_id': 'v-1'}).json['packet']['video_id'] == 'v-1'
    assert stack.call('PUT', path, SENDER_A, {'video_id': 'v-1'}).status == 200
    other = stack.call('PUT', path, SENDER_A, {'video_id': 'v-2'})
    assert (other.status, other.code) == (409, 'VIDEO_ALREADY_BOUND')


def test_waiting_clients_are_told_when_to_ask_again(stack):
    made = stack.send(SENDER_A, 100, 1).json
    for path in (f'/v1/packets/{made["packet"]["id"]}', f'/v1/payments/{made["payment"]["order_no"]}'):
        told = []
        for _ in range(3):
            answer = stack.call('GET', path, SENDER_A)
            assert answer.status == 200, answer
            told.append(answer.json['poll_after_ms'])
            time.sleep(told[-1] / 1000)
        assert told == sorted(told) and told[-1] > told[0]
        hasty = [stack.call('GET', path, SENDER_A) for _ in range(30)]  # a few are answered; who goes on is not
        assert [a.status for a in hasty[:10]] == [200] * 10, hasty
        assert (hasty[-1].status, hasty[-1].code) == (429, 'RATE_LIMITED') and int(hasty[-1].headers['retry-after']) >= 1


def test_a_stranger_sees_that_a_packet_is_unpaid_and_no_more(stack):
    made = stack.send(SENDER_A, 100, 1).json
    packet = f'/v1/packets/{made["packet"]["id"]}'
    cover = stack.call('GET', packet, 1002)
    assert (cover.status, cover.json['packet']['state'], cover.json['my_claim']) == (200, 'unpaid', None), cover
    assert stack.claim(1002, made['packet']['id']).json['outcome'] == 'not_open'
    for method, path, body in (('GET', f'{packet}/claims', None), ('GET', f'{packet}/fairness', None), ('PUT', f'{packet}/video', {'video_id': 'v'}),
                               ('GET', f'/v1/payments/{made["payment"]["order_no"]}', None)):
        answer = stack.call(method, path, 1002, body)
        assert (answer.status, answer.code) == (403, 'FORBIDDEN'), (path, answer)


def test_lists_go_on_by_cursor_and_refuse_a_forged_one(stack):
    uid = 1077
    ids = [stack.send(uid, 100, 1).json['packet']['id'] for _ in range(5)]
    first = stack.call('GET', '/v1/me/sent?limit=3', uid).json
    second = stack.call('GET', f'/v1/me/sent?limit=3&cursor={first["next_cursor"]}', uid).json
    seen = [p['id'] for p in first['data'] + second['data']]
    assert seen[:5] == ids[::-1]
    for cursor, who in ((first['next_cursor'][:-4] + 'AAAA', uid), (first['next_cursor'], 1078), ('%21', uid)):
        answer = stack.call('GET', f'/v1/me/sent?limit=3&cursor={cursor}', who)
        assert (answer.status, answer.code) == (400, 'CURSOR_INVALID'), (cursor, answer)


def test_late_comers_are_answered_without_the_database(stack):
    packet = stack.open_packet(SENDER_A, 900, 3)
    won = {uid: stack.claim(uid, packet).json['claim'] for uid in (1002, 1502, 1003)}
    late = stack.claim(1004, packet).json  # the first who comes too late: the packet is learnt
    stack.wait(lambda: all(stack.claim(uid, packet).json['claim']['transfer_state'] == 'done' for uid in won), 'the transfers are done')
    with stack.db('A') as db, db.cursor() as cursor:
        db.begin()
        cursor.execute('SELECT * FROM packet WHERE packet_id = %s FOR UPDATE', (packet,))
        cursor.execute('SELECT * FROM claim WHERE packet_id = %s FOR UPDATE', (packet,))
        before = time.monotonic()
        for uid, claim in won.items():
            answer = stack.claim(uid, packet).json
            assert answer['outcome'] == 'already_claimed' and answer['claim'] == {**claim, 'transfer_state': 'done'}
        assert {k: v for k, v in stack.claim(1005, packet).json.items()} == late
        assert time.monotonic() - before < 1, 'the locked rows were waited for'
        db.rollback()
    # A restarted process knows nothing and says the same.
    for service in ('A-core-1', 'A-core-2'):
        stack.sv('restart', service)
    for uid, claim in won.items():
        answer = stack.claim_until(uid, packet).json
        assert answer['outcome'] == 'already_claimed' and answer['claim'] == {**claim, 'transfer_state': 'done'}
    assert stack.claim_until(1006, packet).json == late
