// The split of docs/fairness.md ("hb-split-1"), written from that text alone, with the browser's own SHA-256 and HMAC.
const ascii = (text) => new TextEncoder().encode(text);

function bigEndian(value, bytes) {
	const out = new Uint8Array(bytes);
	let rest = BigInt(value);
	for (let i = bytes - 1; i >= 0; i--) {
		out[i] = Number(rest & 255n);
		rest >>= 8n;
	}
	return out;
}

function join(...parts) {
	const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

export const toHex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
export function fromHex(text) {
	if (!/^([0-9a-f]{2})*$/i.test(text))
		throw new RangeError('not hexadecimal');
	return Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
}

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
const kinds = { lucky: 1, equal: 2 };

async function fields(input) {
	return join(bigEndian(input.total, 8), bigEndian(input.count, 4), Uint8Array.of(kinds[input.split]), await sha256(ascii(input.nonce)));
}

export async function commitment(input) {
	return toHex(await sha256(join(ascii('hb-commit-1'), fromHex(input.seed), bigEndian(input.packet, 8), await fields(input))));
}

export async function seedHash(seed) {
	return toHex(await sha256(join(ascii('hb-seed-1'), fromHex(seed))));
}

// Successive 64-bit words of HMAC-SHA256(seed, "hb-split-1" || fields || be32(block)).
async function* words(input) {
	const key = await crypto.subtle.importKey('raw', fromHex(input.seed), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
	const head = join(ascii('hb-split-1'), await fields(input));
	for (let block = 0; ; block++) {
		const view = new DataView(await crypto.subtle.sign('HMAC', key, join(head, bigEndian(block, 4))));
		for (let at = 0; at < 32; at += 8)
			yield view.getBigUint64(at);
	}
}

async function below(stream, bound) {
	const limit = ((1n << 64n) / bound) * bound;
	for (;;) {
		const { value } = await stream.next();
		if (value < limit)
			return value % bound;
	}
}

// The shares in fen, as BigInt, by claim index.
export async function shares(input) {
	const n = input.count;
	const total = BigInt(input.total);
	if (!(input.split in kinds) || !Number.isInteger(n) || n < 1 || n > 100000 || total < BigInt(n) || fromHex(input.seed).length !== 32)
		throw new RangeError('not an envelope');
	const stream = words(input);
	const out = [];
	if (input.split === 'equal') {
		const extra = total % BigInt(n);
		for (let i = 0; i < n; i++)
			out.push(total / BigInt(n) + (BigInt(i) < extra ? 1n : 0n));
	} else {
		let rest = total;
		for (let i = 0; i < n - 1; i++) {
			const upper = (2n * rest) / BigInt(n - i) - 1n;
			const share = 1n + await below(stream, upper);
			out.push(share);
			rest -= share;
		}
		out.push(rest);
	}
	for (let i = n - 1; i > 0; i--) {
		const j = Number(await below(stream, BigInt(i + 1)));
		[out[i], out[j]] = [out[j], out[i]];
	}
	return out;
}
