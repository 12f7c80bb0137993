// The rain and what comes of it: wins, subsidies, envelopes from them, the wallet. What no stack does on demand (a full queue, a lost
// answer) is answered in its place by the test.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { front, hbctl, login, open, picture, problems, without } from './people.js';

const DAY_MS = 24 * 3600 * 1000;
const iso = (ms) => new Date(ms).toISOString();
const problem = (status, code, more = {}) => ({
	status, contentType: 'application/problem+json',
	body: JSON.stringify({ status, code, retryable: status === 429 || status >= 500, user_message: code, ...more }),
});
const json = (data) => ({ status: 200, contentType: 'application/json', body: JSON.stringify(data) });

// A rain of the test's own: its clock is `ahead` of everybody's, its round begins and ends in so many ms. Draws are answered by
// the list, one after the other, the last of it for ever; what was asked is kept.
async function ownRain(page, { ahead = 0, begins = -1000, ends = 600000, answers = [] } = {}) {
	const opened = Date.now() + ahead;
	const round = { number: 7, starts_at: iso(opened + begins), ends_at: iso(opened + ends) };
	const own = { asked: [], ahead, round };
	await page.route('**/v1/rain/own', (route) => {
		const now = Date.now() + own.ahead;
		const state = now < opened + begins ? 'not_started' : now < opened + ends ? 'raining' : 'ended';
		return route.fulfill(json({ campaign: 'own', server_time: iso(now), state, limit: 20, round: state === 'ended' ? null : round }));
	});
	await page.route('**/v1/rain/own/draw', (route) => {
		assert.equal(route.request().headers()['x-hb-csrf'], '1');
		own.asked.push({ at: Date.now(), ...route.request().postDataJSON() });
		const answer = answers[Math.min(own.asked.length, answers.length) - 1];
		return answer === 'lost' ? route.abort() : route.fulfill(answer);
	});
	await page.goto(`${front}/#/rain/own`);
	await page.locator('[data-stage]').waitFor();
	return own;
}
const none = (draw) => json({ outcome: 'none', subsidy: null, round: 7, draw, draws_left: 19 - draw });
const won = (draw, id = '7000101021') => json({ outcome: 'won', round: 7, draw, draws_left: 19 - draw, subsidy: {
	subsidy_id: id, amount: { amount: 1888, currency: 'CNY' }, token: `hbs1.${id}`, expires_at: iso(Date.now() + DAY_MS) } });
const drawButton = (page) => page.getByRole('button', { name: '抢一个' });
const draws = (asked) => asked.map((body) => body.draw);

test('a rain begins by the server’s clock, whatever the phone’s says, and ends', async () => {
	const page = await login(1101);
	const jump = async (ms) => {
		own.ahead += ms;
		await page.clock.fastForward(ms);
	};
	await page.clock.install({ time: Date.now() - 3 * DAY_MS });
	const own = await ownRain(page, { ahead: DAY_MS, begins: 600000, ends: 1200000, answers: [none(0)] });
	await page.locator('[data-stage="waiting"]').getByText(/距开始 (10:00|09:\d\d)/).waitFor();
	assert.equal(await drawButton(page).getAttribute('aria-disabled'), 'true');
	await drawButton(page).click({ force: true });
	await jump(600000);
	await page.locator('[data-stage="raining"]').getByText(/还剩 (10:00|09:\d\d)/).waitFor();
	await drawButton(page).click();
	await page.getByRole('status').getByText('这个是空的').waitFor();
	assert.equal(own.asked.length, 1);
	await jump(600000);
	await page.locator('[data-stage="over"]').waitFor();
	await page.getByRole('status').getByText('本场已结束').waitFor();
	await page.locator('[data-stage="ended"]').waitFor();
	await page.getByRole('status').getByText('活动已结束').waitFor();
	await page.context().close();
});

test('with reduced motion nothing falls, and every outcome of a draw is said in words', async () => {
	const page = await login(1102);
	const said = { limit: '本场的机会已用完', budget_spent: '本场红包已发完', ended: '活动已结束', not_started: '红包雨还没开始' };
	for (const [outcome, text] of Object.entries(said)) {
		await ownRain(page, { answers: [none(0), json({ outcome, subsidy: null, ...(outcome === 'limit' ? { round: 7, draw: null, draws_left: 0 } : {}) })] });
		await drawButton(page).click();
		await page.getByRole('status').getByText('这个是空的').waitFor();
		await drawButton(page).click();
		await page.getByRole('status').getByText(text).waitFor();
		assert.equal(await page.locator('.drop').count(), 0);
		await page.goto(`${front}/#/`);
		await page.unrouteAll();
	}
	await page.context().close();
});

test('a draw that is pending, or too fast, is repeated, with jitter, never before the server said', async () => {
	const page = await login(1103);
	const { asked } = await ownRain(page, { answers: [
		problem(429, 'RATE_LIMITED', { retry_after_ms: 80 }), problem(503, 'DRAW_PENDING', { retry_after_ms: 80 }),
		problem(429, 'RATE_LIMITED', { retry_after_ms: 80 }), problem(503, 'DRAW_PENDING', { retry_after_ms: 80 }), won(4)] });
	await drawButton(page).focus();
	await page.keyboard.press('Enter');
	await page.locator('[data-won="1888"]:focus').waitFor();
	assert.equal(asked.length, 5);
	assert.deepEqual(new Set(draws(asked)), new Set([undefined]));
	asked.slice(1).forEach(({ at }, i) => assert.ok(at - asked[i].at >= 80));
	await page.context().close();
});

test('the last try of a round says so, and the next round brings new ones', async () => {
	const page = await login(1110);
	await page.clock.install();
	const own = await ownRain(page, { answers: [none(18), none(19), none(0)] });
	await drawButton(page).click();
	await page.getByText('本场还有 1 次机会').waitFor();
	await drawButton(page).click();
	await page.locator('[data-stage="limit"]').getByText('本场的机会已用完').waitFor();
	await drawButton(page).click({ force: true });
	own.round.number = 8;
	own.round.ends_at = iso(Date.now() + 1200000);
	await page.clock.fastForward(600000);
	await page.locator('[data-stage="raining"]').waitFor();
	await drawButton(page).click();
	await page.getByText('本场还有 19 次机会').waitFor();
	assert.equal(own.asked.length, 3);
	await page.context().close();
});

test('an answer that got lost is asked for again under the number it must have had', async () => {
	const page = await login(1104);
	const { asked } = await ownRain(page, { answers: [none(6), 'lost', 'lost', none(7), none(8), 'lost', won(9)] });
	for (const text of ['这个是空的', '差一点点', '好运马上就到']) {
		await drawButton(page).click();
		await page.getByRole('status').getByText(text).waitFor();
	}
	await drawButton(page).dblclick();
	await page.locator('[data-won]').waitFor();
	assert.deepEqual(draws(asked), [undefined, undefined, 7, 7, undefined, undefined, 9]);
	assert.deepEqual(asked.map(({ round }) => round), [undefined, undefined, 7, 7, undefined, undefined, 7]);
	await page.context().close();
});

test('a draw without any answer is given up after ten tries, and the page says where a win would be', async () => {
	const page = await login(1105);
	const { asked } = await ownRain(page, { answers: [problem(503, 'DRAW_PENDING', { retry_after_ms: 20 })] });
	await drawButton(page).click();
	await page.getByRole('status').getByText('如已中奖会出现在「我的补贴」').waitFor();
	assert.equal(asked.length, 10);
	await page.context().close();
});

test('a finger that still taps at the rain does not press what the win puts under it', async () => {
	const page = await login(1111, { hasTouch: true });
	await page.clock.install();
	await ownRain(page, { answers: [won(0)] });
	await page.clock.pauseAt(Date.now() + 60000);
	await drawButton(page).click();
	await page.locator('[data-won]').waitFor();
	const box = await page.getByRole('link', { name: '马上发出去' }).boundingBox();
	const tapLink = () => page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2);
	await tapLink();
	assert.equal(await page.locator('[data-won]').count(), 1);
	await page.clock.runFor(1000);
	await tapLink();
	await page.locator('form [data-subsidy="7000101021"]').waitFor();
	assert.match(page.url(), /#\/subsidies\/7000101021$/);
	await page.context().close();
});

test('a win stays on the screen in another language, is kept, and fills a list that the server calls degraded', async () => {
	const page = await login(1106);
	await ownRain(page, { answers: [won(0)] });
	await drawButton(page).click();
	await page.locator('[data-won]').waitFor();
	await page.getByRole('button', { name: 'English' }).click();
	await page.getByRole('heading', { name: 'You have won' }).waitFor();
	await page.getByRole('button', { name: '中文' }).click();
	await page.getByRole('button', { name: '先留着' }).click();
	await page.locator('[data-stage="raining"]').waitFor();
	await page.locator('[data-draw]:focus').waitFor();
	let degraded = ['token_list'];
	await page.route('**/v1/me/subsidies*', (route) => route.fulfill(json({ data: [
		{ subsidy_id: '6000101106', amount: { amount: 12, currency: 'CNY' }, state: 'spent', expires_at: iso(Date.now() + DAY_MS), source: 'record', packet_id: '123400101106' },
	], degraded })));
	await page.getByRole('link', { name: '我的补贴' }).click();
	await page.locator('[data-degraded="token_list"]').waitFor();
	assert.equal(await page.locator('[data-source="phone"]').count(), 1);
	assert.equal(await page.locator('[data-usable="1"]').textContent(), '¥18.88');
	// A list that is whole has the last word: the win was sent from elsewhere and has expired since.
	degraded = [];
	await page.reload();
	await page.locator('[data-usable="0"]').waitFor();
	assert.equal(await page.locator('[data-source="phone"]').count(), 0);
	await page.context().close();
});

// Somebody new in the cell of these three digits, so that no run of the tests meets the limits and balances of another.
const person = (tail) => `${randomInt(1e6, 1e7)}${tail}`;

// The campaign of campaigns.cfg, in which every draw wins; hb-rain notices it by itself.
const SURE = 'sure';
before(async () => {
	hbctl('campaign', 'apply', fileURLToPath(new URL('campaigns.cfg', import.meta.url)), '--reason', 'browser tests');
	const page = await login(person('111'));
	const other = await login(person('611'));
	for (const { request } of [page.context(), other.context()])
		while ((await request.get(`${front}/v1/rain/${SURE}`)).status() !== 200)
			await page.waitForTimeout(100);
	await page.context().close();
	await other.context().close();
}, { timeout: 60000 });

// Taps falling envelopes where an eye sees one, until one wins.
async function tap(page) {
	const won = page.locator('[data-won]');
	for (let n = 0; n < 200 && !(await won.count()); n++) {
		await page.locator('.drop, [data-won]').first().waitFor({ state: 'attached' });
		const at = await page.evaluate(() => {
			const sky = document.querySelector('.drops')?.getBoundingClientRect();
			return [...document.querySelectorAll('.drop:not(.caught)')].map((drop) => drop.getBoundingClientRect())
				.map((box) => ({ x: box.x + box.width / 2, y: box.y + box.height * 0.6 }))
				.find(({ y }) => sky && y > sky.top && y < sky.bottom - 60) || null;
		});
		if (at)
			await page.touchscreen.tap(at.x, at.y);
		// One that was hit is being opened: what appears then is not for this finger.
		await page.locator('[data-draw][aria-busy]').waitFor({ state: 'detached' });
	}
	return Number(await won.getAttribute('data-won'));
}

async function spend(page, count) {
	await page.locator('[data-subsidy]').waitFor();
	await page.getByLabel('红包个数').fill(String(count));
	await page.getByLabel('祝福语').fill('雨里抢到的，大家一起拆');
	await picture(page, 'subsidy');
	await page.getByRole('button', { name: '发出去' }).dblclick();
	await page.getByRole('button', { name: '拆红包' }).waitFor();
	return page.url().match(/packet\/(\d+)$/)[1];
}

test('from the rain by taps to finance: won, sent, opened in both cells, in the wallet, withdrawn', async () => {
	const winner = await login(person('111'), { reducedMotion: 'no-preference', hasTouch: true });
	await winner.getByRole('link', { name: '红包雨' }).click();
	await winner.locator(`[data-rains] a[href="#/rain/${SURE}"]`).click();
	await winner.locator('.drop').nth(6).waitFor({ state: 'attached' });
	await picture(winner, 'rain');
	const amount = await tap(winner);
	assert.ok(amount > 0);
	await picture(winner, 'win', { animations: 'disabled' });
	await winner.getByRole('link', { name: '马上发出去' }).click();
	const form = winner.url();
	// Two equal shares, each of them enough to be withdrawn.
	await winner.getByLabel('类型').selectOption('equal');
	const id = await spend(winner, 2);
	await winner.goto(form);
	await winner.getByRole('alert').getByText('已经发出了').waitFor();
	await winner.getByRole('link', { name: '看看这个红包' }).click();
	await winner.getByRole('button', { name: '拆红包' }).waitFor();

	const here = await login(person('112'));
	const there = await login(person('612'));
	const shares = [await open(here, id), await open(there, id)];
	assert.equal(shares[0] + shares[1], amount);
	await there.getByRole('link', { name: '已存入钱包' }).click();
	await there.locator(`[data-balance="${shares[1]}"]`).waitFor();
	await there.locator('[data-entries] [data-kind="credit_in"]').waitFor();
	await picture(there, 'wallet');
	const yuan = await there.locator('[data-balance]').textContent();
	await there.getByRole('button', { name: '提现' }).dblclick();
	await there.locator('[data-withdrawal="done"]').waitFor();
	await picture(there, 'withdrawal');
	const [account] = await Promise.all([there.waitForEvent('popup'), there.getByRole('link', { name: '我的零钱' }).click()]);
	assert.equal(await account.locator('#received').textContent(), yuan);
	await there.getByRole('link', { name: '钱包' }).click();
	await there.locator('[data-balance="0"]').waitFor();
	assert.equal(await there.locator('[data-entries] > li').count(), 2);
	for (const page of [winner, here, there])
		await page.context().close();
});

test('the rain by keyboard with reduced motion: nothing falls, each win is kept, listed and sent later', async () => {
	const page = await login(person('613'));
	await page.goto(`${front}/#/rain/${SURE}`);
	await page.locator('[data-stage="raining"]').waitFor();
	while (!await drawButton(page).evaluate((node) => node === document.activeElement))
		await page.keyboard.press('Tab');
	await page.keyboard.press('Enter');
	await page.locator('[data-won]:focus').waitFor();
	await page.keyboard.press('Tab');
	await page.keyboard.press('Tab');
	await page.keyboard.press('Space');
	await page.locator('[data-draw]:focus').waitFor();
	assert.equal(await page.locator('.drop').count(), 0);
	await page.keyboard.press('Enter');
	await page.locator('[data-won]:focus').waitFor();
	await page.getByRole('button', { name: '先留着' }).click();
	await page.getByRole('link', { name: '我的补贴' }).click();
	await page.locator('[data-usable="2"]').waitFor();
	await picture(page, 'subsidies');
	await page.locator('[data-subsidies] a').first().focus();
	await page.keyboard.press('Enter');
	await spend(page, 1);
	await page.goto(`${front}/#/subsidies`);
	await page.locator('[data-usable="1"]').waitFor();
	assert.equal(await page.locator('[data-subsidies] [data-state="spent"]').count(), 1);
	await page.context().close();
});

test('without the list of tokens the wins of this phone are still there, and can be sent', async () => {
	const page = await login(person('114'));
	await page.goto(`${front}/#/rain/${SURE}`);
	await drawButton(page).click();
	await page.locator('[data-won]').waitFor();
	await without('A-cache-east', async () => {
		await page.goto(`${front}/#/subsidies`);
		await page.locator('[data-degraded="token_list"]').waitFor();
		await page.locator('[data-usable="1"]').waitFor();
		await page.locator('[data-subsidies] a').click();
		await spend(page, 1);
	});
	await page.context().close();
});

// A wallet of the test's own with so many fen. The answers to withdrawals are its list, as for draws; what was asked is kept.
async function ownWallet(page, fen, answers) {
	const asked = [];
	await page.route(/\/v1\/me\/wallet/, (route) => route.fulfill(json({ balance: { amount: fen, currency: 'CNY' }, min_withdrawal: { amount: 100, currency: 'CNY' }, max_withdrawal: { amount: 2000000, currency: 'CNY' }, entries: [], next_cursor: null })));
	await page.route('**/v1/me/withdrawals', (route) => {
		asked.push({ key: route.request().headers()['idempotency-key'], ...route.request().postDataJSON().amount });
		const answer = answers[Math.min(asked.length, answers.length) - 1];
		return answer === 'lost' ? route.abort() : route.fulfill(answer);
	});
	await page.goto(`${front}/#/wallet`);
	await page.locator('[data-balance]').waitFor();
	return asked;
}
const order = (state) => ({ ...json({ order_no: '9000101107', amount: { amount: 1230, currency: 'CNY' }, state, created_at: iso(Date.now()) }), status: 202 });

test('a withdrawal whose answer got lost is repeated under its key, over a reload too', async () => {
	const page = await login(1107);
	const asked = await ownWallet(page, 1230, ['lost', 'lost', 'lost', 'lost', 'lost', order('pending')]);
	await page.route('**/v1/me/withdrawals/9000101107', (route) => route.fulfill(json({ order_no: '9000101107', amount: { amount: 1230, currency: 'CNY' }, state: 'refused' })));
	await page.getByLabel('提现金额').fill('１２．３');
	await page.getByRole('button', { name: '提现' }).dblclick();
	await page.getByRole('alert').getByText('网络异常').waitFor();
	assert.equal(asked.length, 5);
	await page.reload();
	await page.getByText('按一次不会重复扣款').waitFor();
	assert.equal(await page.getByLabel('提现金额').inputValue(), '12.30');
	await page.getByRole('button', { name: '继续上次的提现' }).click();
	await page.locator('[data-withdrawal="refused"]').getByText('金额已退回钱包').waitFor();
	assert.equal(asked.length, 6);
	assert.equal(new Set(asked.map(({ key }) => key)).size, 1);
	assert.ok(asked.every(({ amount, currency }) => amount === 1230 && currency === 'CNY'));
	// The answer is known: the next withdrawal is another.
	await page.getByRole('link', { name: '钱包' }).click();
	await page.getByRole('button', { name: '提现', exact: true }).click();
	await page.locator('[data-withdrawal]').waitFor();
	assert.equal(new Set(asked.map(({ key }) => key)).size, 2);
	await page.context().close();
});

test('a withdrawal above the balance, or of no amount, is refused in words and forgotten', async () => {
	const page = await login(1108);
	const asked = await ownWallet(page, 100, [problem(409, 'BALANCE_TOO_LOW', { user_message: '余额不足' })]);
	for (const nothing of ['', '0', '1.234', '-1', '1e3', '0x10']) {
		await page.getByLabel('提现金额').fill(nothing);
		await page.getByRole('button', { name: '提现' }).click();
		await page.getByRole('alert').getByText('请填写金额').waitFor();
	}
	assert.equal(asked.length, 0);
	await page.getByLabel('提现金额').fill('2');
	await page.getByRole('button', { name: '提现' }).click();
	await page.getByRole('alert').getByText('余额不足').waitFor();
	await page.locator('[name="amount"]:focus').waitFor();
	await page.reload();
	await page.locator('[data-balance="100"]').waitFor();
	assert.equal(await page.getByText('按一次不会重复扣款').count(), 0);
	await page.context().close();
});

test('every page fits 320 pixels, with targets of 44 pixels for fingers', async () => {
	const page = await login(1109, { viewport: { width: 320, height: 568 } });
	await page.evaluate(() => localStorage.setItem('hb-wins-1109', JSON.stringify([
		{ subsidy_id: '7000101109', amount: { amount: 123456789, currency: 'CNY' }, token: 'hbs1.x', expires_at: new Date(Date.now() + 1e8).toISOString() }])));
	await page.route('**/v1/me/subsidies*', (route) => route.fulfill(json({ data: [], degraded: ['token_list'] })));
	await ownRain(page, { answers: [won(0)] });
	await ownWallet(page, 123456789012, []);
	for (const view of ['', 'send', 'rain/own', 'subsidies', 'subsidies/7000101109', 'wallet', 'login']) {
		await page.goto(`${front}/#/${view}`);
		await page.locator(view === 'login' ? '.users' : view === '' ? '.tiles' : 'main h1').first().waitFor();
		const bad = await page.evaluate(() => [
			...(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ['the page is wider than the window'] : []),
			...[...document.querySelectorAll('button, a.row, a.primary, a.second, a.tile, a.quiet, .brand, input, select, summary')]
				.filter((node) => node.offsetParent && node.getBoundingClientRect().height < 44).map((node) => node.outerHTML)]);
		assert.deepEqual(bad, [], view);
	}
	await page.context().close();
});

test('no page had an error or broke the content security policy', () => {
	assert.deepEqual(problems, []);
});
