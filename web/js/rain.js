// The rain. Time is the server's, carried on by the page's own steady clock; nothing is asked when a round begins, so that not
// everybody asks at once. Falling envelopes are for fingers; the button below does the same for keyboards, for screen readers
// and where motion is not wanted.
import { draw, pause, rain, rains } from './api.js';
import { Sky } from './sky.js';
import { h, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { remember } from './wins.js';

const TICK_MS = 200;
const CALM_MS = 700; // fingers that still tap at the rain do not press what appears under them
const SPREAD_MS = 3000; // those who wait for news do not ask all at once
const NONE_TEXTS = 3;

// The schedule, with the times of its round (the one that rains, or the next) in ms, and now() by the server's clock.
function scheduleFrom(data, asked) {
	const offset = Date.parse(data.server_time) + (performance.now() - asked) / 2 - performance.now();
	const round = data.round && { number: data.round.number, starts: Date.parse(data.round.starts_at), ends: Date.parse(data.round.ends_at) };
	return { state: data.state, round, now: () => performance.now() + offset };
}

async function scheduleOf(campaign) {
	const asked = performance.now();
	return scheduleFrom(await rain(campaign), asked);
}

function current({ state, round, now }) {
	const at = now();
	if (!round || at >= round.ends)
		return { stage: state === 'ended' ? 'ended' : 'over' };
	return at < round.starts ? { stage: 'waiting', left: round.starts - at } : { stage: 'raining', left: round.ends - at };
}

// 3 → "00:03", 3725 → "1:02:05", and days as days.
export function countdown(ms) {
	const s = Math.ceil(ms / 1000);
	if (s >= 48 * 3600)
		return t('days', Math.floor(s / 86400));
	const two = (n) => String(n).padStart(2, '0');
	return `${s >= 3600 ? `${Math.floor(s / 3600)}:` : ''}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

// A campaign's name for people, where we have one.
function titleOf(campaign, otherwise) {
	const key = `campaign_${campaign.replaceAll('-', '_')}`;
	return t(key) === key ? otherwise : t(key);
}

// What a screen reader is told of the time, and when: not every second.
const spoken = { 600: 'in_10_min', 60: 'in_1_min', 10: 'in_10_s' };

class Rain {
	constructor(ctx, campaign, schedule) {
		Object.assign(this, { ctx, campaign, busy: false, nones: 0 });
		this.take(schedule);
		this.timer = h('p.countdown', { role: 'timer' });
		this.news = h('p.news', { role: 'status' });
		this.hint = h('p.soft.center');
		this.button = h('button.primary', { type: 'button', 'data-draw': '', onclick: () => this.try() }, t('catch_one'));
		this.sky = new Sky((at) => this.try(at));
	}

	// Another round: its draws are counted anew.
	take(schedule) {
		if (!this.schedule || schedule.round?.number !== this.schedule.round?.number)
			Object.assign(this, { over: null, expected: undefined, left: undefined });
		if (schedule.state === 'budget_spent')
			this.over = 'budget_spent';
		this.schedule = schedule;
	}

	page() {
		this.stage = null;
		const view = [
			h('section.sky', { 'data-stage': '' },
				h('div.still', { 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), this.sky.node,
				 h('div.sky-head', {}, h('h1', {}, titleOf(this.campaign, t('rain'))), this.timer), this.news),
			this.button, this.hint,
			h('div.two', {}, h('a.second', { href: '#/subsidies' }, t('subsidies')), h('a.second', { href: '#/' }, t('to_home'))),
		];
		this.box = view[0];
		this.tick();
		return view;
	}

	// Every TICK_MS, and after each draw.
	tick() {
		const { stage, left } = current(this.schedule);
		const shown = stage === 'raining' && this.over ? this.over : stage;
		if (left === undefined) {
			this.write(this.timer, '');
		} else {
			this.write(this.timer, t(stage === 'raining' ? 'left_time' : 'next_in', countdown(left)));
			if (stage === 'waiting' && this.stage === stage && spoken[Math.ceil(left / 1000)])
				this.write(this.news, t(spoken[Math.ceil(left / 1000)]));
		}
		if (shown !== this.stage)
			this.enter(shown);
	}

	write(node, text) {
		if (node.textContent !== text)
			node.textContent = text;
	}

	enter(stage) {
		const first = this.stage === null;
		this.stage = stage;
		this.box.dataset.stage = stage;
		this.write(this.news, t(`rain_${stage}`));
		this.advise();
		// Not `disabled`: that would throw the focus of a keyboard away with each change.
		this.button.setAttribute('aria-disabled', String(stage !== 'raining'));
		if (stage === 'raining')
			this.sky.start();
		else
			this.sky.stop();
		if (stage === 'over' && !first)
			this.reload();
	}

	advise() {
		if (this.stage === 'waiting')
			this.write(this.hint, t('starts_at', when(new Date(this.schedule.round.starts), lang)));
		else if (this.stage === 'raining')
			this.write(this.hint, this.left === undefined ? t('rain_hint') : t('tries_left', this.left));
		else
			this.write(this.hint, '');
	}

	// Until it is there: a rain that missed its next round for a short outage would be a pity.
	async reload() {
		for (let wait = SPREAD_MS; this.ctx.alive(); wait = Math.min(wait * 2, 60000)) {
			await pause(Math.random() * wait);
			try {
				this.take(await scheduleOf(this.campaign));
				return;
			} catch (problem) {
				toast(problem.message);
			}
		}
	}

	async try(at) {
		if (this.busy || this.stage !== 'raining')
			return;
		this.busy = this.sky.holds = true;
		this.button.setAttribute('aria-busy', 'true');
		this.write(this.news, t('drawing'));
		try {
			const answer = await draw(this.campaign, this.expected);
			if (answer.subsidy)
				remember(answer.subsidy);
			if (this.ctx.alive())
				this.tell(answer, at);
		} catch (problem) {
			// What was won without our hearing of it is on the list of subsidies.
			this.write(this.news, problem.code === 'OFFLINE' || problem.code === 'DRAW_PENDING' ? t('draw_lost') : problem.message);
		}
		this.busy = this.sky.holds = false;
		this.button.removeAttribute('aria-busy');
	}

	tell(answer, at) {
		if (Number.isInteger(answer.draw)) {
			this.expected = { draw: answer.draw + 1, round: answer.round };
			this.left = answer.draws_left;
		}
		if (answer.draws_left === 0)
			this.over = 'limit';
		if (answer.outcome === 'budget_spent')
			this.over = 'budget_spent';
		if (answer.outcome === 'won') {
			this.win(answer.subsidy);
		} else if (answer.outcome === 'none') {
			this.sky.miss(at);
			this.tick();
			this.write(this.news, `${t(`none_${this.nones++ % NONE_TEXTS}`)}${this.over ? ` · ${t(`rain_${this.over}`)}` : ''}`);
		} else if (this.over) {
			this.tick();
		} else {
			// The server's clock has another word on the round than ours.
			this.write(this.news, t(`rain_${answer.outcome}`));
			this.reload();
		}
		this.advise();
	}

	win(subsidy) {
		this.won = subsidy;
		this.sky.stop();
		const done = () => { this.won = null; };
		const keep = () => {
			done();
			this.ctx.show(...this.page());
			this.button.focus({ preventScroll: true });
			toast(t('kept'));
		};
		const amount = h('p.money-won', { 'data-won': String(subsidy.amount.amount), 'data-subsidy': subsidy.subsidy_id, tabindex: '-1' }, yuan(subsidy.amount));
		const choice = h('div.calm', {},
			h('a.primary', { href: `#/subsidies/${subsidy.subsidy_id}`, onclick: done }, t('send_it')),
			h('button.second', { type: 'button', onclick: keep }, t('keep_it')));
		setTimeout(() => choice.classList.remove('calm'), CALM_MS);
		this.ctx.show(
			h('section.cover.win', {}, h('h1.from', {}, t('you_won')), amount, h('p', {}, t('won_what')),
				h('p', {}, t('expires', when(subsidy.expires_at, lang)))), choice);
		amount.focus({ preventScroll: true });
		window.scrollTo(0, 0);
	}
}

let last = null;

export async function rainView(ctx) {
	const [campaign] = ctx.args;
	// Another language does not take a win off the screen.
	const undecided = ctx.redraw && last?.campaign === campaign ? last.won : null;
	const game = new Rain(ctx, campaign, await scheduleOf(campaign));
	last = game;
	run(game);
	if (undecided) {
		game.win(undecided);
		return null;
	}
	return game.page();
}

// Ticks until the page is left. A phone that slept has to ask for the time again.
async function run(game) {
	let hidden = false;
	while (game.ctx.alive()) {
		await pause(TICK_MS);
		if (document.hidden) {
			hidden = true;
		} else if (hidden) {
			hidden = false;
			game.reload();
		}
		if (game.box && !game.won && game.ctx.alive())
			game.tick();
	}
	game.sky.stop();
}

function entry(data, asked) {
	const schedule = scheduleFrom(data, asked);
	const { stage } = current(schedule);
	const shown = schedule.state === 'budget_spent' ? 'budget_spent' : stage;
	return h('a.row', { href: `#/rain/${data.campaign}`, 'data-stage': stage },
		h('span', {}, titleOf(data.campaign, data.campaign), h('small', {}, stage === 'waiting' ? t('starts_at', when(new Date(schedule.round.starts), lang)) : t(`rain_${shown}`))),
		shown === 'raining' ? h('span.pill', {}, t('go')) : null);
}

export async function rainsView() {
	const asked = performance.now();
	const { data } = await rains();
	return [h('h1', {}, t('rain')),
		h('section.card.listed', {}, h('ul.list', { 'data-rains': '' }, data.map((campaign) => h('li', {}, entry(campaign, asked)))),
			data.length ? null : h('p.soft', {}, t('nothing'))),
		h('a.second', { href: '#/' }, t('to_home'))];
}
