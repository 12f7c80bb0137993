// What the browser tests share: phones with users on them, in Chromium, against the running stack (HB_FRONT, HB_FINANCE, HB_OPS, HB_TEST_STACK).
// Pictures go to HB_PICTURES if it is set.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const front = process.env.HB_FRONT;
export const finance = process.env.HB_FINANCE;
export const ops = process.env.HB_OPS;
export const stack = process.env.HB_TEST_STACK;
// Errors of pages and breaches of their content security policy: each file's last test looks that there is none.
export const problems = [];

assert.ok(front && stack, 'HB_FRONT is the address of the front door, HB_TEST_STACK the folder of the stack');
const browser = await chromium.launch({
	executablePath: '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
		'--disable-component-update', '--disable-sync', `--crash-dumps-dir=${mkdtempSync(join(tmpdir(), 'hb-chromium-'))}`],
});
after(() => browser.close());

// On a slow machine Chromium may ask for the page's icon when it stands on finance's cashier already, whose policy has no images.
const lateIcon = /Loading the image '[^']*\/icon\.svg' violates.*"default-src 'none'"/;

export async function phone(options = {}) {
	const context = await browser.newContext({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, reducedMotion: 'reduce', locale: 'zh-CN', ...options });
	const page = await context.newPage();
	page.on('pageerror', (error) => problems.push(String(error)));
	page.on('console', (message) => {
		if (message.type() === 'error' && !/Failed to load resource/.test(message.text()) && !lateIcon.test(message.text()))
			problems.push(message.text());
	});
	return page;
}

export async function login(uid, options) {
	const page = await phone(options);
	await page.goto(`${front}/`);
	await page.getByLabel('其他用户编号').fill(String(uid));
	await page.getByRole('button', { name: '登录' }).click();
	await page.getByRole('link', { name: '发红包' }).waitFor();
	return page;
}

export const picture = async (page, name, options = {}) => {
	if (process.env.HB_PICTURES)
		await page.screenshot({ path: join(process.env.HB_PICTURES, `${name}.png`), ...options });
};

export async function open(page, id) {
	await page.goto(`${front}/#/packet/${id}`);
	await page.getByRole('button', { name: '拆红包' }).click();
	return Number(await page.locator('[data-amount]').getAttribute('data-amount'));
}

export async function pay(page) {
	await page.waitForURL((url) => url.href.startsWith(finance));
	await page.getByRole('button', { name: /支付/ }).click();
	await page.waitForURL(/#\/packet\/\d+$/);
	await page.getByRole('button', { name: '拆红包' }).waitFor();
	return page.url().match(/(\d+)$/)[1];
}

export async function send(page, fill = async () => {}) {
	await page.goto(`${front}/#/send`);
	await page.getByLabel('红包个数').fill('2');
	await fill();
	await page.getByRole('button', { name: '塞钱进红包' }).click();
	return pay(page);
}

// A statement on cell A's primary, for what no user can do: make an envelope old.
export function sql(statement) {
	const base = Number(readFileSync(join(stack, 'base'), 'utf8'));
	execFileSync('mariadb', ['--no-defaults', '-h127.0.0.1', `-P${base + 20}`, '-uhb_ctl', 'hongbao', '-e', statement],
		{ env: { ...process.env, MYSQL_PWD: readFileSync(join(stack, 'secrets/db.hb_ctl'), 'utf8').trim() } });
}

// Holds a process of the stack still while `work` is done; a service is named as in ./dev status.
export async function without(service, work) {
	const pid = Number(readFileSync(join(stack, 'sv', service, 'supervise/pid'), 'utf8'));
	process.kill(pid, 'SIGSTOP');
	try {
		return await work();
	} finally {
		process.kill(pid, 'SIGCONT');
	}
}

const dev = fileURLToPath(new URL('../../dev', import.meta.url));
// ./dev hbctl of this stack.
export const hbctl = (...words) => execFileSync(dev, ['hbctl', ...words], { env: { ...process.env, HB_NAME: basename(stack) }, encoding: 'utf8' });
