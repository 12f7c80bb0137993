import { h } from './dom.js';
import { commitment, seedHash, shares } from './fairness.js';

const form = document.getElementById('form');
const result = document.getElementById('result');
const yuan = (fen) => `¥${fen / 100n}.${String(fen % 100n).padStart(2, '0')}`;

async function verify() {
	const value = (name) => form.elements[name].value.trim();
	const input = {
		seed: value('seed'), packet: value('packet'), total: value('total'), count: Number(value('count')),
		split: value('split'), nonce: form.elements.nonce.value,
	};
	result.hidden = false;
	try {
		const fen = await shares(input);
		const hash = await seedHash(input.seed);
		const early = value('hash').toLowerCase();
		const same = await commitment(input) === value('commitment').toLowerCase() && (!early || early === hash);
		result.replaceChildren(
			h(same ? 'p.ok' : 'p.bad', { 'data-verdict': same ? 'ok' : 'mismatch' },
				same ? '✓ 与承诺一致 The commitment matches' : '✗ 与承诺或种子哈希不符 It does not match the commitment or the seed hash'),
			h('p.soft', {}, '种子哈希 Seed hash'), h('p.mono', { 'data-seed-hash': '' }, hash),
			h('ol', { 'data-shares': fen.join(',') }, fen.map((amount) => h('li.money', {}, yuan(amount)))));
	} catch {
		result.replaceChildren(h('p.bad', { 'data-verdict': 'invalid' }, '输入无效 The input is not valid'));
	}
}

form.addEventListener('submit', async (e) => {
	e.preventDefault();
	await verify();
	result.scrollIntoView({ block: 'nearest' });
});
const given = new URLSearchParams(location.hash.slice(1));
for (const [name, value] of given)
	if (form.elements[name])
		form.elements[name].value = value;
if (/^\d+$/.test(given.get('packet') || ''))
	document.getElementById('back').href = `/#/packet/${given.get('packet')}/details`;
if (given.get('seed'))
	verify();
