const [ROUND, INITIAL] = constants();
function constants() {
    const primes = [];
    for (let n = 2; primes.length < 64; n++)
        if (primes.every((p) => n % p !== 0))
            primes.push(n);
    const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
    const cubes = primes.map((p) => fraction(Math.cbrt(p)));
    return [Int32Array.from(cubes), Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)))];
}
export class Sha256 {
    state = INITIAL.slice();
    words = new Int32Array(64);
    rest = new Uint8Array(64);
    restSize = 0;
    size = 0;
    update(data) {
        this.size += data.length;
        let at = 0;
        if (this.restSize > 0) {
            at = Math.min(64 - this.restSize, data.length);
            this.rest.set(data.subarray(0, at), this.restSize);
            this.restSize += at;
            if (this.restSize < 64)
                return;
            this.block(this.rest, 0);
        }
        for (; at + 64 <= data.length; at += 64)
            this.block(data, at);
        this.rest.set(data.subarray(at));
        this.restSize = data.length - at;
    }
    hex() {
        const bits = this.size * 8;
        const padding = new Uint8Array(((119 - this.restSize) % 64) + 9);
        padding[0] = 0x80;
        const view = new DataView(padding.buffer);
        view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
        view.setUint32(padding.length - 4, bits >>> 0);
        this.update(padding);
        return Array.from(this.state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    }
    block(data, at) {
        this.schedule(data, at);
        const { state } = this;
        let [a, b, c, d, e, f, g, h] = state;
        for (let i = 0; i < 64; i++) {
            const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
            const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i] + this.words[i]) | 0;
            const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
            const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
            h = g;
            g = f;
            f = e;
            e = (d + t1) | 0;
            d = c;
            c = b;
            b = a;
            a = (t1 + t2) | 0;
        }
        const worked = [a, b, c, d, e, f, g, h];
        for (let i = 0; i < 8; i++)
            state[i] = state[i] + worked[i];
    }
    schedule(data, at) {
        const { words } = this;
        for (let i = 0; i < 16; i++, at += 4) {
            words[i] =
                (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
        }
        for (let i = 16; i < 64; i++) {
            const [x, y] = [words[i - 15], words[i - 2]];
            const s0 = rotated(x, 7) ^ rotated(x, 18) ^ (x >>> 3);
            const s1 = rotated(y, 17) ^ rotated(y, 19) ^ (y >>> 10);
            words[i] = words[i - 16] + s0 + words[i - 7] + s1;
        }
    }
}
function rotated(word, by) {
    return (word >>> by) | (word << (32 - by));
}
