// The pages as a person uses them, in Chromium, against the running stack (HB_FRONT, HB_FINANCE). Pictures go to HB_PICTURES if it is set.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const front = process.env.HB_FRONT;
const vectors = JSON.parse(readFileSync(new URL('../vectors/fairness.json', import.meta.url)));
let browser;
const problems = [];

before(async () => {
	assert.ok(front, 'HB_FRONT is the address of the front door');
	browser = await chromium.launch({
		executablePath: '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', `--crash-dumps-dir=${mkdtempSync(join(tmpdir(), 'hb-chromium-'))}`],
	});
});
after(() => browser?.close());

async function phone() {
	const context = await browser.newContext({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, reducedMotion: 'reduce', locale: 'zh-CN' });
	const page = await context.newPage();
	page.on('pageerror', (error) => problems.push(String(error)));
	page.on('console', (message) => {
		if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
			problems.push(message.text());
	});
	return page;
}

async function login(uid) {
	const page = await phone();
	await page.goto(`${front}/`);
	await page.getByRole('button', { name: String(uid), exact: true }).click();
	await page.getByRole('link', { name: '发红包' }).waitFor();
	return page;
}

const picture = async (page, name) => {
	if (process.env.HB_PICTURES)
		await page.screenshot({ path: join(process.env.HB_PICTURES, `${name}.png`) });
};

async function open(page, id) {
	await page.goto(`${front}/#/packet/${id}`);
	await page.getByRole('button', { name: '拆红包' }).click();
	return Number(await page.locator('[data-amount]').getAttribute('data-amount'));
}

test('an envelope of 100 yuan in 10 lucky shares, from the send to the transfer', async () => {
	const sender = await login(1001);
	await picture(sender, 'home');
	await sender.getByRole('link', { name: '发红包' }).click();
	await sender.getByLabel('祝福语').fill('新年快乐，万事如意');
	await picture(sender, 'send');
	await sender.getByRole('button', { name: '塞钱进红包' }).click();
	await sender.waitForURL((url) => url.href.startsWith(process.env.HB_FINANCE));
	await picture(sender, 'cashier');
	await sender.getByRole('button', { name: /支付/ }).click();
	await sender.waitForURL(/#\/packet\/\d+$/);
	const id = sender.url().match(/(\d+)$/)[1];
	await sender.getByRole('button', { name: '拆红包' }).waitFor();
	await picture(sender, 'cover');

	const amounts = [];
	for (const uid of [1002, 1502, 1003, 1503, 1004, 1504, 1501, 1005, 1505]) {
		const page = await login(uid);
		amounts.push(await open(page, id));
		if (uid === 1502) {
			await page.locator('[data-transfer="done"]').waitFor();
			await picture(page, 'result');
		}
		await page.context().close();
	}
	amounts.push(await open(sender, id));
	assert.equal(amounts.reduce((a, b) => a + b), 10000);

	await sender.goto(`${front}/#/packet/${id}/details`);
	await sender.locator('[data-claims] li').nth(9).waitFor();
	assert.equal(await sender.locator('.badge').count(), 1);
	await picture(sender, 'details');
	await sender.getByRole('link', { name: '在浏览器中验证' }).click();
	await sender.locator('[data-verdict="ok"]').waitFor();
	assert.equal(await sender.locator('[data-shares]').getAttribute('data-shares'), amounts.join(','));
	await picture(sender, 'verify');

	const late = await login(1006);
	await late.goto(`${front}/#/packet/${id}`);
	await late.getByText('手慢了，红包派完了').waitFor();
	await picture(late, 'exhausted');
	await sender.context().close();
	await late.context().close();
});

test('the received envelope stands in the list, in English as well', async () => {
	const page = await login(1502);
	await page.locator('[data-list="received"] a.row').first().waitFor();
	await page.getByRole('button', { name: 'English' }).click();
	await page.getByRole('heading', { name: 'Received' }).waitFor();
	await page.context().close();
});

test('a bad amount is explained and nothing is sent', async () => {
	const page = await login(1005);
	await page.goto(`${front}/#/send`);
	await page.getByLabel('总金额').fill('0.05');
	await page.getByRole('button', { name: '塞钱进红包' }).click();
	await page.getByText('每个红包至少 0.01 元').first().waitFor();
	assert.match(page.url(), /#\/send$/);
	await page.context().close();
});

test('the page verifies every vector without a server', async () => {
	const page = await phone();
	await page.goto(`${front}/verify.html`);
	await page.context().setOffline(true);
	for (const v of vectors.vectors) {
		const fields = { seed: v.seed, packet: v.packet_id, total: String(v.total), count: String(v.count), nonce: v.nonce, commitment: v.commitment };
		for (const [name, value] of Object.entries(fields))
			await page.locator(`[name="${name}"]`).fill(value);
		await page.locator('[name="split"]').selectOption(v.split);
		await page.getByRole('button', { name: /Verify/ }).click();
		await page.waitForFunction((hash) => document.querySelector('[data-seed-hash]')?.textContent === hash, v.seed_hash);
		assert.equal(await page.locator('[data-verdict]').getAttribute('data-verdict'), 'ok');
		assert.equal(await page.locator('[data-shares]').getAttribute('data-shares'), v.shares.join(','));
	}
	await page.locator('[name="total"]').fill('12345');
	await page.getByRole('button', { name: /Verify/ }).click();
	await page.locator('[data-verdict="mismatch"]').waitFor();
	await page.context().close();
});

test('no page had an error or broke the content security policy', () => {
	assert.deepEqual(problems, []);
});
