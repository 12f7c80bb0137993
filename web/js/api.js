// The HTTP contract, as the page uses it. Errors are thrown as Problem with the server's own text for the user.
import { lang, t } from './i18n.js';

export class Problem extends Error {
	constructor(status, body) {
		super(body.user_message || t('offline'));
		this.status = status;
		this.code = body.code || 'OFFLINE';
		this.retryable = body.retryable !== false;
		this.retryAfterMs = body.retry_after_ms || 0;
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
	try {
		answer = await fetch(path, {
			method,
			credentials: 'same-origin',
			headers: {
				'Accept-Language': lang,
				...(method === 'GET' ? {} : { 'X-Hb-Csrf': '1' }),
				...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
				...headers,
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
	} catch {
		throw new Problem(0, {});
	}
	const data = await answer.json().catch(() => ({}));
	if (!answer.ok) {
		if (data.code === 'SESSION_INVALID')
			signedOut();
		throw new Problem(answer.status, data);
	}
	return data;
}

// Repeats what may be repeated, with growing pauses: the number of tries is bounded.
async function steadily(tries, work) {
	for (let n = 1; ; n++) {
		try {
			return await work();
		} catch (problem) {
			if (n >= tries || !problem.retryable || problem.code === 'PACKET_BUSY')
				throw problem;
			await pause((problem.retryAfterMs || 200 * n) * (1 + Math.random()));
		}
	}
}

export const login = (uid) => call('POST', '/v1/demo/login', { uid });
export const demo = () => call('GET', '/demo.json');
export const seed = () => steadily(3, () => call('GET', '/v1/me/seed'));
export const send = (packet, key) =>
	steadily(5, () => call('POST', '/v1/packets', packet, { 'Idempotency-Key': key }));
export const cover = (id) => call('GET', `/v1/packets/${id}`);
export const claims = (id, cursor) =>
	steadily(3, () => call('GET', `/v1/packets/${id}/claims?limit=100${cursor ? `&cursor=${cursor}` : ''}`));
export const fairness = (id) => steadily(3, () => call('GET', `/v1/packets/${id}/fairness`));
export const list = (which, cursor) =>
	steadily(3, () => call('GET', `/v1/me/${which}?limit=10${cursor ? `&cursor=${cursor}` : ''}`));

// A claim is its own key: (user, packet). Up to 10 tries with jitter while the packet is busy or the outcome unknown.
export async function claim(id) {
	for (let n = 1; ; n++) {
		try {
			return await call('POST', `/v1/packets/${id}/claim`, {});
		} catch (problem) {
			if (n >= 10 || !problem.retryable)
				throw problem;
			await pause((problem.retryAfterMs || 300) * (0.5 + Math.random()));
		}
	}
}
