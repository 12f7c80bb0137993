"""hbctl audit: every change that hbctl makes has its lines, and a log that was written anew is found by a hash that was kept elsewhere."""
import hashlib
import json
import os
import shutil
import subprocess

import hb
import pytest


def hbctl(stack, *words):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', *map(str, words)], env={**os.environ, 'HB_NAME': stack.folder.name}, capture_output=True, text=True)


def log(stack):
    path = stack.folder / 'audit/audit.log'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def since(stack, before, verb):
    """(what, why, outcome) of a verb's lines."""
    return [(row['what'], row['why'], row['outcome']) for row in log(stack)[before:] if row['verb'] == verb]


@pytest.mark.parametrize('words, what', [(('token', 'mint', '--uid', '1001'), '--uid 1001'), (('token', 'grant', '--viewer', '1', '--sender', '2', '--relation', 'fan'),
                                         '--viewer 1 --sender 2 --relation fan'), (('schema', 'apply'), ''), (('cells', 'init'), ''), (('nginx', 'reload'), '')])
def test_what_changes_without_a_reason_is_written_as_it_was_typed(stack, words, what):
    before = len(log(stack))
    done = hbctl(stack, *words)
    assert done.returncode == 0, done
    # A site that is asked to reload writes its own lines, with its name.
    assert [line for line in since(stack, before, ' '.join(words[:2])) if line[0] == what] == [(what, '', 'begun'), (what, '', 'exit 0')]


def test_what_only_looks_is_not_written(stack):
    before = len(log(stack))
    for words in (('cells', 'status'), ('config', 'check'), ('flags', 'list'), ('keys', 'list'), ('audit', 'verify')):
        assert hbctl(stack, *words).returncode == 0, words
    assert len(log(stack)) == before


def test_a_flag_is_written_with_what_it_was_at_each_site(stack):
    before, site = len(log(stack)), stack.topology['sites'][0]['name']
    for words in (('set', 'fairness', 'off', '--percent', '7', '--reason', 'the first'), ('set', 'fairness', 'off', '--percent', '9', '--reason', 'the second'),
                  ('clear', 'fairness', '--reason', 'enough')):
        assert hbctl(stack, 'flags', *words).returncode == 0, words
    here = [what for what, _, outcome in since(stack, before, 'flags here') if what.startswith(f'{site}: fairness: ') and outcome == 'exit 0']
    one, two, three = [tuple(what.split(': ', 2)[2].split(' -> ')) for what in here]
    assert one[0] == 'not there' and 'percent = 7' in one[1] and 'the first' in one[1]
    assert two[0].startswith(one[1].rstrip(';')) and 'percent = 9' in two[1]
    assert three[0].startswith(two[1].rstrip(';')) and three[1] == 'not there'
    assert hbctl(stack, 'audit', 'verify').returncode == 0


def written_anew(path, change):
    """What whoever may write the file can do: every line after the change follows from the one before."""
    previous, out = '0' * 64, []
    for row in map(json.loads, path.read_text().splitlines()):
        change(row)
        del row['hash']
        row['prev'] = previous
        text = json.dumps(row, ensure_ascii=False, separators=(',', ':'))[:-1]
        previous = hashlib.sha256(text.encode()).hexdigest()
        out.append(f'{text},"hash":"{previous}"}}')
    path.write_text('\n'.join(out) + '\n')


def test_a_log_written_anew_is_found_by_a_hash_that_was_kept(stack, tmp_path):
    assert hbctl(stack, 'token', 'mint', '--uid', '4711').returncode == 0
    (tmp_path / 'audit').mkdir()
    path = shutil.copy(stack.folder / 'audit/audit.log', tmp_path / 'audit')
    verify = lambda *more: hbctl(stack, '--state', tmp_path, 'audit', 'verify', *more)  # noqa: E731
    kept = verify().stdout.split()[-1]
    good = verify('--from', kept)
    assert good.returncode == 0 and ', 0 since the kept one, ' in good.stdout, good
    assert verify('--from', 64 * '1').returncode == 10
    written_anew(tmp_path / 'audit/audit.log', lambda row: row.update(what=row['what'].replace('4711', '4712')))
    assert verify().returncode == 0, 'the chain alone cannot tell'
    assert verify('--from', kept).returncode == 10
    os.unlink(path)
    assert verify('--from', kept).returncode == 10
