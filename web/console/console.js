// The console: what /ops/v1 tells of this site, every 2 s. It reads and changes nothing; both languages stand side by side, as on the page of fairness.
import { h } from '/js/dom.js';

const EVERY_MS = 2000;
const PATIENCE_MS = 5000;
const at = (id) => document.getElementById(id);
const en = (text) => h('span', { lang: 'en' }, text);
const both = (zh, english) => [`${zh} `, en(english)];
// Of a gauge with labels, the values that are not zero: "transfer 3, check 1".
const some = (values) => Object.entries(values).filter(([, n]) => n !== 0).map(([name, n]) => `${name} ${n}`).join(', ') || '0';
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const yes = (n) => (n ? '是 yes' : '否 no');
const plain = (n) => String(n);
const zero = (n) => n === 0;
const one = (n) => n === 1;
const always = () => true;

// One line of a cell each: its name in /ops/v1/status, texts, how it is shown, and when it is well. What is not measured is not there.
const rows = [
	['epoch', '纪元', 'Epoch', plain, always],
	['programs_up', '运行的程序', 'Programs up', plain, always],
	['programs_down', '停止的程序', 'Programs down', plain, zero],
	['down', '停止的是', 'These are', (names) => names.join(', ') || '–', (names) => names.length === 0],
	['member_up', '数据库可用', 'Database answers', yes, one],
	['heartbeat_age_ms', '心跳时间', 'Age of the heartbeat', seconds, (ms) => ms < 30000],
	['semi_sync_clients', '确认的副本', 'Replicas that acknowledge', plain, (n) => n > 0],
	['control_protected', '双份写入', 'Protected', yes, one],
	['control_changing', '正在切换', 'Primary is changing', yes, zero],
	['breakers_open', '断路器', 'Breakers open', some, (v) => some(v) === '0'],
	['flags_off_percent', '已关闭（%）', 'Flags off, percent', some, (v) => some(v) === '0'],
	['outbox_rows', '待发事件', 'Events to publish', plain, always],
	['outbox_oldest_ms', '最早的事件', 'The oldest of them', seconds, (ms) => ms < 60000],
	['queue_messages', '队列', 'Queues', some, always],
	['orders', '未完成订单', 'Orders under way', some, always],
	['open_matters', '待人工处理', 'For a person', some, (v) => some(v) === '0'],
	['alerts_waiting', '待发告警', 'Alerts to send', plain, always],
	['conservation_excess_fen', '多出的钱（分）', 'Money from nothing, fen', plain, zero],
	['conservation_broken_packets', '不守恒的红包', 'Broken envelopes', plain, zero],
];

const states = {
	served: ['span.ok', '正常', 'active'],
	trouble: ['span.bad', '不可用', 'not served'],
	standby: ['span.soft', '待命', 'standby'],
};
const stateOf = (cell) => (!cell.active ? 'standby' : cell.served ? 'served' : 'trouble');

function cellCard(cell) {
	const state = stateOf(cell);
	const [spec, zh, english] = states[state];
	return h('article.card', { 'data-cell': cell.cell, 'data-state': state },
		h('h2', {}, h('span', {}, both(`单元 ${cell.cell}`, 'Cell')), h(spec, {}, both(zh, english))),
		h('dl', {}, rows.filter(([key]) => key in cell).map(([key, name, english_, show, well]) => [
			h('dt', {}, both(name, english_)),
			h(well(cell[key]) ? 'dd' : 'dd.bad', { 'data-value': key }, show(cell[key])),
		]).flat()));
}

function flagRow(flag) {
	const until = flag.expires_at_ms ? new Date(flag.expires_at_ms).toISOString() : '';
	return h('div.row', { 'data-flag': flag.flag },
		h('span', {}, h('code', {}, flag.flag), flag.given && h('small', {}, [flag.reason, flag.owner, flag.ticket, until].filter(Boolean).join(' · '))),
		h(flag.given && flag.state === 'off' ? 'span.bad' : 'span.soft', {},
			flag.given ? `${flag.state} ${flag.percent} % ${flag.cells}` : both('默认', 'not set')));
}

async function ask(path) {
	const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
	if (!answer.ok)
		throw new Error(String(answer.status));
	return answer.json();
}

async function show() {
	try {
		const [status, flags] = await Promise.all([ask('/ops/v1/status'), ask('/ops/v1/flags')]);
		at('site').textContent = `${status.site} · ${status.version}`;
		at('cells').replaceChildren(...status.cells.map(cellCard));
		at('flags').replaceChildren(...(flags.bad ? [h('p.bad', {}, flags.bad)] : []), ...flags.flags.map(flagRow));
		at('told').className = status.healthy ? 'ok' : 'bad';
		at('told').replaceChildren(...both(status.healthy ? '本站正常' : '本站有单元不可用', status.healthy ? 'This site is well' : 'A cell of this site is not served'),
			` · ${status.now}`);
	} catch {
		at('told').className = 'bad';
		at('told').replaceChildren(...both('没有回答，以下为旧数据', 'No answer; what stands below is old'));
	}
	setTimeout(show, EVERY_MS);
}
show();
