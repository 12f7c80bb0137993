// The operators' console: what it shows follows what is so, without being asked to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { front, hbctl, ops, phone, picture, problems } from './people.js';

test('the console shows each cell of its site and the flags, and follows them', async () => {
	const page = await phone({ viewport: { width: 1000, height: 900 } });
	await page.goto(`${ops}/`);
	await page.locator('[data-cell="A"][data-state="served"]').waitFor();
	await page.locator('[data-cell="B"][data-state="standby"]').waitFor();
	assert.equal(await page.locator('[data-cell="A"] [data-value="programs_down"]').textContent(), '0');
	await page.locator('[data-cell="A"] [data-value="outbox_rows"]').waitFor();
	await page.getByText('This site is well').waitFor();
	await picture(page, 'console');
	hbctl('flags', 'set', 'fairness', 'off', '--reason', 'the console is watched', '--ttl', '5m');
	try {
		await page.locator('[data-flag="fairness"]', { hasText: 'the console is watched' }).waitFor();
		await page.locator('[data-cell="A"] [data-value="flags_off_percent"].bad', { hasText: 'fairness 100' }).waitFor();
	} finally {
		hbctl('flags', 'clear', 'fairness', '--reason', 'the console was watched');
	}
	await page.locator('[data-flag="fairness"]', { hasText: 'not set' }).waitFor();
	await page.route('**/ops/v1/status', (route) => route.abort());
	await page.getByText('No answer').waitFor();
	await page.context().close();
});

test('no user is shown it', async () => {
	const page = await phone();
	for (const path of ['/console/index.html', '/console/', '/console/console.js', '/ops/v1/status', '/ops/v1/flags'])
		assert.equal((await page.goto(`${front}${path}`)).status(), 404, path);
	await page.context().close();
});

test('no page has had an error or met its policy', () => {
	assert.deepEqual(problems, []);
});
