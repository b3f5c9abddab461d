import { ProtocolError } from "./errors.js";
export class SseParser {
    limits;
    comments = 0;
    decoder = new TextDecoder();
    lineEnd = /[\r\n]/g;
    held = [];
    heldSize = 0;
    afterCr = false;
    name = "";
    data = [];
    dataSize = 0;
    constructor(limits) {
        this.limits = limits;
    }
    feed(bytes) {
        const text = this.decoder.decode(bytes, { stream: true });
        const found = [];
        let at = this.begin(text);
        for (let end = this.endFrom(text, at); end >= 0; end = this.endFrom(text, at)) {
            const event = this.take(this.line(text.slice(at, end)));
            if (event !== null)
                found.push(event);
            at = end + 1;
            if (text[end] === "\r") {
                if (at === text.length)
                    this.afterCr = true;
                else if (text[at] === "\n")
                    at += 1;
            }
        }
        this.hold(text.slice(at));
        return found;
    }
    begin(text) {
        if (!this.afterCr || text === "")
            return 0;
        this.afterCr = false;
        return text[0] === "\n" ? 1 : 0;
    }
    endFrom(text, at) {
        this.lineEnd.lastIndex = at;
        return this.lineEnd.exec(text)?.index ?? -1;
    }
    hold(text) {
        if (text === "")
            return;
        this.held.push(text);
        this.heldSize += text.length;
        if (this.heldSize > this.limits.line) {
            throw new ProtocolError(`A line has more than ${this.limits.line} characters.`);
        }
    }
    line(last) {
        this.hold(last);
        const whole = this.held.length === 1 ? this.held[0] : this.held.join("");
        this.held = [];
        this.heldSize = 0;
        return whole;
    }
    take(line) {
        if (line === "")
            return this.dispatch();
        const colon = line.indexOf(":");
        if (colon === 0)
            this.comments += 1;
        else if (colon < 0)
            this.field(line, "");
        else
            this.field(line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1)));
        return null;
    }
    field(name, value) {
        if (name === "event")
            this.name = value;
        if (name !== "data")
            return;
        this.data.push(value);
        this.dataSize += value.length + 1;
        if (this.dataSize > this.limits.event + 1) {
            throw new ProtocolError(`An event has more than ${this.limits.event} characters.`);
        }
    }
    dispatch() {
        const { name, data } = this;
        this.name = "";
        this.data = [];
        this.dataSize = 0;
        return data.length === 0 ? null : { name: name || "message", data: data.join("\n") };
    }
}
