// The HTTP contract, as the page uses it. Errors are thrown as Problem with the server's own text for the user.
import { lang, t } from './i18n.js';

const PATIENCE_MS = 20000;

export class Problem extends Error {
	constructor(status, body, retryAfterMs = 0) {
		super(body.user_message || t(status ? 'trouble' : 'offline'));
		this.status = status;
		this.code = body.code || (status ? 'INTERNAL' : 'OFFLINE');
		this.retryable = body.code ? body.retryable !== false : status === 0 || status === 429 || status >= 500;
		this.retryAfterMs = body.retry_after_ms || retryAfterMs;
		this.errors = body.errors || [];
		this.requestId = body.request_id;
	}
}

// The session is over: to the login, and from there back to where this happened.
function signedOut() {
	localStorage.removeItem('hb-uid');
	sessionStorage.setItem('hb-after-login', location.hash);
	location.hash = '#/login';
}

export const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function call(method, path, body, headers = {}) {
	let answer;
	let data;
	try {
		answer = await fetch(path, {
			method,
			credentials: 'same-origin',
			signal: AbortSignal.timeout(PATIENCE_MS),
			headers: {
				'Accept-Language': lang,
				...(method === 'GET' ? {} : { 'X-Hb-Csrf': '1' }),
				...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
				...headers,
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		data = await answer.text();
	} catch {
		// No answer, or half of one.
		throw new Problem(0, {});
	}
	try {
		data = JSON.parse(data);
	} catch {
		data = {};
	}
	if (!answer.ok) {
		if (data.code === 'SESSION_INVALID')
			signedOut();
		throw new Problem(answer.status, data, Number(answer.headers.get('Retry-After') || 0) * 1000);
	}
	return data;
}

// Repeats what may be repeated, a bounded number of times, never earlier than the server said, and with jitter, so that those
// who were refused together do not come back together. `work` is told why its last try failed.
async function steadily(tries, work) {
	let last = null;
	for (let n = 1; ; n++) {
		try {
			return await work(last);
		} catch (problem) {
			// What is switched off will not be on again in a moment.
			if (n >= tries || !problem.retryable || problem.code === 'FEATURE_DEGRADED')
				throw problem;
			last = problem;
			await pause((problem.retryAfterMs || 200 * n) * (1 + Math.random()));
		}
	}
}

const get = (path) => steadily(3, () => call('GET', path));
const paged = (path, limit) => (cursor) => get(`${path}?limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);

export const login = (uid) => call('POST', '/v1/demo/login', { uid });
// What only a demo has: its users, and finance's address. Elsewhere the page does without.
export const demo = () => call('GET', '/demo.json').catch((problem) => {
	if (problem.status === 404)
		return {};
	throw problem;
});
export const seed = () => get('/v1/me/seed');
export const send = (packet, key) =>
	steadily(5, () => call('POST', '/v1/packets', packet, { 'Idempotency-Key': key }));
export const cover = (id) => get(`/v1/packets/${id}`);
export const bindVideo = (id, video) => steadily(3, () => call('PUT', `/v1/packets/${id}/video`, { video_id: video }));
export const claims = (id) => paged(`/v1/packets/${id}/claims`, 100);
export const fairness = (id) => get(`/v1/packets/${id}/fairness`);
export const list = (which) => paged(`/v1/me/${which}`, 10);

// A claim is its own key: (user, packet). Up to 10 tries while the packet is busy or the outcome unknown.
export const claim = (id) => steadily(10, () => call('POST', `/v1/packets/${id}/claim`, {}));

export const rains = () => get('/v1/rain');
export const rain = (campaign) => get(`/v1/rain/${campaign}`);
export const subsidies = () => get('/v1/me/subsidies?limit=100');
export const wallet = paged('/v1/me/wallet', 20);
export const withdraw = (amount, key) =>
	steadily(5, () => call('POST', '/v1/me/withdrawals', { amount: { amount, currency: 'CNY' } }, { 'Idempotency-Key': key }));
export const withdrawal = (no) => get(`/v1/me/withdrawals/${no}`);

// One draw, of up to 10 tries. Each draw of a round has a number, which the server tells; a repeat that names it gives that draw's
// own result, where one without might be the next draw. `expected` is what this one should get, if known: {draw, round}.
// Of a pending draw the server knows by itself which it was.
export function draw(campaign, expected) {
	let named = {};
	return steadily(10, (last) => {
		if (last && last.code !== 'RATE_LIMITED' && last.code !== 'DRAW_PENDING' && expected)
			named = expected;
		return call('POST', `/v1/rain/${campaign}/draw`, named);
	});
}
