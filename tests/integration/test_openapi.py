"""docs/openapi.yaml is sound, covers the routes, and real answers fit it."""
import re
import time

import jsonschema
import pytest
import yaml

import b2c
import hb
from test_subsidies import order as partner_order

DOC = yaml.safe_load((hb.ROOT / 'docs/openapi.yaml').read_text())
METHODS = ('get', 'post', 'put', 'delete', 'patch')


def resolve(node):
    while isinstance(node, dict) and '$ref' in node:
        target = DOC
        for part in node['$ref'].removeprefix('#/').split('/'):
            target = target[part]
        node = target
    return node


def walk(node, path='#'):
    yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from walk(value, f'{path}/{key}')


def operations():
    for path, item in DOC['paths'].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def fits(answer, method, path):
    """The answer is one that the document describes, body, type and headers."""
    operation = DOC['paths'][path][method]
    response = resolve(operation['responses'].get(str(answer.status)) or operation['responses']['default'])
    for name, header in response.get('headers', {}).items():
        if resolve(header).get('required'):
            assert name.lower() in answer.headers, name
    kinds = response.get('content')
    if not kinds:
        assert answer.body == b''
        return
    kind = answer.headers['content-type'].split(';')[0]
    assert kind in kinds, (kind, list(kinds))
    schema = {**kinds[kind]['schema'], 'components': DOC['components']}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(answer.json)


def test_references_resolve_and_schemas_are_schemas():
    for path, node in walk(DOC):
        if isinstance(node, dict) and '$ref' in node:
            assert resolve(node) is not None, path
    for name, schema in DOC['components']['schemas'].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert 'required' in schema or schema.get('type') != 'object', name


def test_operations_have_ids_responses_and_their_path_parameters():
    ids = [o['operationId'] for _, _, o in operations()]
    assert len(ids) == len(set(ids))
    for _, path, operation in operations():
        assert 'default' in operation['responses'], path
        named = {resolve(p)['name'] for p in operation.get('parameters', []) if resolve(p)['in'] == 'path'}
        assert named == set(re.findall(r'{(\w+)}', path)), path


def test_the_document_and_the_route_table_name_the_same_routes():
    rows = re.findall(r'^ROUTE\(\w+,\s+"(\w+)",\s+"([^"]+)"', (hb.ROOT / 'lib/domain/routes.def').read_text(), re.M)
    ours = {(method.lower(), re.sub(r'{\w+}', '{}', path)) for method, path in rows if not path.startswith('/internal/')}
    assert ours == {(method, re.sub(r'{\w+}', '{}', path)) for method, path, _ in operations()}


@pytest.fixture(scope='module')
def story(stack):
    """One envelope's answers by operation, good and bad."""
    me, you, run = 1901, 1902, f'{time.time_ns():x}'
    call, seen = stack.call, []

    def note(method, path, answer):
        seen.append((method, path, answer))
        return answer

    note('post', '/v1/demo/login', stack.http.call('POST', '/v1/demo/login', {'uid': str(me)}))
    note('post', '/v1/demo/login', stack.http.call('POST', '/v1/demo/login', {'uid': 1}))
    note('get', '/v1/me/seed', call('GET', '/v1/me/seed', me))
    note('get', '/v1/rain', call('GET', '/v1/rain', me))
    note('post', '/v1/packets', stack.send(me, 5, 10))
    made = note('post', '/v1/packets', stack.send(me, 1000, 3, key=f'openapi-story-{run}', scope='public', client_nonce='n'))
    note('post', '/v1/packets', stack.send(me, 1000, 3, key=f'openapi-story-{run}', scope='public', client_nonce='n'))
    packet, order = made.json['packet']['id'], made.json['payment']['order_no']
    note('get', '/v1/packets/{id}', call('GET', f'/v1/packets/{packet}', me))
    note('get', '/v1/packets/{id}', call('GET', f'/v1/packets/{packet}', me))
    note('get', '/v1/payments/{order_no}', call('GET', f'/v1/payments/{order}', me))
    note('get', '/v1/payments/{order_no}', call('GET', f'/v1/payments/{order}', you))
    note('post', '/v1/packets/{id}/claim', stack.claim(you, packet))
    stack.pay(made.json['payment']['cashier_url'])
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    note('get', '/v1/packets/{id}/fairness', call('GET', f'/v1/packets/{packet}/fairness', me))
    for uid in (you, 1903, 1904, you, 1905):
        note('post', '/v1/packets/{id}/claim', stack.claim(uid, packet))
    note('put', '/v1/packets/{id}/video', call('PUT', f'/v1/packets/{packet}/video', me, {'video_id': 'v1'}))
    note('put', '/v1/packets/{id}/video', call('PUT', f'/v1/packets/{packet}/video', me, {'video_id': 'v2'}))
    time.sleep(1)
    for uid in (me, you, 1905):
        note('get', '/v1/packets/{id}', call('GET', f'/v1/packets/{packet}', uid))
        note('get', '/v1/packets/{id}/claims', call('GET', f'/v1/packets/{packet}/claims?limit=2', uid))
        note('get', '/v1/packets/{id}/fairness', call('GET', f'/v1/packets/{packet}/fairness', uid))
    note('get', '/v1/payments/{order_no}', call('GET', f'/v1/payments/{order}', me))
    note('get', '/v1/me/sent', call('GET', '/v1/me/sent?limit=1', me))
    note('get', '/v1/me/received', call('GET', '/v1/me/received', you))
    campaign = b2c.Campaign(stack)
    for body in (partner_order(f'openapi-{campaign.number}', me, campaign=campaign.name),) * 2 + ({},):
        note('post', '/v1/partner/subsidies', b2c.partner(stack, body))
    win = campaign.win(me, k=next(b2c.Campaign.draws))
    b2c.publish(stack, [win])
    note('get', '/v1/me/subsidies', call('GET', '/v1/me/subsidies', me))
    note('post', '/v1/packets', b2c.send(stack, me, subsidy_token=b2c.seal(stack, win)))
    note('get', '/v1/me/subsidies', call('GET', '/v1/me/subsidies', me))
    for name in ('always', 'every-minute', 'none'):
        note('get', '/v1/rain/{campaign}', call('GET', f'/v1/rain/{name}', me))
        for body in (None, {'draw': 0}, {'draw': 99}):
            note('post', '/v1/rain/{campaign}/draw', call('POST', f'/v1/rain/{name}/draw', me, body))
    envelope, had = b2c.packet(campaign, me, 500, 1), stack.balance(you)
    note('post', '/v1/packets/{id}/claim', stack.claim(you, envelope))
    stack.wait(lambda: stack.balance(you) >= had + 500, 'the claim is in the wallet')
    note('post', '/v1/packets/{id}/claim', stack.claim(you, envelope))
    for fen, key in ((1, 'small'), (10 ** 6, 'large'), (300, 'good'), (300, 'good')):
        taken = note('post', '/v1/me/withdrawals', stack.withdraw(you, fen, f'openapi-{key}-{run}'))
    withdrawal = taken.json['order_no']
    for uid in (me, you):
        note('get', '/v1/me/withdrawals/{order_no}', call('GET', f'/v1/me/withdrawals/{withdrawal}', uid))
    note('get', '/v1/me/withdrawals', call('GET', '/v1/me/withdrawals?limit=1', you))
    note('get', '/v1/me/wallet', call('GET', '/v1/me/wallet?limit=1', you))
    note('get', '/v1/me/wallet', call('GET', '/v1/me/wallet?limit=0', you))
    note('post', '/v1/callbacks/finance/{order_no}', stack.http.call('POST', f'/v1/callbacks/finance/{order}', {}))
    return seen


@pytest.mark.parametrize('operation', [o['operationId'] for _, _, o in operations()])
def test_real_answers_fit(story, operation):
    answers = [(m, p, a) for m, p, a in story if DOC['paths'][p][m]['operationId'] == operation]
    assert answers
    for method, path, answer in answers:
        fits(answer, method, path)
