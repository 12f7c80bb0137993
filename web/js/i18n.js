// Every text of the page, Chinese and English.
const texts = {
	title: ['红包 Hongbao', 'Hongbao'],
	home: ['首页', 'Home'],
	to_home: ['回首页', 'Home'],
	sign_in: ['登录', 'Sign in'],
	demo_users: ['选择一位体验用户', 'Choose a demo user'],
	cell: ['单元', 'Cell'],
	other_uid: ['其他用户编号', 'Another user number'],
	user: ['用户', 'User'],
	send_one: ['发红包', 'Send an envelope'],
	open_one: ['打开红包', 'Open an envelope'],
	packet_no: ['红包编号', 'Envelope number'],
	go: ['前往', 'Go'],
	sent: ['我发出的', 'Sent'],
	received: ['我收到的', 'Received'],
	nothing: ['还没有记录', 'Nothing here yet'],
	more: ['更多', 'More'],
	total: ['总金额（元）', 'Total (yuan)'],
	count: ['红包个数', 'Number of shares'],
	split: ['类型', 'Kind'],
	lucky: ['拼手气', 'Lucky shares'],
	equal: ['普通（等额）', 'Equal shares'],
	greeting: ['祝福语', 'Greeting'],
	greeting_hint: ['恭喜发财，大吉大利', 'Happiness and prosperity'],
	scope: ['谁可以领', 'Who may open it'],
	scope_public: ['所有人', 'Everyone'],
	scope_invited: ['指定用户', 'Invited users'],
	invited: ['用户编号（逗号分隔）', 'User numbers, separated by commas'],
	pay: ['塞钱进红包', 'Pay and send'],
	pay_now: ['去支付', 'Go to the cashier'],
	state_exhausted: ['已领完', 'all taken'],
	state_unpaid: ['待支付', 'unpaid'],
	state_open: ['可领取', 'open'],
	state_expired: ['已过期', 'expired'],
	state_refunding: ['退款中', 'being refunded'],
	state_closed: ['已结束', 'closed'],
	unpaid: ['等待支付', 'Waiting for payment'],
	waiting_pay: ['支付完成后红包会自动打开，请稍候…', 'The envelope opens by itself once it is paid…'],
	from: ['{0} 发出的红包', 'An envelope from {0}'],
	open: ['開', 'OPEN'],
	open_label: ['拆红包', 'Open the envelope'],
	you_got: ['你领到了', 'You received'],
	opening: ['正在拆…', 'Opening…'],
	left: ['剩 {0}/{1} 个', '{0} of {1} left'],
	arriving: ['正在存入零钱…', 'On its way to your balance…'],
	arrived: ['已存入零钱', 'Paid into your balance'],
	packet_exhausted: ['手慢了，红包派完了', 'Too late: all shares are taken'],
	packet_expired: ['红包已过期', 'This envelope has expired'],
	packet_not_open: ['红包还未开放', 'This envelope is not open yet'],
	packet_not_eligible: ['这个红包不是发给你的', 'This envelope is not meant for you'],
	packet_refunding: ['已过期，余款退回中', 'Expired; the rest is on its way back'],
	packet_closed: ['已结束', 'Closed'],
	details: ['看看大家的手气', 'See everyone’s luck'],
	taken_count: ['已领取 {0}/{1} 个', '{0} of {1} opened'],
	taken: ['已领取 {0}/{1} 个，共 {2}', '{0} of {1} opened, {2} in total'],
	luckiest: ['手气最佳', 'Luckiest'],
	share: ['复制链接', 'Copy the link'],
	copied: ['链接已复制', 'Link copied'],
	fairness: ['公平性验证', 'Fairness'],
	verify_here: ['在浏览器中验证', 'Verify in the browser'],
	commitment: ['承诺值', 'Commitment'],
	not_revealed: ['红包派完或过期后公布种子', 'The seed is revealed once all shares are taken or it has expired'],
	back: ['返回', 'Back'],
	again: ['重试', 'Try again'],
	bad_total: ['请填写金额，如 88.00', 'Please give an amount such as 88.00'],
	bad_count: ['请填写个数，如 10', 'Please give a number such as 10'],
	finance: ['我的零钱（支付机构）', 'My balance at finance'],
	offline: ['网络异常，请重试', 'The network failed. Please try again'],
	offline_now: ['当前没有网络', 'You are offline'],
	trouble: ['系统繁忙，请稍后再试', 'We are busy. Please try again shortly'],
	expires: ['{0} 过期', 'Expires {0}'],
	video: ['更多选项', 'More options'],
	video_id: ['视频编号', 'Video'],
	video_note: ['选填，把红包挂在你的视频下', 'Optional: hangs the envelope under your video'],
	bind_video: ['绑定视频', 'Hang it under a video'],
	bind: ['绑定', 'Bind'],
	video_is: ['视频 {0}', 'video {0}'],
};

export let lang = localStorage.getItem('hb-lang') || (navigator.language.startsWith('zh') ? 'zh' : 'en');

export function setLang(next) {
	lang = next;
	localStorage.setItem('hb-lang', next);
	document.documentElement.lang = next;
}

export function t(key, ...args) {
	const row = texts[key];
	if (!row)
		return key;
	return args.reduce((text, arg, i) => text.replace(`{${i}}`, () => arg), row[lang === 'zh' ? 0 : 1]);
}
