// A browser's client of the gateway, with nothing but what browsers bring.

export const FIRST_LINE = "The lighthouse of Skellig was lit in 1826. ";

export class Client {
  constructor(gateway) {
    this.gateway = gateway;
    this.headers = {};
  }

  call(method, path, body, more = {}) {
    const headers = { ...this.headers, ...more.headers };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    return fetch(this.gateway + path, { method, body: sent, ...more, headers });
  }

  async json(method, path, body) {
    const answer = await this.call(method, path, body);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  }

  async logIn({ username, password }) {
    const told = await this.json("POST", "/auth/login", { username, password });
    this.headers = { Authorization: `Bearer ${told.access_token}` };
    return this;
  }

  announce(file, more = {}) {
    return this.json("POST", "/api/v1/documents", {
      filename: file.name, content_type: file.type, size: file.size, ...more,
    });
  }

  async settled(id) {
    for (;;) {
      const document = await this.json("GET", `/api/v1/documents/${id}`);
      if (["indexed", "failed", "expired"].includes(document.status)) return document;
      await new Promise((wake) => setTimeout(wake, 200));
    }
  }

  // Sends the whole file with the permission that announcing it gave; only the form or its headers.
  upload({ method, url, fields, headers }, file) {
    if (method === "PUT") return fetch(url, { method, headers, body: file });
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file);
    return fetch(url, { method, body: form });
  }
}

// The events of a streamed answer as they come: {name, data}.
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").filter((line) => line && !line.startsWith(":"))
          .map((line) => line.split(/: ?(.*)/s).slice(0, 2)));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

// How a fetch ended for the page: its status, or null where the browser kept the answer from it.
export async function seen(asking) {
  try {
    return (await asking).status;
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
