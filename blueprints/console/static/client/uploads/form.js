import { randomHex } from "../requests.js";
export function formAround(fields) {
    const boundary = randomHex();
    const begin = (name) => `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"`;
    const before = Object.entries(fields).map(([name, value]) => `${begin(name)}\r\n\r\n${value}\r\n`);
    before.push(`${begin("file")}; filename="file"\r\n\r\n`);
    const bytes = new TextEncoder();
    return {
        head: bytes.encode(before.join("")),
        tail: bytes.encode(`\r\n--${boundary}--\r\n`),
        contentType: `multipart/form-data; boundary=${boundary}`,
    };
}
function quoted(name) {
    const escapes = { '"': "%22", "\r": "%0D", "\n": "%0A" };
    return name.replace(/["\r\n]/g, (letter) => escapes[letter]);
}
