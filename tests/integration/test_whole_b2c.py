"""The way of b2c money over both cells, to the fen: a rain's win is sent before its message is handled, users of the other cell open it,
and what they got is in their wallets."""
import pytest

import audit
import b2c

PRIZE = 1000


@pytest.fixture(scope='module')
def rain(stack):
    """A campaign of which every draw wins PRIZE, in both cells."""
    campaign = b2c.Campaign(stack, leased=0, prize=PRIZE)
    for uid in (24001, 24501):
        stack.wait(lambda uid=uid: stack.call('GET', f'/v1/rain/{campaign.name}', uid).status == 200, 'hb-rain knows the campaign')
    return campaign


@pytest.mark.parametrize('winner, openers', [(24001, (24502, 24503, 24504)), (24501, (24002, 24003, 24004))])
def test_draw_send_before_the_message_open_elsewhere_credited(stack, rain, winner, openers):
    cell = stack.cell_of(winner)
    stack.sv('force-stop', f'{cell}-worker-subsidy')
    try:
        drawn = stack.call('POST', f'/v1/rain/{rain.name}/draw', winner).json
        assert drawn['outcome'] == 'won' and drawn['subsidy']['amount']['amount'] == PRIZE, drawn
        token = drawn['subsidy']['token']
        listed = b2c.listed(stack, winner)
        one, = [s for s in listed['data'] if s['subsidy_id'] == drawn['subsidy']['subsidy_id']]
        assert (one['source'], one['state'], one['amount']['amount']) == ('token', 'usable', PRIZE), listed
        assert b2c.rows(stack, winner) == ()
        sent = b2c.send(stack, winner, subsidy_token=token, count=len(openers))
        assert sent.status == 201 and sent.json['packet']['state'] == 'open', sent
        packet = sent.json['packet']['id']
        assert b2c.send(stack, winner, subsidy_token=token).code == 'SUBSIDY_SPENT'
        before = {uid: stack.balance(uid) for uid in openers}
        won = {}
        for uid in openers:
            assert stack.cell_of(uid) != cell
            answer = stack.claim_until(uid, packet).json
            assert answer['outcome'] == 'claimed', answer
            won[uid] = answer['claim']['amount']['amount']
        assert sum(won.values()) == PRIZE
        for uid, fen in won.items():
            stack.wait(lambda uid=uid, fen=fen: stack.balance(uid) == before[uid] + fen, 'it is in the wallet')
    finally:
        stack.sv('up', f'{cell}-worker-subsidy')
    # The message of the win comes to what is spent already.
    stack.wait(lambda: b2c.queued(stack, cell) == 0, 'the message is handled')
    (row,) = b2c.rows(stack, winner)
    assert (row[0], row[2], row[3], row[4]) == (int(drawn['subsidy']['subsidy_id']), PRIZE, 2, int(packet))
    one, = b2c.listed(stack, winner)['data']
    assert (one['source'], one['state'], one['packet_id']) == ('record', 'spent', packet)
    stack.wait(lambda: not audit.audit(stack, [packet]), f'the books agree: {audit.audit(stack, [packet])}')
