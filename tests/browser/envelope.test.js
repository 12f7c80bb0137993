// Envelopes as a person sends and opens them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { finance, front, login, open, pay, phone, picture, problems, send, sql } from './people.js';

const vectors = JSON.parse(readFileSync(new URL('../vectors/fairness.json', import.meta.url)));

test('an envelope of 100 yuan in 10 lucky shares, from the send to the transfer', async () => {
	const sender = await login(1001);
	await picture(sender, 'home');
	await sender.getByRole('link', { name: '发红包' }).click();
	await sender.getByLabel('祝福语').fill('新年快乐，万事如意');
	await picture(sender, 'send');
	await sender.getByRole('button', { name: '塞钱进红包' }).click();
	await sender.waitForURL((url) => url.href.startsWith(finance));
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

test('a double click on send makes one envelope, and Back from the cashier shows it waiting', async () => {
	const page = await login(1011);
	let sends = 0;
	page.on('request', (request) => { sends += request.method() === 'POST' && request.url().endsWith('/v1/packets') ? 1 : 0; });
	await page.goto(`${front}/#/send`);
	await page.getByRole('button', { name: '塞钱进红包' }).dblclick();
	await page.waitForURL((url) => url.href.startsWith(finance));
	assert.equal(sends, 1);
	await page.goBack();
	await page.getByText('等待支付').waitFor();
	assert.match(page.url(), /#\/packet\/\d+$/);
	await page.getByRole('link', { name: '去支付' }).click();
	await pay(page);
	await page.context().close();
});

test('a lost answer and a failed network leave one envelope, paid after another try', async () => {
	const page = await login(1012);
	const keys = [];
	let made;
	await page.route('**/v1/packets', async (route) => {
		keys.push(route.request().headers()['idempotency-key']);
		if (keys.length > 5)
			return route.continue();
		if (keys.length === 1)
			made = (await (await route.fetch()).json()).packet.id;
		return route.abort();
	});
	await page.goto(`${front}/#/send`);
	await page.getByRole('button', { name: '塞钱进红包' }).click();
	await page.getByText('网络异常').first().waitFor();
	await page.getByRole('button', { name: '塞钱进红包' }).click();
	assert.equal(await pay(page), made);
	assert.equal(keys.length, 6);
	assert.equal(new Set(keys).size, 1);
	await page.context().close();
});

test('a list that could not load says so in its place, leaves the rest usable and loads on the next try', async () => {
	const page = await login(1013);
	await page.getByRole('link', { name: '发红包' }).click();
	await page.getByLabel('总金额').waitFor();
	await page.route('**/v1/me/**', (route) => route.abort());
	await page.goto(`${front}/#/`);
	await page.getByRole('link', { name: '发红包' }).waitFor();
	assert.equal(await page.getByRole('alert').getByText('网络异常').count(), 2);
	await page.unroute('**/v1/me/**');
	await page.getByRole('button', { name: '重试' }).last().click();
	await page.locator('[data-list="sent"]').waitFor({ state: 'attached' });
	await page.getByRole('button', { name: '重试' }).click();
	await page.locator('[data-list="received"]').waitFor({ state: 'attached' });
	assert.equal(await page.getByRole('alert').count(), 0);
	await page.context().close();
});

test('a page that could not load says so and loads on the next try', async () => {
	const sender = await login(1018);
	const id = await send(sender);
	await sender.goto(`${front}/#/`);
	await sender.route('**/v1/packets/**', (route) => route.abort());
	await sender.goto(`${front}/#/packet/${id}`);
	await sender.getByRole('alert').getByText('网络异常').waitFor();
	await sender.unroute('**/v1/packets/**');
	await sender.getByRole('button', { name: '重试' }).click();
	await sender.getByRole('button', { name: '拆红包' }).waitFor();
	await sender.context().close();
});

test('a phone without a network says so at once, and another language keeps what was typed', async () => {
	const page = await login(1019);
	await page.getByRole('link', { name: '发红包' }).click();
	await page.getByLabel('祝福语').fill('岁岁平安');
	await page.getByLabel('谁可以领').selectOption('invited');
	await page.getByLabel('用户编号').fill('1002');
	await page.getByRole('button', { name: 'English' }).click();
	await page.getByRole('heading', { name: 'Send an envelope' }).waitFor();
	assert.equal(await page.getByLabel('Greeting').inputValue(), '岁岁平安');
	assert.equal(await page.getByLabel('User numbers').inputValue(), '1002');
	assert.equal(await page.title(), 'Send an envelope · Hongbao');
	await page.context().setOffline(true);
	await page.getByRole('status').getByText('You are offline').waitFor();
	await page.context().setOffline(false);
	await page.getByText('You are offline').waitFor({ state: 'detached' });
	await page.context().close();
});

test('an envelope for invited users refuses the others and opens for the invited', async () => {
	const sender = await login(1014);
	const id = await send(sender, async () => {
		await sender.getByLabel('祝福语').fill('长'.repeat(50));
		await sender.getByLabel('谁可以领').selectOption('invited');
		await sender.getByLabel('用户编号').fill('1002, 1502');
	});
	const stranger = await login(1003);
	await stranger.goto(`${front}/#/packet/${id}`);
	await stranger.getByText('长'.repeat(50)).waitFor();
	assert.equal(await stranger.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth), false);
	await stranger.getByRole('button', { name: '拆红包' }).click();
	await stranger.getByText('这个红包不是发给你的').waitFor();
	await stranger.goto(`${front}/#/packet/${id}/details`);
	await stranger.getByRole('alert').waitFor();
	const invited = await login(1502);
	assert.ok(await open(invited, id) > 0);
	for (const page of [sender, stranger, invited])
		await page.context().close();
});

// Answers claims as an envelope that is too busy does up to the `to`th; tells when each came.
async function busy(page, to) {
	const came = [];
	await page.route('**/claim', (route) => {
		came.push(Date.now());
		return came.length > to ? route.continue() : route.fulfill({
			status: 429, contentType: 'application/problem+json', headers: { 'Retry-After': '1' },
			body: JSON.stringify({ status: 429, code: 'PACKET_BUSY', retryable: true, retry_after_ms: BUSY_MS, user_message: '太火爆了' }),
		});
	});
	return came;
}
const BUSY_MS = 60;

// The pauses between them: never shorter than the server said, and not all the same.
function pauses(came) {
	const out = came.slice(1).map((at, i) => at - came[i]);
	assert.ok(Math.min(...out) >= BUSY_MS, `paused ${out} ms`);
	return out;
}

test('a busy envelope is tried again up to the tenth time, by keyboard, and the amount gets the focus', async () => {
	const sender = await login(1015);
	const id = await send(sender);
	const came = await busy(sender, 9);
	await sender.goto(`${front}/#/packet/${id}`);
	await sender.getByRole('button', { name: '拆红包' }).focus();
	await sender.keyboard.press('Enter');
	await sender.locator('[data-amount]:focus').waitFor();
	assert.equal(came.length, 10);
	assert.ok(new Set(pauses(came)).size > 1, 'there is jitter');
	await sender.context().close();
});

test('an envelope that stays busy is given up after ten tries, and can be tried again', async () => {
	const sender = await login(1020);
	const id = await send(sender);
	const came = await busy(sender, 10);
	await sender.goto(`${front}/#/packet/${id}`);
	const coin = sender.getByRole('button', { name: '拆红包' });
	await coin.dblclick();
	await sender.locator('.cover').getByText('太火爆了').waitFor();
	assert.equal(came.length, 10);
	pauses(came);
	await sender.locator('.coin:focus').waitFor();
	await coin.click();
	await sender.locator('[data-amount]').waitFor();
	await sender.context().close();
});

test('the sender hangs an envelope under a video, once', async () => {
	const sender = await login(1021);
	const id = await send(sender);
	await sender.getByText('绑定视频').click();
	await sender.getByLabel('视频编号').fill('video-7');
	await sender.getByRole('button', { name: '绑定' }).click();
	await sender.getByText('视频 video-7').waitFor();
	await sender.goto(`${front}/#/`);
	await sender.goto(`${front}/#/packet/${id}`);
	await sender.getByText('视频 video-7').waitFor();
	assert.equal(await sender.getByText('绑定视频').count(), 0);
	await sender.context().close();
});

test('a session that ended leads to the login and back to the envelope', async () => {
	const sender = await login(1016);
	const id = await send(sender);
	await sender.context().clearCookies();
	await sender.getByRole('button', { name: '拆红包' }).click();
	await sender.waitForURL(/#\/login$/);
	await sender.getByRole('button', { name: '1002', exact: true }).click();
	await sender.waitForURL((url) => url.hash === `#/packet/${id}`);
	await sender.getByRole('button', { name: '拆红包' }).click();
	await sender.locator('[data-amount]').waitFor();
	await sender.context().close();
});

test('an expired envelope says so, also to one who had it open', { timeout: 60000 }, async () => {
	const sender = await login(1017);
	const id = await send(sender);
	const guest = await login(1004);
	await guest.goto(`${front}/#/packet/${id}`);
	const coin = guest.getByRole('button', { name: '拆红包' });
	await coin.waitFor();
	sql(`UPDATE packet SET expires_at = ${Date.now()} WHERE packet_id = ${id}`);
	await coin.click();
	await guest.getByText('红包已过期').waitFor();
	await sender.goto(`${front}/#/`);
	await sender.goto(`${front}/#/packet/${id}`);
	await sender.locator('[data-outcome]').waitFor();
	// The seed is shown once the sweep has closed the envelope.
	const verify = sender.getByRole('link', { name: '在浏览器中验证' });
	do {
		await sender.goto(`${front}/#/packet/${id}`);
		await sender.getByRole('link', { name: '看看大家的手气' }).click();
		await sender.locator('[data-commitment]').waitFor();
	} while (!await verify.count());
	await verify.click();
	await sender.locator('[data-verdict="ok"]').waitFor();
	assert.match(await sender.locator('[name="hash"]').inputValue(), /^[0-9a-f]{64}$/);
	assert.match(await sender.getByRole('link', { name: '返回' }).getAttribute('href'), new RegExp(`#/packet/${id}/details$`));
	await sender.locator('[name="hash"]').fill('0'.repeat(64));
	await sender.getByRole('button', { name: /Verify/ }).click();
	await sender.locator('[data-verdict="mismatch"]').waitFor();
	for (const page of [sender, guest])
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
